/**
 * Event channels of domain 0, 2-level ABI: who handles which port, and the draining of what is pending.
 *
 * Pending words are taken with an atomic exchange, whole 32-bit words at a time. So a bit of a masked port may be
 * cleared with its neighbours: whoever unmasks a port looks at its ring himself (see guest-console.ts).
 */
import { EVTCHN_2L_NR_CHANNELS } from "../../abi/event-channel.ts";
import { DOM0_SHARED_INFO } from "../../abi/software.ts";
import { SharedInfo, VcpuInfo } from "../../abi/xen.ts";
import { reportFailure } from "./failures.ts";
import { memory } from "./host.ts";
import { exchange } from "./hypercall.ts";
import { bindInterdomain, bindVirq, closePort } from "./hypercalls/event-channel.ts";

const UPCALL_PENDING = DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending;
const PENDING_SEL = DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel;
const PENDING = DOM0_SHARED_INFO + SharedInfo.evtchn_pending;
const MASK = DOM0_SHARED_INFO + SharedInfo.evtchn_mask;

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

/** Closes a port and forgets its handler. */
export function closeChannel(port: number): void {
  handlers[port] = undefined;
  unmaskPort(port);
  closePort(port);
}

/** Keeps a port from waking domain 0. */
export function maskPort(port: number): void {
  const address = MASK + (port >>> 5) * 4;
  memory.store32(address, memory.load32(address) | (1 << (port & 31)));
}

/** Lets it wake domain 0 again; what was sent meanwhile may be lost. */
export function unmaskPort(port: number): void {
  const address = MASK + (port >>> 5) * 4;
  memory.store32(address, memory.load32(address) & ~(1 << (port & 31)));
}

/** Calls the handler of every pending port once; an exception in one is reported and does not stop the others. */
export function drainEvents(): void {
  while (memory.load8(UPCALL_PENDING) !== 0) {
    memory.store8(UPCALL_PENDING, 0);
    // The exchange also orders the clearing above before the reading of what is pending.
    drainSelected(exchange(PENDING_SEL, 0), 0);
    if (memory.load32(PENDING_SEL + 4) !== 0) drainSelected(exchange(PENDING_SEL + 4, 0), 32);
  }
}

/** Drains the 64-bit pending words whose bits are set in `selected`; bit 0 stands for word `base`. */
function drainSelected(selected: number, base: number): void {
  for (let bits = selected; bits !== 0; bits &= bits - 1) {
    const word = base + 31 - Math.clz32(bits & -bits);
    for (let half = 0; half < 2; half++) {
      const address = PENDING + word * 8 + half * 4;
      if (memory.load32(address) === 0) continue;
      const masked = memory.load32(address - PENDING + MASK);
      const pending = exchange(address, 0) & ~masked;
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
