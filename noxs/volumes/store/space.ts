/**
 * Which blocks of the metadata area and which chunks are in use: bitmap pages.
 *
 * A block is taken at once, a chunk in two steps: it is reserved in memory for as long as the write to it takes, and marked in
 * the bitmap by the same change that puts it into the volume's tree, so that no crash can leave it marked and unused. What is freed
 * stays marked until the commit, and cannot be used again before that is on the disk in both superblocks.
 */
import { ENOSPC } from "../../../abi/errno";
import { BITMAP_BITS, BlockHeader, IndexEntry } from "../../../abi/io/volume-format";
import { bitmapChange, bitmapGet, CacheBlock, found } from "./cache";
import {
  bitmapPages,
  bitsOfPage,
  FREE_CHUNK,
  firstChunk,
  freeOfPage,
  FREES_MAX,
  indexEntryOf,
  pageOfBlock,
  pageOfChunk,
  RESERVED_MAX,
  Store,
} from "./store";
import { Task, taskWait, taskWakeOne, WAIT } from "../disks/task";

const NONE: u32 = 0xffffffff;

/** The bitmap page from which blockTake takes; found by blocksReady. */
let takePage: usize = 0;

// --- Bits ----------------------------------------------------------------------------------------------------------------

function wordOf(b: CacheBlock, bit: u32): usize {
  return b.buffer + BlockHeader.SIZE + ((<usize>(bit >> 5)) << 2);
}

/** Whether a bit of a bitmap page is set. */
export function bitSet(b: CacheBlock, bit: u32): bool {
  return ((load<u32>(wordOf(b, bit)) >> (bit & 31)) & 1) != 0;
}

function mark(s: Store, b: CacheBlock, bit: u32): void {
  const word = wordOf(b, bit);
  assert(!bitSet(b, bit), "a block that is in use is taken");
  store<u32>(word, load<u32>(word) | (1 << (bit & 31)));
  const entry = indexEntryOf(s, b.number);
  store<u32>(entry, load<u32>(entry, IndexEntry.free) - 1, IndexEntry.free);
  bitmapChange(s, b);
  touch(s, b.number);
}

/** First bit from `from` on that is 0, cyclically; NONE when all `bits` are set. */
function clearBit(b: CacheBlock, from: u32, bits: u32): u32 {
  let bit = from < bits ? from : 0;
  for (let seen: u32 = 0; seen < bits + 32;) {
    const word = ~load<u32>(wordOf(b, bit)) >> (bit & 31);
    if (word) {
      const candidate = bit + ctz(word);
      if (candidate < bits) return candidate;
    }
    const step = 32 - (bit & 31);
    seen += step;
    bit += step;
    if (bit >= bits) bit = 0;
  }
  return NONE;
}

/** Counts a bitmap page among those that the transaction changes. */
function touch(s: Store, page: u32): void {
  const p = s.touched + (page >> 3);
  const bit: u8 = 1 << ((<u8>page) & 7);
  if (load<u8>(p) & bit) return;
  store<u8>(p, load<u8>(p) | bit);
  s.bitmaps++;
}

/** The transaction is on the disk: it has changed no page. */
export function touchedClear(s: Store): void {
  memory.fill(s.touched, 0, (bitmapPages(s) + 7) >> 3);
  s.bitmaps = 0;
}

// --- Blocks --------------------------------------------------------------------------------------------------------------

/** Whether a write that maps chunks may begin: the metadata area has room for what it may need, and for what others have been promised. */
export function blocksPromise(s: Store, blocks: u32): bool {
  if (s.freeBlocks < s.metadataReserve + s.metadataPromised + blocks) return false;
  s.metadataPromised += blocks;
  return true;
}

export function blocksPromiseEnd(s: Store, blocks: u32): void {
  s.metadataPromised -= blocks;
}

/**
 * Prepares for `blocks` calls of blockTake: finds a bitmap page with as many free blocks, which the task then holds.
 * @returns 0, WAIT, -ENOSPC the metadata area is full, -EIO
 */
export function blocksReady(t: Task, s: Store, blocks: u32): i32 {
  let page = pageOfBlock(s, s.blockCursor);
  for (let i: u32 = 0; i < s.metadataBitmaps; i++) {
    if (freeOfPage(s, page) >= blocks) {
      const rc = bitmapGet(t, s, page);
      takePage = found;
      return rc;
    }
    page = page + 1 == s.metadataBitmaps ? 0 : page + 1;
  }
  return -ENOSPC;
}

/** Takes a block of the metadata area; after blocksReady. */
export function blockTake(s: Store): u32 {
  const b = changetype<CacheBlock>(takePage);
  const first = s.metadataStart + b.number * BITMAP_BITS;
  const from = s.blockCursor >= first ? s.blockCursor - first : 0;
  const bit = clearBit(b, from, bitsOfPage(s, b.number));
  assert(bit != NONE, "a bitmap page has fewer free blocks than its index says");
  mark(s, b, bit);
  s.freeBlocks--;
  s.blockCursor = first + bit + 1;
  if (s.blockCursor - s.metadataStart >= s.metadataBlocks) s.blockCursor = s.metadataStart;
  return first + bit;
}

/** Frees a block of the metadata area, with the commit. */
export function blockFree(s: Store, block: u32): void {
  freeLater(s, block, pageOfBlock(s, block));
}

/** Frees a chunk, with the commit. */
export function chunkFree(s: Store, chunk: u32): void {
  freeLater(s, chunk | FREE_CHUNK, pageOfChunk(s, chunk));
}

