/**
 * Event channels, FIFO ABI (xen/event_channel.h): which function handles which port, and serving what is pending, by priority.
 *
 * Each port has an event word, in pages that the domain gives the hypervisor as port numbers grow; pending ports form a queue for
 * each priority, to which the hypervisor appends and from which eventsServe removes, one atomic operation a port.
 */
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_NR_CHANNELS,
  EVTCHN_FIFO_PENDING,
  EvtchnFifoControlBlock,
} from "../../abi/event-channel";
import { IO_SHARED_INFO } from "../../abi/io/layout";
import { SharedInfo, VcpuInfo } from "../../abi/xen";
import { barrier, compareExchange32, fetchAnd32, fetchOr32, read32, read8, write8 } from "./host";
import { heapAllocatePages } from "./heap";
import { eventExpandArray, eventInitControl, eventUnmask } from "./hypercalls";

/** Called with the record that was given with it. */
export type EventFn = (record: usize) => void;

const PORTS: u32 = EVTCHN_FIFO_NR_CHANNELS;
const PAGE_WORDS: u32 = 1024;
const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;
const LINK: u32 = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
const UPCALL_PENDING: usize = <usize>IO_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending;

@unmanaged
class Port {
  fn: usize; // EventFn; 0: nothing handles it
  record: usize;
}
/** Pages of handlers and of event words, one pair for each 1,024 ports: 0 until a port there is used. */
const handlerPages: usize = memory.data(128 * 4, 4);
const wordPages: usize = memory.data(128 * 4, 4);
let pages: u32 = 0;
/** The control block: within a page. 0 until eventsStart. */
let control: usize = 0;
/** The next port of each queue that the domain is to serve; 0: its head is in the control block. And the set of the others. */
const heads: usize = memory.data(16 * 4, 4);
let kept: u32 = 0;
/** Called with the number of a port that is pending and that nothing handles; 0 none. */
let unclaimed: usize = 0;

/** Takes event channels into use. Once, first of all. False when there is no memory. */
export function eventsStart(): bool {
  control = heapAllocatePages(1);
  return control != 0 && eventInitControl(control) == 0 && addPage();
}

/** Has `fn` called with the number of each port that has an event and no handler. */
export function eventsUnclaimed(fn: EventFn): void {
  unclaimed = changetype<usize>(fn);
}

function addPage(): bool {
  const words = heapAllocatePages(1);
  const handlers = heapAllocatePages(2);
  if (!words || !handlers || eventExpandArray(words) != 0) return false;
  store<usize>(wordPages + ((<usize>pages) << 2), words);
  store<usize>(handlerPages + ((<usize>pages) << 2), handlers);
  pages++;
  return true;
}

/** Makes sure that ports up to `port` have event words. False when there is no memory: its events are lost. */
function reaches(port: u32): bool {
  if (port >= PORTS) return false;
  while (port >= pages * PAGE_WORDS) if (!addPage()) return false;
  return true;
}

function portAt(port: u32): Port {
  const page = load<usize>(handlerPages + ((<usize>port / PAGE_WORDS) << 2));
  return changetype<Port>(page + <usize>(port % PAGE_WORDS) * offsetof<Port>());
}

function wordOf(port: u32): usize {
  return load<usize>(wordPages + ((<usize>port / PAGE_WORDS) << 2)) + ((<usize>(port % PAGE_WORDS)) << 2);
}

/**
 * Has `fn` called with `record` for each event on `port`, which was just bound; an event that came before is not lost.
 * @returns false when there is no memory for its event word: close the port
 */
export function eventHandle(port: u32, fn: EventFn, record: usize): bool {
  if (!reaches(port)) return false;
  const p = portAt(port);
  p.record = record;
  p.fn = changetype<usize>(fn);
  return true;
}

/** Has nothing called for a port any more; before it is closed. */
export function eventForget(port: u32): void {
  if (port < pages * PAGE_WORDS) portAt(port).fn = 0;
}

/** Calls the handler of a port. */
export function eventDeliver(port: u32): void {
  if (port < pages * PAGE_WORDS && portAt(port).fn) {
    const p = portAt(port);
    changetype<EventFn>(p.fn)(p.record);
  } else if (unclaimed) {
    changetype<EventFn>(unclaimed)(port);
  }
}

/** Keeps a port's events from being served until eventAllow. */
export function eventHold(port: u32): void {
  if (port < pages * PAGE_WORDS) fetchOr32(wordOf(port), MASKED);
}

/** Ends eventHold: an event that came meanwhile is served now. */
export function eventAllow(port: u32): void {
  if (port >= pages * PAGE_WORDS) return;
  const word = wordOf(port);
  for (;;) {
    const value = read32(word);
    if (!(value & MASKED)) return;
    // The hypervisor links a pending port, and works on a word that is BUSY.
    if (value & (PENDING | BUSY)) {
      eventUnmask(port);
      return;
    }
    if (compareExchange32(word, value, value & ~MASKED) == value) return;
  }
}

/**
 * Calls the handlers of pending ports, the most urgent priority first, `budget` at most.
 * @returns false: nothing is pending any more; true: call again
 */
export function eventsServe(budget: u32): bool {
  if (!control) return false;
  while (true) {
    if (read8(UPCALL_PENDING)) {
      write8(UPCALL_PENDING, 0);
      barrier(); // before looking at what is pending
    }
    let ready = read32(control + EvtchnFifoControlBlock.ready) | kept;
    if (!ready) {
      if (read8(UPCALL_PENDING)) continue;
      return false;
    }
    while (ready) {
      if (!budget--) return true;
      const priority = ctz(ready);
      serveOne(priority);
      ready = read32(control + EvtchnFifoControlBlock.ready) | kept;
    }
  }
}

/** Removes the first port of a queue and calls its handler. */
function serveOne(priority: u32): void {
  const slot = heads + ((<usize>priority) << 2);
  let port = load<u32>(slot);
  if (!port) {
    // Once the bit is clear the hypervisor sets it when it appends to what it takes for an empty queue.
    fetchAnd32(control + EvtchnFifoControlBlock.ready, ~((<u32>1) << priority));
    port = read32(control + EvtchnFifoControlBlock.head + ((<usize>priority) << 2));
    if (!port) return;
  }
  const word = wordOf(port);
  let value: u32;
  do {
    value = read32(word);
  } while (compareExchange32(word, value, value & ~(LINKED | LINK | (value & MASKED ? 0 : PENDING))) != value);
  const next = value & LINK;
  store<u32>(slot, next);
  if (next) kept |= (<u32>1) << priority;
  else kept &= ~((<u32>1) << priority);
  if (value & PENDING && !(value & MASKED)) eventDeliver(port);
}
