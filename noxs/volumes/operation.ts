/**
 * Operations on volumes, as the control channel asks for them: creating, deleting, resizing, taking a snapshot, making a volume from one,
 * listing. Each is a change that is on the disk before it is answered. One that fails has changed nothing, unless it is -EIO: then the disk
 * has failed, and what was changed may still come about.
 */
import { E2BIG, EBUSY, EEXIST, EINVAL, EIO, ENFILE, ENOENT, ENOTEMPTY, EROFS } from "../../abi/errno";
import { VolumeEntry } from "../../abi/io/control-block";
import {
  BLOCK_SECTORS,
  CHUNK_SECTORS,
  Entry,
  VOLUME_CHUNKS_MAX,
  VOLUME_DELETING,
  VOLUME_NAME_BYTES,
  VOLUME_SNAPSHOT,
  VOLUME_TRIMMING,
  VolumeRecord,
  VOLUME_USED,
} from "../../abi/io/volume-format";
import { blockChanged } from "../../drivers/block";
import { heapAllocate } from "../../drivers/host/heap";
import { disksReady } from "./disk-list";
import { cacheEnter, cacheLeave } from "./store/cache";
import { jobSnapshotTaken, jobsStart } from "./store/jobs";
import { loaded, volumeFind } from "./store/load";
import { Store, storeAt, STORE_READY, STORES_MAX } from "./store/store";
import { record, recordId, tableAdd, tableFind, tableGet, tableNext, tableWritable } from "./store/table";
import { changeBegin, changeMade, flushJoin } from "./store/transaction";
import { Task, taskError, taskInit, taskReady, taskWait, taskWakeAll, WAIT } from "./disks/task";
import { Volume, volumeChange, volumeInMemory, volumeInUse, volumeLoad, volumesRoom } from "./store/volume";

// Operation.kind
export const OPERATION_CREATE: u32 = 1;
export const OPERATION_DELETE: u32 = 2;
export const OPERATION_RESIZE: u32 = 3;
/** Of a volume: takes a snapshot of it. Of a snapshot: makes a volume from it. */
export const OPERATION_SNAPSHOT: u32 = 4;
export const OPERATION_LIST: u32 = 5;

export type OperationDoneFn = (operation: usize) => void;

// Operation.step
const FIND: u32 = 0;
const QUIET: u32 = 1;
const CHANGE: u32 = 2;
const COMMIT: u32 = 3;

export const OPERATIONS_MAX: u32 = 64;

@unmanaged
export class Operation extends Task {
  next: usize;
  kind: u32;
  step: u32;
  store: usize; // Store; 0: the one that has the volume, or the first one
  name: usize; // VOLUME_NAME_BYTES each
  newName: usize;
  sectors: u64;
  volume: usize; // Volume that it has for itself
  status: i32;
  doneFn: usize;
  cookie: usize;
  // Of a list.
  list: usize; // VolumeEntry[]
  listMost: u32;
  listCount: u32;
  listCursor: u32; // store * 2^16 + id + 1; 0 at the begin and at the end
}

let free: usize = 0;

/** Allocates the operations; false when there is no memory. */
export function operationsInit(): bool {
  for (let i: u32 = 0; i < OPERATIONS_MAX; i++) {
    const at = heapAllocate(offsetof<Operation>());
    const names = heapAllocate(2 * VOLUME_NAME_BYTES);
    if (!at || !names) return false;
    const o = changetype<Operation>(at);
    o.name = names;
    o.newName = names + VOLUME_NAME_BYTES;
    o.next = free;
    free = at;
  }
  return true;
}

/** Takes an operation to fill in; 0 when all are in use. */
export function operationTake(kind: u32): usize {
  const at = free;
  if (!at) return 0;
  const o = changetype<Operation>(at);
  free = o.next;
  taskInit(o, operationRun);
  o.kind = kind;
  o.step = FIND;
  o.store = 0;
  o.sectors = 0;
  o.volume = 0;
  o.status = 0;
  o.listCount = 0;
  memory.fill(o.name, 0, 2 * VOLUME_NAME_BYTES);
  return at;
}

