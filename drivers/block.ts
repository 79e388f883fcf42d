/**
 * The interface of disks. A driver fills in a BlockDevice and registers it; its clients submit BlockRequests.
 *
 * Sectors are 512 bytes everywhere, whatever the disk's own. Data is at machine addresses that the disk accesses itself: DMA memory,
 * or grants mapped for the request's duration; drivers that cannot reach a segment copy it.
 *
 * Calls come from clients, callbacks from the module's turn (poll.ts, timers), never from within a call. Errors are negative errno. A
 * disk that breaks the rules of its interface, or leaves a request unanswered for BLOCK_TIMEOUT_SECONDS, is reset: every request
 * not yet answered is done with -EIO, and the disk goes on, or `state` is BLOCK_GONE and every submission fails with -EIO.
 */
import { EINVAL, EIO, EOPNOTSUPP, EROFS } from "../abi/errno";
import { segmentAt } from "./segment";

// BlockRequest.operation
export const BLOCK_READ: u32 = 0;
export const BLOCK_WRITE: u32 = 1;
/** Every write that was done before this was submitted is on stable storage when it is done. */
export const BLOCK_FLUSH: u32 = 2;
/** The contents of the sectors no longer matter; they read as anything afterwards. */
export const BLOCK_DISCARD: u32 = 3;
/** The sectors read as zeroes afterwards. */
export const BLOCK_WRITE_ZEROES: u32 = 4;

// BlockRequest.flags
/** BLOCK_WRITE, BLOCK_WRITE_ZEROES: on stable storage when done. */
export const BLOCK_FUA: u32 = 1;
/** BLOCK_WRITE_ZEROES: the sectors may be unmapped. */
export const BLOCK_UNMAP: u32 = 2;

// BlockDevice.features
export const BLOCK_CAN_DISCARD: u32 = 1;
export const BLOCK_CAN_WRITE_ZEROES: u32 = 2;
/** Writes are cached: they are on stable storage after a flush or with FUA only. Flush and FUA are always accepted. */
export const BLOCK_HAS_CACHE: u32 = 4;

// BlockDevice.state
export const BLOCK_READY: u32 = 0;
export const BLOCK_GONE: u32 = 1; // for good: it answers no more, or was reset too often

export const BLOCK_SECTOR_SHIFT: u32 = 9;
/** Most segments of a request, whatever the disk takes. */
export const BLOCK_SEGMENTS_MAX: u32 = 128;
/** Most bytes of one segment. */
export const BLOCK_SEGMENT_BYTES_MAX: u32 = 65536;
export const BLOCK_TIMEOUT_SECONDS: u32 = 30;

/** The request is done: `status` is 0 or -errno. May submit others. */
export type DoneFn = (request: usize, status: i32) => void;
/** `state`, `sectors` or `readOnly` changed, or the disk was reset. */
export type BlockChangedFn = (device: usize) => void;
/** A disk that refused a request with -EAGAIN takes requests again. */
export type BlockReadyFn = (device: usize) => void;

// The driver's part.
export type SubmitFn = (device: usize, request: usize) => i32;
export type BlockKickFn = (device: usize) => void;

/** One request. The driver's from a successful submission until `done` is called; its segments and their list too. */
@unmanaged
export class BlockRequest {
  sector: u64;
  sectors: u32; // for every operation but flush; of reads and writes what the segments hold
  operation: u32; // BLOCK_*
  flags: u32; // BLOCK_FUA, BLOCK_UNMAP
  segments: usize; // Segment[], of reads and writes; whole sectors of the disk each
  count: u32;
  done: usize; // DoneFn
  cookie: usize; // the client's
  // The driver's.
  link: usize;
  phase: u32;
}

/** Base class of drivers' records. */
@unmanaged
export class BlockDevice {
  next: usize; // BlockDevice
  // What it is: written by the driver.
  name: usize; // string constant: the driver
  address: u32; // PCI address
  unit: u32; // which disk of that controller
  features: u32; // BLOCK_CAN_*, BLOCK_HAS_CACHE
  state: u32; // BLOCK_READY, BLOCK_GONE
  readOnly: u32;
  sectors: u64; // capacity
  sectorSize: u32; // the disk's own, in bytes: requests are aligned to it
  physicalSectorSize: u32; // what it writes in one piece
  segmentsMax: u32;
  segmentBytesMax: u32;
  sectorsMax: u32; // of a read or write
  discardSectorsMax: u32; // of a discard
  discardAlignment: u32; // what a discard should be aligned to, in sectors; 0: nothing
  zeroesSectorsMax: u32; // of BLOCK_WRITE_ZEROES
  depth: u32; // requests in flight that it takes, about
  submitFn: usize; // SubmitFn
  kickFn: usize; // BlockKickFn
  // The client's, written by blockOpen; each 0 for none.
  client: usize;
  readyFn: usize; // BlockReadyFn
  changedFn: usize; // BlockChangedFn
  // Counters.
  reads: u64; // requests
  readSectors: u64;
  writes: u64;
  writtenSectors: u64;
  others: u64; // flush, discard, zeroes
  errors: u64; // requests done with an error
  resets: u32;
  inFlight: u32;
  refused: u32; // -EAGAIN was returned: readyFn is due
}

