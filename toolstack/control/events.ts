/**
 * Event channels of domain 0, 2-level ABI: who handles which port, and the draining of what is pending.
 *
 * Pending words are taken with an atomic exchange, whole 32-bit words at a time. So a bit of a masked port may be
 * cleared with its neighbours: whoever unmasks a port looks at its ring himself (see guest-console.ts).
 */
import { EVTCHN_2L_NR_CHANNELS } from "../../abi/event-channel.ts";
import { DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import { SharedInfo, VcpuInfo } from "../../abi/xen.ts";
import { reportFailure } from "./failures.ts";
import { memory } from "./host.ts";
import { exchange } from "./hypercall.ts";
import { bindInterdomain, bindVirq, closePort, unmask } from "./hypercalls/event-channel.ts";
import { PAGE_SIZE, words } from "./window.ts";

/** Offsets in shared_info: bytes, and words. */
const UPCALL_PENDING = SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending;
const PENDING_SEL = (SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel) / 4;
const PENDING = SharedInfo.evtchn_pending / 4;
const MASK = SharedInfo.evtchn_mask / 4;

/** shared_info. Set by `openEvents`. */
let bytes: Uint8Array;
let shared: Uint32Array;

/** Takes shared_info into use; after `openHost`. */
export function openEvents(): void {
  bytes = memory.bytes(DOM0_SHARED_INFO, PAGE_SIZE);
  shared = words(memory, DOM0_SHARED_INFO, PAGE_SIZE / 4);
}

/** Takes the bits of word `index` of shared_info, atomically. */
function take(index: number): number {
  return exchange(DOM0_SHARED_INFO + index * 4, 0);
}

type Handler = () => void;

const handlers: (Handler | undefined)[] = [];

/** Binds a virtual interrupt to `handler`; returns its port. */
export function onVirq(virq: number, handler: Handler): number {
  const port = bindVirq(virq);
  handlers[port] = handler;
  return port;
}

/** Binds to `remotePort` of domain `remote`, with `handler` for its notifications; returns our port. */
export function onInterdomain(remote: number, remotePort: number, handler: Handler): number {
  const port = bindInterdomain(remote, remotePort);
  handlers[port] = handler;
  return port;
}

/** Ports whose events were taken with another's and wait for the next draining. */
const held: number[] = [];

/**
 * As `onInterdomain`, to a domain that has never run. Xen sets every newly bound port pending, for what was sent before;
 * here nothing was, so the handler is first called when something is.
 */
export function onNewDomain(remote: number, remotePort: number, handler: Handler): number {
  const port = onInterdomain(remote, remotePort, handler);
  const index = PENDING + (port >>> 5);
  const others = take(index) & ~shared[MASK + (port >>> 5)]! & ~(1 << (port & 31));
  // The upcall stays pending, so the others' turn comes.
  for (let ports = others; ports !== 0; ports &= ports - 1) held.push((port & ~31) + 31 - Math.clz32(ports & -ports));
  return port;
}

/** Closes a port and forgets its handler. */
export function closeChannel(port: number): void {
  handlers[port] = undefined;
  unmaskPort(port);
  closePort(port);
}

/** Keeps a port from waking domain 0. */
export function maskPort(port: number): void {
  shared[MASK + (port >>> 5)]! |= 1 << (port & 31);
}

/**
 * Lets it wake domain 0 again. An event that came meanwhile may have been taken with its neighbours; one that still waits is
 * raised: a port that stays pending would never wake anybody again.
 */
export function unmaskPort(port: number): void {
  const word = port >>> 5;
  const bit = 1 << (port & 31);
  if ((shared[MASK + word]! & bit) === 0) return;
  shared[MASK + word]! &= ~bit;
  if ((shared[PENDING + word]! & bit) === 0) return;
  // It was sent while masked, or between these lines: the hypervisor knows how to raise it in either case.
  shared[MASK + word]! |= bit;
  unmask(port);
}

/**
 * Calls the handler of every port that is pending, once; an exception in one is reported and does not stop the others.
 * What becomes pending meanwhile keeps the upcall pending: it is for the next turn.
 */
export function drainEvents(): void {
  if (held.length === 0 && bytes[UPCALL_PENDING] === 0) return;
  for (const port of held.splice(0)) dispatch(port);
  bytes[UPCALL_PENDING] = 0;
  // The exchange also orders the clearing above before the reading of what is pending.
  drainSelected(take(PENDING_SEL), 0);
  if (shared[PENDING_SEL + 1] !== 0) drainSelected(take(PENDING_SEL + 1), 32);
}

/** Drains the 64-bit pending words whose bits are set in `selected`; bit 0 stands for word `base`. */
function drainSelected(selected: number, base: number): void {
  for (let bits = selected; bits !== 0; bits &= bits - 1) {
    const word = base + 31 - Math.clz32(bits & -bits);
    for (let half = 0; half < 2; half++) {
      const index = word * 2 + half;
      if (shared[PENDING + index] === 0) continue;
      const pending = take(PENDING + index) & ~shared[MASK + index]!;
      const firstPort = word * 64 + half * 32;
      for (let ports = pending; ports !== 0; ports &= ports - 1) {
        dispatch(firstPort + 31 - Math.clz32(ports & -ports));
      }
    }
  }
}

function dispatch(port: number): void {
  const handler = port < EVTCHN_2L_NR_CHANNELS ? handlers[port] : undefined;
  if (handler === undefined) return;
  try {
    handler();
  } catch (error) {
    reportFailure(`event channel ${port}`, error);
  }
}
