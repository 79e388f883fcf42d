/**
 * The check of a store: walks everything that its superblock leads to and compares it with what the bitmaps say. What is wrong is said in
 * words on the console, and counted. Nothing is changed while it runs, neither by it nor by others; reads and overwrites go on.
 *
 * Which blocks and chunks are referred to is marked in a bitmap in memory that covers a part of them; the store is walked once for each
 * part, first for the blocks of metadata, then for the chunks. So the memory needed does not depend on the store's size.
 */
import { EBUSY, EIO, ENOENT, ENOMEM } from "../../../abi/errno";
import {
  BITMAP_BITS,
  BLOCK_ENTRIES,
  BLOCK_SECTORS,
  BlockHeader,
  Entry,
  ENTRY_BYTES,
  MAGIC_NODE,
  MAGIC_TABLE,
  VOLUME_CHUNKS_MAX,
  VOLUME_DELETING,
  VOLUME_SNAPSHOT,
  VOLUME_TRIMMING,
  VolumeRecord,
  CHUNK_BLOCKS,
} from "../../../abi/io/volume-format";
import { heapAllocate } from "../../../drivers/host/heap";
import { say, sayDec, sayEnd } from "../../../drivers/host/log";
import { bitmapGet, CacheBlock, cacheEnter, cacheLeave, found, nodeGet } from "./cache";
import { loaded, volumeGet } from "./load";
import { bitSet } from "./space";
import {
  bitmapPages,
  bitsOfPage,
  blockValid,
  chunkValid,
  COMMIT_NONE,
  firstChunk,
  freeOfPage,
  Store,
  STORE_READY,
} from "./store";
import { record, recordId, tableGet, tableNext } from "./table";
import { commitAndWait, transactionChanged } from "./transaction";
import { Task, taskInit, taskReady, taskWakeAll, WAIT } from "../disks/task";
import { entryOf, sharedEpochOf, spanLeft } from "./tree";
import { sayName, Volume } from "./volume";

export type CheckDoneFn = (check: usize, cookie: usize) => void;

/** Bits of the bitmap: what one walk covers. 128 KiB. */
const WINDOW: u32 = 1032192; // 32 * BITMAP_BITS
/** Problems that are said; further ones are only counted. */
const SAID_MAX: u32 = 100;
/** Steps of a walk after which others get their turn. */
const TURN_STEPS: u32 = 64;

// Check.step
const BEGIN: u32 = 0;
const TABLE: u32 = 1;
const VOLUMES: u32 = 2;
const BITMAPS: u32 = 3;

@unmanaged
export class Check extends Task {
  store: usize; // Store
  status: i32; // 0, or why the check could not be done
  problems: u32;
  volumes: u32;
  chunks: u32;
  blocks: u32;
  step: u32;
  ofChunks: u32; // 1: this walk marks chunks, not blocks
  base: u32; // first block or chunk of the part that it covers, counted from the first one of the area
  first: u32; // 1: the first walk, which also checks what no walk needs to check twice
  leaf: u32; // of the table
  id: u32; // of the volume
  volume: usize; // Volume that is walked, held; 0: none yet
  previous: usize; // the snapshot before it, held; 0 none
  chunk: u32;
  mapped: u32; // of the volume
  page: u32;
  free: u32; // bits that were 0
  jobs: u32;
  doneFn: usize;
  cookie: usize;
}

let check: usize = 0;
let marks: usize = 0;
let running: bool = false;

/** Starts the check of a store. 0: `fn` will be called; -EBUSY one is in progress; -ENOMEM. */
export function checkStart(s: Store, fn: CheckDoneFn, cookie: usize): i32 {
  if (running) return -EBUSY;
  if (!marks) {
    check = heapAllocate(offsetof<Check>());
    marks = heapAllocate(WINDOW / 8);
    if (!check || !marks) return -ENOMEM;
  }
  const c = changetype<Check>(check);
  memory.fill(check, 0, offsetof<Check>());
  taskInit(c, checkRun);
  c.store = changetype<usize>(s);
  c.first = 1;
  c.doneFn = changetype<usize>(fn);
  c.cookie = cookie;
  running = true;
  taskReady(c);
  return 0;
}

function finish(c: Check, status: i32): void {
  const s = changetype<Store>(c.store);
  cacheLeave(c);
  release(c);
  s.checking = 0;
  taskWakeAll(s.checkWaiters, 0);
  c.status = status;
  running = false;
  changetype<CheckDoneFn>(c.doneFn)(check, c.cookie);
}

