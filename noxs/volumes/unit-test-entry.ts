/**
 * Entry of the volumes' unit tests (test/unit/io/block): the folder as the module has it, over disks whose driver is TypeScript in
 * Node, and clients of volumes that Node speaks for. Not part of io.wasm.
 */
import {
  BlockDevice,
  blockDone,
  blockReady,
  blockRegister,
  BlockRequest,
  blockSubmit,
  blockTaken,
} from "../../drivers/block";
import { dmaAllocate, dmaMachine } from "../../drivers/host/dma";
import { heapAllocate } from "../../drivers/host/heap";
import { systemTime } from "../../drivers/host/host";
import { timersNext, timersRun } from "../../drivers/host/timer";
import { pollRun, pollWaiting } from "../../drivers/poll";
import { segmentSet, Segment } from "../../drivers/segment";
import { bounceFree } from "./disks/bounce";
import { cacheEnter, cacheLeave } from "./store/cache";
import { Check, checkStart } from "./store/check";
import { crc32, crc32c } from "./disks/checksum";
import { diskFormatStart } from "./disk-format";
import { diskCount, diskInfoAt, disksLooked } from "./disk-list";
import { Operation, operationStart, operationTake, OPERATION_LIST } from "./operation";
import { opened, volumeClose, volumeOpen } from "./open";
import { piecesFree } from "./piece";
import { Store, storeAt, STORE_READY } from "./store/store";
import { Task, taskInit, taskReady, WAIT } from "./disks/task";
import { commitStart } from "./store/transaction";
import { transfersFree } from "./volume-io";
import { Volume } from "./store/volume";
import { volumesInit } from "./volumes";

/** A request to a disk: 0, or a negative errno. */
@external("unit", "submit") declare function unitSubmit(
  disk: u32,
  request: usize,
  operation: u32,
  sector: f64,
  sectors: u32,
  flags: u32,
  segments: usize,
  count: u32,
): i32;
/** A client's request, operation or check is done. */
@external("unit", "done") declare function unitDone(cookie: u32, status: i32, value: u32): void;

export { crc32, crc32c, dmaAllocate, heapAllocate, bounceFree, piecesFree, transfersFree, volumesInit, disksLooked };

// --- Disks ---------------------------------------------------------------------------------------------------------------

@unmanaged
class UnitDisk extends BlockDevice {
  index: u32;
}

function submit(device: usize, request: usize): i32 {
  const d = changetype<UnitDisk>(device);
  const r = changetype<BlockRequest>(request);
  const rc = unitSubmit(d.index, request, r.operation, <f64>r.sector, r.sectors, r.flags, r.segments, r.count);
  if (rc == 0) blockTaken(d, r);
  else d.refused = 1;
  return rc;
}

function kick(_device: usize): void {}

/** Adds a disk; before volumesInit. Its address. */
export function diskPlug(
  index: u32,
  sectors: f64,
  sectorSize: u32,
  features: u32,
  readOnly: u32,
  segmentsMax: u32,
  sectorsMax: u32,
): usize {
  const d = changetype<UnitDisk>(heapAllocate(offsetof<UnitDisk>()));
  d.index = index;
  d.sectors = <u64>sectors;
  d.sectorSize = sectorSize;
  d.physicalSectorSize = sectorSize;
  d.features = features;
  d.readOnly = readOnly;
  d.segmentsMax = segmentsMax;
  d.segmentBytesMax = 65536;
  d.sectorsMax = sectorsMax;
  d.discardSectorsMax = 65536;
  d.depth = 64;
  d.submitFn = changetype<usize>(submit);
  d.kickFn = changetype<usize>(kick);
  blockRegister(d);
  return changetype<usize>(d);
}

export function diskDone(device: usize, request: usize, status: i32): void {
  blockDone(changetype<BlockDevice>(device), changetype<BlockRequest>(request), status);
}

export function diskReady(device: usize): void {
  blockReady(changetype<BlockDevice>(device));
}

// --- Turns ---------------------------------------------------------------------------------------------------------------

/** One turn; whether there is more to do at once. */
export function turn(budget: u32): bool {
  timersRun(systemTime());
  pollRun(budget);
  return pollWaiting();
}

export function deadline(): f64 {
  const next = timersNext();
  return next == u64.MAX_VALUE ? -1 : <f64>next;
}

// --- Clients -------------------------------------------------------------------------------------------------------------

@unmanaged
class OpenTask extends Task {
  name: usize;
  write: u32;
  cookie: u32;
  store: u32;
}

function openRun(task: usize): void {
  const t = changetype<OpenTask>(task);
  if (!cacheEnter(t)) return;
  const rc = volumeOpen(t, storeAt(t.store), t.name, t.write != 0);
  if (rc == WAIT) return;
  cacheLeave(t);
  unitDone(t.cookie, rc, rc == 0 ? <u32>opened : 0);
}

/** Opens a volume of a store; `unitDone` is told the device. */
export function open(store: u32, name: usize, write: u32, cookie: u32): void {
  const t = changetype<OpenTask>(heapAllocate(offsetof<OpenTask>()));
  taskInit(t, openRun);
  t.name = name;
  t.write = write;
  t.cookie = cookie;
  t.store = store;
  taskReady(t);
}

