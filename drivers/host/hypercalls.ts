/** Typed wrappers of the hypercalls that the network back end makes. Results below 0 are -errno. */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNSTAT_interdomain,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnClose,
  EvtchnSend,
  EvtchnStatus,
} from "../../abi/event-channel";
import { MemoryReservation, XENMEM_populate_physmap } from "../../abi/memory";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  DOMID_SELF,
} from "../../abi/xen";
import { hypercall } from "./host";

/** Arguments of the call in progress. */
const argument: usize = memory.data(64);
const frames: usize = memory.data(8);

function eventOp(op: u32): i32 {
  return <i32>hypercall(__HYPERVISOR_event_channel_op, op, argument, 0, 0, 0);
}

/** Has a new port wait for `domid` to bind it. The port, or -errno. */
export function eventAllocUnbound(domid: u32): i32 {
  memory.fill(argument, 0, EvtchnAllocUnbound.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, EvtchnAllocUnbound.dom);
  store<u16>(argument, <u16>domid, EvtchnAllocUnbound.remote_dom);
  const rc = eventOp(EVTCHNOP_alloc_unbound);
  return rc < 0 ? rc : load<i32>(argument, EvtchnAllocUnbound.port);
}

/** Binds a new port to port `remote` of `domid`, which waits for this domain. The port, or -errno. */
export function eventBindInterdomain(domid: u32, remote: u32): i32 {
  memory.fill(argument, 0, EvtchnBindInterdomain.SIZE);
  store<u16>(argument, <u16>domid, EvtchnBindInterdomain.remote_dom);
  store<u32>(argument, remote, EvtchnBindInterdomain.remote_port);
  const rc = eventOp(EVTCHNOP_bind_interdomain);
  return rc < 0 ? rc : load<i32>(argument, EvtchnBindInterdomain.local_port);
}

/** The port at the other end of port `local`; 0 when nothing is bound to it. */
export function eventRemotePort(local: u32): u32 {
  memory.fill(argument, 0, EvtchnStatus.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, EvtchnStatus.dom);
  store<u32>(argument, local, EvtchnStatus.port);
  if (eventOp(EVTCHNOP_status) < 0 || load<u32>(argument, EvtchnStatus.status) != EVTCHNSTAT_interdomain) return 0;
  return load<u32>(argument, EvtchnStatus.u_interdomain_port);
}

/** Notifies the other end of a port. */
export function eventSend(port: u32): void {
  store<u32>(argument, port, EvtchnSend.port);
  eventOp(EVTCHNOP_send);
}

/** Closes a port. */
export function eventClose(port: u32): void {
  store<u32>(argument, port, EvtchnClose.port);
  eventOp(EVTCHNOP_close);
}

/** A GNTTABOP_* on `count` elements at `elements`, each of which gets a status of its own. 0 or -errno. */
export function grantTableOp(op: u32, elements: usize, count: u32): i32 {
  return <i32>hypercall(__HYPERVISOR_grant_table_op, op, elements, count, 0, 0);
}

/** Populates 2^`order` contiguous frames at `gfn`. The first frame's number, or -errno. */
export function populatePhysmap(gfn: u64, order: u32): i64 {
  memory.fill(argument, 0, MemoryReservation.SIZE);
  store<u64>(frames, gfn);
  store<u64>(argument, frames, MemoryReservation.extent_start);
  store<u64>(argument, 1, MemoryReservation.nr_extents);
  store<u32>(argument, order, MemoryReservation.extent_order);
  store<u16>(argument, <u16>DOMID_SELF, MemoryReservation.domid);
  const done = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, argument, 0, 0, 0);
  if (done < 0) return done;
  return done == 1 ? load<i64>(frames) : -12;
}
