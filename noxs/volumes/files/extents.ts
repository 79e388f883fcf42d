/**
 * Where the clusters of an open file are: extents in the order of the file, in blocks from a pool that all files share; and a list of
 * extents that is being made, of the file that is looked at.
 */
import { heapAllocate, Pool, poolGive, poolInit, poolTake } from "../../../drivers/host/heap";

/** Clusters that follow each other on the disk, up to where the next extent begins. */
@unmanaged
export class Extent {
  start: u32; // in the file, in clusters
  cluster: u32;
}
const EXTENT_SHIFT: u32 = 3;

/** Extents of one file. */
export const EXTENTS_MAX: u32 = 8192;
const BLOCK_SHIFT: u32 = 7;
const BLOCK_EXTENTS: u32 = 128; // 1 << BLOCK_SHIFT
const FILE_BLOCKS: u32 = 64; // EXTENTS_MAX / BLOCK_EXTENTS
/** Of all files together: 512 KiB. */
const BLOCKS_MAX: u32 = 512;

const blocks = changetype<Pool>(memory.data(32, 8));

/** The extents of an open file. */
@unmanaged
export class ExtentList {
  table: usize; // usize[FILE_BLOCKS]
  count: u32;
  clusters: u32; // of all of them
}

/** Before anything else of this file. */
export function extentsInit(): void {
  poolInit(blocks, BLOCK_EXTENTS << EXTENT_SHIFT, BLOCKS_MAX);
}

/** Makes a list's table; false when there is no memory. */
export function extentTableMake(list: ExtentList): bool {
  list.table = heapAllocate(FILE_BLOCKS * sizeof<usize>());
  return list.table != 0;
}

function extentAt(list: ExtentList, i: u32): Extent {
  const block = load<usize>(list.table + (((<usize>i) >> BLOCK_SHIFT) << 2));
  return changetype<Extent>(block + ((<usize>(i & (BLOCK_EXTENTS - 1))) << EXTENT_SHIFT));
}

/** The cluster that extentFind has found, and those from there to the end of its extent. */
export let foundCluster: u32 = 0;
export let foundCount: u32 = 0;

/** Finds cluster `at` of a file, which it has: foundCluster, foundCount. */
export function extentFind(list: ExtentList, at: u32): void {
  let low: u32 = 0;
  let high = list.count;
  // The extent is in [low, high).
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (extentAt(list, middle).start <= at) low = middle;
    else high = middle;
  }
  const e = extentAt(list, low);
  const end = low + 1 < list.count ? extentAt(list, low + 1).start : list.clusters;
  foundCluster = e.cluster + (at - e.start);
  foundCount = end - at;
}

/** Gives a list's extents back. */
export function extentsGive(list: ExtentList): void {
  for (let i: u32 = 0; i < list.count; i += BLOCK_EXTENTS) {
    poolGive(blocks, load<usize>(list.table + (((<usize>i) >> BLOCK_SHIFT) << 2)));
  }
  list.count = 0;
}

// --- The list that is being made -----------------------------------------------------------------------------------------

let draft: usize = 0; // Extent[EXTENTS_MAX]
let draftCount: u32 = 0;
let draftClusters: u32 = 0;
/** Where draftHas has found the cluster of before: no extent has one from gapStart up to gapEnd. */
let gapStart: u32 = 0;
let gapEnd: u32 = 0;

function draftAt(i: u32): Extent {
  return changetype<Extent>(draft + ((<usize>i) << EXTENT_SHIFT));
}

/** Begins a list; false when there is no memory. */
export function draftBegin(): bool {
  if (!draft) draft = heapAllocate(EXTENTS_MAX << EXTENT_SHIFT);
  draftCount = 0;
  draftClusters = 0;
  return draft != 0;
}

/** Adds the file's next cluster; false when it has too many extents. */
export function draftAdd(cluster: u32): bool {
  if (draftCount) {
    const e = draftAt(draftCount - 1);
    if (e.cluster + (draftClusters - e.start) == cluster) {
      draftClusters++;
      return true;
    }
  }
  if (draftCount == EXTENTS_MAX) return false;
  const e = draftAt(draftCount++);
  e.start = draftClusters++;
  e.cluster = cluster;
  return true;
}

/** Whether a cluster is in the list, which may have it more than once. */
export function draftPassed(cluster: u32): bool {
  for (let i: u32 = 0; i < draftCount; i++) {
    const end = i + 1 < draftCount ? draftAt(i + 1).start : draftClusters;
    if (cluster - draftAt(i).cluster < end - draftAt(i).start) return true;
  }
  return false;
}

/** Copies the list that was made; false when all files together have too many extents, or there is no memory. */
export function draftTake(list: ExtentList): bool {
  list.count = 0;
  list.clusters = draftClusters;
  while (list.count < draftCount) {
    const block = poolTake(blocks);
    if (!block) {
      extentsGive(list);
      return false;
    }
    const some = min(BLOCK_EXTENTS, draftCount - list.count);
    memory.copy(block, changetype<usize>(draftAt(list.count)), (<usize>some) << EXTENT_SHIFT);
    store<usize>(list.table + (((<usize>list.count) >> BLOCK_SHIFT) << 2), block);
    list.count += some;
  }
  return true;
}

/** Puts the list that was made in the order of its clusters, for draftHas; `start` of each becomes the number of its clusters. */
export function draftSort(): void {
  for (let i: u32 = 0; i < draftCount; i++) {
    const end = i + 1 < draftCount ? draftAt(i + 1).start : draftClusters;
    draftAt(i).start = end - draftAt(i).start;
  }
  for (let i = draftCount >> 1; i > 0; i--) sink(i - 1, draftCount);
  for (let n = draftCount; n > 1; n--) {
    swap(0, n - 1);
    sink(0, n - 1);
  }
  gapStart = 0;
  gapEnd = 0;
}

function swap(i: u32, j: u32): void {
  const was = load<u64>(changetype<usize>(draftAt(i)));
  store<u64>(changetype<usize>(draftAt(i)), load<u64>(changetype<usize>(draftAt(j))));
  store<u64>(changetype<usize>(draftAt(j)), was);
}

/** Of a heap of the first `n`: lets number `i` sink to its place. */
function sink(i: u32, n: u32): void {
  while (i * 2 + 1 < n) {
    let child = i * 2 + 1;
    if (child + 1 < n && draftAt(child + 1).cluster > draftAt(child).cluster) child++;
    if (draftAt(i).cluster >= draftAt(child).cluster) return;
    swap(i, child);
    i = child;
  }
}

/** Whether a cluster is in the sorted list. Neighbours one after the other are found at once. */
export function draftHas(cluster: u32): bool {
  if (cluster - gapStart < gapEnd - gapStart) return false;
  let low: u32 = 0;
  let high = draftCount;
  // Those below `low` begin at `cluster` or before, those from `high` on behind it.
  while (low < high) {
    const middle = (low + high) >> 1;
    if (draftAt(middle).cluster <= cluster) low = middle + 1;
    else high = middle;
  }
  gapEnd = low < draftCount ? draftAt(low).cluster : u32.MAX_VALUE;
  gapStart = low ? draftAt(low - 1).cluster + draftAt(low - 1).start : 0;
  return low != 0 && cluster < gapStart;
}
