/**
 * The guest's side of event channels, FIFO ABI (xen/event_channel.h, "FIFO ABI"). Each port has an event word in pages
 * of the guest: PENDING, MASKED, LINKED, BUSY and a link to the next port. Ports that are pending and not masked form
 * queues, one for each priority of each vCPU; a queue's head and the bitmap of queues that are not empty are in the
 * vCPU's control block, also guest memory. Only the hypervisor appends to a queue, only the guest removes from it.
 *
 * A hostile guest may write anything there at any time. So the tail of a queue is kept only in the hypervisor, no port
 * number is ever read from guest memory, every update is one atomic operation on one word, and each is tried a fixed
 * number of times. A guest can corrupt only its own queues.
 *
 * event-fifo-setup.ts sets it up and tears it down.
 */
import { EACCES, EINVAL } from "../../abi/errno";
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_MIN,
  EvtchnFifoControlBlock,
} from "../../abi/event-channel";
import * as hw from "../../arch-x86/hw";
import { vcpuOf } from "../records/domain-access";
import { Domain } from "../records/domain";
import { markUpcall, wakePollers } from "./event-notify";
import { eventsOf, Port, portOf, usable } from "./event-port";
import { Vcpu } from "../records/vcpu";

/** Of a domain in FIFO mode: DomainEvents.fifo. */
@unmanaged
export class DomainFifo {
  /** For the queues of all its vCPUs. */
  lock: u32;
  /** Ports below this have an event word. */
  words: u32;
  // The frames of the event words follow, u32 each: FIFO_PAGES of them.
}

/** Of a vCPU with a control block: Vcpu.fifo. */
@unmanaged
export class VcpuFifo {
  /** Physical address of the control block. */
  control: u64;
  // The last port put on each queue follows, u32 each, 0 none: EVTCHN_FIFO_MAX_QUEUES of them.
}

/** Event words in a page, and pages of them a domain may have: EVTCHN_FIFO_NR_CHANNELS in all. */
export const FIFO_PAGE_WORDS: u32 = 1024;
export const FIFO_PAGES: u32 = 128;
const FRAMES_AT: usize = 8;
export const DOMAIN_FIFO_BYTES: usize = 8 + 128 * 4;
const TAILS_AT: usize = 8;
export const VCPU_FIFO_BYTES: usize = 8 + 16 * 4;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;
const LINK_MASK: u32 = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
/**
 * A well-behaved guest changes a tail's word at most this often while something is appended: BUSY keeps it from
 * unmasking, which leaves setting and clearing MASKED, clearing PENDING, and removing it from the queue.
 */
const TRIES: u32 = 5;

// @ts-expect-error: decorator of AssemblyScript
@inline
function fifoOf(d: Domain): DomainFifo {
  return changetype<DomainFifo>(eventsOf(d).fifo);
}

/** Address of the entry for the frame of page `page` of event words. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function fifoFrameSlot(fifo: DomainFifo, page: u32): usize {
  return changetype<usize>(fifo) + FRAMES_AT + ((<usize>page) << 2);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function tailSlot(queues: usize, priority: u32): usize {
  return queues + TAILS_AT + ((<usize>priority) << 2);
}

/** The port at the tail of a queue of `v`, 0 for none; the guest may have removed it since. */
export function fifoTail(v: Vcpu, priority: u32): u32 {
  return load<u32>(tailSlot(v.fifo, priority));
}

/** Physical address of the event word of `port`; 0 while there is none. */
function wordPa(d: Domain, port: u32): u64 {
  const fifo = fifoOf(d);
  if (port >= fifo.words) return 0;
  const mfn: u64 = load<u32>(fifoFrameSlot(fifo, port / FIFO_PAGE_WORDS));
  return (mfn << 12) + ((port % FIFO_PAGE_WORDS) << 2);
}

/** Sets `bit` of the 32-bit word at `pa`, 4-byte aligned. Whether it was set before. */
function setBit(pa: u64, bit: u32): bool {
  const shift: u64 = (pa & 4) << 3;
  return (((hw.fetchOr64(pa & ~7, (<u64>bit) << shift) >> shift) & bit) as u32) != 0;
}

function clearBit(pa: u64, bit: u32): void {
  const shift: u64 = (pa & 4) << 3;
  hw.fetchAnd64(pa & ~7, ~((<u64>bit) << shift));
}

