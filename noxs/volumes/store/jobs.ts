/**
 * What takes long and must survive an interruption: giving back the chunks of a deleted volume or snapshot, and those beyond the new
 * end of a volume that was made smaller. The volume table says what is to be done and how far it has got; one job at a time
 * is worked at, in steps that each are a change like any other.
 *
 * Deleting a snapshot S whose predecessor is P and whose successor (a later snapshot, or the volume) is N: what N sees, and what P
 * owns, stays; the rest of S is freed. Chunks are compared with N's in ascending order. Below the cursor that is done: what S and N
 * shared there is N's own now (sharedEpochOf). Whole subtrees that S shares with N, or has from P, are passed over at once.
 */
import { ENOENT } from "../../../abi/errno";
import {
  BLOCK_SECTORS,
  CHUNK_BLOCKS,
  CHUNK_SECTORS,
  Entry,
  MAGIC_NODE,
  VOLUME_CHUNKS_MAX,
  VOLUME_DELETING,
  VOLUME_TRIMMING,
  VolumeRecord,
} from "../../../abi/io/volume-format";
import { heapAllocate } from "../../../drivers/host/heap";
import { say, sayDec, sayEnd } from "../../../drivers/host/log";
import { CacheBlock, cacheEnter, cacheLeave, found, nodeGet } from "./cache";
import { loaded, volumeGet } from "./load";
import { blockFree, chunkFree } from "./space";
import { blockValid, chunkValid, Store } from "./store";
import { record, recordId, tableGet, tableNext, tableRemove, tableWritable } from "./table";
import { changeBegin, changeMade, commitStart } from "./transaction";
import { Task, taskInit, taskReady, WAIT } from "../disks/task";
import { entryOf, mapAbsent, mapBirth, mapGet, mapMask, mapSet, mapTarget, spanLeft } from "./tree";
import { Volume, volumeForget } from "./volume";

/** Chunks freed in one step, and steps in one turn. */
const STEP_FREES: u32 = 8;
const TURN_STEPS: u32 = 64;
/** Result of a step: the job is done. */
const DONE: i32 = 2;

@unmanaged
class JobTask extends Task {
  store: usize; // Store
  volume: usize; // Volume of the job, held
  next: usize; // the one after it, held; 0 none
  idle: u32; // 1: there is nothing to do
  some: u32; // 1: this search through the table has found a job
}

/** Makes what a store needs for its jobs; false when there is no memory. */
export function jobsInit(s: Store): bool {
  const t = changetype<JobTask>(heapAllocate(offsetof<JobTask>()));
  if (!changetype<usize>(t)) return false;
  taskInit(t, jobRun);
  t.store = changetype<usize>(s);
  t.idle = 1;
  s.jobTask = t;
  return true;
}

/** Has a store that is being mounted know its job in progress, if there is one: 0, WAIT (`waiter` goes on later), an error. */
export function jobResume(waiter: Task, s: Store): i32 {
  const t = changetype<JobTask>(s.jobTask);
  t.idle = 1;
  t.volume = 0;
  t.next = 0;
  if (!s.jobId) return 0;
  if (!cacheEnter(waiter)) return WAIT;
  const id = s.jobId - 1;
  return jobLoad(waiter, t, s, id);
}

/** Has the jobs worked at that the table lists, if they are not already. */
export function jobsStart(s: Store): void {
  const t = changetype<JobTask>(s.jobTask);
  if (!t.idle || !s.jobs || s.readOnly) return;
  t.idle = 0;
  t.some = 0;
  s.jobScan = 0;
  taskReady(t);
}

/** Whether jobs are being worked at. */
export function jobsActive(s: Store): bool {
  return !changetype<JobTask>(s.jobTask).idle;
}