/** Starts an operation that has been filled in. `fn` is called with it when it is done, and it is free afterwards. */
export function operationStart(o: Operation, fn: OperationDoneFn, cookie: usize): void {
  o.doneFn = changetype<usize>(fn);
  o.cookie = cookie;
  taskReady(o);
}

function finish(o: Operation, status: i32): void {
  cacheLeave(o);
  const v = o.volume;
  if (v) {
    changetype<Volume>(v).operation = 0;
    if (changetype<Volume>(v).frozen) {
      changetype<Volume>(v).frozen = 0;
      taskWakeAll(changetype<Volume>(v).thawWaiters, 0);
    }
  }
  o.status = status;
  changetype<OperationDoneFn>(o.doneFn)(changetype<usize>(o));
  o.next = free;
  free = changetype<usize>(o);
}

function operationRun(task: usize): void {
  const o = changetype<Operation>(task);
  if (o.step == COMMIT) {
    committed(o);
    return;
  }
  // Stores are known when all disks have been looked at.
  if (o.step == FIND && !disksReady(o)) return;
  if (!cacheEnter(o)) return;
  let rc: i32 = 0;
  if (o.step == FIND) rc = find(o);
  if (rc == 0 && o.step == QUIET) rc = quiet(o);
  if (rc == 0 && o.kind == OPERATION_LIST) rc = list(o);
  else if (rc == 0) rc = change(o);
  if (rc == WAIT) return;
  if (rc != 0 || o.kind == OPERATION_LIST) {
    finish(o, rc);
    return;
  }
  o.step = COMMIT;
  cacheLeave(o);
  flushJoin(o, changetype<Store>(o.store));
}

/** The first store that can be used; 0 none. */
function firstStore(): usize {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    if (storeAt(i).state == STORE_READY) return changetype<usize>(storeAt(i));
  }
  return 0;
}

/** Finds the store with the volume `name`: Operation.store, and the volume as `loaded`. 0, WAIT, -ENOENT, -EINVAL, -EIO. */
function findVolume(o: Operation): i32 {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const s = storeAt(i);
    if (s.state != STORE_READY || (o.store && o.store != changetype<usize>(s))) continue;
    const rc = volumeFind(o, s, o.name);
    if (rc == -ENOENT) continue;
    if (rc == 0) o.store = changetype<usize>(s);
    return rc;
  }
  return -ENOENT;
}

/** Whether no store has a volume of this name: 0, WAIT, -EEXIST, -EINVAL, -EIO. */
function nameFree(o: Operation, name: usize): i32 {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    if (storeAt(i).state != STORE_READY) continue;
    const rc = tableFind(o, storeAt(i), name);
    if (rc != -ENOENT) return rc == 0 ? -EEXIST : rc;
  }
  return 0;
}

/** Finds what the operation is about, and checks whether it may be done. */
function find(o: Operation): i32 {
  if (o.kind == OPERATION_LIST) return 0;
  if (o.kind == OPERATION_CREATE) {
    if (!o.store) o.store = firstStore();
    if (!o.store) return -ENOENT;
    const rc = nameFree(o, o.name);
    if (rc == 0) o.step = CHANGE;
    return rc != 0 ? rc : sizeCheck(o.sectors);
  }
  let rc = findVolume(o);
  if (rc != 0) return rc;
  const v = changetype<Volume>(loaded);
  if (changetype<Store>(o.store).readOnly) return -EROFS;
  if (v.operation || v.flags & (VOLUME_DELETING | VOLUME_TRIMMING)) return -EBUSY;
  if (o.kind == OPERATION_SNAPSHOT) {
    rc = nameFree(o, o.newName);
    if (rc != 0) return rc;
  } else if (o.kind == OPERATION_RESIZE) {
    if (v.flags & VOLUME_SNAPSHOT) return -EROFS;
    rc = sizeCheck(o.sectors);
    if (rc != 0) return rc;
    if (o.sectors < v.sectors && volumeInUse(v)) return -EBUSY;
  } else if (volumeInUse(v)) {
    return -EBUSY;
  }
  v.operation = 1;
  o.volume = changetype<usize>(v);
  if (o.kind == OPERATION_SNAPSHOT && !(v.flags & VOLUME_SNAPSHOT)) {
    v.frozen = 1;
    o.step = QUIET;
  } else {
    o.step = CHANGE;
  }
  return 0;
}

