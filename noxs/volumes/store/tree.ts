/**
 * The tree of a volume: from its chunks to those of the store. Nodes that belong to a snapshot, or to the last transaction, are
 * never changed; the current transaction's copy of them is.
 */
import { EIO, ENOSPC } from "../../../abi/errno";
import {
  BLOCK_ENTRIES,
  BlockHeader,
  Entry,
  ENTRY_BYTES,
  MAGIC_NODE,
  TREE_LEVELS,
  VOLUME_DELETING,
} from "../../../abi/io/volume-format";
import { blockDirty, CacheBlock, cacheRoom, found, nodeCreate, nodeGet, nodeMove } from "./cache";
import { logChange } from "./journal";
import {
  blockFree,
  blocksReady,
  blockTake,
  chunkFree,
  chunkMark,
  chunkMarked,
  chunkPage,
  chunkReserveEnd,
} from "./space";
import { CHANGE_BLOCKS, COMMIT_BLOCKS, chunkValid, Store, transactionOf } from "./store";
import { changeBegin, changeMade, commitAndWait } from "./transaction";
import { Task, WAIT } from "../disks/task";
import { Volume, volumeChange } from "./volume";

/** Chunks below an entry of each level. */
const LEAF_CHUNKS: u32 = BLOCK_ENTRIES;
const MIDDLE_CHUNKS: u32 = BLOCK_ENTRIES * BLOCK_ENTRIES;

/** What mapGet found: the entry of the chunk, all 0 when it is not mapped. */
export let mapTarget: u32 = 0;
export let mapBirth: u32 = 0;
export let mapMask: u32 = 0;
/** Of a chunk that is not mapped: how many from it on are not, as far as that is known at once. */
export let mapAbsent: u32 = 0;

/** Nodes on the way to a chunk, 0 where there is none. */
let pathRoot: usize = 0;
let pathMiddle: usize = 0;
let pathLeaf: usize = 0;

/** The entry of a node for a chunk. */
export function entryOf(node: CacheBlock, chunk: u32, level: u32): usize {
  const index =
    level == 0
      ? chunk % BLOCK_ENTRIES
      : level == 1
        ? (chunk / LEAF_CHUNKS) % BLOCK_ENTRIES
        : (chunk / MIDDLE_CHUNKS) % BLOCK_ENTRIES;
  return node.buffer + BlockHeader.SIZE + <usize>index * ENTRY_BYTES;
}

/** Chunks from `chunk` to the end of those below the same entry of a node of this level; of level TREE_LEVELS: of the tree. */
export function spanLeft(chunk: u32, level: u32): u32 {
  if (level == 0) return 1;
  const span = level == 1 ? LEAF_CHUNKS : level == 2 ? MIDDLE_CHUNKS : MIDDLE_CHUNKS * BLOCK_ENTRIES;
  return span - (chunk % span);
}

/** Looks the nodes on the way to a chunk up, which the task then holds. 0, WAIT, -EIO. */
function pathGet(t: Task, v: Volume, chunk: u32): i32 {
  pathRoot = 0;
  pathMiddle = 0;
  pathLeaf = 0;
  mapAbsent = spanLeft(chunk, 3);
  if (!v.rootTarget) return 0;
  let rc = nodeGet(t, v.store, MAGIC_NODE, v.rootTarget, 2, v.rootGeneration);
  if (rc != 0) return rc;
  const root = found;
  const toMiddle = entryOf(changetype<CacheBlock>(root), chunk, 2);
  mapAbsent = spanLeft(chunk, 2);
  let middle: usize = 0;
  let leaf: usize = 0;
  if (load<u32>(toMiddle, Entry.target)) {
    rc = nodeGet(t, v.store, MAGIC_NODE, load<u32>(toMiddle, Entry.target), 1, load<u32>(toMiddle, Entry.generation));
    if (rc != 0) return rc;
    middle = found;
    const toLeaf = entryOf(changetype<CacheBlock>(middle), chunk, 1);
    mapAbsent = spanLeft(chunk, 1);
    if (load<u32>(toLeaf, Entry.target)) {
      rc = nodeGet(t, v.store, MAGIC_NODE, load<u32>(toLeaf, Entry.target), 0, load<u32>(toLeaf, Entry.generation));
      if (rc != 0) return rc;
      leaf = found;
      mapAbsent = 1;
    }
  }
  pathRoot = root;
  pathMiddle = middle;
  pathLeaf = leaf;
  return 0;
}

