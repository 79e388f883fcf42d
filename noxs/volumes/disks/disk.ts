/**
 * Disks as their clients here use them: a request is always taken, waits here while the disk has enough of them, and is always
 * answered from the module's turn, also when the disk refuses it.
 */
import { EAGAIN } from "../../../abi/errno";
import {
  blockKick,
  BLOCK_FLUSH,
  blockOpen,
  blockSubmit,
  BlockDevice,
  BlockRequest,
  DoneFn,
} from "../../../drivers/block";
import { heapAllocate } from "../../../drivers/host/heap";
import { pollEnter, pollInit, Pollable } from "../../../drivers/poll";

/** Called when a disk's size, write protection or state has changed. */
export type DiskChangedFn = (disk: usize) => void;

/** A disk. Its poll function passes on waiting requests and answers refused ones. */
@unmanaged
export class Disk extends Pollable {
  device: BlockDevice;
  index: u32; // order in which it was found
  next: usize; // Disk
  full: u32; // 1: the disk will say when it takes requests again
  kick: u32; // 1: the disk has not been told of requests
  waitingHead: usize; // BlockRequests
  waitingTail: usize;
  refusedHead: usize; // BlockRequests; `phase` of each holds the error
  refusedTail: usize;
  changedFn: usize; // DiskChangedFn, 0 none
  client: usize; // whose changedFn it is
}

/** Makes a disk usable; the only client of `device`. 0 when there is no memory. */
export function diskOpen(device: BlockDevice, index: u32): usize {
  const at = heapAllocate(offsetof<Disk>());
  if (!at) return 0;
  const d = changetype<Disk>(at);
  pollInit(d, diskRun);
  d.device = device;
  d.index = index;
  blockOpen(device, at, diskReady, diskChanged);
  return at;
}

/** Submits a request; its `done` is called later. */
export function diskSubmit(d: Disk, r: BlockRequest): void {
  if (d.full || d.waitingHead) {
    waitingAdd(d, r);
    return;
  }
  pass(d, r);
}

/** Submits a flush. */
export function diskFlush(d: Disk, r: BlockRequest, done: DoneFn, cookie: usize): void {
  r.operation = BLOCK_FLUSH;
  r.flags = 0;
  r.sector = 0;
  r.sectors = 0;
  r.segments = 0;
  r.count = 0;
  r.done = changetype<usize>(done);
  r.cookie = cookie;
  diskSubmit(d, r);
}

function waitingAdd(d: Disk, r: BlockRequest): void {
  r.link = 0;
  if (d.waitingTail) changetype<BlockRequest>(d.waitingTail).link = changetype<usize>(r);
  else d.waitingHead = changetype<usize>(r);
  d.waitingTail = changetype<usize>(r);
}

function pass(d: Disk, r: BlockRequest): void {
  const rc = blockSubmit(d.device, r);
  if (rc == 0) {
    d.kick = 1;
    pollEnter(d);
  } else if (rc == -EAGAIN) {
    d.full = 1;
    waitingAdd(d, r);
  } else {
    r.link = 0;
    r.phase = <u32>rc;
    if (d.refusedTail) changetype<BlockRequest>(d.refusedTail).link = changetype<usize>(r);
    else d.refusedHead = changetype<usize>(r);
    d.refusedTail = changetype<usize>(r);
    pollEnter(d);
  }
}

/** The disk takes requests again. */
function diskReady(client: usize): void {
  // A driver passes its own record; the disk is that record's client.
  const d = changetype<Disk>(changetype<BlockDevice>(client).client);
  d.full = 0;
  pollEnter(d);
}

function diskChanged(client: usize): void {
  const d = changetype<Disk>(changetype<BlockDevice>(client).client);
  if (d.changedFn) changetype<DiskChangedFn>(d.changedFn)(changetype<usize>(d));
}

function diskRun(record: usize, budget: u32): bool {
  const d = changetype<Disk>(record);
  for (let i: u32 = 0; i < budget && d.refusedHead; i++) {
    const r = changetype<BlockRequest>(d.refusedHead);
    d.refusedHead = r.link;
    if (!d.refusedHead) d.refusedTail = 0;
    changetype<DoneFn>(r.done)(changetype<usize>(r), <i32>r.phase);
  }
  while (d.waitingHead && !d.full) {
    const r = changetype<BlockRequest>(d.waitingHead);
    d.waitingHead = r.link;
    if (!d.waitingHead) d.waitingTail = 0;
    const rc = blockSubmit(d.device, r);
    if (rc == -EAGAIN) {
      // Back to where it was.
      d.full = 1;
      r.link = d.waitingHead;
      d.waitingHead = changetype<usize>(r);
      if (!d.waitingTail) d.waitingTail = changetype<usize>(r);
    } else if (rc != 0) {
      changetype<DoneFn>(r.done)(changetype<usize>(r), rc);
    } else {
      d.kick = 1;
    }
  }
  if (d.kick) {
    d.kick = 0;
    blockKick(d.device);
  }
  return d.refusedHead != 0;
}