let first: usize = 0;
let last: usize = 0;

/** Adds a disk to the list; the driver has filled it in and started it. */
export function blockRegister(d: BlockDevice): void {
  d.next = 0;
  if (last) changetype<BlockDevice>(last).next = changetype<usize>(d);
  else first = changetype<usize>(d);
  last = changetype<usize>(d);
}

/** The first disk, 0 for none; the others follow by `next`, in the order they were found. */
export function blockFirst(): usize {
  return first;
}

/** Has the client's functions called. One client owns a disk, and shares it out. */
export function blockOpen(d: BlockDevice, client: usize, ready: BlockReadyFn, changed: BlockChangedFn): void {
  d.client = client;
  d.readyFn = changetype<usize>(ready);
  d.changedFn = changetype<usize>(changed);
}

/**
 * Submits a request; it may wait for `blockKick`.
 * @returns 0: `done` will be called, once; -EAGAIN too many in flight: `ready` will be called; -EINVAL not a request for this disk
 * (range, alignment, segments); -EROFS a write to a read-only disk; -EOPNOTSUPP an operation it does not have; -EIO it is gone
 */
export function blockSubmit(d: BlockDevice, r: BlockRequest): i32 {
  if (d.state == BLOCK_GONE) return -EIO;
  const refusal = refusalOf(d, r);
  if (refusal != 0) return refusal;
  return changetype<SubmitFn>(d.submitFn)(changetype<usize>(d), changetype<usize>(r));
}

/** Tells the disk of the requests submitted since the last call. */
export function blockKick(d: BlockDevice): void {
  if (d.state == BLOCK_READY) changetype<BlockKickFn>(d.kickFn)(changetype<usize>(d));
}

/** Why the disk cannot take the request: a negative errno, or 0. */
function refusalOf(d: BlockDevice, r: BlockRequest): i32 {
  if (r.operation == BLOCK_FLUSH) return 0;
  if (r.operation > BLOCK_WRITE_ZEROES) return -EOPNOTSUPP;
  if (r.operation != BLOCK_READ && d.readOnly) return -EROFS;
  const unit = (d.sectorSize >> BLOCK_SECTOR_SHIFT) - 1;
  if (r.sectors == 0 || (((<u32>r.sector) | r.sectors) & unit) != 0) return -EINVAL;
  if (r.sector > d.sectors || <u64>r.sectors > d.sectors - r.sector) return -EINVAL;
  if (r.operation == BLOCK_DISCARD) {
    if (!(d.features & BLOCK_CAN_DISCARD)) return -EOPNOTSUPP;
    return r.sectors <= d.discardSectorsMax ? 0 : -EINVAL;
  }
  if (r.operation == BLOCK_WRITE_ZEROES) {
    if (!(d.features & BLOCK_CAN_WRITE_ZEROES)) return -EOPNOTSUPP;
    return r.sectors <= d.zeroesSectorsMax ? 0 : -EINVAL;
  }
  return dataAccepted(d, r) ? 0 : -EINVAL;
}

/** Whether the segments of a read or write are what it says, and what the disk takes. */
function dataAccepted(d: BlockDevice, r: BlockRequest): bool {
  if (r.count == 0 || r.count > d.segmentsMax || r.sectors > d.sectorsMax) return false;
  const unit = d.sectorSize - 1;
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < r.count; i++) {
    const s = segmentAt(r.segments, i);
    if (s.bytes == 0 || s.bytes > d.segmentBytesMax || (s.bytes & unit) != 0 || (s.machine & 3) != 0) return false;
    bytes += s.bytes;
  }
  return bytes == (<u64>r.sectors) << BLOCK_SECTOR_SHIFT;
}

// --- For drivers --------------------------------------------------------------------------------------------------------

/** Counts a request that the driver has taken. */
export function blockTaken(d: BlockDevice, r: BlockRequest): void {
  d.inFlight++;
  if (r.operation == BLOCK_READ) {
    d.reads++;
    d.readSectors += r.sectors;
  } else if (r.operation == BLOCK_WRITE) {
    d.writes++;
    d.writtenSectors += r.sectors;
  } else {
    d.others++;
  }
}

/** Ends a request. */
export function blockDone(d: BlockDevice, r: BlockRequest, status: i32): void {
  d.inFlight--;
  if (status != 0) d.errors++;
  changetype<DoneFn>(r.done)(changetype<usize>(r), status);
}

/** Calls `ready` if it is due. */
export function blockReady(d: BlockDevice): void {
  if (!d.refused) return;
  d.refused = 0;
  if (d.readyFn) changetype<BlockReadyFn>(d.readyFn)(changetype<usize>(d));
}

export function blockChanged(d: BlockDevice): void {
  if (d.changedFn) changetype<BlockChangedFn>(d.changedFn)(changetype<usize>(d));
}

/** Whether a disk's sector size is one that can be used: a power of two from 512 to 4096. */
export function blockSectorSizeValid(bytes: u32): bool {
  return bytes >= 512 && bytes <= 4096 && (bytes & (bytes - 1)) == 0;
}

/** Most sectors a disk may say it has: what 2^63 bytes are. */
export const BLOCK_SECTORS_LIMIT: u64 = (<u64>1) << 54;