/** Whether a volume can have this size: 0, -EINVAL, -E2BIG. */
function sizeCheck(sectors: u64): i32 {
  if (sectors == 0 || sectors % BLOCK_SECTORS != 0) return -EINVAL;
  return sectors <= <u64>VOLUME_CHUNKS_MAX * CHUNK_SECTORS ? 0 : -E2BIG;
}

/** Waits until no write to the volume is in progress. */
function quiet(o: Operation): i32 {
  const v = changetype<Volume>(o.volume);
  if (v.writing) {
    cacheLeave(o);
    taskWait(v.quietWaiters, o);
    return WAIT;
  }
  o.step = CHANGE;
  return 0;
}

function change(o: Operation): i32 {
  const s = changetype<Store>(o.store);
  const v = changetype<Volume>(o.volume);
  let rc = changeBegin(o, s, o.kind == OPERATION_SNAPSHOT || o.kind == OPERATION_RESIZE ? v : null);
  if (rc != 0) return rc;
  if (o.kind == OPERATION_CREATE) rc = create(o, s);
  else if (o.kind == OPERATION_DELETE) rc = remove(o, s, v);
  else if (o.kind == OPERATION_RESIZE) rc = resize(o, s, v);
  else if (v.flags & VOLUME_SNAPSHOT) rc = clone(o, s, v);
  else rc = snapshot(o, s, v);
  if (rc == 0) changeMade(s);
  return rc;
}

function create(o: Operation, s: Store): i32 {
  const rc = tableAdd(o, s, o.name);
  if (rc == 0) store<u64>(record, o.sectors, VolumeRecord.sectors);
  return rc;
}

function remove(o: Operation, s: Store, v: Volume): i32 {
  let rc = tableGet(o, s, v.id);
  if (rc != 0) return rc;
  if (load<u32>(record, VolumeRecord.clones)) return -ENOTEMPTY;
  rc = tableWritable(o, s, v.id, false);
  if (rc != 0) return rc;
  v.flags |= VOLUME_DELETING;
  store<u32>(record, v.flags, VolumeRecord.flags);
  store<u32>(record, 0, VolumeRecord.cursor);
  memory.fill(record + VolumeRecord.name, 0, VOLUME_NAME_BYTES);
  s.jobs++;
  return 0;
}

function resize(o: Operation, s: Store, v: Volume): i32 {
  const rc = tableWritable(o, s, v.id, false);
  if (rc != 0) return rc;
  if (o.sectors < v.sectors) {
    // What is beyond the new end is given back afterwards; until then the volume cannot be written or made larger.
    v.flags |= VOLUME_TRIMMING;
    store<u32>(record, v.flags, VolumeRecord.flags);
    store<u32>(record, <u32>(o.sectors / CHUNK_SECTORS), VolumeRecord.cursor);
    s.jobs++;
  }
  v.sectors = o.sectors;
  volumeChange(v);
  return 0;
}

/** Takes a snapshot: a record that has the volume's tree, which from now on is older than what the volume may change. */
function snapshot(o: Operation, s: Store, v: Volume): i32 {
  let rc = tableWritable(o, s, v.id, false);
  if (rc != 0) return rc;
  const previous = load<u32>(record, VolumeRecord.previous);
  if (previous) {
    rc = tableWritable(o, s, previous - 1, false);
    if (rc != 0) return rc;
  }
  if (!volumesRoom()) return -ENFILE;
  rc = tableAdd(o, s, o.newName);
  if (rc != 0) return rc;
  // Nothing can fail from here on.
  const id = recordId;
  store<u32>(record, VOLUME_USED | VOLUME_SNAPSHOT, VolumeRecord.flags);
  store<u64>(record, v.sectors, VolumeRecord.sectors);
  store<u32>(record + VolumeRecord.root, v.rootTarget, Entry.target);
  store<u32>(record + VolumeRecord.root, v.rootBirth, Entry.birth);
  store<u32>(record + VolumeRecord.root, v.rootGeneration, Entry.generation);
  store<u32>(record, s.epoch, VolumeRecord.epoch);
  store<u32>(record, previous, VolumeRecord.previous);
  store<u32>(record, v.id + 1, VolumeRecord.next);
  store<u32>(record, v.mapped, VolumeRecord.mapped);
  jobSnapshotTaken(s, v.id, changetype<Volume>(volumeLoad(s, id, record, v.sharedEpoch)));
  tableGet(o, s, v.id);
  store<u32>(record, id + 1, VolumeRecord.previous);
  if (previous) {
    tableGet(o, s, previous - 1);
    if (load<u32>(record, VolumeRecord.next) == v.id + 1) store<u32>(record, id + 1, VolumeRecord.next);
  }
  v.sharedEpoch = s.epoch++;
  volumeChange(v);
  return 0;
}