function jobRun(task: usize): void {
  const t = changetype<JobTask>(task);
  const s = changetype<Store>(t.store);
  for (let i: u32 = 0; i < TURN_STEPS; i++) {
    if (!cacheEnter(t)) return;
    const rc = s.jobId == 0 ? jobFind(t, s) : s.jobKind == VOLUME_DELETING ? deleteStep(t, s) : trimStep(t, s);
    if (rc == WAIT) return;
    if (rc == DONE) {
      cacheLeave(t);
      t.idle = 1;
      return;
    }
    if (rc != 0) {
      giveUp(t, s, rc);
      return;
    }
  }
  cacheLeave(t);
  taskReady(t);
}

/** A job cannot go on: it is tried again when the store is mounted the next time, or when another one is added. */
function giveUp(t: JobTask, s: Store, rc: i32): void {
  say("volumes: space cannot be given back, error ");
  sayDec(<u64>-rc);
  sayEnd();
  cacheLeave(t);
  t.idle = 1;
}

function release(t: JobTask, s: Store): void {
  if (t.volume) changetype<Volume>(t.volume).holds--;
  if (t.next) changetype<Volume>(t.next).holds--;
  t.volume = 0;
  t.next = 0;
  s.jobId = 0;
  s.jobKind = 0;
}

/** Looks for a job and begins it: 0; DONE there is none; WAIT; an error. */
function jobFind(t: JobTask, s: Store): i32 {
  let rc = tableNext(t, s, s.jobScan);
  if (rc == -ENOENT) {
    if (!t.some || !s.jobs) return DONE;
    // One may have been added behind the search.
    t.some = 0;
    s.jobScan = 0;
    return 0;
  }
  if (rc != 0) return rc;
  const id = recordId;
  const kind = load<u32>(record, VolumeRecord.flags) & (VOLUME_DELETING | VOLUME_TRIMMING);
  if (!kind) {
    s.jobScan = id + 1;
    return 0;
  }
  rc = jobLoad(t, t, s, id);
  if (rc == 0) {
    t.some = 1;
    s.jobScan = id;
  }
  return rc;
}

/**
 * Brings the job of a record into memory: 0, WAIT, an error. While a store is mounted it is called for the job that was in progress, before
 * anything can change: what the job has done already is to be known.
 */
function jobLoad(t: Task, job: JobTask, s: Store, id: u32): i32 {
  let rc = tableGet(t, s, id);
  if (rc != 0) return rc;
  const kind = load<u32>(record, VolumeRecord.flags) & (VOLUME_DELETING | VOLUME_TRIMMING);
  if (!kind) {
    s.jobId = 0;
    return 0;
  }
  const cursor = load<u32>(record, VolumeRecord.cursor);
  const previous = load<u32>(record, VolumeRecord.previous);
  const next = load<u32>(record, VolumeRecord.next);
  let previousEpoch: u32 = 0;
  if (previous) {
    rc = tableGet(t, s, previous - 1);
    if (rc != 0) return rc;
    previousEpoch = load<u32>(record, VolumeRecord.epoch);
  }
  let following: usize = 0;
  if (next) {
    rc = volumeGet(t, s, next - 1);
    if (rc != 0) return rc;
    following = loaded;
    changetype<Volume>(following).holds++;
  }
  rc = volumeGet(t, s, id);
  if (rc != 0) {
    if (following) changetype<Volume>(following).holds--;
    return rc;
  }
  changetype<Volume>(loaded).holds++;
  job.volume = loaded;
  job.next = following;
  s.jobCursor = cursor;
  s.jobPrevious = previousEpoch;
  s.jobNext = next;
  s.jobId = id + 1;
  s.jobKind = kind & VOLUME_DELETING ? VOLUME_DELETING : VOLUME_TRIMMING;
  return 0;
}

/**
 * A snapshot of the volume was taken: it comes between the one that is being deleted and the volume.
 * @param volume the volume's id
 * @param snapshot the snapshot, in memory
 */
export function jobSnapshotTaken(s: Store, volume: u32, snapshot: Volume): void {
  if (s.jobKind != VOLUME_DELETING || s.jobNext != volume + 1) return;
  const t = changetype<JobTask>(s.jobTask);
  changetype<Volume>(t.next).holds--;
  snapshot.holds++;
  t.next = changetype<usize>(snapshot);
  s.jobNext = snapshot.id + 1;
}

