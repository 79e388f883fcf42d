/**
 * How a piece is served. Reads and overwriting writes go straight to the disk; a write to a chunk that is not there, or not the
 * volume's own, goes to a new one, which takes the place of the old one in the volume's tree when its data is on the disk. So
 * whatever a crash interrupts, a sector is what it was before or what was written.
 */
import { EFAULT, EINVAL, ENOSPC } from "../../abi/errno";
import { BLOCK_SECTORS, CHUNK_SECTORS } from "../../abi/io/volume-format";
import { BLOCK_READ, BLOCK_SECTOR_SHIFT, BLOCK_WRITE, BlockRequest } from "../../drivers/block";
import { dmaAllocate, dmaMachine } from "../../drivers/host/dma";
import { segmentSet } from "../../drivers/segment";
import { bounceGive, bounceMachine, bounceTake, bounceWait } from "./disks/bounce";
import { cacheEnter, cacheLeave } from "./store/cache";
import { diskSubmit } from "./disks/disk";
import {
  becomeExclusive,
  mayExtend,
  Piece,
  PIECE_COPY,
  pieceGive,
  PIECE_LOCK,
  PIECE_LOOK,
  PIECE_MARK,
  PIECE_MOVE,
  PIECE_SEGMENTS,
  rightOfWay,
} from "./piece";
import { slice, sliceBytes, sliceCount, sliceZero } from "./disks/slice";
import { blocksPromise, blocksPromiseEnd, chunkReserve, chunkReserveEnd, reservedChunk } from "./store/space";
import { CHANGE_BLOCKS, RESERVED_MAX, sectorOf } from "./store/store";
import { commitAndWait } from "./store/transaction";
import { taskWait, taskWakeAll, taskWakeOne, WAIT } from "./disks/task";
import { mapAbsent, mapBirth, mapGet, mapMask, mapNext, mapOwn, mapSet, mapTarget } from "./store/tree";
import { Transfer, transferGoOn, transferPieceDone } from "./transfer";

/** 4 KiB of zeroes that disks can read. */
let zeroes: usize = 0;
let zeroesMachine: u64 = 0;

/** Before anything else of this file; false when there is no memory. */
export function pieceRunInit(): bool {
  zeroes = dmaAllocate(1);
  if (zeroes) zeroesMachine = dmaMachine(zeroes);
  return zeroes != 0;
}

/** Runs a piece as far as it gets. */
export function pieceRun(at: usize): void {
  const p = changetype<Piece>(at);
  if (p.step == PIECE_LOCK) {
    if (!rightOfWay(p)) return;
    p.step = PIECE_LOOK;
  }
  if (p.step == PIECE_LOOK) {
    const operation = requestOf(p).operation;
    if (operation == BLOCK_READ) lookRead(p);
    else if (operation == BLOCK_WRITE) lookWrite(p);
    else lookDiscard(p);
  } else if (p.step == PIECE_MARK) {
    mark(p);
  }
}

function requestOf(p: Piece): BlockRequest {
  return changetype<Transfer>(p.transfer).request;
}

/** First sector of the piece within its first chunk. */
function startOf(p: Piece): u32 {
  return <u32>((requestOf(p).sector + p.offset) % CHUNK_SECTORS);
}

/** Sectors from the piece's begin to the end of the request. */
function rest(p: Piece): u32 {
  return requestOf(p).sectors - p.offset;
}

/** Sectors from the piece's begin to the end of its first chunk or of the request. */
function inChunk(p: Piece): u32 {
  return min(rest(p), CHUNK_SECTORS - startOf(p));
}

/** Bits of the blocks that `sectors` sectors from `start` on touch, and of those that they cover. */
function touchedBits(start: u32, sectors: u32): u32 {
  const first = start / BLOCK_SECTORS;
  const last = (start + sectors - 1) / BLOCK_SECTORS;
  return ((2 << (last - first)) - 1) << first;
}
function coveredBits(start: u32, sectors: u32): u32 {
  const first = (start + BLOCK_SECTORS - 1) / BLOCK_SECTORS;
  const end = (start + sectors) / BLOCK_SECTORS;
  return end > first ? ((1 << (end - first)) - 1) << first : 0;
}

