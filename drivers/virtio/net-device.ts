/** The records of a virtio network card: the card, and its pairs of queues. */
import { Frame, NETWORK_QUEUES_MAX, NetworkDevice } from "../network";
import { pollEnter, Pollable } from "../poll";
import { Recovery } from "../recovery";
import { Timer } from "../host/timer";
import { VirtioDevice } from "./device";
import { faultWords, QUEUE_FINE, Virtqueue } from "./virtqueue";

/** Bytes of a receive buffer: a page. */
export const VIRTIO_NET_BUFFER_BYTES: u32 = 4096;
/** Receive buffers that a frame takes at most: the largest frame and the header in front of it, all but the last full. */
export const VIRTIO_NET_BUFFERS_MAX: u32 = 17;

/** What is wrong with the card. */
export const NET_FINE: u32 = 0;
export const NET_QUEUE_FAULT: u32 = 1; // in words: faultWords
export const NET_BAD_HEADER: u32 = 2;
export const NET_SILENT: u32 = 3;
export const NET_NEEDS_RESET: u32 = 4;

/** A receive queue and a transmit queue; what is entered in poll.ts. */
@unmanaged
export class VirtioPair extends Pollable {
  card: usize; // VirtioNet
  index: u32;
  rx: usize; // Virtqueue
  tx: usize; // Virtqueue
  // Reception.
  buffers: usize; // u32[]: linear address of each buffer
  bufferCount: u32;
  spare: usize; // u32[]: buffers that the card does not have
  spareCount: u32;
  frame: usize; // Frame: the one being put together, or given to the client
  missing: u32; // buffers of it that have not come yet
  claimed: u32; // all that its header says it has
  // Transmission.
  wantsRoom: u32; // a frame was refused: transmitReady is due
}

@unmanaged
export class VirtioNet extends NetworkDevice {
  virtio: usize; // VirtioDevice
  pairs: usize; // VirtioPair[NETWORK_QUEUES_MAX]
  pairCount: u32; // pairs that are set up
  merge: u32; // VIRTIO_NET_F_MRG_RXBUF
  guestChecksum: u32; // VIRTIO_NET_F_GUEST_CSUM
  devicePairs: u32; // pairs that the card has: the control queue is behind them
  fault: u32; // NET_*
  queueFault: u32; // QUEUE_*
  work: usize; // VirtioNetWork
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer, for a card without interrupts
  // The control queue.
  control: usize; // Virtqueue; 0: none
  controlReady: u32; // it is set up
  controlMemory: usize; // DMA memory of the command in progress
  controlNext: u32; // command to be sent next
  controlBusy: u32; // the card has one
}

/** What is to be done for the card as a whole: a reset, the control queue, the link. */
@unmanaged
export class VirtioNetWork extends Pollable {
  card: usize; // VirtioNet
}

export function virtioOf(n: VirtioNet): VirtioDevice {
  return changetype<VirtioDevice>(n.virtio);
}

export function pairAt(n: VirtioNet, index: u32): VirtioPair {
  return changetype<VirtioPair>(n.pairs + <usize>index * offsetof<VirtioPair>());
}

export function cardOf(p: VirtioPair): VirtioNet {
  return changetype<VirtioNet>(p.card);
}

export function rxOf(p: VirtioPair): Virtqueue {
  return changetype<Virtqueue>(p.rx);
}

export function txOf(p: VirtioPair): Virtqueue {
  return changetype<Virtqueue>(p.tx);
}

export function frameOf(p: VirtioPair): Frame {
  return changetype<Frame>(p.frame);
}

export function workOf(n: VirtioNet): VirtioNetWork {
  return changetype<VirtioNetWork>(n.work);
}

export function recoveryOf(n: VirtioNet): Recovery {
  return changetype<Recovery>(n.recovery);
}

export function watchdogOf(n: VirtioNet): Timer {
  return changetype<Timer>(n.watchdog);
}

/** The card broke a rule: it is reset in the next turn, and not used until then. */
export function netFault(n: VirtioNet, fault: u32, queueFault: u32): void {
  if (n.fault != NET_FINE) return;
  n.fault = fault;
  n.queueFault = queueFault;
  pollEnter(workOf(n));
}

/** Reports a queue's fault, if it has one. */
export function netCheckQueue(n: VirtioNet, q: Virtqueue): void {
  if (q.fault != QUEUE_FINE) netFault(n, NET_QUEUE_FAULT, q.fault);
}

/** The fault in words. */
export function netFaultWords(n: VirtioNet): string {
  switch (n.fault) {
    case NET_QUEUE_FAULT:
      return faultWords(n.queueFault);
    case NET_BAD_HEADER:
      return "a received frame's header makes no sense";
    case NET_SILENT:
      return "it leaves frames unsent";
    default:
      return "it wants a reset, or is gone";
  }
}

/** Most pairs of queues that are used. */
export const VIRTIO_NET_PAIRS_MAX: u32 = NETWORK_QUEUES_MAX;