// --- Deleting ------------------------------------------------------------------------------------------------------------

/** Whether what an entry refers to is to be freed: it is there, it is not the predecessor's, and the successor does not refer to it. */
function own(s: Store, entry: usize, otherTarget: u32): bool {
  const target = load<u32>(entry, Entry.target);
  return target != 0 && load<u32>(entry, Entry.birth) > s.jobPrevious && target != otherTarget;
}

/** What the successor's node refers to for a chunk. */
function targetIn(node: usize, chunk: u32, level: u32): u32 {
  return node ? load<u32>(entryOf(changetype<CacheBlock>(node), chunk, level), Entry.target) : 0;
}

/** The node that an entry refers to, as `found`. */
function below(t: Task, s: Store, entry: usize, level: u32): i32 {
  return nodeGet(t, s, MAGIC_NODE, load<u32>(entry, Entry.target), level, load<u32>(entry, Entry.generation));
}

function deleteStep(t: JobTask, s: Store): i32 {
  const v = changetype<Volume>(t.volume);
  const n = t.next;
  const otherRoot = n ? changetype<Volume>(n).rootTarget : 0;
  const rootOwn = v.rootTarget != 0 && v.rootBirth > s.jobPrevious && v.rootTarget != otherRoot;
  if (!rootOwn || s.jobCursor >= VOLUME_CHUNKS_MAX) return deleteEnd(t, s, v, rootOwn);
  let rc = changeBegin(t, s, null);
  if (rc != 0) return rc;
  rc = tableWritable(t, s, v.id, false);
  if (rc != 0) return rc;
  const cursorAt = record + VolumeRecord.cursor;

  let chunk = s.jobCursor;
  let other: usize = 0;
  if (otherRoot) {
    rc = nodeGet(t, s, MAGIC_NODE, otherRoot, 2, changetype<Volume>(n).rootGeneration);
    if (rc != 0) return rc;
    other = found;
  }
  rc = nodeGet(t, s, MAGIC_NODE, v.rootTarget, 2, v.rootGeneration);
  if (rc != 0) return rc;
  const toMiddle = entryOf(changetype<CacheBlock>(found), chunk, 2);
  if (!own(s, toMiddle, targetIn(other, chunk, 2))) {
    chunk += spanLeft(chunk, 2);
    advance(s, cursorAt, chunk);
    return 0;
  }
  if (targetIn(other, chunk, 2)) {
    rc = below(t, s, entryOf(changetype<CacheBlock>(other), chunk, 2), 1);
    if (rc != 0) return rc;
    other = found;
  } else {
    other = 0;
  }
  rc = below(t, s, toMiddle, 1);
  if (rc != 0) return rc;
  const middle = load<u32>(toMiddle, Entry.target);
  const toLeaf = entryOf(changetype<CacheBlock>(found), chunk, 1);
  if (own(s, toLeaf, targetIn(other, chunk, 1))) {
    let otherLeaf: usize = 0;
    if (targetIn(other, chunk, 1)) {
      rc = below(t, s, entryOf(changetype<CacheBlock>(other), chunk, 1), 0);
      if (rc != 0) return rc;
      otherLeaf = found;
    }
    rc = below(t, s, toLeaf, 0);
    if (rc != 0) return rc;
    const leaf = load<u32>(toLeaf, Entry.target);
    if (leafDelete(s, found, otherLeaf, chunk)) blockGive(s, leaf);
    chunk = leafEnd;
  } else {
    chunk += spanLeft(chunk, 1);
  }
  if (spanLeft(chunk, 2) == spanLeft(0, 2)) blockGive(s, middle);
  advance(s, cursorAt, chunk);
  return 0;
}

/** Where leafDelete stopped. */
let leafEnd: u32 = 0;