/** Says how far the piece goes; the next one can start. */
function extent(p: Piece, sectors: u32): void {
  p.sectors = sectors;
  transferGoOn(changetype<Transfer>(p.transfer), sectors);
}

/** The piece is done. */
function finish(p: Piece, status: i32): void {
  const v = p.volume;
  const s = v.store;
  const undecided = p.sectors == 0;
  cacheLeave(p);
  if (p.reserved) chunkReserveEnd(s, p.reserved, false);
  if (p.promised) blocksPromiseEnd(s, p.promised);
  if (p.bounce) bounceGive(p.bounce);
  // It may have been woken to reserve a chunk, and not have done it.
  if (s.reservedCount < RESERVED_MAX) taskWakeOne(s.reserveWaiters);
  if (p.counted && --v.writing == 0) taskWakeAll(v.quietWaiters, 0);
  const t = changetype<Transfer>(p.transfer);
  pieceGive(p);
  transferPieceDone(t, status, undecided);
}

/** Submits the piece's segments, the first `count`, for the sectors of the store from `sector` on. */
function submit(p: Piece, operation: u32, sector: u64, sectors: u32, count: u32): void {
  const r = p.io;
  r.operation = operation;
  r.flags = 0;
  r.sector = sector;
  r.sectors = sectors;
  r.segments = p.segments;
  r.count = count;
  r.done = changetype<usize>(moved);
  r.cookie = changetype<usize>(p);
  diskSubmit(p.volume.store.disk, r);
}

/** Sector on the disk of a sector of a chunk. */
function sectorIn(p: Piece, chunk: u32, sector: u32): u64 {
  return sectorOf(p.volume.store, 0) + <u64>chunk * CHUNK_SECTORS + sector;
}

/** Segments that a transfer to or from the disk may have, of which `extra` are not the client's. */
function segmentsMost(p: Piece, extra: u32): u32 {
  return min(PIECE_SEGMENTS, p.volume.store.disk.device.segmentsMax) - extra;
}

/**
 * Puts the client's segments for the piece into its list, which has `count` already.
 * @returns sectors that fit: whole ones of the disk, no more than it takes at once; 0 when not even one does
 */
function take(p: Piece, sectors: u32, count: u32, extra: u32): u32 {
  const device = p.volume.store.disk.device;
  const most = min(sectors, device.sectorsMax);
  slice(
    requestOf(p).segments,
    p.offset << BLOCK_SECTOR_SHIFT,
    most << BLOCK_SECTOR_SHIFT,
    p.segments,
    count,
    segmentsMost(p, extra) + count,
  );
  const unit = device.sectorSize - 1;
  const bytes = sliceBytes & ~unit;
  // Segments are whole sectors of the disk: where the list ends early, it ends with one.
  return bytes == sliceBytes ? bytes >> BLOCK_SECTOR_SHIFT : 0;
}

/** The transfer is over. */
function moved(request: usize, status: i32): void {
  const p = changetype<Piece>(changetype<BlockRequest>(request).cookie);
  if (status != 0) {
    finish(p, status);
  } else if (p.step == PIECE_COPY) {
    copied(p);
  } else if (requestOf(p).operation == BLOCK_READ && p.done < p.sectors) {
    readOn(p);
  } else if (p.change) {
    p.step = PIECE_MARK;
    mark(p);
  } else {
    finish(p, 0);
  }
}

// --- Reads ---------------------------------------------------------------------------------------------------------------

