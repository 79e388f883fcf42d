/**
 * Requests of an NVM Express disk. A command moves pages of memory, of which the first may begin and the last may end anywhere, and a
 * limited number of them: a request whose segments are otherwise is several commands, and done with the last one.
 */
import { EAGAIN, EINVAL, EIO, EOPNOTSUPP } from "../../abi/errno";
import {
  NVME_DATASET_MANAGEMENT,
  NVME_DSM_DEALLOCATE,
  NVME_FLUSH,
  NVME_READ,
  NVME_RW_FUA,
  NVME_WRITE,
  NVME_WRITE_ZEROES,
  NVME_WRITE_ZEROES_DEALLOCATE,
  NvmeCommand,
  NvmeRange,
} from "../../abi/io/nvme";
import {
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_READ,
  BLOCK_SECTOR_SHIFT,
  BLOCK_UNMAP,
  BLOCK_WRITE,
  BLOCK_WRITE_ZEROES,
  blockDone,
  BlockRequest,
  blockTaken,
} from "../block";
import { dmaMachine } from "../host/dma";
import { write32, write64 } from "../host/host";
import { segmentAt } from "../segment";
import {
  completedId,
  completedStatus,
  controllerOf,
  ioOf,
  NVME_ENTRIES_MAX,
  NVME_LIST_BYTES,
  NVME_LIST_PAGES,
  NVME_WORKING,
  NvmeController,
  NvmeDisk,
  NvmeQueue,
  queueKick,
  queuePut,
  queueTake,
  queueTaken,
  slotAt,
} from "./device";

const PAGE: u32 = 4096;
/** Status code type 0, status code 1: an opcode that the controller does not have. */
const INVALID_OPCODE: u32 = 1;

/** All command ids are free. */
export function slotsReset(c: NvmeController): void {
  for (let i: u32 = 0; i < NVME_ENTRIES_MAX; i++) {
    slotAt(c, i).request = 0;
    slotAt(c, i).next = i + 1;
  }
  c.freeSlot = 0;
}

/** Begins a command of a request; the entry. */
function begin(d: NvmeDisk, r: BlockRequest, opcode: u32): usize {
  const c = controllerOf(d);
  const id = c.freeSlot;
  const slot = slotAt(c, id);
  c.freeSlot = slot.next;
  slot.request = changetype<usize>(r);
  slot.disk = changetype<usize>(d);
  slot.stamp = c.clock;
  r.phase++;
  return queuePut(ioOf(c), opcode, id, d.namespace);
}

// --- Runs of pages ------------------------------------------------------------------------------------------------------

/** Where the next run begins: segment and byte in it; set by runNext. */
let runSegment: u32 = 0;
let runOffset: u32 = 0;

/** Pages that the run has touched, its bytes, and where its second page is. */
let runPages: u32 = 0;
let runBytes: u32 = 0;
let runSecond: u64 = 0;

/**
 * Follows segments from runSegment and runOffset on for as long as one command can: each page but the first from its beginning, but the
 * last to its end, `most` pages. Writes the pages after the first to the list at `list`, unless that is 0.
 */
function runNext(d: NvmeDisk, r: BlockRequest, list: usize, most: u32): void {
  const unit = d.sectorSize;
  runPages = 0;
  runBytes = 0;
  let aligned = false; // where the last page ended
  while (runSegment < r.count) {
    const s = segmentAt(r.segments, runSegment);
    const machine = s.machine + runOffset;
    const inPage = (<u32>machine) & (PAGE - 1);
    if (runPages != 0 && (!aligned || inPage != 0)) break;
    if (runPages == most) break;
    let bytes = min(s.bytes - runOffset, PAGE - inPage);
    // What a command moves is whole blocks: the last page may have to wait for the next command.
    if (runPages + 1 == most && (runBytes + bytes) % unit != 0) bytes -= (runBytes + bytes) % unit;
    if (bytes == 0) break;
    if (runPages == 1) runSecond = machine;
    if (runPages != 0 && list) write64(list + ((<usize>(runPages - 1)) << 3), machine);
    runPages++;
    runBytes += bytes;
    aligned = ((<u32>machine + bytes) & (PAGE - 1)) == 0;
    runOffset += bytes;
    if (runOffset == s.bytes) {
      runOffset = 0;
      runSegment++;
    }
  }
}

/** Commands that a read or write takes; 0 when it cannot be done at all (a block is scattered over pages that are not whole). */
function countRuns(d: NvmeDisk, r: BlockRequest): u32 {
  const most = controllerOf(d).pagesMax;
  runSegment = 0;
  runOffset = 0;
  let count: u32 = 0;
  while (runSegment < r.count) {
    runNext(d, r, 0, most);
    if (runBytes == 0 || runBytes % d.sectorSize != 0) return 0;
    count++;
  }
  return count;
}

/** Submits a read or write: `count` commands. */
function putData(d: NvmeDisk, r: BlockRequest, count: u32): void {
  const c = controllerOf(d);
  let block = r.sector >> (d.blockShift - BLOCK_SECTOR_SHIFT);
  runSegment = 0;
  runOffset = 0;
  for (let i: u32 = 0; i < count; i++) {
    const list = c.lists + <usize>c.freeSlot * NVME_LIST_BYTES;
    const first = segmentAt(r.segments, runSegment).machine + runOffset;
    runNext(d, r, list, c.pagesMax);
    const pages = runPages;
    const blocks = runBytes >> d.blockShift;
    const at = begin(d, r, r.operation == BLOCK_READ ? NVME_READ : NVME_WRITE);
    write64(at + NvmeCommand.prp1, first);
    if (pages == 2) write64(at + NvmeCommand.prp2, runSecond);
    else if (pages > 2) write64(at + NvmeCommand.prp2, dmaMachine(list));
    write64(at + NvmeCommand.cdw10, block);
    const fua = r.operation == BLOCK_WRITE && r.flags & BLOCK_FUA ? NVME_RW_FUA : 0;
    write32(at + NvmeCommand.cdw12, (blocks - 1) | fua);
    block += blocks;
  }
}

