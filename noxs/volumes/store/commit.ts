/**
 * The commit: brings the transaction to the disk, in an order in which a loss of power at any moment leaves either all or nothing
 * of it.
 *
 *  1. The records of the volumes changed go into the table, what was freed out of the bitmaps. From the commit's begin to its
 *     end nothing else changes.
 *  2. Nodes, bitmap and index pages are written to places that nothing on the disk leads to.
 *  3. The disk is flushed: they, and the data that they lead to, are durable.
 *  4. The first superblock is written, durably. From here on the transaction is done, and flushes are answered.
 *  5. The second superblock is written, durably. Only now may what was freed be used again: until then the second
 *     superblock leads to it, and has to do if the first is damaged.
 *
 * A commit that fails at an error of the disk is repeated with the same bytes in the same places, by the next one that asks for a
 * commit or wants to change something. Until it succeeds nothing can be changed; what is mapped can be read and overwritten.
 */
import { EIO } from "../../../abi/errno";
import {
  BLOCK_BYTES,
  BLOCK_ENTRIES,
  BLOCK_SECTORS,
  Entry,
  IndexEntry,
  MAGIC_BITMAP,
  MAGIC_INDEX,
  VolumeRecord,
} from "../../../abi/io/volume-format";
import { BLOCK_FUA, BLOCK_WRITE, BlockRequest } from "../../../drivers/block";
import { heapAllocate } from "../../../drivers/host/heap";
import { systemTime } from "../../../drivers/host/host";
import { say, sayDec, sayEnd } from "../../../drivers/host/log";
import { Timer, timerInit, timerSet, timerStop } from "../../../drivers/host/timer";
import { Segment, segmentSet } from "../../../drivers/segment";
import { blockSeal, CacheBlock, cacheDrop, transactionClean } from "./cache";
import { diskFlush, diskSubmit } from "../disks/disk";
import { logClear } from "./journal";
import { freeApply, touchedClear } from "./space";
import {
  COMMIT_FIRST,
  COMMIT_FLUSH,
  COMMIT_FREE,
  COMMIT_NONE,
  COMMIT_SECOND,
  COMMIT_TABLE,
  COMMIT_WRITE,
  indexEntryOf,
  sectorOf,
  Store,
  transactionOf,
} from "./store";
import { superblockFill, superblockIndex, superblockSeal } from "./superblock";
import { record, tableWritable } from "./table";
import { commitStart, transactionChanged } from "./transaction";
import { Task, taskInit, taskWakeAll, WAIT } from "../disks/task";
import { Volume } from "./volume";

/** Writes in flight of one commit, and blocks of each. */
const REQUESTS: u32 = 8;
const SEGMENTS: u32 = 32;
const RETRY_NS: u64 = 1000000000;
/** A request's segments follow it. */
const REQUEST_BYTES: usize = (offsetof<BlockRequest>() + 7) & ~7;

@unmanaged
class CommitTask extends Task {
  store: usize; // Store
  requests: usize; // free ones: linked by `link`
}

/** Makes what a store needs for its commits; false when there is no memory. */
export function commitInit(s: Store): bool {
  const t = changetype<CommitTask>(heapAllocate(offsetof<CommitTask>()));
  const timer = changetype<Timer>(heapAllocate(offsetof<Timer>()));
  if (!changetype<usize>(t) || !changetype<usize>(timer)) return false;
  taskInit(t, commitRun);
  // It must get on while all others wait for it.
  t.admitted = 1;
  t.store = changetype<usize>(s);
  for (let i: u32 = 0; i < REQUESTS; i++) {
    const at = heapAllocate(REQUEST_BYTES + SEGMENTS * offsetof<Segment>());
    if (!at) return false;
    requestGive(t, changetype<BlockRequest>(at));
  }
  s.commitTask = t;
  s.commitTimer = timer;
  timerInit(timer, commitDue, changetype<usize>(s));
  return true;
}

function commitDue(at: usize): void {
  const s = changetype<Store>(at);
  if (transactionChanged(s) || s.failed) commitStart(s);
}

function commitRun(task: usize): void {
  const t = changetype<CommitTask>(task);
  const s = changetype<Store>(t.store);
  if (s.commitPhase == COMMIT_TABLE && !recordsWritten(t, s)) return;
  if (s.commitPhase == COMMIT_FREE && !freesApplied(t, s)) return;
  if (s.commitPhase == COMMIT_WRITE) {
    s.commitNext = s.dirty;
    s.commitIndex = 0;
    writeMore(t, s);
  } else if (s.commitPhase == COMMIT_SECOND) {
    superblockWrite(t, s, 1);
  }
}