function lookRead(p: Piece): void {
  if (!cacheEnter(p)) return;
  const rc = mapGet(p, p.volume, p.first);
  if (rc == WAIT) return;
  if (rc != 0) {
    finish(p, rc);
    return;
  }
  const start = startOf(p);
  const bits = touchedBits(start, inChunk(p));
  if (!mapTarget || !(mapMask & bits)) {
    const there = mapTarget ? inChunk(p) : <u32>min<u64>(rest(p), <u64>mapAbsent * CHUNK_SECTORS - start);
    const zeroed = sliceZero(requestOf(p).segments, p.offset << BLOCK_SECTOR_SHIFT, there << BLOCK_SECTOR_SHIFT);
    extent(p, there);
    finish(p, zeroed ? 0 : -EFAULT);
    return;
  }
  p.target = mapTarget;
  p.mask = mapMask;
  if ((mapMask & bits) != bits) {
    cacheLeave(p);
    p.step = PIECE_MOVE;
    extent(p, inChunk(p));
    readOn(p);
    return;
  }
  const sectors = take(p, extendable(p, false), 0, 0);
  cacheLeave(p);
  if (!sectors) {
    finish(p, -EINVAL);
    return;
  }
  overwrite(p, BLOCK_READ, sectors);
}

/** Submits a piece that goes straight to or from where its chunks are. */
function overwrite(p: Piece, operation: u32, sectors: u32): void {
  p.step = PIECE_MOVE;
  p.done = sectors;
  p.last = <u32>((requestOf(p).sector + p.offset + sectors - 1) / CHUNK_SECTORS);
  extent(p, sectors);
  submit(p, operation, sectorIn(p, p.target, startOf(p)), sectors, sliceCount);
}

/** Sectors that the piece can have straight away: of its first chunk, and of those after it that follow on the disk and are as good. */
function extendable(p: Piece, write: bool): u32 {
  let sectors = inChunk(p);
  let target = p.target;
  while (sectors < rest(p) && mayExtend(p)) {
    const chunk = p.last + 1;
    // One that is in another leaf is left to another piece: this one must not wait now.
    if (!mapNext(p.volume, chunk) || mapTarget != target + 1) break;
    const more = min(rest(p) - sectors, CHUNK_SECTORS);
    const bits = touchedBits(0, more);
    if ((mapMask & bits) != bits || (write && !mapOwn(p.volume, chunk))) break;
    target++;
    p.last++;
    sectors += more;
  }
  return sectors;
}

/** Reads on where some blocks were never written: run by run. */
function readOn(p: Piece): void {
  const start = startOf(p);
  const offset = p.offset;
  while (p.done < p.sectors) {
    const at = start + p.done;
    const there = (p.mask >> (at / BLOCK_SECTORS)) & 1;
    let end = at;
    while (end < start + p.sectors && ((p.mask >> (end / BLOCK_SECTORS)) & 1) == there) {
      end = min((end / BLOCK_SECTORS + 1) * BLOCK_SECTORS, start + p.sectors);
    }
    if (!there) {
      const from = (offset + p.done) << BLOCK_SECTOR_SHIFT;
      if (!sliceZero(requestOf(p).segments, from, (end - at) << BLOCK_SECTOR_SHIFT)) {
        finish(p, -EFAULT);
        return;
      }
      p.done += end - at;
      continue;
    }
    p.offset += p.done;
    const sectors = take(p, end - at, 0, 0);
    p.offset = offset;
    if (!sectors) {
      finish(p, -EINVAL);
      return;
    }
    p.done += sectors;
    submit(p, BLOCK_READ, sectorIn(p, p.target, at), sectors, sliceCount);
    return;
  }
  finish(p, 0);
}

// --- Writes --------------------------------------------------------------------------------------------------------------

/** Counts a piece that changes the volume; false: it has to wait, because a snapshot is being taken. */
function admitted(p: Piece): bool {
  const v = p.volume;
  if (p.counted) return true;
  if (v.frozen) {
    taskWait(v.thawWaiters, p);
    return false;
  }
  p.counted = 1;
  v.writing++;
  return true;
}