/**
 * Makes `port` pending and, unless it is masked or already on a queue, appends it to the queue of `v` for its priority.
 * Without an event word the event is recorded until there is one. If `v` has no control block the event is lost: the guest
 * must not use a vCPU's events before setting one up (Xen's rule).
 */
export function fifoSetPending(d: Domain, v: Vcpu, port: u32): void {
  const p = portOf(d, port)!;
  const word = wordPa(d, port);
  if (!word) {
    p.waiting = 1;
    return;
  }
  if (!v.fifo) return;
  const fifo = eventsOf(d).fifo;
  hw.lock(fifo);
  const priority: u32 = p.priority;
  const fresh = !setBit(word, PENDING);
  const queued = !(hw.load32(word) & MASKED) && !setBit(word, LINKED);
  const first = queued && enqueue(d, v, port, p);
  hw.unlock(fifo);
  if (first && !setBit(controlPa(v) + EvtchnFifoControlBlock.ready, (<u32>1) << priority)) markUpcall(v);
  if (fresh) wakePollers(d, port);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function controlPa(v: Vcpu): u64 {
  return changetype<VcpuFifo>(v.fifo).control;
}

/** Appends `port`, whose word is already LINKED, to its queue. True if the queue was empty and its head was set. */
function enqueue(d: Domain, v: Vcpu, port: u32, p: Port): bool {
  // It may have been the tail of its previous queue, of this or another vCPU: the guest has removed it, so that queue is
  // empty, although the word is LINKED again.
  const before = vcpuOf(d, p.lastVcpu);
  if (before != null && before.fifo) {
    const slot = tailSlot(before.fifo, p.lastPriority);
    if (load<u32>(slot) == port) store<u32>(slot, 0);
  }
  p.lastVcpu = <u8>v.id;
  p.lastPriority = p.priority;
  const slot = tailSlot(v.fifo, p.priority);
  const tail = load<u32>(slot);
  store<u32>(slot, port);
  if (tail && linkTo(wordPa(d, tail), port)) return false;
  hw.store32(controlPa(v) + EvtchnFifoControlBlock.head + ((<u32>p.priority) << 2), port);
  return true;
}

/**
 * Writes `port` into the link of the tail's word if that is still LINKED. False: the queue has become empty. A guest
 * that changes the word at every attempt violates the protocol; its event counts as appended and is lost, as on Xen.
 */
function linkTo(word: u64, port: u32): bool {
  let seen = hw.load32(word);
  for (let i: u32 = 0; i < TRIES; i++) {
    if (!(seen & LINKED)) {
      if (i) clearBit(word, BUSY);
      return false;
    }
    const found = hw.cmpxchg32(word, seen, (seen & ~(BUSY | LINK_MASK)) | port);
    if (found == seen) return true;
    if (i) {
      seen = found;
    } else {
      setBit(word, BUSY);
      seen = hw.load32(word);
    }
  }
  clearBit(word, BUSY);
  return true;
}

/** Clears PENDING. The guest will find the port on its queue, see that it is not pending, and skip it. */
export function fifoClearPending(d: Domain, port: u32): void {
  portOf(d, port)!.waiting = 0;
  const word = wordPa(d, port);
  if (word) clearBit(word, PENDING);
}

export function fifoIsPending(d: Domain, port: u32): bool {
  const word = wordPa(d, port);
  return word != 0 && (hw.load32(word) & PENDING) != 0;
}

/** A port without a word counts as masked. */
export function fifoIsMasked(d: Domain, port: u32): bool {
  const word = wordPa(d, port);
  return word == 0 || (hw.load32(word) & MASKED) != 0;
}

/** Whether the port is on a queue: its number must not be allocated again before the guest has removed it. */
export function fifoIsBusy(d: Domain, port: u32): bool {
  const word = wordPa(d, port);
  return word != 0 && (hw.load32(word) & LINKED) != 0;
}

/** Clears MASKED; a pending event is put on its queue. */
export function fifoUnmask(d: Domain, v: Vcpu, port: u32): void {
  const word = wordPa(d, port);
  if (!word) return;
  clearBit(word, MASKED);
  if (hw.load32(word) & PENDING) fifoSetPending(d, v, port);
}

/** EVTCHNOP_set_priority: takes effect when it is next put on a queue. 0, -EACCES port not in use, -EINVAL. */
export function fifoSetPriority(p: Port, priority: u32): i32 {
  if (!usable(p)) return -EACCES;
  if (priority > EVTCHN_FIFO_PRIORITY_MIN) return -EINVAL;
  p.priority = <u8>priority;
  return 0;
}