function release(c: Check): void {
  if (c.volume) changetype<Volume>(c.volume).holds--;
  if (c.previous) changetype<Volume>(c.previous).holds--;
  c.volume = 0;
  c.previous = 0;
}

function checkRun(task: usize): void {
  const c = changetype<Check>(task);
  const s = changetype<Store>(c.store);
  if (s.state != STORE_READY) {
    finish(c, s.reason);
    return;
  }
  if (c.step == BEGIN) {
    // What the bitmaps say holds for what is on the disk.
    if (s.failed) {
      finish(c, -EIO);
      return;
    }
    if (s.commitPhase != COMMIT_NONE || transactionChanged(s)) {
      commitAndWait(c, s);
      return;
    }
    s.checking = 1;
    c.step = TABLE;
    memory.fill(marks, 0, WINDOW / 8);
  }
  for (let i: u32 = 0; i < TURN_STEPS; i++) {
    if (!cacheEnter(c)) return;
    let rc: i32 = 0;
    if (c.step == TABLE) rc = tableStep(c, s);
    else if (c.step == VOLUMES) rc = volumeStep(c, s);
    else rc = bitmapStep(c, s);
    if (rc == WAIT) return;
    if (rc == ENOENT) {
      ended(c, s);
      finish(c, 0);
      return;
    }
    if (rc != 0) {
      finish(c, rc);
      return;
    }
  }
  cacheLeave(c);
  taskReady(c);
}

// --- Words ---------------------------------------------------------------------------------------------------------------

/** Begins a line about a problem. False when enough have been said. */
function problem(c: Check): bool {
  c.problems++;
  if (c.problems > SAID_MAX) return false;
  say("volume check: ");
  return true;
}

function about(c: Check, what: string, number: u32, rest: string): void {
  if (!problem(c)) return;
  say(what);
  sayDec(number);
  say(rest);
  sayEnd();
}

function aboutVolume(c: Check, what: string): void {
  if (!problem(c)) return;
  sayWhose(c);
  say(what);
  sayEnd();
}

function sayWhose(c: Check): void {
  const v = changetype<Volume>(c.volume);
  say(v.flags & VOLUME_SNAPSHOT ? "snapshot " : "volume ");
  if (load<u8>(v.name64)) sayName(v);
  else say("(being deleted)");
}

function aboutChunk(c: Check, chunk: u32, what: string): void {
  if (!problem(c)) return;
  sayWhose(c);
  say(", chunk ");
  sayDec(chunk);
  say(what);
  sayEnd();
}

// --- Marks ---------------------------------------------------------------------------------------------------------------

/** Marks a block or a chunk as referred to, if this walk covers it. */
function mark(c: Check, s: Store, number: u32, isChunk: bool): void {
  if (isChunk != (c.ofChunks != 0)) return;
  const at = number - (isChunk ? firstChunk(s) : s.metadataStart) - c.base;
  if (at >= WINDOW) return;
  const p = marks + (at >> 3);
  const bit: u8 = 1 << ((<u8>at) & 7);
  if (load<u8>(p) & bit) about(c, isChunk ? "chunk " : "block ", number, " is used twice");
  store<u8>(p, load<u8>(p) | bit);
}

function marked(at: u32): bool {
  return ((load<u8>(marks + (at >> 3)) >> ((<u8>at) & 7)) & 1) != 0;
}

// --- The table -----------------------------------------------------------------------------------------------------------

/** Marks the nodes of the volume table. */
function tableStep(c: Check, s: Store): i32 {
  if (!s.tableTarget || c.leaf == BLOCK_ENTRIES) {
    c.step = VOLUMES;
    return 0;
  }
  if (!blockValid(s, s.tableTarget)) {
    about(c, "the volume table's root ", s.tableTarget, " is outside the metadata area");
    c.step = VOLUMES;
    return 0;
  }
  const rc = nodeGet(c, s, MAGIC_TABLE, s.tableTarget, 1, s.tableGeneration);
  if (rc != 0) return rc;
  if (c.leaf == 0) mark(c, s, s.tableTarget, false);
  const entry = changetype<CacheBlock>(found).buffer + BlockHeader.SIZE + <usize>c.leaf * ENTRY_BYTES;
  const target = load<u32>(entry, Entry.target);
  if (target) {
    if (blockValid(s, target)) mark(c, s, target, false);
    else about(c, "the volume table refers to block ", target, ", which is outside the metadata area");
  }
  c.leaf++;
  return 0;
}