function lookWrite(p: Piece): void {
  const v = p.volume;
  const s = v.store;
  if (!admitted(p) || !cacheEnter(p)) return;
  const rc = mapGet(p, v, p.first);
  if (rc == WAIT) return;
  if (rc != 0) {
    finish(p, rc);
    return;
  }
  const start = startOf(p);
  const isOwn = mapTarget != 0 && mapOwn(v, p.first);
  let bits = touchedBits(start, inChunk(p));
  p.target = mapTarget;
  p.mask = mapTarget ? mapMask : 0;
  p.birth = mapBirth;
  if (isOwn && (mapMask & bits) == bits) {
    const sectors = take(p, extendable(p, true), 0, 0);
    cacheLeave(p);
    if (sectors) overwrite(p, BLOCK_WRITE, sectors);
    else finish(p, -EINVAL);
    return;
  }
  // What changes the tree is as much as fits into one transfer, and ends with a block where it can.
  let sectors = take(p, inChunk(p), 1, 2);
  if (!sectors) {
    finish(p, -EINVAL);
    return;
  }
  const end = start + sectors;
  if (sectors < inChunk(p) && end / BLOCK_SECTORS > (start + BLOCK_SECTORS - 1) / BLOCK_SECTORS) {
    sectors = (end / BLOCK_SECTORS) * BLOCK_SECTORS - start;
  }
  bits = touchedBits(start, sectors);
  const covered = coveredBits(start, sectors);
  const shares = isOwn && (bits & ~p.mask & ~covered) == 0;
  if (!shares && !p.exclusive) {
    cacheLeave(p);
    becomeExclusive(p);
    if (rightOfWay(p)) {
      p.step = PIECE_LOOK;
      lookWrite(p);
    }
    return;
  }
  if (!promise(p)) return;
  if (!isOwn) {
    if (!reserve(p, p.target)) return;
    if (p.mask & ~covered) {
      keep(p, sectors, bits, covered);
      return;
    }
    p.target = p.reserved;
    p.birth = s.epoch;
  }
  cacheLeave(p);
  p.bits = bits;
  p.change = 1;
  p.step = PIECE_MOVE;
  // Blocks that are written in part and were not there before are filled up with zeroes.
  const first = start / BLOCK_SECTORS;
  const last = (start + sectors - 1) / BLOCK_SECTORS;
  const head = (p.mask >> first) & 1 ? 0 : start % BLOCK_SECTORS;
  const tail = (p.mask >> last) & 1 ? 0 : (last + 1) * BLOCK_SECTORS - (start + sectors);
  p.done = sectors;
  extent(p, sectors);
  assemble(p, start, head, tail, zeroes, zeroesMachine, zeroes, zeroesMachine);
}

/** Writes the piece with `head` sectors before and `tail` sectors behind the client's. */
function assemble(
  p: Piece,
  start: u32,
  head: u32,
  tail: u32,
  headAt: usize,
  headMachine: u64,
  tailAt: usize,
  tailMachine: u64,
): void {
  let count: u32 = 0;
  if (head) segmentSet(p.segments, count++, headMachine, headAt, head << BLOCK_SECTOR_SHIFT);
  take(p, p.sectors, count, 2);
  count = sliceCount;
  if (tail) segmentSet(p.segments, count++, tailMachine, tailAt, tail << BLOCK_SECTOR_SHIFT);
  submit(p, BLOCK_WRITE, sectorIn(p, p.target, start - head), head + p.sectors + tail, count);
}

/** Has the metadata area promise what the change needs. False: it waits, or has failed. */
function promise(p: Piece): bool {
  const s = p.volume.store;
  if (p.promised) return true;
  if (blocksPromise(s, CHANGE_BLOCKS)) {
    p.promised = CHANGE_BLOCKS;
    return true;
  }
  if (s.freesCount) commitAndWait(p, s);
  else finish(p, -ENOSPC);
  return false;
}

/** Reserves a chunk. False: it waits, or has failed. */
function reserve(p: Piece, near: u32): bool {
  const s = p.volume.store;
  if (p.reserved) return true;
  const rc = chunkReserve(p, s, near ? near + 1 : 0);
  if (rc == 0) {
    p.reserved = reservedChunk;
    return true;
  }
  if (rc == WAIT) {
    if (s.reservedCount == RESERVED_MAX) cacheLeave(p);
  } else if (rc == -ENOSPC && s.freesCount) {
    commitAndWait(p, s);
  } else {
    finish(p, rc);
  }
  return false;
}