/** Submits what is not a read or write: one command. */
function putOther(d: NvmeDisk, r: BlockRequest): void {
  const shift = d.blockShift - BLOCK_SECTOR_SHIFT;
  if (r.operation == BLOCK_FLUSH) {
    begin(d, r, NVME_FLUSH);
    return;
  }
  if (r.operation == BLOCK_WRITE_ZEROES) {
    const at = begin(d, r, NVME_WRITE_ZEROES);
    write64(at + NvmeCommand.cdw10, r.sector >> shift);
    const flags = (r.flags & BLOCK_FUA ? NVME_RW_FUA : 0) | (r.flags & BLOCK_UNMAP ? NVME_WRITE_ZEROES_DEALLOCATE : 0);
    write32(at + NvmeCommand.cdw12, ((r.sectors >> shift) - 1) | flags);
    return;
  }
  const c = controllerOf(d);
  const range = c.lists + <usize>c.freeSlot * NVME_LIST_BYTES;
  write64(range + NvmeRange.attributes, (<u64>(r.sectors >> shift)) << 32);
  write64(range + NvmeRange.lba, r.sector >> shift);
  const at = begin(d, r, NVME_DATASET_MANAGEMENT);
  write64(at + NvmeCommand.prp1, dmaMachine(range));
  write32(at + NvmeCommand.cdw11, NVME_DSM_DEALLOCATE);
}

/** SubmitFn: the request was checked by blockSubmit. */
export function nvmeSubmit(device: usize, requestAt: usize): i32 {
  const d = changetype<NvmeDisk>(device);
  const c = controllerOf(d);
  const r = changetype<BlockRequest>(requestAt);
  const data = r.operation == BLOCK_READ || r.operation == BLOCK_WRITE;
  const count = data ? countRuns(d, r) : 1;
  if (count == 0) return -EINVAL;
  const q = ioOf(c);
  if (count >= q.entries) return -EINVAL;
  if (c.mode != NVME_WORKING || c.fault || q.used + count >= q.entries) {
    d.refused = 1;
    return -EAGAIN;
  }
  r.phase = 0;
  r.link = 0; // becomes the first error
  blockTaken(d, r);
  if (data) putData(d, r, count);
  else putOther(d, r);
  return 0;
}

/** BlockKickFn. */
export function nvmeKick(device: usize): void {
  const c = controllerOf(changetype<NvmeDisk>(device));
  if (c.mode == NVME_WORKING && !c.fault) queueKick(ioOf(c));
}

// --- Answers ------------------------------------------------------------------------------------------------------------

/** A command of a request is over: with the last one the request is. `error` is an errno, or 0. */
function over(d: NvmeDisk, r: BlockRequest, error: u32): void {
  if (error != 0 && r.link == 0) r.link = error;
  if (--r.phase == 0) blockDone(d, r, -(<i32>r.link));
}

/**
 * Takes up to `budget` completions.
 * @returns how many were taken; -1 for one of what was not submitted
 */
export function nvmeAnswers(c: NvmeController, budget: u32): i32 {
  const q = ioOf(c);
  let taken: u32 = 0;
  let sane = true;
  while (taken < budget && queueTake(q)) {
    taken++;
    sane = completedId < NVME_ENTRIES_MAX && slotAt(c, completedId).request != 0;
    if (!sane) break;
    answered(c, q);
  }
  if (!sane) return -1;
  if (taken != 0) {
    queueTaken(q);
    queueKick(q);
  }
  return taken;
}

/** Ends the command of the completion taken last. */
function answered(c: NvmeController, q: NvmeQueue): void {
  const slot = slotAt(c, completedId);
  const r = changetype<BlockRequest>(slot.request);
  const d = changetype<NvmeDisk>(slot.disk);
  let error: u32 = 0;
  // Bits 0-7 are the code, 8-10 its type; those above are hints.
  const code = completedStatus & 0x7ff;
  if (code != 0) error = code == INVALID_OPCODE ? EOPNOTSUPP : EIO;
  slot.request = 0;
  slot.next = c.freeSlot;
  c.freeSlot = completedId;
  q.used--;
  over(d, r, error);
}

/** The controller was reset: every command that it had has failed. */
export function nvmeDrain(c: NvmeController): void {
  const q = ioOf(c);
  for (let i: u32 = 0; i < NVME_ENTRIES_MAX; i++) {
    const slot = slotAt(c, i);
    if (!slot.request) continue;
    const r = changetype<BlockRequest>(slot.request);
    slot.request = 0;
    q.used--;
    over(changetype<NvmeDisk>(slot.disk), r, EIO);
  }
}

/** The longest that a command has been with the controller, in ticks of `clock`. */
export function nvmeOldest(c: NvmeController): u32 {
  let most: u32 = 0;
  if (ioOf(c).used == 0) return 0;
  for (let i: u32 = 0; i < NVME_ENTRIES_MAX; i++) {
    const slot = slotAt(c, i);
    if (slot.request) most = max(most, c.clock - slot.stamp);
  }
  return most;
}

/** Pages that a command moves at most, by the list's size. */
export const NVME_PAGES_MAX: u32 = NVME_LIST_PAGES + 1;