/** Makes a volume from a snapshot: a record that has the snapshot's tree. */
function clone(o: Operation, s: Store, v: Volume): i32 {
  let rc = tableWritable(o, s, v.id, false);
  if (rc != 0) return rc;
  rc = tableAdd(o, s, o.newName);
  if (rc != 0) return rc;
  store<u64>(record, v.sectors, VolumeRecord.sectors);
  store<u32>(record + VolumeRecord.root, v.rootTarget, Entry.target);
  store<u32>(record + VolumeRecord.root, v.rootBirth, Entry.birth);
  store<u32>(record + VolumeRecord.root, v.rootGeneration, Entry.generation);
  store<u32>(record, v.id + 1, VolumeRecord.previous);
  store<u32>(record, v.mapped, VolumeRecord.mapped);
  tableGet(o, s, v.id);
  store<u32>(record, load<u32>(record, VolumeRecord.clones) + 1, VolumeRecord.clones);
  return 0;
}

/** The transaction with the change is on the disk, or could not be written. */
function committed(o: Operation): void {
  const error = taskError(o);
  const s = changetype<Store>(o.store);
  const resized = o.kind == OPERATION_RESIZE ? o.volume : 0;
  finish(o, error ? -EIO : 0);
  if (resized) blockChanged(changetype<Volume>(resized));
  jobsStart(s);
}

// --- Listing -------------------------------------------------------------------------------------------------------------

/** Fills the list from where the cursor is: 0, WAIT, an error. */
function list(o: Operation): i32 {
  let i = o.listCursor >> 16;
  let id = o.listCursor & 0xffff;
  for (; i < STORES_MAX; i++, id = 0) {
    const s = storeAt(i);
    if (s.state != STORE_READY) continue;
    let rc = tableNext(o, s, id);
    for (; rc == 0; rc = tableNext(o, s, id)) {
      if (o.listCount == o.listMost) {
        o.listCursor = (i << 16) | recordId;
        return 0;
      }
      id = recordId + 1;
      entry(o.list + <usize>o.listCount * VolumeEntry.SIZE, s, recordId, record);
      o.listCount++;
      o.listCursor = (i << 16) | id;
    }
    if (rc != -ENOENT) return rc;
  }
  o.listCursor = 0;
  return 0;
}

function entry(at: usize, s: Store, id: u32, from: usize): void {
  memory.fill(at, 0, VolumeEntry.SIZE);
  memory.copy(at + VolumeEntry.name, from + VolumeRecord.name, VOLUME_NAME_BYTES);
  store<u32>(at, load<u32>(from, VolumeRecord.flags), VolumeEntry.flags);
  store<u32>(at, id, VolumeEntry.id);
  store<u32>(at, s.disk.index, VolumeEntry.disk);
  store<u32>(at, load<u32>(from, VolumeRecord.previous), VolumeEntry.previous);
  store<u32>(at, load<u32>(from, VolumeRecord.clones), VolumeEntry.clones);
  const inMemory = volumeInMemory(s, id);
  if (!inMemory) {
    store<u64>(at, load<u64>(from, VolumeRecord.sectors), VolumeEntry.sectors);
    store<u64>(at, <u64>load<u32>(from, VolumeRecord.mapped) * CHUNK_SECTORS, VolumeEntry.mapped);
    return;
  }
  const v = changetype<Volume>(inMemory);
  store<u64>(at, v.sectors, VolumeEntry.sectors);
  store<u64>(at, <u64>v.mapped * CHUNK_SECTORS, VolumeEntry.mapped);
  store<u32>(at, v.readers, VolumeEntry.readers);
  store<u32>(at, v.writers, VolumeEntry.writers);
}
