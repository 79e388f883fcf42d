/**
 * Requests of a virtio disk (virtio 1.1, 5.2.6): a header, the data, a status byte.
 *
 * Virtio has no FUA: such a write is followed by a flush, if the disk has a cache at all, and is done with it.
 */
import { EAGAIN, EIO, EOPNOTSUPP } from "../../abi/errno";
import {
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
  VirtioBlkDiscardWriteZeroes,
  VirtioBlkOuthdr,
} from "../../abi/io/virtio-blk";
import {
  BLOCK_DISCARD,
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_READ,
  BLOCK_UNMAP,
  BLOCK_WRITE,
  blockDone,
  BlockRequest,
  blockTaken,
} from "../block";
import { dmaMachine } from "../host/dma";
import { read8, write32, write64, write8 } from "../host/host";
import { pollEnter } from "../poll";
import { Segment, segmentSet } from "../segment";
import {
  BLK_FINE,
  blkCheckQueue,
  diskOf,
  queueAt,
  ringOf,
  VIRTIO_BLK_SLOT_BYTES,
  VIRTIO_BLK_SLOT_RANGE,
  VIRTIO_BLK_SLOT_STATUS,
  VirtioBlk,
  VirtioBlkQueue,
  workOf,
} from "./blk-device";
import {
  virtqueueAdd,
  virtqueueDrain,
  virtqueueHasRoom,
  virtqueueKick,
  virtqueueNextSlot,
  virtqueueTake,
} from "./queue";

// BlockRequest.phase
const PHASE_REQUEST: u32 = 0;
const PHASE_FLUSH: u32 = 1; // the flush after a write with FUA

/** No status that a device writes. */
const STATUS_NONE: u32 = 0xff;

/** Segment[]: the chain being built; header, data, status. */
const chain: usize = memory.data((128 + 2) * 16);

/** Segments of the chain for a request. */
function chainLength(r: BlockRequest): u32 {
  if (r.operation == BLOCK_READ || r.operation == BLOCK_WRITE) return r.count + 2;
  return r.operation == BLOCK_FLUSH ? 2 : 3;
}

/** Writes the header for a slot and puts it first into the chain. */
function putHeader(at: usize, type: u32, sector: u64): void {
  write32(at + VirtioBlkOuthdr.type, type);
  write32(at + VirtioBlkOuthdr.ioprio, 0);
  write64(at + VirtioBlkOuthdr.sector, sector);
  write8(at + VIRTIO_BLK_SLOT_STATUS, STATUS_NONE);
  segmentSet(chain, 0, dmaMachine(at), at, VirtioBlkOuthdr.SIZE);
}

/** Puts the status byte at the chain's end. */
function putStatus(at: usize, index: u32): void {
  segmentSet(chain, index, dmaMachine(at) + VIRTIO_BLK_SLOT_STATUS, at + VIRTIO_BLK_SLOT_STATUS, 1);
}

