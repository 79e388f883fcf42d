/**
 * Requests of domain 0 about disks, volumes, vbds and boot modules (abi/io/control-block.ts). Most take time: they are answered when what
 * they ask for is done, which for a change of volumes means that it is on the disk.
 */
import { EBUSY, EINVAL, EISCONN, ENOENT, ENOSYS, EIO } from "../../abi/errno";
import {
  IO_DISK_LIST,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_LIST,
  IO_VBD_REMOVE,
  IO_VOLUME_CHECK,
  IO_VOLUME_CREATE,
  IO_VOLUME_DELETE,
  IO_VOLUME_FORMAT,
  IO_VOLUME_LIST,
  IO_VOLUME_RESIZE,
  IO_VOLUME_SNAPSHOT,
} from "../../abi/io/control";
import {
  BlockListRequest,
  BlockListResponse,
  DISK_ANY,
  IO_MODULE_ADD,
  IO_MODULE_REMOVE,
  VBD_MODEL_NOXS,
  VBD_MODEL_XENBUS,
  VBD_RING_ORDER_MAX,
  VBD_RINGS_MAX,
  VBD_TARGET_BYTES,
  VBD_WRITABLE,
  VbdAdd,
  VbdConnect,
  VbdKey,
  VbdProperties,
  VbdRefusal,
  VolumeCheck,
  VolumeCheckResponse,
  VolumeCreate,
  VolumeEntry,
  VolumeFormat,
  VolumeResize,
  VolumeSnapshot,
} from "../../abi/io/control-block";
import { VOLUME_NAME_BYTES } from "../../abi/io/volume-format";
import { heapAllocate } from "../../drivers/host/heap";
import { diskCount, diskInfoAt, disksLooked, disksReady } from "../volumes/disk-list";
import { Task, taskInit, taskReady } from "../volumes/disks/task";
import { diskFormatStart } from "../volumes/disk-format";
import { moduleAdd, moduleRemove } from "../volumes/modules";
import {
  Operation,
  OPERATION_CREATE,
  OPERATION_DELETE,
  OPERATION_LIST,
  OPERATION_RESIZE,
  OPERATION_SNAPSHOT,
  operationStart,
  operationTake,
} from "../volumes/operation";
import { Check, checkStart } from "../volumes/store/check";
import { Store, STORE_READY } from "../volumes/store/store";
import { targetNeedsDisk, targetRefusal } from "../volumes/targets";
import { diskList, vbdList } from "./block-list";
import { vbdConnect } from "./connect";
import { ringRef, stableRing, stableTarget, Vbd } from "./records";
import { activate } from "./schedule";
import { vbdAdd, vbdAwait, vbdDisconnect, vbdFind, vbdProperties, vbdRemove } from "./vbds";

/** Answers a request for which blockRequest has returned BLOCK_LATER. */
export type BlockAnswerFn = (id: u32, status: i32, payload: usize, length: u32, bulkLength: u32) => void;

/** Not a status: the request is answered later. */
export const BLOCK_LATER: i32 = 1;

/** A request that is answered later. */
@unmanaged
class BlockCall extends Task {
  next: usize;
  id: u32;
  operation: u32;
  vbd: usize;
  bulk: usize;
  room: u32; // of the bulk area, and where a listing goes on
  cursor: u32;
}
const CALLS: u32 = 64;
let free: usize = 0;
let answerFn: usize = 0;
const payload: usize = memory.data(64, 8);
/** Of the last request that was answered at once: bytes of its payload, and of the bulk area. */
export let answerLength: u32 = 0;
export let answerBulk: u32 = 0;

/** False when there is no memory. */
export function callsInit(): bool {
  free = 0;
  for (let i: u32 = 0; i < CALLS; i++) {
    const at = heapAllocate(offsetof<BlockCall>());
    if (!at) return false;
    changetype<BlockCall>(at).next = free;
    free = at;
  }
  return true;
}

/** Has `fn` called for answers that come later. */
export function blockAnswers(fn: BlockAnswerFn): void {
  answerFn = changetype<usize>(fn);
}

function callTake(id: u32, operation: u32, bulk: usize): usize {
  const at = free;
  if (!at) return 0;
  const c = changetype<BlockCall>(at);
  free = c.next;
  c.id = id;
  c.operation = operation;
  c.vbd = 0;
  c.bulk = bulk;
  return at;
}

