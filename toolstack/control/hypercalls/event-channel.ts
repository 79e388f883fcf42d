/** event_channel_op, as far as domain 0 uses it. Ports are numbers of this domain unless they are called remote. */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnSend,
} from "../../../abi/event-channel.ts";
import { __HYPERVISOR_event_channel_op } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";

const buffer = reserveScratch(EvtchnBindVirq.SIZE);

function operation(name: string, op: number): void {
  checked(name, hypercall(__HYPERVISOR_event_channel_op, op, buffer));
}

/** Makes a port in domain `domain` that `remote` may bind to; returns that domain's port number. */
export function allocUnbound(domain: number, remote: number): number {
  memory.store16(buffer + EvtchnAllocUnbound.dom, domain);
  memory.store16(buffer + EvtchnAllocUnbound.remote_dom, remote);
  operation("EVTCHNOP_alloc_unbound", EVTCHNOP_alloc_unbound);
  return memory.load32(buffer + EvtchnAllocUnbound.port);
}

/** Binds a new port of ours to the unbound `remotePort` of `remote`. */
export function bindInterdomain(remote: number, remotePort: number): number {
  memory.store16(buffer + EvtchnBindInterdomain.remote_dom, remote);
  memory.store32(buffer + EvtchnBindInterdomain.remote_port, remotePort);
  operation("EVTCHNOP_bind_interdomain", EVTCHNOP_bind_interdomain);
  return memory.load32(buffer + EvtchnBindInterdomain.local_port);
}

/** Binds a new port to a virtual interrupt of vCPU 0. */
export function bindVirq(virq: number): number {
  memory.store32(buffer + EvtchnBindVirq.virq, virq);
  memory.store32(buffer + EvtchnBindVirq.vcpu, 0);
  operation("EVTCHNOP_bind_virq", EVTCHNOP_bind_virq);
  return memory.load32(buffer + EvtchnBindVirq.port);
}

export function closePort(port: number): void {
  memory.store32(buffer + EvtchnClose.port, port);
  operation("EVTCHNOP_close", EVTCHNOP_close);
}

/** Notifies the other end of a port. */
export function send(port: number): void {
  memory.store32(buffer + EvtchnSend.port, port);
  operation("EVTCHNOP_send", EVTCHNOP_send);
}
