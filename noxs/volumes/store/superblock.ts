/** Superblocks: what they say, whether they can be believed, and how a store's blocks are divided up. */
import {
  BITMAP_BITS,
  BLOCK_BYTES,
  BLOCK_ENTRIES,
  CHUNK_BLOCKS,
  Entry,
  IndexEntry,
  ENTRY_BYTES,
  METADATA_BLOCKS_MIN,
  METADATA_SHARE,
  STORE_BLOCKS_MIN,
  SUPER_INDEX_MAX,
  SUPER_MAGIC_0,
  SUPER_MAGIC_1,
  Superblock,
  VOLUME_VERSION,
} from "../../../abi/io/volume-format";
import { crc32c } from "../disks/checksum";
import { RESERVE_BLOCKS, COMMIT_BLOCKS, Store } from "./store";

/**
 * Divides a store of `blocks` blocks up: the places in the record.
 * @returns false when it is too small
 */
export function geometrySet(s: Store, blocks: u32): bool {
  const all = blocks;
  if (all < STORE_BLOCKS_MIN) return false;
  s.blocks = all;
  s.metadataBlocks = max(all / METADATA_SHARE, METADATA_BLOCKS_MIN);
  s.metadataBitmaps = pagesFor(s.metadataBlocks);
  s.dataBitmaps = pagesFor((all - s.metadataBlocks) / CHUNK_BLOCKS);
  s.indexPages = (s.metadataBitmaps + s.dataBitmaps + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES;
  s.indexStart = 1;
  s.bitmapStart = s.indexStart + 2 * s.indexPages;
  s.metadataStart = s.bitmapStart + 2 * (s.metadataBitmaps + s.dataBitmaps);
  const end = s.metadataStart + s.metadataBlocks;
  s.dataStart = (end + CHUNK_BLOCKS - 1) & ~(CHUNK_BLOCKS - 1);
  s.dataChunks = (all - 1 - s.dataStart) / CHUNK_BLOCKS;
  // A page for the last chunks may not be needed after all: it then has no bits, and is not there.
  s.dataBitmaps = pagesFor(s.dataChunks);
  s.metadataReserve = COMMIT_BLOCKS + RESERVE_BLOCKS + 2 * s.metadataBitmaps;
  return s.indexPages <= SUPER_INDEX_MAX;
}

function pagesFor(bits: u32): u32 {
  return (bits + BITMAP_BITS - 1) / BITMAP_BITS;
}

/** CRC32C of a superblock with 0 for its checksum. */
function sumOf(at: usize): u32 {
  const was = load<u32>(at, Superblock.checksum);
  store<u32>(at, 0, Superblock.checksum);
  const sum = crc32c(at, BLOCK_BYTES);
  store<u32>(at, was, Superblock.checksum);
  return sum;
}

/** Whether a block has the magic number of a superblock. */
export function superblockThere(at: usize): bool {
  return load<u32>(at) == SUPER_MAGIC_0 && load<u32>(at, 4) == SUPER_MAGIC_1;
}

/** Whether a block is copy `copy` of the superblock of a store that fits into `partitionBlocks`. */
export function superblockValid(at: usize, copy: u32, partitionBlocks: u32): bool {
  if (!superblockThere(at) || load<u32>(at, Superblock.version) != VOLUME_VERSION) return false;
  if (load<u32>(at, Superblock.copy) != copy || load<u32>(at, Superblock.checksum) != sumOf(at)) return false;
  return load<u32>(at, Superblock.blocks) <= partitionBlocks && load<u64>(at, Superblock.generation) != 0;
}

/** Takes a superblock's contents over. False when what it says cannot be. */
export function superblockLoad(s: Store, at: usize): bool {
  if (!geometrySet(s, load<u32>(at, Superblock.blocks))) return false;
  const same =
    load<u32>(at, Superblock.indexStart) == s.indexStart &&
    load<u32>(at, Superblock.indexPages) == s.indexPages &&
    load<u32>(at, Superblock.bitmapStart) == s.bitmapStart &&
    load<u32>(at, Superblock.metadataBitmaps) == s.metadataBitmaps &&
    load<u32>(at, Superblock.dataBitmaps) == s.dataBitmaps &&
    load<u32>(at, Superblock.metadataStart) == s.metadataStart &&
    load<u32>(at, Superblock.metadataBlocks) == s.metadataBlocks &&
    load<u32>(at, Superblock.dataStart) == s.dataStart &&
    load<u32>(at, Superblock.dataChunks) == s.dataChunks;
  if (!same) return false;
  s.id = load<u64>(at, Superblock.uuid);
  s.id1 = load<u64>(at, Superblock.uuid + 8);
  s.generation = load<u64>(at, Superblock.generation);
  s.epoch = load<u32>(at, Superblock.epoch);
  s.freeBlocks = load<u32>(at, Superblock.freeBlocks);
  s.freeChunks = load<u32>(at, Superblock.freeChunks);
  s.tableTarget = load<u32>(at, Superblock.table + Entry.target);
  s.tableGeneration = load<u32>(at, Superblock.table + Entry.generation);
  s.volumes = load<u32>(at, Superblock.volumes);
  s.jobs = load<u32>(at, Superblock.jobs);
  s.jobId = load<u32>(at, Superblock.job);
  s.indexSlots = 0;
  for (let i: u32 = 0; i < s.indexPages; i++) {
    s.indexSlots |= (load<u32>(superblockIndex(at, i), IndexEntry.slot) & 1) << i;
  }
  s.blockCursor = s.metadataStart;
  s.chunkCursor = s.dataStart / CHUNK_BLOCKS;
  return true;
}

/** Writes the store's superblock of transaction `generation` to memory. Where its index pages are is there already, but for the slots. */
export function superblockFill(s: Store, at: usize, generation: u64): void {
  store<u32>(at, SUPER_MAGIC_0, Superblock.magic);
  store<u32>(at, SUPER_MAGIC_1, Superblock.magic + 4);
  store<u32>(at, VOLUME_VERSION, Superblock.version);
  store<u64>(at, generation, Superblock.generation);
  store<u64>(at, s.id, Superblock.uuid);
  store<u64>(at, s.id1, Superblock.uuid + 8);
  store<u32>(at, s.blocks, Superblock.blocks);
  store<u32>(at, s.indexStart, Superblock.indexStart);
  store<u32>(at, s.indexPages, Superblock.indexPages);
  store<u32>(at, s.bitmapStart, Superblock.bitmapStart);
  store<u32>(at, s.metadataBitmaps, Superblock.metadataBitmaps);
  store<u32>(at, s.dataBitmaps, Superblock.dataBitmaps);
  store<u32>(at, s.metadataStart, Superblock.metadataStart);
  store<u32>(at, s.metadataBlocks, Superblock.metadataBlocks);
  store<u32>(at, s.dataStart, Superblock.dataStart);
  store<u32>(at, s.dataChunks, Superblock.dataChunks);
  store<u32>(at, s.epoch, Superblock.epoch);
  store<u32>(at, s.freeBlocks, Superblock.freeBlocks);
  // What is reserved is free until it is in the bitmap.
  store<u32>(at, s.freeChunks + s.reservedCount, Superblock.freeChunks);
  store<u32>(at, s.tableTarget, Superblock.table + Entry.target);
  store<u32>(at, s.epoch, Superblock.table + Entry.birth);
  store<u32>(at, s.tableGeneration, Superblock.table + Entry.generation);
  store<u32>(at, s.volumes, Superblock.volumes);
  store<u32>(at, s.jobs, Superblock.jobs);
  store<u32>(at, s.jobId, Superblock.job);
  for (let i: u32 = 0; i < s.indexPages; i++) {
    store<u32>(superblockIndex(at, i), (s.indexSlots >> i) & 1, IndexEntry.slot);
  }
}

/** Makes a superblock one of the two copies. */
export function superblockSeal(at: usize, copy: u32): void {
  store<u32>(at, copy, Superblock.copy);
  store<u32>(at, sumOf(at), Superblock.checksum);
}

/** The IndexEntry of an index page in a superblock. */
export function superblockIndex(at: usize, page: u32): usize {
  return at + Superblock.index + <usize>page * ENTRY_BYTES;
}