function callGive(at: usize): void {
  changetype<BlockCall>(at).next = free;
  free = at;
}

/** Ends a call, with so much of the payload. */
function callEnd(at: usize, status: i32, length: u32, bulkLength: u32): void {
  const id = changetype<BlockCall>(at).id;
  callGive(at);
  if (answerFn) changetype<BlockAnswerFn>(answerFn)(id, status, payload, length, bulkLength);
}

/** The same; with an error there is no payload. */
function callAnswer(at: usize, status: i32, length: u32, bulkLength: u32): void {
  callEnd(at, status, status == 0 ? length : 0, bulkLength);
}

/** A vbd was added, removed or disconnected, or not. */
export function callDone(at: usize, status: i32): void {
  const c = changetype<BlockCall>(at);
  const isAdd = c.operation == IO_VBD_ADD;
  if (status == 0 && isAdd) vbdProperties(changetype<Vbd>(c.vbd), payload);
  const refusal = status != 0 && isAdd ? targetRefusal : 0;
  if (refusal) {
    memory.copy(payload, refusal, VbdRefusal.SIZE);
    callEnd(at, status, VbdRefusal.SIZE, 0);
    return;
  }
  callAnswer(at, status, isAdd ? VbdProperties.SIZE : 0, 0);
}

/** A listing of disks that were still being looked at. */
function disksRun(at: usize): void {
  const c = changetype<BlockCall>(at);
  if (!disksReady(c)) return;
  const bytes = diskList(c.cursor, payload, c.bulk, c.room);
  callAnswer(at, 0, BlockListResponse.SIZE, bytes);
}

function operationDone(at: usize): void {
  const o = changetype<Operation>(at);
  if (o.kind != OPERATION_LIST) {
    callAnswer(o.cookie, o.status, 0, 0);
    return;
  }
  store<u32>(payload, o.listCursor, BlockListResponse.cursor);
  store<u32>(payload, o.listCount, BlockListResponse.count);
  callAnswer(o.cookie, o.status, BlockListResponse.SIZE, o.status == 0 ? o.listCount * VolumeEntry.SIZE : 0);
}

function formatDone(cookie: usize, status: i32): void {
  callAnswer(cookie, status, 0, 0);
}

function checkDone(at: usize, cookie: usize): void {
  const c = changetype<Check>(at);
  store<u32>(payload, c.problems, VolumeCheckResponse.problems);
  store<u32>(payload, c.volumes, VolumeCheckResponse.volumes);
  store<u32>(payload, c.chunks, VolumeCheckResponse.chunks);
  store<u32>(payload, c.blocks, VolumeCheckResponse.blocks);
  callAnswer(cookie, c.status, VolumeCheckResponse.SIZE, 0);
}

/**
 * One request.
 * @param at its payload: a copy, zeroed beyond `length`, with room for the longest one
 * @param response room for an answer's payload
 * @param bulk the area for listings, of `room` bytes
 * @returns 0 or a negative errno, with answerLength and answerBulk; or BLOCK_LATER
 */
export function blockRequest(
  operation: u32,
  id: u32,
  at: usize,
  length: u32,
  response: usize,
  bulk: usize,
  room: u32,
): i32 {
  answerLength = 0;
  answerBulk = 0;
  switch (operation) {
    case IO_DISK_LIST:
      if (!disksLooked()) return disksLater(id, at, bulk, room);
      return list(operation, at, response, bulk, room);
    case IO_VBD_LIST:
      return list(operation, at, response, bulk, room);
    case IO_VOLUME_LIST:
    case IO_VOLUME_CREATE:
    case IO_VOLUME_DELETE:
    case IO_VOLUME_RESIZE:
    case IO_VOLUME_SNAPSHOT:
      return volume(operation, id, at, bulk, room);
    case IO_VOLUME_FORMAT:
    case IO_VOLUME_CHECK:
      return disk(operation, id, at);
    case IO_VBD_ADD:
      return length < VbdAdd.SIZE ? -EINVAL : add(id, at, response);
    case IO_VBD_REMOVE:
    case IO_VBD_DISCONNECT:
      return end(operation, id, at);
    case IO_VBD_CONNECT:
      return connect(at, length, response);
    case IO_MODULE_ADD:
      return moduleAdd(at);
    case IO_MODULE_REMOVE:
      return moduleRemove(at);
    default:
      return -ENOSYS;
  }
}

