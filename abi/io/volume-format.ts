/**
 * A volume store as it is on a disk: a GPT partition of its own type. Everything in it is in blocks of 4 KiB, counted from the
 * partition's start; guests' data is in chunks of 16 blocks, counted alike. Little-endian, offsets in bytes.
 *
 *     block 0            superblock, first copy
 *     indexStart         index pages, two places each: where each bitmap page is, and how much it has free
 *     bitmapStart        bitmap pages, two places each: first those of the metadata area, then those of the chunks
 *     metadataStart      metadata area: nodes of the volumes' trees and of the volume table
 *     dataStart          chunks
 *     the last block     superblock, second copy
 *
 * A transaction writes its nodes to blocks that were free, its bitmap and index pages to the place that is not in use, and then
 * the superblock, the one copy after the other. What the last superblock leads to is never overwritten.
 */

/** GPT partition type 42130BA3-EFB0-4279-83E9-9969382465FA, as four words of the 16 bytes on the disk. */
export const VOLUME_TYPE_0: u32 = 0x42130ba3;
export const VOLUME_TYPE_1: u32 = 0x4279efb0;
export const VOLUME_TYPE_2: u32 = 0x6999e983;
export const VOLUME_TYPE_3: u32 = 0xfa652438;

export const VOLUME_VERSION: u32 = 1;

export const BLOCK_BYTES: u32 = 4096;
export const BLOCK_SECTORS: u32 = 8;
export const CHUNK_BLOCKS: u32 = 16;
export const CHUNK_SECTORS: u32 = 128;
export const CHUNK_BYTES: u32 = 65536;

/** Least size of a store, in blocks. */
export const STORE_BLOCKS_MIN: u32 = 2048;
/** Least size of the metadata area, in blocks; and the share of all blocks that it is, if that is more. */
export const METADATA_BLOCKS_MIN: u32 = 512;
export const METADATA_SHARE: u32 = 64;

/** "TVVOLUME" */
export const SUPER_MAGIC_0: u32 = 0x4f565654;
export const SUPER_MAGIC_1: u32 = 0x454d554c;
export const SUPER_INDEX_MAX: u32 = 16;

/** One block. */
export namespace Superblock {
  export const magic: u32 = 0; // u64
  export const checksum: u32 = 8; // CRC32C of the block with 0 here
  export const version: u32 = 12;
  export const generation: u32 = 16; // u64 number of the transaction that wrote it
  export const uuid: u32 = 24; // 16 bytes
  export const blocks: u32 = 40; // of the store
  export const copy: u32 = 44; // 0 the first, 1 the second
  export const indexStart: u32 = 48;
  export const indexPages: u32 = 52;
  export const bitmapStart: u32 = 56;
  export const metadataBitmaps: u32 = 60; // bitmap pages
  export const dataBitmaps: u32 = 64;
  export const metadataStart: u32 = 68;
  export const metadataBlocks: u32 = 72;
  export const dataStart: u32 = 76; // a multiple of CHUNK_BLOCKS
  export const dataChunks: u32 = 80;
  export const epoch: u32 = 84; // incremented by each snapshot
  export const freeBlocks: u32 = 88; // of the metadata area
  export const freeChunks: u32 = 92;
  export const table: u32 = 96; // Entry of the volume table's root
  export const volumes: u32 = 108; // records of the table in use
  export const jobs: u32 = 112; // of those, records with VOLUME_DELETING or VOLUME_TRIMMING
  export const job: u32 = 116; // id + 1 of the record whose job is in progress; 0 none
  export const index: u32 = 128; // SUPER_INDEX_MAX IndexEntry
}

// BlockHeader.magic
export const MAGIC_NODE: u32 = 0x65644e56; // "VNde": of a volume's tree
export const MAGIC_TABLE: u32 = 0x6c625456; // "VTbl": of the volume table
export const MAGIC_BITMAP: u32 = 0x6d744256; // "VBtm"
export const MAGIC_INDEX: u32 = 0x78644956; // "VIdx"

/** At the start of every other block of metadata. */
export namespace BlockHeader {
  export const magic: u32 = 0;
  export const checksum: u32 = 4; // CRC32C of the block with 0 here
  export const number: u32 = 8; // of a node its block; of a bitmap or index page which one it is
  export const level: u32 = 12; // 0: a leaf
  export const generation: u32 = 16; // u64
  export const store: u32 = 24; // u64 the first half of the store's UUID
  export const passed: u32 = 32; // of a leaf of the volume table: records hashed to it or beyond that found no room here
  export const SIZE: u32 = 64;
}

/** Entries of a block: after its header. */
export const BLOCK_ENTRIES: u32 = 336;
export const ENTRY_BYTES: u32 = 12;

/** Of a node: what is below. All zero: nothing. */
export namespace Entry {
  export const target: u32 = 0; // in a leaf a chunk, else a block
  export const birth: u32 = 4; // the store's epoch when the target was allocated
  export const generation: u32 = 8; // of a node: the low half of its header's
  export const mask: u32 = 8; // in a leaf: bit for each of the chunk's blocks that has been written
}

/** Of an index page, and in the superblock: where a page is. */
export namespace IndexEntry {
  export const generation: u32 = 0; // the low half of its header's; 0: never written, all free
  export const slot: u32 = 4; // which of its two places, 0 or 1
  export const free: u32 = 8; // of a bitmap page: bits that are 0
}

/** Bits of a bitmap page, after its header: 1 in use. */
export const BITMAP_BITS: u32 = 32256;

/** Levels of a volume's tree, and chunks it can hold: 2.26 TiB. */
export const TREE_LEVELS: u32 = 3;
export const VOLUME_CHUNKS_MAX: u32 = 37933056;

/** The table: a root whose entries are leaves, each with records. A volume's id is its leaf * TABLE_RECORDS + its record. */
export const TABLE_RECORDS: u32 = 21;
export const VOLUME_NAME_BYTES: u32 = 64; // NUL-padded, at most 63 are used

// VolumeRecord.flags
export const VOLUME_USED: u32 = 1;
/** It never changes. */
export const VOLUME_SNAPSHOT: u32 = 2;
/** It is being deleted: its chunks below `cursor` are given back. It has no name any more. */
export const VOLUME_DELETING: u32 = 4;
/** It was made smaller: chunks from `cursor` on, and what is beyond its size, may still be mapped. */
export const VOLUME_TRIMMING: u32 = 8;

/**
 * One volume or snapshot. A volume sees its own chunks and those of its snapshots: what was born up to the epoch of the snapshot
 * before it belongs to that one, or to one before it, and is not overwritten.
 */
export namespace VolumeRecord {
  export const name: u32 = 0;
  export const flags: u32 = 64;
  export const home: u32 = 68; // the leaf that the name hashes to
  export const sectors: u32 = 72; // u64
  export const root: u32 = 80; // Entry
  export const epoch: u32 = 92; // of a snapshot: that of the store when it was taken
  export const previous: u32 = 96; // id + 1 of the snapshot that it was made from, or taken before it; 0 none
  export const next: u32 = 100; // of a snapshot: id + 1 of the snapshot or volume after it; 0 when that was deleted
  export const clones: u32 = 104; // of a snapshot: volumes made from it
  export const cursor: u32 = 108; // chunk, of VOLUME_DELETING and VOLUME_TRIMMING
  export const mapped: u32 = 112; // chunks mapped, its own and shared ones
  export const SIZE: u32 = 192;
}