// --- Volumes -------------------------------------------------------------------------------------------------------------

function volumeStep(c: Check, s: Store): i32 {
  if (!c.volume) return volumeBegin(c, s);
  if (c.chunk >= VOLUME_CHUNKS_MAX) return volumeEnd(c);
  return walk(c, s, changetype<Volume>(c.volume));
}

/** Finds the next volume, and the snapshot before it. */
function volumeBegin(c: Check, s: Store): i32 {
  let rc = tableNext(c, s, c.id);
  if (rc == -ENOENT) {
    c.step = BITMAPS;
    c.page = (c.ofChunks ? s.metadataBitmaps : 0) + c.base / BITMAP_BITS;
    return 0;
  }
  if (rc != 0) return rc;
  const id = recordId;
  const previous = load<u32>(record, VolumeRecord.previous);
  const next = load<u32>(record, VolumeRecord.next);
  const flags = load<u32>(record, VolumeRecord.flags);
  const cursor = load<u32>(record, VolumeRecord.cursor);
  let before: usize = 0;
  let linked = true;
  if (next && flags & VOLUME_SNAPSHOT) {
    rc = tableGet(c, s, next - 1);
    if (rc == WAIT) return rc;
    linked = rc == 0 && load<u32>(record, VolumeRecord.previous) == id + 1;
  }
  if (previous) {
    rc = volumeGet(c, s, previous - 1);
    if (rc == WAIT) return rc;
    if (rc == 0) {
      before = loaded;
      changetype<Volume>(before).holds++;
    }
  }
  const missing = previous != 0 && rc != 0;
  rc = volumeGet(c, s, id);
  if (rc != 0) {
    if (before) changetype<Volume>(before).holds--;
    if (rc == WAIT) return rc;
    about(c, "volume ", id, " cannot be read");
    c.id = id + 1;
    return 0;
  }
  c.volume = loaded;
  changetype<Volume>(loaded).holds++;
  c.previous = before;
  c.id = id + 1;
  c.mapped = 0;
  // What was given back already is not looked at.
  c.chunk = flags & VOLUME_DELETING ? cursor : 0;
  if (c.first) {
    c.volumes++;
    if (flags & (VOLUME_DELETING | VOLUME_TRIMMING)) c.jobs++;
    if (missing) aboutVolume(c, ": the snapshot before it is not there");
    else if (before && !(changetype<Volume>(before).flags & VOLUME_SNAPSHOT))
      aboutVolume(c, ": what is before it is not a snapshot");
    if (!linked) aboutVolume(c, ": what comes after it does not refer to it");
  }
  const v = changetype<Volume>(loaded);
  if (v.rootTarget && ownNode(v, v.rootBirth, VOLUME_CHUNKS_MAX)) mark(c, s, v.rootTarget, false);
  return 0;
}

function volumeEnd(c: Check): i32 {
  const v = changetype<Volume>(c.volume);
  if (c.first && !(v.flags & VOLUME_DELETING) && c.mapped != v.mapped) aboutVolume(c, ": its size is counted wrongly");
  release(c);
  return 0;
}

/** Whether a node whose chunks end at `end` is the volume's own. */
function ownNode(v: Volume, birth: u32, end: u32): bool {
  return birth > sharedEpochOf(v, end);
}

/**
 * Whether what ends at chunk `end` can be compared with the snapshot before the volume: not where that is being deleted, and has been
 * given up already.
 */
function comparable(c: Check, s: Store, end: u32): bool {
  if (!c.previous) return false;
  const p = changetype<Volume>(c.previous);
  return s.jobKind != VOLUME_DELETING || s.jobId != p.id + 1 || end > s.jobCursor;
}