/** The chunk is shared, and the write leaves some of it as it is: that is read first. */
function keep(p: Piece, sectors: u32, bits: u32, covered: u32): void {
  cacheLeave(p);
  p.bounce = bounceTake();
  if (!p.bounce) {
    bounceWait(p);
    return;
  }
  const kept = p.mask & ~covered;
  const low = ctz(kept);
  const high = 31 - clz(kept);
  p.bits = bits;
  p.change = 1;
  p.step = PIECE_COPY;
  extent(p, sectors);
  const at = p.bounce + ((<usize>low * BLOCK_SECTORS) << BLOCK_SECTOR_SHIFT);
  const count = (high - low + 1) * BLOCK_SECTORS;
  segmentSet(p.segments, 0, bounceMachine(at), at, count << BLOCK_SECTOR_SHIFT);
  submit(p, BLOCK_READ, sectorIn(p, p.target, low * BLOCK_SECTORS), count, 1);
}

/** What is kept of a shared chunk has been read: it is written to the new one, together with the client's data. */
function copied(p: Piece): void {
  const start = startOf(p);
  const end = start + p.sectors;
  const kept = p.mask & ~coveredBits(start, p.sectors);
  const first = start / BLOCK_SECTORS;
  const last = (end - 1) / BLOCK_SECTORS;
  // Blocks that are written in part and were not there before: the rest is zero.
  if (!((p.mask >> first) & 1)) zero(p, first * BLOCK_SECTORS, start);
  if (!((p.mask >> last) & 1)) zero(p, end, (last + 1) * BLOCK_SECTORS);
  const low = min(ctz(kept), first) * BLOCK_SECTORS;
  const high = (max(31 - clz(kept), last) + 1) * BLOCK_SECTORS;
  const from = min(low, start);
  const to = max(high, end);
  p.target = p.reserved;
  p.birth = p.volume.store.epoch;
  p.step = PIECE_MOVE;
  p.done = p.sectors;
  const headAt = p.bounce + ((<usize>from) << BLOCK_SECTOR_SHIFT);
  const tailAt = p.bounce + ((<usize>end) << BLOCK_SECTOR_SHIFT);
  assemble(p, start, start - from, to - end, headAt, bounceMachine(headAt), tailAt, bounceMachine(tailAt));
}

function zero(p: Piece, from: u32, to: u32): void {
  memory.fill(p.bounce + ((<usize>from) << BLOCK_SECTOR_SHIFT), 0, (to - from) << BLOCK_SECTOR_SHIFT);
}

/** The data is on the disk: the volume's tree is made to say so. */
function mark(p: Piece): void {
  const v = p.volume;
  if (!cacheEnter(p)) return;
  // Others that share the chunk may have written other blocks of it meanwhile.
  let rc = mapGet(p, v, p.first);
  if (rc == 0) {
    const birth = p.reserved ? v.store.epoch : mapBirth;
    const mask = (p.reserved ? p.mask : mapMask) | p.bits;
    rc = mapSet(p, v, p.first, p.target, birth, mask, true);
    if (rc == 0) p.reserved = 0;
  }
  if (rc != WAIT) finish(p, rc);
}

// --- Discards ------------------------------------------------------------------------------------------------------------

/** Whole blocks are forgotten, and chunks without any are freed; what is less than a block stays. */
function lookDiscard(p: Piece): void {
  const v = p.volume;
  if (!admitted(p) || !cacheEnter(p)) return;
  let rc = mapGet(p, v, p.first);
  if (rc == WAIT) return;
  if (rc != 0) {
    finish(p, rc);
    return;
  }
  const start = startOf(p);
  if (!mapTarget) {
    extent(p, <u32>min<u64>(rest(p), <u64>mapAbsent * CHUNK_SECTORS - start));
    finish(p, 0);
    return;
  }
  const mask = mapMask & ~coveredBits(start, inChunk(p));
  if (mask != mapMask) {
    rc = mapSet(p, v, p.first, mask ? mapTarget : 0, mapBirth, mask, false);
    if (rc == WAIT) return;
    // It is a hint: where there is no room to follow it, nothing is lost.
    if (rc != 0 && rc != -ENOSPC) {
      finish(p, rc);
      return;
    }
  }
  extent(p, inChunk(p));
  finish(p, 0);
}
