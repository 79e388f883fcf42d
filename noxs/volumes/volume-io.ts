/**
 * Requests to a volume: split into pieces (piece-run.ts), and done when all of them are. A flush makes durable what was written
 * before it, and what the volume's tree says of that.
 */
import { EAGAIN } from "../../abi/errno";
import { BLOCK_BYTES, BLOCK_SECTORS, CHUNK_SECTORS } from "../../abi/io/volume-format";
import {
  BLOCK_CAN_DISCARD,
  BLOCK_DISCARD,
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_HAS_CACHE,
  blockReady,
  BlockRequest,
  blockTaken,
  blockDone,
} from "../../drivers/block";
import { heapAllocate } from "../../drivers/host/heap";
import { diskFlush } from "./disks/disk";
import { Piece, pieceOffer, pieceTake } from "./piece";
import { pieceRun } from "./piece-run";
import { taskError, taskInit, taskReady } from "./disks/task";
import { flushJoin } from "./store/transaction";
import { Transfer } from "./transfer";
import { Volume } from "./store/volume";

/** Requests of all volumes at once. */
export const TRANSFERS_MAX: u32 = 1024;

let free: usize = 0;
let freeCount: u32 = 0;
/** Volumes whose clients were refused, linked by `next`. */
let refused: usize = 0;

/** Allocates the transfers; false when there is no memory. */
export function transfersInit(): bool {
  for (let i: u32 = 0; i < TRANSFERS_MAX; i++) {
    const at = heapAllocate(offsetof<Transfer>());
    if (!at) return false;
    const t = changetype<Transfer>(at);
    t.io = changetype<BlockRequest>(heapAllocate(offsetof<BlockRequest>()));
    if (!changetype<usize>(t.io)) return false;
    t.link = free;
    free = at;
    freeCount++;
  }
  return true;
}

/** Transfers that are not in use. */
export function transfersFree(): u32 {
  return freeCount;
}

/** Fills in what makes a volume a disk to its clients. */
export function volumeDevice(v: Volume): void {
  v.features = BLOCK_CAN_DISCARD | BLOCK_HAS_CACHE;
  v.state = 0;
  v.segmentsMax = 512;
  v.segmentBytesMax = 0x100000;
  v.sectorsMax = 0x10000;
  v.discardSectorsMax = 0x40000000;
  v.discardAlignment = BLOCK_SECTORS;
  v.depth = 256;
  v.physicalSectorSize = BLOCK_BYTES;
  v.submitFn = changetype<usize>(volumeSubmit);
  v.kickFn = changetype<usize>(volumeKick);
}

function volumeKick(_device: usize): void {}

function volumeSubmit(device: usize, request: usize): i32 {
  const v = changetype<Volume>(device);
  const at = free;
  if (!at) {
    if (!v.refused) {
      v.refused = 1;
      v.next = refused;
      refused = device;
    }
    return -EAGAIN;
  }
  const t = changetype<Transfer>(at);
  const r = changetype<BlockRequest>(request);
  free = t.link;
  freeCount--;
  blockTaken(v, r);
  taskInit(t, r.operation == BLOCK_FLUSH ? flushBegin : transferRun);
  t.volume = v;
  t.request = r;
  t.cursor = 0;
  t.pieces = 0;
  t.starting = 0;
  t.pumping = 0;
  t.status = 0;
  changetype<(task: usize) => void>(t.fn)(at);
  return 0;
}

/** Ends a request. */
function complete(t: Transfer, status: i32): void {
  const v = t.volume;
  const r = t.request;
  t.link = free;
  free = changetype<usize>(t);
  freeCount++;
  blockDone(v, r, status);
  if (!refused || freeCount < TRANSFERS_MAX / 8) return;
  const waiting = changetype<Volume>(refused);
  refused = waiting.next;
  blockReady(waiting);
}

// --- Reads, writes, discards ---------------------------------------------------------------------------------------------

/** Starts pieces as long as it can, and ends the request after the last one. */
function transferRun(task: usize): void {
  const t = changetype<Transfer>(task);
  const r = t.request;
  t.pumping = 1;
  while (t.cursor < r.sectors && !t.starting) {
    const at = pieceTake(t, t.volume, pieceRun);
    if (!at) {
      t.pumping = 0;
      return;
    }
    const p = changetype<Piece>(at);
    p.transfer = task;
    p.offset = t.cursor;
    p.first = <u32>((r.sector + t.cursor) / CHUNK_SECTORS);
    p.last = p.first;
    p.exclusive = r.operation == BLOCK_DISCARD ? 1 : 0;
    t.starting = 1;
    t.pieces++;
    pieceRun(at);
  }
  t.pumping = 0;
  pieceOffer();
  if (t.cursor < r.sectors || t.pieces) return;
  // Not from within a call of the client: from a turn.
  t.fn = changetype<usize>(transferEnd);
  taskReady(t);
}

function transferEnd(task: usize): void {
  const t = changetype<Transfer>(task);
  if (t.status == 0 && t.request.flags & BLOCK_FUA) {
    flushBegin(task);
    return;
  }
  complete(t, t.status);
}

// --- Flushes -------------------------------------------------------------------------------------------------------------

function flushBegin(task: usize): void {
  const t = changetype<Transfer>(task);
  t.until = t.volume.transaction;
  t.covered = 0;
  t.fn = changetype<usize>(flushRun);
  flushRun(task);
}

function flushRun(task: usize): void {
  const t = changetype<Transfer>(task);
  const s = t.volume.store;
  const error = taskError(t);
  if (error) {
    complete(t, error);
    return;
  }
  if (t.until > s.generation) {
    t.covered = flushJoin(t, s) ? 1 : 0;
    return;
  }
  if (t.covered) {
    complete(t, 0);
    return;
  }
  diskFlush(s.disk, t.io, flushDone, task);
}

function flushDone(request: usize, status: i32): void {
  complete(changetype<Transfer>(changetype<BlockRequest>(request).cookie), status);
}