/** Looks at what the volume has for the leaf with chunk Check.chunk, or for as much as it has nothing for. */
function walk(c: Check, s: Store, v: Volume): i32 {
  const chunk = c.chunk;
  if (!v.rootTarget) {
    c.chunk = VOLUME_CHUNKS_MAX;
    return 0;
  }
  // The snapshot's node at the same place; 0 where it has none.
  let other: usize = 0;
  if (comparable(c, s, VOLUME_CHUNKS_MAX)) {
    const p = changetype<Volume>(c.previous);
    if (p.rootTarget) {
      const rc = nodeGet(c, s, MAGIC_NODE, p.rootTarget, 2, p.rootGeneration);
      if (rc == WAIT) return rc;
      if (rc == 0) other = found;
    }
  }
  let rc = nodeGet(c, s, MAGIC_NODE, v.rootTarget, 2, v.rootGeneration);
  if (rc == WAIT) return rc;
  if (rc != 0) {
    aboutVolume(c, ": the root of its tree is damaged");
    c.chunk = VOLUME_CHUNKS_MAX;
    return 0;
  }
  rc = descend(c, s, v, found, other, 1);
  if (rc == WAIT) return rc;
  const toMiddle = entered;
  const middleIs = finding;
  if (rc == SKIPPED) {
    apply(c, s, chunk, toMiddle, middleIs);
    return 0;
  }
  rc = descend(c, s, v, found, otherBelow, 0);
  if (rc == WAIT) return rc;
  // Only now, when nothing has to wait any more: else it would be done again.
  apply(c, s, chunk, toMiddle, middleIs);
  apply(c, s, chunk, entered, finding);
  if (rc == SKIPPED) return 0;
  leafCheck(c, s, v, found, otherBelow, chunk);
  c.chunk += spanLeft(chunk, 1);
  return 0;
}

/** Marks a node that the walk has entered (0: none), and says what was found about it. */
function apply(c: Check, s: Store, chunk: u32, node: u32, is: u32): void {
  if (node) mark(c, s, node, false);
  if (is & FOREIGN) aboutChunk(c, chunk, ": its part of the tree is not that of the snapshot before it");
  if (is & UNREADABLE) aboutChunk(c, chunk, ": its part of the tree cannot be read");
}

/** What descend has found: a node of the volume's own that the walk enters, 0 none; and what is wrong with it. */
let entered: u32 = 0;
let finding: u32 = 0;
const FOREIGN: u32 = 1;
const UNREADABLE: u32 = 2;
/** The snapshot's node below, after descend. */
let otherBelow: usize = 0;
const SKIPPED: i32 = 2;

/**
 * Goes from a node to the one below it for Check.chunk, of level `level`: 0, as `found`; SKIPPED there is none, or it cannot be
 * used: Check.chunk is after it; WAIT.
 */
function descend(c: Check, s: Store, v: Volume, node: usize, other: usize, level: u32): i32 {
  const chunk = c.chunk;
  const left = spanLeft(chunk, level + 1);
  entered = 0;
  finding = 0;
  const entry = entryOf(changetype<CacheBlock>(node), chunk, level + 1);
  const target = load<u32>(entry, Entry.target);
  if (!target) {
    c.chunk += left;
    return SKIPPED;
  }
  let otherTarget: u32 = 0;
  otherBelow = 0;
  const compare = comparable(c, s, chunk + left);
  if (other && compare) {
    const at = entryOf(changetype<CacheBlock>(other), chunk, level + 1);
    otherTarget = load<u32>(at, Entry.target);
    if (otherTarget && blockValid(s, otherTarget)) {
      const rc = nodeGet(c, s, MAGIC_NODE, otherTarget, level, load<u32>(at, Entry.generation));
      if (rc == WAIT) return rc;
      if (rc == 0) otherBelow = found;
    }
  }
  const isOwn = ownNode(v, load<u32>(entry, Entry.birth), chunk + left);
  const rc = blockValid(s, target)
    ? nodeGet(c, s, MAGIC_NODE, target, level, load<u32>(entry, Entry.generation))
    : -ENOENT;
  if (rc == WAIT) return rc;
  // Nodes are marked when the walk enters them, which it does once.
  const enters = left == spanLeft(0, level + 1) || (v.flags & VOLUME_DELETING && !visited(c, v, chunk));
  if (enters && isOwn && blockValid(s, target)) entered = target;
  if (c.first && enters && compare && !isOwn && target != otherTarget) finding |= FOREIGN;
  if (rc == 0) return 0;
  finding |= UNREADABLE;
  c.chunk += left;
  return SKIPPED;
}

/** Of a volume that is being deleted: whether the walk, which begins in the middle, has been below this node before. */
function visited(c: Check, v: Volume, chunk: u32): bool {
  const s = changetype<Store>(c.store);
  const start = s.jobId == v.id + 1 ? s.jobCursor : 0;
  return chunk != start;
}