/**
 * What a request is answered with while the back end has not been started, on a machine without disks: there are no vbds and no
 * volumes.
 * @returns as blockRequest; BLOCK_LATER: the back end is to be started for it
 */
export function blockWithout(operation: u32, at: usize, response: usize): i32 {
  answerLength = 0;
  answerBulk = 0;
  switch (operation) {
    case IO_DISK_LIST:
    case IO_VBD_LIST:
    case IO_VOLUME_LIST:
      store<u32>(response, 0, BlockListResponse.cursor);
      store<u32>(response, 0, BlockListResponse.count);
      answerLength = BlockListResponse.SIZE;
      return 0;
    case IO_VBD_ADD:
      return targetNeedsDisk(at + VbdAdd.target) ? -ENOENT : BLOCK_LATER;
    case IO_MODULE_ADD:
      return BLOCK_LATER;
    default:
      return -ENOENT;
  }
}

function disksLater(id: u32, at: usize, bulk: usize, room: u32): i32 {
  const call = callTake(id, IO_DISK_LIST, bulk);
  if (!call) return -EBUSY;
  const c = changetype<BlockCall>(call);
  c.room = room;
  c.cursor = load<u32>(at, BlockListRequest.cursor);
  taskInit(c, disksRun);
  taskReady(c);
  return BLOCK_LATER;
}

function list(operation: u32, at: usize, response: usize, bulk: usize, room: u32): i32 {
  const cursor = load<u32>(at, BlockListRequest.cursor);
  answerBulk =
    operation == IO_DISK_LIST ? diskList(cursor, response, bulk, room) : vbdList(cursor, response, bulk, room);
  answerLength = BlockListResponse.SIZE;
  return 0;
}

// --- Volumes -------------------------------------------------------------------------------------------------------------

function volume(operation: u32, id: u32, at: usize, bulk: usize, room: u32): i32 {
  const kind =
    operation == IO_VOLUME_LIST
      ? OPERATION_LIST
      : operation == IO_VOLUME_CREATE
        ? OPERATION_CREATE
        : operation == IO_VOLUME_DELETE
          ? OPERATION_DELETE
          : operation == IO_VOLUME_RESIZE
            ? OPERATION_RESIZE
            : OPERATION_SNAPSHOT;
  const where = load<u32>(at, VolumeCreate.disk);
  if (kind == OPERATION_CREATE && where != DISK_ANY && !storeOf(where)) return -ENOENT;
  const call = callTake(id, operation, bulk);
  if (!call) return -EBUSY;
  const taken = operationTake(kind);
  if (!taken) {
    callGive(call);
    return -EBUSY;
  }
  const o = changetype<Operation>(taken);
  if (kind == OPERATION_LIST) {
    o.list = bulk;
    o.listMost = room / VolumeEntry.SIZE;
    o.listCursor = load<u32>(at, BlockListRequest.cursor);
  } else {
    memory.copy(o.name, at, VOLUME_NAME_BYTES);
    if (kind == OPERATION_SNAPSHOT) memory.copy(o.newName, at + VolumeSnapshot.snapshot, VOLUME_NAME_BYTES);
    else if (kind != OPERATION_DELETE) o.sectors = load<u64>(at, VolumeResize.sectors);
    if (kind == OPERATION_CREATE && where != DISK_ANY) o.store = storeOf(where);
  }
  operationStart(o, operationDone, call);
  return BLOCK_LATER;
}

/** The store on a disk, if it can be used; else 0. */
function storeOf(disk: u32): usize {
  if (disk >= diskCount()) return 0;
  const s = diskInfoAt(disk).store;
  return s && changetype<Store>(s).state == STORE_READY ? s : 0;
}

function disk(operation: u32, id: u32, at: usize): i32 {
  const number = load<u32>(at, VolumeFormat.disk);
  if (number >= diskCount()) return -ENOENT;
  const call = callTake(id, operation, 0);
  if (!call) return -EBUSY;
  let rc: i32;
  if (operation == IO_VOLUME_FORMAT) {
    const flags = load<u32>(at, VolumeFormat.flags);
    const uuid = at + VolumeFormat.uuid;
    rc = diskFormatStart(diskInfoAt(number), flags, load<u64>(uuid), load<u64>(uuid, 8), formatDone, call);
  } else {
    const s = storeOf(load<u32>(at, VolumeCheck.disk));
    rc = s ? checkStart(changetype<Store>(s), checkDone, call) : -ENOENT;
  }
  if (rc == 0) return BLOCK_LATER;
  callGive(call);
  return rc;
}