/** Step 1, first half. False: it waits, or has failed. */
function recordsWritten(t: Task, s: Store): bool {
  while (s.commitVolume) {
    const v = changetype<Volume>(s.commitVolume);
    const rc = tableWritable(t, s, v.id, true);
    if (rc != 0) {
      if (rc != WAIT) commitFailed(s, rc);
      return false;
    }
    const root = record + VolumeRecord.root;
    store<u32>(root, v.rootTarget, Entry.target);
    store<u32>(root, v.rootBirth, Entry.birth);
    store<u32>(root, v.rootGeneration, Entry.generation);
    store<u64>(record, v.sectors, VolumeRecord.sectors);
    store<u32>(record, v.mapped, VolumeRecord.mapped);
    s.commitVolume = v.changedNext;
  }
  s.commitPhase = COMMIT_FREE;
  return true;
}

/** Step 1, second half. */
function freesApplied(t: Task, s: Store): bool {
  for (; s.commitFree < s.freesCount; s.commitFree++) {
    const rc = freeApply(t, s, s.commitFree);
    if (rc != 0) {
      if (rc != WAIT) commitFailed(s, rc);
      return false;
    }
  }
  cacheDrop(t);
  seal(s);
  s.commitPhase = COMMIT_WRITE;
  return true;
}

/** Decides where everything goes, and finishes its content; once for a commit. */
function seal(s: Store): void {
  s.indexChanged = 0;
  for (let at = s.dirty; at; at = changetype<CacheBlock>(at).dirtyNext) {
    const b = changetype<CacheBlock>(at);
    blockSeal(s, b.buffer, b.magic, b.number, transactionOf(s));
    if (b.magic != MAGIC_BITMAP) continue;
    const entry = indexEntryOf(s, b.number);
    store<u32>(entry, load<u32>(entry, IndexEntry.slot) ^ 1, IndexEntry.slot);
    store<u32>(entry, <u32>transactionOf(s), IndexEntry.generation);
    s.indexChanged |= 1 << (b.number / BLOCK_ENTRIES);
  }
  for (let i: u32 = 0; i < s.indexPages; i++) {
    if (!((s.indexChanged >> i) & 1)) continue;
    s.indexSlots ^= 1 << i;
    blockSeal(s, s.index + <usize>i * BLOCK_BYTES, MAGIC_INDEX, i, transactionOf(s));
    store<u32>(superblockIndex(s.superblock, i), <u32>transactionOf(s), IndexEntry.generation);
  }
  superblockFill(s, s.superblock, transactionOf(s));
}

/** Step 2: submits as many writes as there are requests for. */
function writeMore(t: CommitTask, s: Store): void {
  while (t.requests && !s.commitError) {
    const r = requestTake(t);
    if (!fillNext(s, r)) {
      requestGive(t, r);
      break;
    }
    r.operation = BLOCK_WRITE;
    r.flags = 0;
    r.done = changetype<usize>(writeDone);
    r.cookie = changetype<usize>(t);
    s.commitFlying++;
    diskSubmit(s.disk, r);
  }
  if (s.commitFlying) return;
  if (s.commitError) {
    commitFailed(s, s.commitError);
    return;
  }
  s.commitPhase = COMMIT_FLUSH;
  diskFlush(s.disk, requestTake(t), flushDone, changetype<usize>(t));
}

function segmentsOf(r: BlockRequest): usize {
  r.segments = changetype<usize>(r) + REQUEST_BYTES;
  return r.segments;
}

function requestTake(t: CommitTask): BlockRequest {
  const r = changetype<BlockRequest>(t.requests);
  t.requests = r.link;
  return r;
}

function requestGive(t: CommitTask, r: BlockRequest): void {
  r.link = t.requests;
  t.requests = changetype<usize>(r);
}