/** Frees chunks of a leaf from `chunk` on, a few at a time; whether that was all of it. */
function leafDelete(s: Store, leaf: usize, otherLeaf: usize, chunk: u32): bool {
  const end = chunk + spanLeft(chunk, 1);
  let frees: u32 = 0;
  for (; chunk < end && frees < STEP_FREES; chunk++) {
    const entry = entryOf(changetype<CacheBlock>(leaf), chunk, 0);
    if (!own(s, entry, targetIn(otherLeaf, chunk, 0))) continue;
    const target = load<u32>(entry, Entry.target);
    if (chunkValid(s, target)) chunkFree(s, target);
    frees++;
  }
  leafEnd = chunk;
  return chunk == end;
}

function blockGive(s: Store, block: u32): void {
  if (blockValid(s, block)) blockFree(s, block);
}

function advance(s: Store, cursorAt: usize, chunk: u32): void {
  s.jobCursor = chunk;
  store<u32>(cursorAt, chunk);
  changeMade(s);
}

/** Takes the volume out of the table, and out of the chain of snapshots. */
function deleteEnd(t: JobTask, s: Store, v: Volume, rootOwn: bool): i32 {
  let rc = changeBegin(t, s, null);
  if (rc != 0) return rc;
  rc = tableGet(t, s, v.id);
  if (rc != 0) return rc;
  const previous = load<u32>(record, VolumeRecord.previous);
  const next = load<u32>(record, VolumeRecord.next);
  if (next) {
    rc = tableWritable(t, s, next - 1, false);
    if (rc != 0) return rc;
  }
  if (previous) {
    rc = tableWritable(t, s, previous - 1, false);
    if (rc != 0) return rc;
  }
  rc = tableRemove(t, s, v.id);
  if (rc != 0) return rc;
  // Nothing can fail from here on: the records are in the cache, changed.
  if (next) {
    tableGet(t, s, next - 1);
    store<u32>(record, previous, VolumeRecord.previous);
    changetype<Volume>(t.next).sharedEpoch = s.jobPrevious;
  }
  if (previous) {
    tableGet(t, s, previous - 1);
    if (load<u32>(record, VolumeRecord.next) == v.id + 1) store<u32>(record, next, VolumeRecord.next);
    else if (!next) store<u32>(record, load<u32>(record, VolumeRecord.clones) - 1, VolumeRecord.clones);
  }
  if (rootOwn) blockGive(s, v.rootTarget);
  s.jobs--;
  release(t, s);
  volumeForget(v);
  changeMade(s);
  // What it had becomes free with the commit.
  commitStart(s);
  return 0;
}

// --- Trimming ------------------------------------------------------------------------------------------------------------

function trimStep(t: JobTask, s: Store): i32 {
  const v = changetype<Volume>(t.volume);
  // The chunk in which the volume now ends keeps its blocks before that.
  const ends = <u32>(v.sectors / CHUNK_SECTORS);
  if (s.jobCursor < ends) s.jobCursor = ends;
  const chunk = s.jobCursor;
  if (chunk >= VOLUME_CHUNKS_MAX) return trimEnd(t, s, v);
  let rc = changeBegin(t, s, v);
  if (rc != 0) return rc;
  rc = mapGet(t, v, chunk);
  if (rc != 0) return rc;
  if (!mapTarget) {
    s.jobCursor += mapAbsent;
    return 0;
  }
  const blocks = <u32>(v.sectors / BLOCK_SECTORS) % CHUNK_BLOCKS;
  const mask = chunk == ends ? mapMask & ((1 << blocks) - 1) : 0;
  if (mask != mapMask) rc = mapSet(t, v, chunk, mask ? mapTarget : 0, mapBirth, mask, false);
  if (rc == 0) s.jobCursor++;
  return rc;
}

function trimEnd(t: JobTask, s: Store, v: Volume): i32 {
  let rc = changeBegin(t, s, null);
  if (rc != 0) return rc;
  rc = tableWritable(t, s, v.id, false);
  if (rc != 0) return rc;
  v.flags &= ~VOLUME_TRIMMING;
  store<u32>(record, v.flags, VolumeRecord.flags);
  store<u32>(record, 0, VolumeRecord.cursor);
  s.jobs--;
  release(t, s);
  changeMade(s);
  commitStart(s);
  return 0;
}
