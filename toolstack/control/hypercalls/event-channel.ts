/** event_channel_op, as far as domain 0 uses it. Ports are numbers of this domain unless they are called remote. */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnInitControl,
  EvtchnSend,
  EvtchnStatus,
  EvtchnUnmask,
} from "../../../abi/event-channel.ts";
import { __HYPERVISOR_event_channel_op, DOMID_SELF } from "../../../abi/xen.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";

const ALLOC_DOMS = EvtchnAllocUnbound.dom / 4; // dom in its low half, remote_dom in its high half
const ALLOC_PORT = EvtchnAllocUnbound.port / 4;
const BIND_DOM = EvtchnBindInterdomain.remote_dom / 4;
const BIND_REMOTE_PORT = EvtchnBindInterdomain.remote_port / 4;
const BIND_LOCAL_PORT = EvtchnBindInterdomain.local_port / 4;
const VIRQ = EvtchnBindVirq.virq / 4;
const VIRQ_VCPU = EvtchnBindVirq.vcpu / 4;
const VIRQ_PORT = EvtchnBindVirq.port / 4;
const CLOSE_PORT = EvtchnClose.port / 4;
const SEND_PORT = EvtchnSend.port / 4;
const CONTROL_GFN = EvtchnInitControl.control_gfn / 4;
const CONTROL_OFFSET = EvtchnInitControl.offset / 4;
const CONTROL_VCPU = EvtchnInitControl.vcpu / 4;
const ARRAY_GFN = EvtchnExpandArray.array_gfn / 4;
const UNMASK_PORT = EvtchnUnmask.port / 4;

const buffer = reserveScratch(EvtchnBindVirq.SIZE);
/** Of structures with 64-bit fields, whose high words stay zero. */
const setup = reserveScratch(EvtchnInitControl.SIZE);

function operation(name: string, op: number): void {
  checked(name, hypercall(__HYPERVISOR_event_channel_op, op, buffer.address));
}

/** Makes a port in domain `domain` (DOMID_SELF: in this one) that `remote` may bind to; returns that domain's port number. */
export function allocUnbound(domain: number, remote: number): number {
  const { words } = buffer;
  words[ALLOC_DOMS] = domain | (remote << 16);
  operation("EVTCHNOP_alloc_unbound", EVTCHNOP_alloc_unbound);
  return words[ALLOC_PORT]!;
}

/** Binds a new port of ours to the unbound `remotePort` of `remote`. */
export function bindInterdomain(remote: number, remotePort: number): number {
  const { words } = buffer;
  words[BIND_DOM] = remote;
  words[BIND_REMOTE_PORT] = remotePort;
  operation("EVTCHNOP_bind_interdomain", EVTCHNOP_bind_interdomain);
  return words[BIND_LOCAL_PORT]!;
}

/** Binds a new port to a virtual interrupt of vCPU 0. */
export function bindVirq(virq: number): number {
  const { words } = buffer;
  words[VIRQ] = virq;
  words[VIRQ_VCPU] = 0;
  operation("EVTCHNOP_bind_virq", EVTCHNOP_bind_virq);
  return words[VIRQ_PORT]!;
}

export function closePort(port: number): void {
  buffer.words[CLOSE_PORT] = port;
  operation("EVTCHNOP_close", EVTCHNOP_close);
}

/** Notifies the other end of a port. */
export function send(port: number): void {
  buffer.words[SEND_PORT] = port;
  operation("EVTCHNOP_send", EVTCHNOP_send);
}

const statusBuffer = reserveScratch(EvtchnStatus.SIZE);

/** Whether another domain's port is bound to `port`: not when that domain has closed it, or was restarted. */
export function isConnected(port: number): boolean {
  const { words } = statusBuffer;
  words[EvtchnStatus.dom / 4] = DOMID_SELF;
  words[EvtchnStatus.port / 4] = port;
  const result = hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_status, statusBuffer.address);
  checked("EVTCHNOP_status", result);
  return words[EvtchnStatus.status / 4] === EVTCHNSTAT_interdomain;
}

/**
 * The port of another domain's that a closed port of ours was bound to when it was closed, by a restart of domain 0 for instance;
 * 0: none, or it is in use again. Beyond Xen.
 */
export function formerPort(port: number): number {
  const { words } = statusBuffer;
  words[EvtchnStatus.dom / 4] = DOMID_SELF;
  words[EvtchnStatus.port / 4] = port;
  const result = hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_status, statusBuffer.address);
  if (result < 0 || words[EvtchnStatus.status / 4] !== EVTCHNSTAT_closed) return 0;
  return words[EvtchnStatus.u_interdomain_port / 4]!;
}

/** Unmasks a masked port of ours; a pending event is raised. */
export function unmask(port: number): void {
  buffer.words[UNMASK_PORT] = port;
  operation("EVTCHNOP_unmask", EVTCHNOP_unmask);
}

/**
 * Switches domain 0 to the FIFO ABI.
 * @param address of the control block of vCPU 0 in the window, in RAM that was touched
 */
export function initControl(address: number): void {
  const { words } = setup;
  words[CONTROL_GFN] = address >>> PAGE_SHIFT;
  words[CONTROL_OFFSET] = address % PAGE_SIZE;
  words[CONTROL_VCPU] = 0;
  checked("EVTCHNOP_init_control", hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_init_control, setup.address));
}

/** Adds the event words of the next 1,024 ports, in the page of RAM at `address`, which must have been touched. */
export function expandArray(address: number): void {
  setup.words[ARRAY_GFN] = address >>> PAGE_SHIFT;
  checked("EVTCHNOP_expand_array", hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_expand_array, setup.address));
}
