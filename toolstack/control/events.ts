/**
 * Event channels of domain 0, FIFO ABI: the handlers of ports, and consuming pending events.
 *
 * Every port has an event word, in pages given to the hypervisor 1,024 words at a time as port numbers grow: 131,072 ports
 * in all. Ports that are pending and not masked form a queue: a word names the next port, the control block the first.
 * The hypervisor appends, domain 0 removes, with one atomic operation per word: a concurrent change by the hypervisor takes
 * effect either before or after.
 *
 * The word of a port that is not in use is masked: a port just bound raises nothing until its handler is there.
 *
 * All ports have the default priority: there is one queue.
 */
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_NR_CHANNELS,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EvtchnFifoControlBlock,
} from "../../abi/event-channel.ts";
import { DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import { DOMID_SELF, SharedInfo, VcpuInfo } from "../../abi/xen.ts";
import { reportFailure } from "./failures.ts";
import { memory } from "./host.ts";
import { compareExchange } from "./hypercall.ts";
import {
  allocUnbound,
  bindInterdomain,
  bindVirq,
  closePort,
  expandArray,
  initControl,
  unmask,
} from "./hypercalls/event-channel.ts";
import { reservePages, reserveScratch } from "./scratch.ts";
import { PAGE_SIZE, words } from "./window.ts";

const UPCALL_PENDING = SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending;

/** Event words in a page, and the pages for as many ports as the ABI has; a page takes memory once it is used. */
const PAGE_WORDS = PAGE_SIZE / 4;
const wordPages = reservePages(EVTCHN_FIFO_NR_CHANNELS / PAGE_WORDS);
const control = reserveScratch(EvtchnFifoControlBlock.SIZE);
const READY = control.address + EvtchnFifoControlBlock.ready;
const HEAD = EvtchnFifoControlBlock.head / 4 + EVTCHN_FIFO_PRIORITY_DEFAULT;

const PENDING = 1 << EVTCHN_FIFO_PENDING;
const MASKED = 1 << EVTCHN_FIFO_MASKED;
const LINKED = 1 << EVTCHN_FIFO_LINKED;
const BUSY = 1 << EVTCHN_FIFO_BUSY;
const LINK = 2 ** EVTCHN_FIFO_LINK_BITS - 1;

/** shared_info. Set by `openEvents`. */
let shared: Uint8Array;
/** Live views of the pages of event words that are in use. */
const pages: Uint32Array[] = [];

/** Takes event channels into use; after `openScratch`. */
export function openEvents(): void {
  shared = memory.bytes(DOM0_SHARED_INFO, PAGE_SIZE);
  initControl(control.address);
  addPage();
}

/** Adds event words for 1,024 more ports. Throws HypercallError. */
function addPage(): void {
  const page = wordPages + pages.length * PAGE_SIZE;
  const view = words(memory, page, PAGE_WORDS);
  view.fill(MASKED);
  expandArray(page);
  pages.push(view);
}

type Handler = () => void;

const handlers: (Handler | undefined)[] = [];

/** Enters the handler of a port just bound, which has an event word, masked, when this returns. */
function enter(port: number, handler: Handler): number {
  try {
    while (port >= pages.length * PAGE_WORDS) addPage();
  } catch (error) {
    closePort(port);
    throw error;
  }
  handlers[port] = handler;
  return port;
}

/** Binds a virtual interrupt to `handler`; returns its port. */
export function onVirq(virq: number, handler: Handler): number {
  const port = enter(bindVirq(virq), handler);
  unmaskPort(port);
  return port;
}

/** Binds to `remotePort` of domain `remote`, with `handler` for its notifications; returns our port. */
export function onInterdomain(remote: number, remotePort: number, handler: Handler): number {
  const port = enter(bindInterdomain(remote, remotePort), handler);
  unmaskPort(port);
  return port;
}

/** Makes a port that domain `remote` may bind to, with `handler` for its notifications; returns it. */
export function onUnbound(remote: number, handler: Handler): number {
  const port = enter(allocUnbound(DOMID_SELF, remote), handler);
  unmaskPort(port);
  return port;
}

/**
 * As `onInterdomain`, to a domain that has never run. Xen sets every newly bound port pending, for what was sent before;
 * here nothing was, so the handler is first called when something is.
 */
export function onNewDomain(remote: number, remotePort: number, handler: Handler): number {
  const port = enter(bindInterdomain(remote, remotePort), handler);
  if (!replaceWord(port, MASKED | PENDING, 0)) unmaskPort(port);
  return port;
}

/** Closes a port and forgets its handler. */
export function closeChannel(port: number): void {
  handlers[port] = undefined;
  maskPort(port);
  closePort(port);
}

/** The current word of a port; it may change at any moment. */
function wordOf(port: number): number {
  return pages[Math.floor(port / PAGE_WORDS)]![port % PAGE_WORDS]!;
}

/** Writes `value` to the word of a port unless it is not `expected` any more: then false. */
function replaceWord(port: number, expected: number, value: number): boolean {
  return compareExchange(wordPages + port * 4, expected, value >>> 0) === expected;
}

/** Whether an event of a port has not been handled yet. */
export function isRaised(port: number): boolean {
  return (wordOf(port) & PENDING) !== 0;
}

/** Keeps a port from waking domain 0, also if it is on the queue. */
export function maskPort(port: number): void {
  for (;;) {
    const word = wordOf(port);
    if ((word & MASKED) !== 0 || replaceWord(port, word, word | MASKED)) return;
  }
}

/** Re-enables wake-ups of domain 0: an event that came meanwhile wakes it now. */
export function unmaskPort(port: number): void {
  for (;;) {
    const word = wordOf(port);
    if ((word & MASKED) === 0) return;
    // Who waits behind the mask is put on the queue by the hypervisor; and it works on a word that is BUSY.
    if ((word & (PENDING | BUSY)) !== 0) return unmask(port);
    if (replaceWord(port, word, word & ~MASKED)) return;
  }
}

/** Ports that were removed from the queue and whose handlers have yet to run. */
let taken: number[] = [];

/**
 * Empties the queue, moving the ports to be handled to `taken`. A port that is masked or was closed meanwhile is
 * removed as well: until then its number is not allocated again.
 */
function takeQueue(): void {
  for (;;) {
    const ready = memory.load32(READY);
    if (ready === 0) return;
    if (compareExchange(READY, ready, 0) === ready) break;
  }
  for (let port = control.words[HEAD]!; port !== 0;) {
    const word = wordOf(port);
    const handled = (word & PENDING) !== 0 && (word & MASKED) === 0;
    if (!replaceWord(port, word, word & ~(LINKED | LINK | (handled ? PENDING : 0)))) continue;
    if (handled) taken.push(port);
    port = word & LINK;
  }
}

/**
 * Calls the handler of every port that is pending, once; an exception in one is reported and does not stop the others.
 * What becomes pending meanwhile keeps the upcall pending: it is for the next turn.
 */
export function drainEvents(): void {
  if (taken.length === 0 && shared[UPCALL_PENDING] === 0) return;
  // The exchange in takeQueue also orders this before the reading of what is pending.
  shared[UPCALL_PENDING] = 0;
  takeQueue();
  const ports = taken;
  taken = [];
  for (const port of ports) dispatch(port);
}

function dispatch(port: number): void {
  const handler = handlers[port];
  if (handler === undefined) return;
  try {
    handler();
  } catch (error) {
    reportFailure(`event channel ${port}`, error);
  }
}
