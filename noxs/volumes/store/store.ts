/**
 * A volume store: what is known of it in memory. The files of this folder are about one part of it each; this one holds the
 * record that they share, and what can be said from it alone.
 */
import {
  BITMAP_BITS,
  BLOCK_ENTRIES,
  BLOCK_SECTORS,
  BlockHeader,
  CHUNK_BLOCKS,
  ENTRY_BYTES,
  IndexEntry,
} from "../../../abi/io/volume-format";
import { Timer } from "../../../drivers/host/timer";
import { Task, TaskList } from "../disks/task";
import { Disk } from "../disks/disk";

export const STORES_MAX: u32 = 4;
/** Most blocks of a store: what its index pages can say of. A larger partition is used in part. */
export const STORE_BLOCKS_MAX: u64 = 2772000000;
/** Bitmap pages that index pages can say of: SUPER_INDEX_MAX * BLOCK_ENTRIES. */
export const BITMAP_PAGES_MAX: u32 = 5376;

// Store.state
export const STORE_ABSENT: u32 = 0;
export const STORE_MOUNTING: u32 = 1;
export const STORE_READY: u32 = 2;
/** It cannot be used: Store.reason. */
export const STORE_BAD: u32 = 3;

// Store.commitPhase
export const COMMIT_NONE: u32 = 0;
export const COMMIT_TABLE: u32 = 1; // records of the volumes changed
export const COMMIT_FREE: u32 = 2; // what was freed, in the bitmaps
export const COMMIT_WRITE: u32 = 3; // blocks on their way to the disk
export const COMMIT_FLUSH: u32 = 4; // the disk's cache
export const COMMIT_FIRST: u32 = 5; // the first superblock
export const COMMIT_SECOND: u32 = 6;

/** Most blocks freed, and nodes and bitmap pages changed, in a transaction; a change that might exceed one waits for a commit. */
export const FREES_MAX: u32 = 2048;
export const NODES_MAX: u32 = 192;
export const BITMAPS_MAX: u32 = 64;
export const TRANSACTION_VOLUMES_MAX: u32 = 24;
/** Chunks given to writes that are on their way. */
export const RESERVED_MAX: u32 = 64;
/** Blocks of the metadata area that a commit may need for the volume table: two for each volume. */
export const COMMIT_BLOCKS: u32 = 2 * TRANSACTION_VOLUMES_MAX;
/** Blocks beyond that kept for deleting and discarding. */
export const RESERVE_BLOCKS: u32 = 48;
/** What one change of the map may need. */
export const CHANGE_BLOCKS: u32 = 3;

@unmanaged
export class Store {
  state: u32;
  reason: i32; // why it is STORE_BAD, or read-only: negative errno
  readOnly: u32;
  disk: Disk;
  firstSector: u64; // of the partition
  blocks: u32; // that the store uses
  partitionBlocks: u32;
  id: u64; // first half of the UUID
  id1: u64; // second half

  // Places (abi/io/volume-format.ts).
  indexStart: u32;
  indexPages: u32;
  bitmapStart: u32;
  metadataBitmaps: u32;
  dataBitmaps: u32;
  metadataStart: u32;
  metadataBlocks: u32;
  dataStart: u32;
  dataChunks: u32;

  /** Of the last transaction that is on the disk; the one that collects changes now is the next. */
  generation: u64;
  epoch: u32;
  freeBlocks: u32;
  freeChunks: u32;
  tableTarget: u32; // root of the volume table
  tableGeneration: u32;
  volumes: u32;
  jobs: u32;

  index: usize; // index pages, in memory as long as the store is
  indexMachine: u64;
  indexChanged: u32; // bit for each index page
  indexSlots: u32; // bit for each: which place it is in
  superblock: usize; // the block that is written
  superblockMachine: u64;
  mirrored: u32; // 1: both superblocks are those of `generation`

  // The transaction.
  dirty: usize; // CacheBlocks, linked by dirtyNext, in the order of their allocation
  dirtyLast: usize;
  nodes: u32; // nodes among them
  bitmaps: u32; // bitmap pages that it changes or has to change
  touched: usize; // bit for each bitmap page: counted in `bitmaps`
  frees: usize; // u32 each: a block of the metadata area, or FREE_CHUNK | chunk
  freesCount: u32;
  changedVolumes: usize; // Volumes, linked by changedNext
  changedCount: u32;
  metadataPromised: u32; // blocks that writes on their way may need
  /** What is not promised to writes. */
  metadataReserve: u32;
  reserved: usize; // u32 each: chunks not yet in the bitmap, 0 none
  reservedCount: u32;
  blockCursor: u32; // where the next free one is looked for
  chunkCursor: u32;