/** Puts the next blocks, as far as they follow each other on the disk, into a request. False: there are no more. */
function fillNext(s: Store, r: BlockRequest): bool {
  const segments = segmentsOf(r);
  r.count = 0;
  const most = min(min(SEGMENTS, s.disk.device.segmentsMax), s.disk.device.sectorsMax / BLOCK_SECTORS);
  while (s.commitNext && r.count < most) {
    const b = changetype<CacheBlock>(s.commitNext);
    const sector = sectorOf(s, placeOf(s, b));
    if (r.count && sector != r.sector + r.count * BLOCK_SECTORS) break;
    if (!r.count) r.sector = sector;
    segmentSet(segments, r.count++, b.machine, b.buffer, BLOCK_BYTES);
    s.commitNext = b.dirtyNext;
  }
  if (!r.count) {
    while (s.commitIndex < s.indexPages && !((s.indexChanged >> s.commitIndex) & 1)) s.commitIndex++;
    if (s.commitIndex == s.indexPages) return false;
    const i = s.commitIndex++;
    const offset = <usize>i * BLOCK_BYTES;
    r.sector = sectorOf(s, s.indexStart + 2 * i + ((s.indexSlots >> i) & 1));
    segmentSet(segments, r.count++, s.indexMachine + offset, s.index + offset, BLOCK_BYTES);
  }
  r.sectors = r.count * BLOCK_SECTORS;
  return true;
}

function placeOf(s: Store, b: CacheBlock): u32 {
  if (b.magic != MAGIC_BITMAP) return b.number;
  return s.bitmapStart + 2 * b.number + load<u32>(indexEntryOf(s, b.number), IndexEntry.slot);
}

function writeDone(request: usize, status: i32): void {
  const r = changetype<BlockRequest>(request);
  const t = changetype<CommitTask>(r.cookie);
  const s = changetype<Store>(t.store);
  requestGive(t, r);
  s.commitFlying--;
  if (status != 0) s.commitError = status;
  writeMore(t, s);
}

/** Step 3 is done. */
function flushDone(request: usize, status: i32): void {
  const t = changetype<CommitTask>(changetype<BlockRequest>(request).cookie);
  const s = changetype<Store>(t.store);
  requestGive(t, changetype<BlockRequest>(request));
  if (status != 0) {
    commitFailed(s, status);
    return;
  }
  s.commitPhase = COMMIT_FIRST;
  superblockWrite(t, s, 0);
}

/** Steps 4 and 5. */
function superblockWrite(t: CommitTask, s: Store, copy: u32): void {
  superblockSeal(s.superblock, copy);
  const r = requestTake(t);
  r.operation = BLOCK_WRITE;
  r.flags = BLOCK_FUA;
  r.sector = sectorOf(s, copy ? s.blocks - 1 : 0);
  r.sectors = BLOCK_SECTORS;
  segmentSet(segmentsOf(r), 0, s.superblockMachine, s.superblock, BLOCK_BYTES);
  r.count = 1;
  r.done = changetype<usize>(superblockDone);
  r.cookie = changetype<usize>(t);
  diskSubmit(s.disk, r);
}

function superblockDone(request: usize, status: i32): void {
  const t = changetype<CommitTask>(changetype<BlockRequest>(request).cookie);
  const s = changetype<Store>(t.store);
  requestGive(t, changetype<BlockRequest>(request));
  if (status != 0) {
    commitFailed(s, status);
    return;
  }
  if (s.commitPhase == COMMIT_FIRST) {
    s.generation++;
    s.mirrored = 0;
    logClear(s);
    taskWakeAll(s.flushWaiters, 0);
    s.commitPhase = COMMIT_SECOND;
    superblockWrite(t, s, 1);
    return;
  }
  transactionClean(s);
  touchedClear(s);
  s.freesCount = 0;
  for (let at = s.changedVolumes; at;) {
    const v = changetype<Volume>(at);
    at = v.changedNext;
    v.changed = 0;
  }
  s.changedVolumes = 0;
  s.changedCount = 0;
  s.mirrored = 1;
  s.commitPhase = COMMIT_NONE;
  timerStop(s.commitTimer);
  taskWakeAll(s.commitWaiters, 0);
}

/** The commit stops; what has been made of it stays as it is, to be repeated. */
function commitFailed(s: Store, status: i32): void {
  say("volumes: disk ");
  sayDec(s.disk.index);
  say(": changes cannot be written, error ");
  sayDec(<u64>-status);
  sayEnd();
  if (s.commitPhase > COMMIT_WRITE && s.commitPhase != COMMIT_SECOND) s.commitPhase = COMMIT_WRITE;
  s.failed = 1;
  taskWakeAll(s.flushWaiters, -EIO);
  taskWakeAll(s.commitWaiters, 0);
  timerSet(s.commitTimer, systemTime() + RETRY_NS);
}