/** Looks a chunk up: mapTarget and the others. The task is admitted. 0, WAIT, -EIO. */
export function mapGet(t: Task, v: Volume, chunk: u32): i32 {
  const rc = pathGet(t, v, chunk);
  if (rc != 0) return rc;
  mapTarget = 0;
  mapBirth = 0;
  mapMask = 0;
  if (!pathLeaf) return 0;
  const entry = entryOf(changetype<CacheBlock>(pathLeaf), chunk, 0);
  mapTarget = load<u32>(entry, Entry.target);
  if (!mapTarget) return 0;
  if (!chunkValid(v.store, mapTarget)) return -EIO;
  mapBirth = load<u32>(entry, Entry.birth);
  mapMask = load<u32>(entry, Entry.mask);
  return 0;
}

/** Looks up the chunk after the one that mapGet has just been called for, if that is known without another look at a tree. */
export function mapNext(v: Volume, chunk: u32): bool {
  if (!pathLeaf || chunk % BLOCK_ENTRIES == 0) return false;
  const entry = entryOf(changetype<CacheBlock>(pathLeaf), chunk, 0);
  mapTarget = load<u32>(entry, Entry.target);
  mapBirth = load<u32>(entry, Entry.birth);
  mapMask = load<u32>(entry, Entry.mask);
  return mapTarget != 0 && chunkValid(v.store, mapTarget);
}

/**
 * Epoch up to which what the volume refers to, for chunks below `end`, is another's. While the snapshot before it is being deleted, what
 * the two share has become the volume's own as far as the deletion has got.
 */
export function sharedEpochOf(v: Volume, end: u32): u32 {
  const s = v.store;
  if (s.jobKind == VOLUME_DELETING && s.jobNext == v.id + 1 && end <= s.jobCursor) return s.jobPrevious;
  return v.sharedEpoch;
}

/** Whether the chunk that mapGet found is the volume's own: it may be overwritten. */
export function mapOwn(v: Volume, chunk: u32): bool {
  return mapBirth > sharedEpochOf(v, chunk + 1);
}

/**
 * Makes a volume's chunk refer to chunk `target` of the store, of which the blocks of `mask` are written; to nothing if `target` is 0.
 * What it referred to before is freed if it was the volume's own. `target` is what it was before, or reserved.
 * @param promised it is a write that has been promised what it needs of the metadata area (blocksPromise)
 * @returns 0: done; WAIT: call again; -ENOSPC the metadata area is full; -EIO, -EROFS. Nothing is changed unless it is 0.
 */
export function mapSet(t: Task, v: Volume, chunk: u32, target: u32, birth: u32, mask: u32, promised: bool): i32 {
  const s = v.store;
  let rc = changeBegin(t, s, v);
  if (rc != 0) return rc;
  rc = pathGet(t, v, chunk);
  if (rc != 0) return rc;
  const old = pathLeaf ? load<u32>(entryOf(changetype<CacheBlock>(pathLeaf), chunk, 0), Entry.target) : 0;
  if (!target && !old) return 0;
  let bitmap: usize = 0;
  if (target && target != old) {
    rc = chunkPage(t, s, target);
    if (rc != 0) return rc;
    bitmap = found;
  }
  if (!pathLeaf || !blockDirty(changetype<CacheBlock>(pathLeaf))) {
    rc = pathReady(t, s, promised);
    if (rc != 0) return rc;
    pathWritable(t, v, chunk);
  }
  // Nothing can fail from here on.
  const entry = entryOf(changetype<CacheBlock>(pathLeaf), chunk, 0);
  if (old && old != target && load<u32>(entry, Entry.birth) > sharedEpochOf(v, chunk + 1)) chunkFree(s, old);
  if (bitmap) {
    const page = changetype<CacheBlock>(bitmap);
    chunkMark(s, page, target);
    chunkReserveEnd(s, target, true);
  }
  if (target && !old) v.mapped++;
  if (!target && old) v.mapped--;
  store<u32>(entry, target, Entry.target);
  store<u32>(entry, target ? birth : 0, Entry.birth);
  store<u32>(entry, target ? mask : 0, Entry.mask);
  volumeChange(v);
  logChange(v, chunk, target, birth, mask);
  changeMade(s);
  return 0;
}

