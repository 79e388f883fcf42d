/**
 * Typed wrappers of Xen's hypercalls. Results below 0 are -errno. Arguments are built in one buffer in RAM, which is the call's in
 * progress: there is one vCPU, and no wrapper calls another while its arguments are there.
 */
import { ENOMEM } from "../../abi/errno";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_pirq,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindPirq,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnInitControl,
  EvtchnSend,
  EvtchnSetPriority,
  EvtchnStatus,
  EvtchnUnmask,
} from "../../abi/event-channel";
import {
  AddToPhysmapBatch,
  MemoryReservation,
  XENMAPSPACE_dev_mmio,
  XENMEM_add_to_physmap_batch,
  XENMEM_populate_physmap,
} from "../../abi/memory";
import {
  PhysdevEoi,
  PhysdevMapPirq,
  PHYSDEVOP_eoi,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_unmap_pirq,
  PhysdevUnmapPirq,
} from "../../abi/physdev";
import { SCHEDOP_watchdog, SchedWatchdog } from "../../abi/sched";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_physdev_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  DOMID_SELF,
} from "../../abi/xen";
import { hypercall } from "./host";

const argument: usize = memory.data(64, 8);
/** The list of a reservation of one extent. */
const extent: usize = memory.data(8, 8);
/** Most pages in one XENMEM_add_to_physmap_batch, and its lists. */
const BATCH: u32 = 64;
const indexes: usize = memory.data(64 * 8, 8);
const gfns: usize = memory.data(64 * 8, 8);
const errors: usize = memory.data(64 * 4, 4);

function clear(bytes: usize): void {
  memory.fill(argument, 0, bytes);
}

// --- Event channels ------------------------------------------------------------------------------------------------------

function eventOp(op: u32): i32 {
  return <i32>hypercall(__HYPERVISOR_event_channel_op, op, argument, 0, 0, 0);
}

/** Has a new port wait for `domid` to bind it. The port, or -errno. */
export function eventAllocUnbound(domid: u32): i32 {
  clear(EvtchnAllocUnbound.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, EvtchnAllocUnbound.dom);
  store<u16>(argument, <u16>domid, EvtchnAllocUnbound.remote_dom);
  const rc = eventOp(EVTCHNOP_alloc_unbound);
  return rc < 0 ? rc : load<i32>(argument, EvtchnAllocUnbound.port);
}

/** Binds a new port to port `remote` of `domid`, which waits for this domain. The port, or -errno. */
export function eventBindInterdomain(domid: u32, remote: u32): i32 {
  clear(EvtchnBindInterdomain.SIZE);
  store<u16>(argument, <u16>domid, EvtchnBindInterdomain.remote_dom);
  store<u32>(argument, remote, EvtchnBindInterdomain.remote_port);
  const rc = eventOp(EVTCHNOP_bind_interdomain);
  return rc < 0 ? rc : load<i32>(argument, EvtchnBindInterdomain.local_port);
}

/** Binds a virtual interrupt to a new port. The port, or -errno. */
export function eventBindVirq(virq: u32): i32 {
  clear(EvtchnBindVirq.SIZE);
  store<u32>(argument, virq, EvtchnBindVirq.virq);
  const rc = eventOp(EVTCHNOP_bind_virq);
  return rc < 0 ? rc : load<i32>(argument, EvtchnBindVirq.port);
}

/** The other domain's port that EVTCHNOP_status tells of port `local`; 0 when that is not in this state. */
function portInStatus(local: u32, status: u32): u32 {
  clear(EvtchnStatus.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, EvtchnStatus.dom);
  store<u32>(argument, local, EvtchnStatus.port);
  if (eventOp(EVTCHNOP_status) < 0 || load<u32>(argument, EvtchnStatus.status) != status) return 0;
  return load<u32>(argument, EvtchnStatus.u_interdomain_port);
}

/** The port at the other end of port `local`; 0 when nothing is bound to it. */
export function eventRemotePort(local: u32): u32 {
  return portInStatus(local, EVTCHNSTAT_interdomain);
}