// --- Vbds ----------------------------------------------------------------------------------------------------------------

function add(id: u32, at: usize, response: usize): i32 {
  const domid = load<u32>(at, VbdAdd.domid);
  const vdev = load<u32>(at, VbdAdd.vdev);
  const model = load<u32>(at, VbdAdd.model);
  const writable = (load<u32>(at, VbdAdd.flags) & VBD_WRITABLE) != 0;
  if (model != VBD_MODEL_NOXS && model != VBD_MODEL_XENBUS) return -EINVAL;
  if (domid >= 0x7ff0) return -EINVAL;
  const known = vbdFind(domid, vdev);
  const same = known != 0 && isSame(changetype<Vbd>(known), at, model, writable);
  if (same && changetype<Vbd>(known).ready) {
    vbdProperties(changetype<Vbd>(known), response);
    answerLength = VbdProperties.SIZE;
    return 0;
  }
  const call = callTake(id, IO_VBD_ADD, 0);
  if (!call) return -EBUSY;
  if (same && vbdAwait(changetype<Vbd>(known), call)) {
    changetype<BlockCall>(call).vbd = known;
    return BLOCK_LATER;
  }
  const rc = vbdAdd(domid, vdev, model, writable, at + VbdAdd.target, call);
  if (rc != 0) {
    callGive(call);
    return rc;
  }
  changetype<BlockCall>(call).vbd = vbdFind(domid, vdev);
  return BLOCK_LATER;
}

/** Whether a vbd that is there is what is asked for: domain 0 asks again after a restart. */
function isSame(v: Vbd, at: usize, model: u32, writable: bool): bool {
  if (v.removing || v.stable.model != model || (v.stable.writable != 0) != writable) return false;
  for (let i: u32 = 0; i < VBD_TARGET_BYTES; i++) {
    const c = load<u8>(at + VbdAdd.target + i);
    if (load<u8>(stableTarget(v.stable) + i) != c) return false;
    if (!c) return true;
  }
  return true;
}

function end(operation: u32, id: u32, at: usize): i32 {
  const found = vbdFind(load<u32>(at, VbdKey.domid), load<u32>(at, VbdKey.vdev));
  if (!found) return -ENOENT;
  const v = changetype<Vbd>(found);
  if (v.call || v.removing) return -EBUSY;
  const call = callTake(id, operation, 0);
  if (!call) return -EBUSY;
  if (operation == IO_VBD_REMOVE) vbdRemove(v, call);
  else vbdDisconnect(v, call);
  return BLOCK_LATER;
}

function connect(at: usize, length: u32, response: usize): i32 {
  const found = vbdFind(load<u32>(at, VbdConnect.domid), load<u32>(at, VbdConnect.vdev));
  if (!found) return -ENOENT;
  const v = changetype<Vbd>(found);
  const s = v.stable;
  const rings = load<u32>(at, VbdConnect.rings);
  const order = load<u32>(at, VbdConnect.order);
  if (s.model != VBD_MODEL_XENBUS || rings == 0 || rings > VBD_RINGS_MAX || order > VBD_RING_ORDER_MAX) return -EINVAL;
  if (length < VbdConnect.SIZE + rings * (4 + (4 << order))) return -EINVAL;
  if (v.removing || v.disconnecting) return -EBUSY;
  if (s.connected) return -EISCONN;
  s.rings = rings;
  s.order = order;
  s.protocol = load<u32>(at, VbdConnect.protocol);
  s.features = load<u32>(at, VbdConnect.features);
  let from = at + VbdConnect.SIZE;
  for (let i: u32 = 0; i < rings; i++) {
    stableRing(s, i).port = load<u32>(from);
    memory.copy(ringRef(stableRing(s, i), 0), from + 4, 4 << order);
    from += 4 + (4 << order);
  }
  s.failure = vbdConnect(v, false);
  if (s.failure) return -EIO;
  activate(v);
  vbdProperties(v, response);
  answerLength = VbdProperties.SIZE;
  return 0;
}