/** Prepares for pathWritable: room for new nodes on the disk and in the cache. 0, WAIT, -ENOSPC, -EIO. */
function pathReady(t: Task, s: Store, promised: bool): i32 {
  const kept = s.metadataPromised + COMMIT_BLOCKS + CHANGE_BLOCKS;
  const rc = promised || s.freeBlocks >= kept ? blocksReady(t, s, CHANGE_BLOCKS) : -ENOSPC;
  if (rc == -ENOSPC && s.freesCount) {
    // Blocks that are being given up come free with the commit.
    commitAndWait(t, s);
    return WAIT;
  }
  if (rc != 0) return rc;
  return cacheRoom(t, TREE_LEVELS) ? 0 : WAIT;
}

/** Makes every node on the way to a chunk one of the current transaction's. */
function pathWritable(t: Task, v: Volume, chunk: u32): void {
  const s = v.store;
  // The root's entry is in the volume's record.
  if (!pathRoot) {
    const root = nodeCreate(t, s, MAGIC_NODE, blockTake(s), 2);
    pathRoot = changetype<usize>(root);
    rootSet(v, root.number);
  } else if (!blockDirty(changetype<CacheBlock>(pathRoot))) {
    const root = changetype<CacheBlock>(pathRoot);
    const was = root.number;
    nodeMove(s, root, blockTake(s));
    if (v.rootBirth > v.sharedEpoch) blockFree(s, was);
    rootSet(v, root.number);
  }
  pathMiddle = childWritable(t, v, changetype<CacheBlock>(pathRoot), pathMiddle, chunk, 1);
  pathLeaf = childWritable(t, v, changetype<CacheBlock>(pathMiddle), pathLeaf, chunk, 0);
}

function rootSet(v: Volume, number: u32): void {
  v.rootTarget = number;
  v.rootBirth = v.store.epoch;
  v.rootGeneration = <u32>transactionOf(v.store);
}

/** The same for one child, which is of level `level`; its CacheBlock. */
function childWritable(t: Task, v: Volume, parent: CacheBlock, child: usize, chunk: u32, level: u32): usize {
  const s = v.store;
  if (child && blockDirty(changetype<CacheBlock>(child))) return child;
  const entry = entryOf(parent, chunk, level + 1);
  let node: CacheBlock;
  if (!child) {
    node = nodeCreate(t, s, MAGIC_NODE, blockTake(s), level);
  } else {
    node = changetype<CacheBlock>(child);
    const was = node.number;
    nodeMove(s, node, blockTake(s));
    if (load<u32>(entry, Entry.birth) > sharedEpochOf(v, chunk + spanLeft(chunk, level + 1))) blockFree(s, was);
  }
  store<u32>(entry, node.number, Entry.target);
  store<u32>(entry, s.epoch, Entry.birth);
  store<u32>(entry, <u32>transactionOf(s), Entry.generation);
  return changetype<usize>(node);
}

/**
 * As mapSet, for a change that an earlier run of the domain made and that is not on the disk (journal.ts): the chunk need not be
 * reserved. A change that is there already is left alone.
 */
export function mapReplay(t: Task, v: Volume, chunk: u32, target: u32, birth: u32, mask: u32): i32 {
  const s = v.store;
  if (target) {
    if (!chunkValid(s, target)) return -EIO;
    let rc = mapGet(t, v, chunk);
    if (rc != 0) return rc;
    if (mapTarget == target && mapMask == mask) return 0;
    if (mapTarget != target) {
      rc = chunkPage(t, s, target);
      if (rc != 0) return rc;
      if (chunkMarked(s, changetype<CacheBlock>(found), target)) return -EIO;
    }
    const was = mapTarget;
    rc = mapSet(t, v, chunk, target, birth, mask, true);
    if (rc == 0 && was != target) s.freeChunks--;
    return rc;
  }
  return mapSet(t, v, chunk, 0, 0, 0, true);
}