export function close(volume: usize, write: u32): void {
  volumeClose(changetype<Volume>(volume), write != 0);
}

export function sectorsOf(volume: usize): f64 {
  return <f64>changetype<BlockDevice>(volume).sectors;
}

function requestDone(request: usize, status: i32): void {
  unitDone(<u32>changetype<BlockRequest>(request).cookie, status, 0);
}

/** Makes a request with room for `segments` segments, to be used again and again. */
export function requestMake(segments: u32): usize {
  const r = changetype<BlockRequest>(heapAllocate(offsetof<BlockRequest>()));
  r.segments = heapAllocate(segments * offsetof<Segment>());
  return changetype<usize>(r);
}

/** Submits a request whose data is at `linear`, DMA memory, in segments of `part` bytes. */
export function request(
  device: usize,
  at: usize,
  operation: u32,
  sector: f64,
  sectors: u32,
  flags: u32,
  linear: usize,
  part: u32,
  cookie: u32,
): i32 {
  const r = changetype<BlockRequest>(at);
  r.operation = operation;
  r.sector = <u64>sector;
  r.sectors = sectors;
  r.flags = flags;
  r.count = 0;
  if (operation < 2) {
    for (let done: u32 = 0; done < sectors << 9;) {
      const bytes = min(part, (sectors << 9) - done);
      segmentSet(r.segments, r.count++, dmaMachine(linear + done), linear + done, bytes);
      done += bytes;
    }
  }
  r.done = changetype<usize>(requestDone);
  r.cookie = cookie;
  return blockSubmit(changetype<BlockDevice>(device), r);
}

// --- Operations ----------------------------------------------------------------------------------------------------------

function operationDone(at: usize): void {
  const o = changetype<Operation>(at);
  unitDone(<u32>o.cookie, o.status, o.kind == OPERATION_LIST ? o.listCount : 0);
}

let listCursor: u32 = 0;
function listDone(at: usize): void {
  listCursor = changetype<Operation>(at).listCursor;
  operationDone(at);
}

/** Starts an operation; names are 64 bytes each, NUL-padded. */
export function operate(kind: u32, store: u32, name: usize, newName: usize, sectors: f64, cookie: u32): bool {
  const at = operationTake(kind);
  if (!at) return false;
  const o = changetype<Operation>(at);
  if (store < 4) o.store = changetype<usize>(storeAt(store));
  memory.copy(o.name, name, 64);
  memory.copy(o.newName, newName, 64);
  o.sectors = <u64>sectors;
  operationStart(o, operationDone, cookie);
  return true;
}

/** Lists volumes into `list` from `cursor` on. */
export function list(cursor: u32, to: usize, most: u32, cookie: u32): void {
  const o = changetype<Operation>(operationTake(OPERATION_LIST));
  o.list = to;
  o.listMost = most;
  o.listCursor = cursor;
  operationStart(o, listDone, cookie);
}
export function listNext(): u32 {
  return listCursor;
}

function formatDone(cookie: usize, status: i32): void {
  unitDone(<u32>cookie, status, 0);
}
export function format(disk: u32, flags: u32, uuid0: u64, uuid1: u64, cookie: u32): i32 {
  return diskFormatStart(diskInfoAt(disk), flags, uuid0, uuid1, formatDone, cookie);
}

function checkDone(at: usize, cookie: usize): void {
  const c = changetype<Check>(at);
  unitDone(<u32>cookie, c.status, c.problems);
}
export function check(store: u32, cookie: u32): i32 {
  return checkStart(storeAt(store), checkDone, cookie);
}

export function commit(store: u32): void {
  commitStart(storeAt(store));
}

/** What is known of a store, by number of the question. */
export function storeFact(store: u32, question: u32): f64 {
  const s: Store = storeAt(store);
  switch (question) {
    case 0:
      return s.state == STORE_READY ? 1 : 0;
    case 1:
      return <f64>s.generation;
    case 2:
      return <f64>s.freeChunks;
    case 3:
      return <f64>s.freeBlocks;
    case 4:
      return <f64>s.dataChunks;
    case 5:
      return <f64>s.jobs;
    case 6:
      return <f64>s.reason;
    case 7:
      return <f64>s.reservedCount;
    case 8:
      return <f64>s.metadataPromised;
    case 9:
      return <f64>s.failed;
    case 10:
      return <f64>s.commitPhase;
    case 11:
      return <f64>s.volumes;
    case 12:
      return <f64>s.dataStart;
    case 13:
      return <f64>s.metadataStart;
    default:
      return <f64>s.metadataBlocks;
  }
}

/** Of a disk: 0 not looked at, 1 no partition table, 2 one, 4 the second one; and the errno of its store times 8, negative. */
export function diskFact(disk: u32): i32 {
  const info = diskInfoAt(disk);
  if (disk >= diskCount() || !info.looked) return 0;
  return info.table ? (info.second ? 4 : 2) + (info.storeReason << 3) : 1;
}