  // The commit.
  commitTask: Task;
  commitTimer: Timer;
  commitPhase: u32;
  commitVolume: usize;
  commitFree: u32;
  commitNext: usize; // CacheBlock to be written next
  commitIndex: u32; // index page to be written next
  commitFlying: u32; // writes in flight
  commitError: i32;
  failed: u32; // 1: it stopped at an error, and will be repeated
  /** Flushes that the commit in progress, or the next one, answers. */
  flushWaiters: TaskList;
  /** Tasks that change something, and what comes too late for the commit in progress: they go on when it is over. */
  commitWaiters: TaskList;
  reserveWaiters: TaskList;

  replaying: u32; // 1: changes of an earlier run are made again (journal.ts)
  log: usize; // of changes not yet on the disk, in stable memory (journal.ts)

  checking: u32; // 1: nothing is changed while the store is checked
  checkWaiters: TaskList;

  // The job in progress (jobs.ts).
  jobTask: Task;
  jobId: u32; // volume id + 1, 0 none
  jobKind: u32; // VOLUME_DELETING, VOLUME_TRIMMING
  jobCursor: u32;
  jobPrevious: u32; // epoch of the snapshot before a snapshot that is being deleted
  jobNext: u32; // id + 1 of the snapshot or volume after it
  jobScan: u32; // leaf of the table at which the search for jobs is
}

/** In a list of what was freed: a chunk, not a block. */
export const FREE_CHUNK: u32 = 0x80000000;

/** The stores; one that is absent is free. */
export const stores: usize = memory.data(4 * 1024, 8);

export function storeAt(i: u32): Store {
  assert(offsetof<Store>() <= 1024);
  return changetype<Store>(stores + <usize>i * 1024);
}

/** First sector on the disk of one of the store's blocks. */
export function sectorOf(s: Store, block: u32): u64 {
  return s.firstSector + <u64>block * BLOCK_SECTORS;
}

/** Number of the transaction that collects changes. */
export function transactionOf(s: Store): u64 {
  return s.generation + 1;
}

export function bitmapPages(s: Store): u32 {
  return s.metadataBitmaps + s.dataBitmaps;
}

/** First chunk that is the store's to give. */
export function firstChunk(s: Store): u32 {
  return s.dataStart / CHUNK_BLOCKS;
}

/** Bitmap page with the bit of a block of the metadata area, or of a chunk. */
export function pageOfBlock(s: Store, block: u32): u32 {
  return (block - s.metadataStart) / BITMAP_BITS;
}
export function pageOfChunk(s: Store, chunk: u32): u32 {
  return s.metadataBitmaps + (chunk - firstChunk(s)) / BITMAP_BITS;
}

/** Whether a pointer found on the disk can be one: to a block of the metadata area, to a chunk. */
export function blockValid(s: Store, block: u32): bool {
  return block >= s.metadataStart && block - s.metadataStart < s.metadataBlocks;
}
export function chunkValid(s: Store, chunk: u32): bool {
  return chunk >= firstChunk(s) && chunk - firstChunk(s) < s.dataChunks;
}

/** The IndexEntry of a bitmap page, in the store's index pages. */
export function indexEntryOf(s: Store, page: u32): usize {
  return (
    s.index + <usize>(page / BLOCK_ENTRIES) * 4096 + BlockHeader.SIZE + <usize>(page % BLOCK_ENTRIES) * ENTRY_BYTES
  );
}

/** Bits that a bitmap page has. */
export function bitsOfPage(s: Store, page: u32): u32 {
  const all = page < s.metadataBitmaps ? s.metadataBlocks : s.dataChunks;
  const before = (page < s.metadataBitmaps ? page : page - s.metadataBitmaps) * BITMAP_BITS;
  return min(all - before, BITMAP_BITS);
}

/** Bits of a bitmap page that are 0. */
export function freeOfPage(s: Store, page: u32): u32 {
  return load<u32>(indexEntryOf(s, page), IndexEntry.free);
}
