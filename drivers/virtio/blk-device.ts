/** The records of a virtio disk: the disk, and its queues. */
import { BlockDevice } from "../block";
import { Timer } from "../host/timer";
import { pollEnter, Pollable } from "../poll";
import { Recovery } from "../recovery";
import { VirtioDevice } from "./device";
import { faultWords, QUEUE_FINE, Virtqueue } from "./virtqueue";

/** Most queues that are used. */
export const VIRTIO_BLK_QUEUES_MAX: u32 = 4;

// What is wrong with the disk.
export const BLK_FINE: u32 = 0;
export const BLK_QUEUE_FAULT: u32 = 1; // in words: faultWords
export const BLK_SILENT: u32 = 2;
export const BLK_NEEDS_RESET: u32 = 3;
export const BLK_BAD_CONFIG: u32 = 4;

/** One queue; what is entered in poll.ts. */
@unmanaged
export class VirtioBlkQueue extends Pollable {
  disk: usize; // VirtioBlk
  index: u32;
  queue: usize; // Virtqueue
  headers: usize; // DMA memory: VIRTIO_BLK_SLOT_BYTES for each slot
}

/** DMA memory of a request: header, range of a discard, status byte. */
export const VIRTIO_BLK_SLOT_BYTES: u32 = 64;
export const VIRTIO_BLK_SLOT_RANGE: u32 = 16;
export const VIRTIO_BLK_SLOT_STATUS: u32 = 32;

/** What is to be done for the disk as a whole: a reset, a change of its configuration. */
@unmanaged
export class VirtioBlkWork extends Pollable {
  disk: usize; // VirtioBlk
}

@unmanaged
export class VirtioBlk extends BlockDevice {
  virtio: usize; // VirtioDevice
  queues: usize; // VirtioBlkQueue[VIRTIO_BLK_QUEUES_MAX]
  queueCount: u32; // that are set up
  queueNext: u32; // for the next request
  flush: u32; // VIRTIO_BLK_F_FLUSH
  flushed: usize; // BlockRequest: flushes that are done without asking the disk
  fault: u32; // BLK_*
  queueFault: u32; // QUEUE_*
  work: usize; // VirtioBlkWork
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer, for a disk without interrupts
}

export function virtioOf(b: VirtioBlk): VirtioDevice {
  return changetype<VirtioDevice>(b.virtio);
}

export function queueAt(b: VirtioBlk, index: u32): VirtioBlkQueue {
  return changetype<VirtioBlkQueue>(b.queues + <usize>index * offsetof<VirtioBlkQueue>());
}

export function diskOf(q: VirtioBlkQueue): VirtioBlk {
  return changetype<VirtioBlk>(q.disk);
}

export function ringOf(q: VirtioBlkQueue): Virtqueue {
  return changetype<Virtqueue>(q.queue);
}

export function workOf(b: VirtioBlk): VirtioBlkWork {
  return changetype<VirtioBlkWork>(b.work);
}

export function recoveryOf(b: VirtioBlk): Recovery {
  return changetype<Recovery>(b.recovery);
}

export function watchdogOf(b: VirtioBlk): Timer {
  return changetype<Timer>(b.watchdog);
}

/** The disk broke a rule: it is reset in the next turn, and not used until then. */
export function blkFault(b: VirtioBlk, fault: u32, queueFault: u32): void {
  if (b.fault != BLK_FINE) return;
  b.fault = fault;
  b.queueFault = queueFault;
  pollEnter(workOf(b));
}

/** Reports a queue's fault, if it has one. */
export function blkCheckQueue(b: VirtioBlk, q: Virtqueue): void {
  if (q.fault != QUEUE_FINE) blkFault(b, BLK_QUEUE_FAULT, q.fault);
}

/** The fault in words. */
export function blkFaultWords(b: VirtioBlk): string {
  switch (b.fault) {
    case BLK_QUEUE_FAULT:
      return faultWords(b.queueFault);
    case BLK_SILENT:
      return "it leaves requests unanswered";
    case BLK_BAD_CONFIG:
      return "its configuration makes no sense";
    default:
      return "it wants a reset, or is gone";
  }
}