/** Adds a request to a queue that has room for it. */
function add(q: VirtioBlkQueue, r: BlockRequest): void {
  const ring = ringOf(q);
  const at = q.headers + <usize>virtqueueNextSlot(ring) * VIRTIO_BLK_SLOT_BYTES;
  const cookie = changetype<usize>(r);
  if (r.operation == BLOCK_FLUSH || r.phase == PHASE_FLUSH) {
    putHeader(at, VIRTIO_BLK_T_FLUSH, 0);
    putStatus(at, 1);
    virtqueueAdd(ring, chain, 1, 2, cookie);
    return;
  }
  if (r.operation == BLOCK_READ || r.operation == BLOCK_WRITE) {
    const write = r.operation == BLOCK_WRITE;
    putHeader(at, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, r.sector);
    memory.copy(chain + offsetof<Segment>(), r.segments, <usize>r.count * offsetof<Segment>());
    putStatus(at, r.count + 1);
    virtqueueAdd(ring, chain, write ? r.count + 1 : 1, r.count + 2, cookie);
    return;
  }
  const range = at + VIRTIO_BLK_SLOT_RANGE;
  const discard = r.operation == BLOCK_DISCARD;
  putHeader(at, discard ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES, 0);
  write64(range + VirtioBlkDiscardWriteZeroes.sector, r.sector);
  write32(range + VirtioBlkDiscardWriteZeroes.num_sectors, r.sectors);
  const unmap = !discard && (r.flags & BLOCK_UNMAP) != 0;
  write32(range + VirtioBlkDiscardWriteZeroes.flags, unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
  segmentSet(chain, 1, dmaMachine(range), range, VirtioBlkDiscardWriteZeroes.SIZE);
  putStatus(at, 2);
  virtqueueAdd(ring, chain, 2, 3, cookie);
}

/** A flush for a disk that caches nothing, and has no such request: it is done in the next turn. */
function doneLater(b: VirtioBlk, r: BlockRequest): void {
  r.link = b.flushed;
  b.flushed = changetype<usize>(r);
  pollEnter(workOf(b));
}

/** Ends the flushes that doneLater has kept. */
export function blkFlushed(b: VirtioBlk): void {
  while (b.flushed) {
    const r = changetype<BlockRequest>(b.flushed);
    b.flushed = r.link;
    blockDone(b, r, 0);
  }
}

/** SubmitFn: the request was checked by blockSubmit. */
export function blkSubmit(device: usize, requestAt: usize): i32 {
  const b = changetype<VirtioBlk>(device);
  const r = changetype<BlockRequest>(requestAt);
  const length = chainLength(r);
  if (b.fault == BLK_FINE) {
    for (let i: u32 = 0; i < b.queueCount; i++) {
      const q = queueAt(b, b.queueNext);
      if (++b.queueNext >= b.queueCount) b.queueNext = 0;
      if (!virtqueueHasRoom(ringOf(q), length)) continue;
      r.phase = PHASE_REQUEST;
      blockTaken(b, r);
      if (r.operation == BLOCK_FLUSH && !b.flush) doneLater(b, r);
      else add(q, r);
      return 0;
    }
  }
  b.refused = 1;
  return -EAGAIN;
}

/** BlockKickFn: tells the disk of the requests added. */
export function blkKick(device: usize): void {
  const b = changetype<VirtioBlk>(device);
  if (b.fault != BLK_FINE) return;
  for (let i: u32 = 0; i < b.queueCount; i++) virtqueueKick(ringOf(queueAt(b, i)));
}

function statusOf(status: u32): i32 {
  if (status == VIRTIO_BLK_S_OK) return 0;
  return status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
}

/** Ends a request that the disk has answered, or goes on with its flush. */
function answered(q: VirtioBlkQueue, r: BlockRequest, status: i32): void {
  const b = diskOf(q);
  const writes = r.operation != BLOCK_FLUSH && r.operation != BLOCK_READ && r.operation != BLOCK_DISCARD;
  if (status == 0 && writes && r.flags & BLOCK_FUA && b.flush && r.phase == PHASE_REQUEST) {
    // What the request took is free again and enough.
    r.phase = PHASE_FLUSH;
    add(q, r);
    return;
  }
  blockDone(b, r, status);
}

/**
 * Takes up to `budget` answers.
 * @returns how many were taken
 */
export function blkAnswers(q: VirtioBlkQueue, budget: u32): u32 {
  const ring = ringOf(q);
  let taken: u32 = 0;
  for (; taken < budget; taken++) {
    const slot = virtqueueTake(ring);
    if (slot < 0) break;
    const at = q.headers + <usize>slot * VIRTIO_BLK_SLOT_BYTES;
    answered(q, changetype<BlockRequest>(ring.takenCookie), statusOf(read8(at + VIRTIO_BLK_SLOT_STATUS)));
  }
  blkCheckQueue(diskOf(q), ring);
  if (taken != 0 && diskOf(q).fault == BLK_FINE) virtqueueKick(ring);
  return taken;
}

/** The disk was reset: every request that it had is done with `status`. */
export function blkDrain(q: VirtioBlkQueue, status: i32): void {
  const ring = ringOf(q);
  while (virtqueueDrain(ring) >= 0) blockDone(diskOf(q), changetype<BlockRequest>(ring.takenCookie), status);
}