function freeLater(s: Store, what: u32, page: u32): void {
  assert(s.freesCount < FREES_MAX, "a transaction frees too much");
  store<u32>(s.frees + ((<usize>s.freesCount) << 2), what);
  s.freesCount++;
  touch(s, page);
}

/** Of what is to be freed, number `i`: clears its bit. 0, WAIT or -EIO; in the commit only. */
export function freeApply(t: Task, s: Store, i: u32): i32 {
  const what = load<u32>(s.frees + ((<usize>i) << 2));
  const isChunk = (what & FREE_CHUNK) != 0;
  const number = what & ~FREE_CHUNK;
  const page = isChunk ? pageOfChunk(s, number) : pageOfBlock(s, number);
  const rc = bitmapGet(t, s, page);
  if (rc != 0) return rc;
  const b = changetype<CacheBlock>(found);
  const bit = (isChunk ? number - firstChunk(s) : number - s.metadataStart) % BITMAP_BITS;
  assert(bitSet(b, bit), "a free block is freed");
  const word = wordOf(b, bit);
  store<u32>(word, load<u32>(word) & ~(1 << (bit & 31)));
  const entry = indexEntryOf(s, page);
  store<u32>(entry, load<u32>(entry, IndexEntry.free) + 1, IndexEntry.free);
  if (isChunk) s.freeChunks++;
  else s.freeBlocks++;
  bitmapChange(s, b);
  return 0;
}

// --- Chunks --------------------------------------------------------------------------------------------------------------

function isReserved(s: Store, chunk: u32): bool {
  for (let i: usize = 0; i < RESERVED_MAX; i++) if (load<u32>(s.reserved + (i << 2)) == chunk) return true;
  return false;
}

/** The chunk that the last chunkReserve has reserved. */
export let reservedChunk: u32 = 0;

/**
 * Reserves a free chunk for a write, near `hint` if that is a chunk (0: none).
 * @returns 0: `reservedChunk`; WAIT; -ENOSPC no chunk is free; -EIO
 */
export function chunkReserve(t: Task, s: Store, hint: u32): i32 {
  if (s.reservedCount == RESERVED_MAX) {
    taskWait(s.reserveWaiters, t);
    return WAIT;
  }
  const from = hint && hint - firstChunk(s) < s.dataChunks ? hint : s.chunkCursor;
  let page = pageOfChunk(s, from);
  let bit = (from - firstChunk(s)) % BITMAP_BITS;
  // The page of the cursor may be visited a second time, for its part before the cursor; clearBit is cyclic.
  for (let i: u32 = 0; i < s.dataBitmaps; i++) {
    if (freeOfPage(s, page)) {
      const rc = bitmapGet(t, s, page);
      if (rc != 0) return rc;
      const chunk = unreservedBit(s, changetype<CacheBlock>(found), bit);
      if (chunk) {
        reserve(s, chunk);
        return 0;
      }
    }
    bit = 0;
    page = page + 1 == bitmapPages(s) ? s.metadataBitmaps : page + 1;
  }
  return -ENOSPC;
}

/** A chunk of this page that is neither in use nor reserved; 0 none. */
function unreservedBit(s: Store, b: CacheBlock, from: u32): u32 {
  const first = firstChunk(s) + (b.number - s.metadataBitmaps) * BITMAP_BITS;
  const bits = bitsOfPage(s, b.number);
  let bit = from;
  // Each of the reserved ones can be met once.
  for (let i: u32 = 0; i <= RESERVED_MAX; i++) {
    bit = clearBit(b, bit, bits);
    if (bit == NONE) return 0;
    if (!isReserved(s, first + bit)) return first + bit;
    bit++;
  }
  return 0;
}

function reserve(s: Store, chunk: u32): void {
  let i: usize = 0;
  while (load<u32>(s.reserved + (i << 2))) i++;
  store<u32>(s.reserved + (i << 2), chunk);
  s.reservedCount++;
  s.freeChunks--;
  reservedChunk = chunk;
  s.chunkCursor = chunk + 1 - firstChunk(s) < s.dataChunks ? chunk + 1 : firstChunk(s);
}

/** The write that a chunk was reserved for is over. `used`: it is in the bitmap now (chunkMark). */
export function chunkReserveEnd(s: Store, chunk: u32, used: bool): void {
  for (let i: usize = 0; i < RESERVED_MAX; i++) {
    if (load<u32>(s.reserved + (i << 2)) != chunk) continue;
    store<u32>(s.reserved + (i << 2), 0);
    s.reservedCount--;
    if (!used) s.freeChunks++;
    break;
  }
  taskWakeOne(s.reserveWaiters);
}

/** The bitmap page of a chunk, held by the task, for chunkMark. 0, WAIT or -EIO. */
export function chunkPage(t: Task, s: Store, chunk: u32): i32 {
  return bitmapGet(t, s, pageOfChunk(s, chunk));
}

/** Whether a chunk is marked as in use; `b` is its page. */
export function chunkMarked(s: Store, b: CacheBlock, chunk: u32): bool {
  return bitSet(b, (chunk - firstChunk(s)) % BITMAP_BITS);
}

/** Marks a chunk as in use; `b` is its page. */
export function chunkMark(s: Store, b: CacheBlock, chunk: u32): void {
  mark(s, b, (chunk - firstChunk(s)) % BITMAP_BITS);
}