function leafCheck(c: Check, s: Store, v: Volume, leaf: usize, otherLeaf: usize, from: u32): void {
  const end = from + spanLeft(from, 1);
  const blocks = v.sectors / BLOCK_SECTORS;
  const trimming = (v.flags & (VOLUME_DELETING | VOLUME_TRIMMING)) != 0;
  for (let chunk = from; chunk < end; chunk++) {
    const entry = entryOf(changetype<CacheBlock>(leaf), chunk, 0);
    const target = load<u32>(entry, Entry.target);
    if (!target) continue;
    c.mapped++;
    if (!chunkValid(s, target)) {
      if (c.first) aboutChunk(c, chunk, " is outside the store");
      continue;
    }
    const isOwn = load<u32>(entry, Entry.birth) > sharedEpochOf(v, chunk + 1);
    if (isOwn) mark(c, s, target, true);
    if (!c.first) continue;
    const mask = load<u32>(entry, Entry.mask);
    if (mask == 0 || mask >> CHUNK_BLOCKS) aboutChunk(c, chunk, " has an impossible mask");
    const left = blocks > <u64>chunk * CHUNK_BLOCKS ? blocks - <u64>chunk * CHUNK_BLOCKS : 0;
    if (!trimming && left < CHUNK_BLOCKS && mask >> (<u32>left)) aboutChunk(c, chunk, " is beyond the volume's end");
    if (load<u32>(entry, Entry.birth) > s.epoch) aboutChunk(c, chunk, " is from the future");
    if (isOwn || !comparable(c, s, chunk + 1)) continue;
    const old = otherLeaf ? entryOf(changetype<CacheBlock>(otherLeaf), chunk, 0) : 0;
    if (!old || load<u32>(old, Entry.target) != target) {
      aboutChunk(c, chunk, " belongs to a snapshot that does not have it");
    } else if (mask & ~load<u32>(old, Entry.mask)) {
      aboutChunk(c, chunk, " shows blocks that its snapshot has not written");
    }
  }
}

// --- Bitmaps -------------------------------------------------------------------------------------------------------------

function bitmapStep(c: Check, s: Store): i32 {
  const areaEnd = c.ofChunks ? bitmapPages(s) : s.metadataBitmaps;
  const windowEnd = (c.ofChunks ? s.metadataBitmaps : 0) + (c.base + WINDOW) / BITMAP_BITS;
  if (c.page < min(areaEnd, windowEnd)) {
    const rc = bitmapGet(c, s, c.page);
    if (rc == WAIT) return rc;
    if (rc != 0) about(c, "bitmap page ", c.page, " cannot be read");
    else pageCheck(c, s, changetype<CacheBlock>(found));
    c.page++;
    return 0;
  }
  return nextWalk(c, s, windowEnd < areaEnd);
}

function pageCheck(c: Check, s: Store, b: CacheBlock): void {
  const bits = bitsOfPage(s, b.number);
  const inArea = (c.ofChunks ? b.number - s.metadataBitmaps : b.number) * BITMAP_BITS;
  const number = inArea + (c.ofChunks ? firstChunk(s) : s.metadataStart);
  let free: u32 = 0;
  for (let bit: u32 = 0; bit < BITMAP_BITS; bit++) {
    const isSet = bitSet(b, bit);
    if (bit >= bits) {
      if (isSet) about(c, "bitmap page ", b.number, " goes beyond the store's end");
      continue;
    }
    const isMarked = marked(inArea + bit - c.base);
    if (!isSet) free++;
    else if (c.ofChunks) c.chunks++;
    else c.blocks++;
    if (isSet == isMarked) continue;
    const what = c.ofChunks ? "chunk " : "block ";
    about(c, what, number + bit, isSet ? " is in use, and nothing refers to it" : " is referred to, and free");
  }
  if (free != freeOfPage(s, b.number)) about(c, "bitmap page ", b.number, ": its free space is counted wrongly");
  c.free += free;
}

/** Begins the next walk: 0, or ENOENT when there is no other. */
function nextWalk(c: Check, s: Store, more: bool): i32 {
  if (more) {
    c.base += WINDOW;
  } else {
    const counted = c.ofChunks ? s.freeChunks + s.reservedCount : s.freeBlocks;
    if (c.free != counted) about(c, "free space is counted as ", counted, c.ofChunks ? " chunks" : " blocks");
    if (c.ofChunks) return ENOENT;
    c.ofChunks = 1;
    c.base = 0;
    c.free = 0;
  }
  c.first = 0;
  c.step = TABLE;
  c.leaf = 0;
  c.id = 0;
  memory.fill(marks, 0, WINDOW / 8);
  return 0;
}

/** What can be said when everything has been seen. */
function ended(c: Check, s: Store): void {
  if (c.volumes != s.volumes) about(c, "volumes are counted as ", s.volumes, "");
  if (c.jobs != s.jobs) about(c, "volumes being deleted or made smaller are counted as ", s.jobs, "");
}