/**
 * The port of another domain's that port `local` was bound to when it was closed, by a restart of this domain for instance; 0: none,
 * or it is in use again.
 */
export function eventFormerPort(local: u32): u32 {
  return portInStatus(local, EVTCHNSTAT_closed);
}

/** Notifies the other end of a port. */
export function eventSend(port: u32): void {
  store<u32>(argument, port, EvtchnSend.port);
  eventOp(EVTCHNOP_send);
}

/** Closes a port. events.ts must have forgotten it: eventForget. */
export function eventClose(port: u32): void {
  store<u32>(argument, port, EvtchnClose.port);
  eventOp(EVTCHNOP_close);
}

/** Has the hypervisor unmask a port, and queue it if it is pending. */
export function eventUnmask(port: u32): void {
  store<u32>(argument, port, EvtchnUnmask.port);
  eventOp(EVTCHNOP_unmask);
}

/** Sets which queue events of a port go to from now on: 0, served first, to 15. 0 or -errno. */
export function eventPriority(port: u32, priority: u32): i32 {
  clear(EvtchnSetPriority.SIZE);
  store<u32>(argument, port, EvtchnSetPriority.port);
  store<u32>(argument, priority, EvtchnSetPriority.priority);
  return eventOp(EVTCHNOP_set_priority);
}

/** Switches the domain to the FIFO ABI with its control block at `control`, within a page. 0 or -errno. */
export function eventInitControl(control: usize): i32 {
  clear(EvtchnInitControl.SIZE);
  store<u64>(argument, control >> 12, EvtchnInitControl.control_gfn);
  store<u32>(argument, <u32>(control & 4095), EvtchnInitControl.offset);
  return eventOp(EVTCHNOP_init_control);
}

/** Adds the page at `page` as event words of the next 1,024 ports. 0 or -errno. */
export function eventExpandArray(page: usize): i32 {
  clear(EvtchnExpandArray.SIZE);
  store<u64>(argument, page >> 12, EvtchnExpandArray.array_gfn);
  return eventOp(EVTCHNOP_expand_array);
}

// --- Grants --------------------------------------------------------------------------------------------------------------

/** A GNTTABOP_* on `count` elements at `elements`, each of which gets a status of its own. 0 or -errno. */
export function grantTableOp(op: u32, elements: usize, count: u32): i32 {
  return <i32>hypercall(__HYPERVISOR_grant_table_op, op, elements, count, 0, 0);
}

// --- Memory --------------------------------------------------------------------------------------------------------------

/**
 * Asks for 2^`order` frames at `gfn`: in IO_DMA contiguous ones.
 * @returns in IO_DMA the first frame's number, elsewhere `gfn`; -ENOMEM
 */
export function populatePhysmap(gfn: u64, order: u32): i64 {
  clear(MemoryReservation.SIZE);
  store<u64>(extent, gfn);
  store<u64>(argument, extent, MemoryReservation.extent_start);
  store<u64>(argument, 1, MemoryReservation.nr_extents);
  store<u32>(argument, order, MemoryReservation.extent_order);
  store<u16>(argument, <u16>DOMID_SELF, MemoryReservation.domid);
  const done = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, argument, 0, 0, 0);
  if (done < 0) return done;
  return done == 1 ? load<i64>(extent) : -ENOMEM;
}

/** Maps `pages` pages of devices' registers from frame `mfn` at `gfn`, uncached. 0 or -errno; the first ones may be mapped then. */
export function mapDeviceFrames(mfn: u64, gfn: u64, pages: u32): i64 {
  for (let done: u32 = 0; done < pages;) {
    const count = min(pages - done, BATCH);
    for (let i: u32 = 0; i < count; i++) {
      store<u64>(indexes + ((<usize>i) << 3), mfn + done + i);
      store<u64>(gfns + ((<usize>i) << 3), gfn + done + i);
      store<i32>(errors + ((<usize>i) << 2), 0);
    }
    clear(AddToPhysmapBatch.SIZE);
    store<u16>(argument, <u16>DOMID_SELF, AddToPhysmapBatch.domid);
    store<u16>(argument, <u16>XENMAPSPACE_dev_mmio, AddToPhysmapBatch.space);
    store<u16>(argument, <u16>count, AddToPhysmapBatch.size);
    store<u64>(argument, indexes, AddToPhysmapBatch.idxs);
    store<u64>(argument, gfns, AddToPhysmapBatch.gpfns);
    store<u64>(argument, errors, AddToPhysmapBatch.errs);
    const result = hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, argument, 0, 0, 0);
    if (result < 0) return result;
    for (let i: u32 = 0; i < count; i++) {
      const error = load<i32>(errors + ((<usize>i) << 2));
      if (error != 0) return error;
    }
    done += count;
  }
  return 0;
}

// --- Physical interrupts -------------------------------------------------------------------------------------------------

/**
 * Maps an interrupt of a device to a pirq.
 * @param type MAP_PIRQ_TYPE_*
 * @param index the GSI, for MAP_PIRQ_TYPE_GSI; else -1
 * @param address bus << 8 | devfn
 * @param entry entry of the MSI-X table
 * @param table base address of the BAR with the MSI-X table, 0 for MSI
 * @returns the pirq, or -errno
 */
export function mapPirq(type: u32, index: i32, address: u32, entry: u32, table: u64): i64 {
  clear(PhysdevMapPirq.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, PhysdevMapPirq.domid);
  store<u32>(argument, type, PhysdevMapPirq.type);
  store<i32>(argument, index, PhysdevMapPirq.index);
  store<i32>(argument, index, PhysdevMapPirq.pirq);
  store<u32>(argument, address >> 8, PhysdevMapPirq.bus);
  store<u32>(argument, address & 0xff, PhysdevMapPirq.devfn);
  store<u32>(argument, entry, PhysdevMapPirq.entry_nr);
  store<u64>(argument, table, PhysdevMapPirq.table_base);
  const result = hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, argument, 0, 0, 0);
  return result < 0 ? result : <i64>load<i32>(argument, PhysdevMapPirq.pirq);
}

/** Undoes mapPirq; its port is closed already. 0 or -errno. */
export function unmapPirq(pirq: u32): i64 {
  clear(PhysdevUnmapPirq.SIZE);
  store<u16>(argument, <u16>DOMID_SELF, PhysdevUnmapPirq.domid);
  store<u32>(argument, pirq, PhysdevUnmapPirq.pirq);
  return hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_unmap_pirq, argument, 0, 0, 0);
}

/** Ends a level-triggered interrupt: it may be raised again. */
export function pirqEoi(pirq: u32): void {
  store<u32>(argument, pirq, PhysdevEoi.irq);
  hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_eoi, argument, 0, 0, 0);
}

/** Binds a pirq to a new port. The port, or -errno. @param flags BIND_PIRQ__* */
export function bindPirq(pirq: u32, flags: u32): i64 {
  clear(EvtchnBindPirq.SIZE);
  store<u32>(argument, pirq, EvtchnBindPirq.pirq);
  store<u32>(argument, flags, EvtchnBindPirq.flags);
  const result = hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_pirq, argument, 0, 0, 0);
  return result < 0 ? result : <i64>load<u32>(argument, EvtchnBindPirq.port);
}

// --- Time ----------------------------------------------------------------------------------------------------------------

/** Has VIRQ_TIMER raised at system time `ns`; 0: not at all. */
export function setTimer(ns: u64): void {
  hypercall(__HYPERVISOR_set_timer_op, ns, 0, 0, 0, 0);
}

/**
 * Starts a watchdog, or starts its time anew: the domain is restarted when it is over.
 * @param id 0: a new one; else an earlier call's result
 * @returns its number, or -errno
 */
export function setWatchdog(id: u32, seconds: u32): i64 {
  clear(SchedWatchdog.SIZE);
  store<u32>(argument, id, SchedWatchdog.id);
  store<u32>(argument, seconds, SchedWatchdog.timeout);
  const result = hypercall(__HYPERVISOR_sched_op, SCHEDOP_watchdog, argument, 0, 0, 0);
  return result < 0 || id == 0 ? result : <i64>id;
}
