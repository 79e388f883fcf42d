/**
 * __HYPERVISOR_memory_op: a domain's memory as a toolstack or the guest itself changes it (xen/memory.h). Reservations
 * are lists of extents; the three reservation calls return the number of extents done even after an error, and after a
 * preemption they continue with that number in the upper bits of the command.
 */
import {
  EACCES,
  EDOM,
  EFAULT,
  EILSEQ,
  EINVAL,
  EIO,
  ENOSYS,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ESRCH,
} from "../../abi/errno";
import {
  AddToPhysmap,
  AddToPhysmapBatch,
  MemAcquireResource,
  MemoryDomain,
  MemoryReservation,
  RemoveFromPhysmap,
  XENMAPSPACE_dev_mmio,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_gmfn_foreign,
  XENMAPSPACE_gmfn_range,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_access_op,
  XENMEM_acquire_resource,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_claim_pages,
  XENMEM_current_reservation,
  XENMEM_decrease_reservation,
  XENMEM_exchange,
  XENMEM_get_pod_target,
  XENMEM_get_sharing_freed_pages,
  XENMEM_get_sharing_shared_pages,
  XENMEM_get_vnumainfo,
  XENMEM_increase_reservation,
  XENMEM_machine_memory_map,
  XENMEM_machphys_compat_mfn_list,
  XENMEM_maximum_gpfn,
  XENMEM_maximum_ram_page,
  XENMEM_maximum_reservation,
  XENMEM_memory_map,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_reserved_device_memory_map,
  XENMEM_resource_grant_table,
  XENMEM_resource_grant_table_id_shared,
  XENMEM_resource_ioreq_server,
  XENMEM_resource_vmtrace_buf,
  XENMEM_set_memory_map,
  XENMEM_set_pod_target,
  XENMEMF_populate_on_demand,
} from "../../abi/memory";
import { domainNamed, mayTarget } from "../records/domain-access";
import { claimPages, ramAlloc } from "../memory/claims";
import { copyLongFrom, copyStructureFrom, Layout, LONG } from "./compat";
import { Domain, DomainKind } from "../records/domain";
import { domainById } from "../records/domain-list";
import { framesLimit } from "../memory/frames";
import { grantFrameMfn, grants } from "../grants/grant-frames";
import { dmaFrame } from "../memory/dma-space";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { P2M_MMIO, P2M_RAM, P2M_SHARED } from "../../arch-x86/p2m-types";
import { entryMfn, physmapLookup } from "../memory/physmap";
import { isDma, layoutAllows } from "../memory/software-memory";
import { isLendableStable, stableRelease } from "../memory/stable-memory";
import {
  giveRam,
  giveRun,
  mapForeign,
  mapForeignFrame,
  mapShared,
  movePage,
  removePage,
  unhookPage,
} from "../memory/guest-pages";
import { hypercallRestart } from "./hypercall";
import { memoryAccess, memoryExchange, podTarget, reservedDeviceMemory, vnumaInfo } from "./memory-absent";
import { getMemoryMap, machineMemoryMap, setMemoryMap } from "./memory-map";
import { scratch } from "../memory/scratch";
import { registersMap } from "../devices/registers";
import { drivesDevices } from "../records/software-domain";
import { Vcpu } from "../records/vcpu";
import { preemptNeeded } from "../records/cpu";

const OP_BITS: u64 = 6;
const OP_MASK: u64 = 63;
/** Most extents whose number still fits the command when the call is restarted. */
const EXTENTS_MAX: u64 = 0xffffffff >> OP_BITS;
/* Structures with a different 32-bit layout that callers other than domain 0 may use. */
const RESERVATION: Layout = [LONG, LONG, 4, 4, 2];
const ADD_TO_PHYSMAP: Layout = [2, 2, 4, LONG, LONG];
const ADD_TO_PHYSMAP_BATCH: Layout = [2, 2, 2, 2, LONG, LONG, LONG];
const REMOVE_FROM_PHYSMAP: Layout = [2, LONG];

/** Largest extent: 2^9 frames, 2 MiB. Toolstacks that ask for 1 GiB fall back to it. */
const ORDER_MAX: u32 = 9;

/**
 * The hypercall.
 * @param a1 XENMEM_* in the low 6 bits, extents already done above
 * @param a2 guest address of the operation's structure
 * @returns the operation's result, 0 or negative errno
 */
export function memoryOp(v: Vcpu, a1: u64, a2: u64, _a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const op = <u32>(a1 & OP_MASK);
  const start = a1 >> OP_BITS;
  switch (op) {
    case XENMEM_populate_physmap:
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
      return reservation(v, op, start, a2);
    case XENMEM_add_to_physmap:
      return addToPhysmap(v, start, a2);
    case XENMEM_add_to_physmap_batch:
      return addToPhysmapBatch(v, start, a2);
    case XENMEM_acquire_resource:
      return acquireResource(v, start, a2);
    default:
      break;
  }
  // All others are done in one go. Xen separates a start extent from the operation only for those that can be continued.
  if (start) return isKnown(op) ? -EINVAL : -ENOSYS;
  switch (op) {
    case XENMEM_maximum_ram_page:
      return framesLimit();
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
      return domainNumber(v, op, a2);
    case XENMEM_remove_from_physmap:
      return removeFromPhysmap(v, a2);
    case XENMEM_memory_map:
      return getMemoryMap(v, a2);
    case XENMEM_set_memory_map:
      return setMemoryMap(v, a2);
    case XENMEM_machine_memory_map:
      return machineMemoryMap(v, a2);
    case XENMEM_claim_pages:
      return claim(v, a2);
    case XENMEM_exchange:
      return memoryExchange(v, a2, ORDER_MAX);
    case XENMEM_get_pod_target:
    case XENMEM_set_pod_target:
      return podTarget(v, op, a2);
    case XENMEM_get_vnumainfo:
      return vnumaInfo(v, a2);
    case XENMEM_access_op:
      return memoryAccess(v, a2);
    case XENMEM_reserved_device_memory_map:
      return reservedDeviceMemory(v, a2);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
      return 0; // Xen's answer when it is built without memory sharing
    case XENMEM_machphys_compat_mfn_list:
      return -EOPNOTSUPP; // and without 32-bit PV guests
    default: // paging and sharing, which Debian's Xen is built without; the table of machine frames, which does not exist here
      return -ENOSYS;
  }
}

function isKnown(op: u32): bool {
  return (
    op == XENMEM_maximum_ram_page ||
    op == XENMEM_current_reservation ||
    op == XENMEM_maximum_reservation ||
    op == XENMEM_maximum_gpfn ||
    op == XENMEM_remove_from_physmap ||
    op == XENMEM_claim_pages ||
    op == XENMEM_exchange ||
    op == XENMEM_get_vnumainfo ||
    op == XENMEM_reserved_device_memory_map
  );
}

/** populate_physmap, increase_reservation, decrease_reservation: the number of extents done. */
function reservation(v: Vcpu, op: u32, start: u64, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, MemoryReservation.SIZE, RESERVATION)) return start;
  const extents = load<u64>(arg, MemoryReservation.nr_extents);
  if (extents > EXTENTS_MAX || start >= extents) return start;
  const order = load<u32>(arg, MemoryReservation.extent_order);
  const flags = load<u32>(arg, MemoryReservation.mem_flags);
  const list = load<u64>(arg, MemoryReservation.extent_start);
  const d = domainNamed(v, load<u16>(arg, MemoryReservation.domid));
  if (d == null || !mayTarget(v, d) || order > ORDER_MAX) return start;
  // Node preferences are always satisfied with one node; populate-on-demand is not offered.
  if (op == XENMEM_populate_physmap && (flags & XENMEMF_populate_on_demand) != 0) return start;
  let done = start;
  for (; done < extents; done++) {
    if (done != start && preemptNeeded(v)) {
      return hypercallRestart(v, op | (done << OP_BITS), gva, 0, 0, 0, 0);
    }
    let gfn: u64 = 0;
    if (op != XENMEM_increase_reservation) {
      if (!copyLongFrom(v, arg, list, done)) break;
      gfn = load<u64>(arg);
    }
    if (!extent(d, op, gfn, order)) break;
    if (op == XENMEM_populate_physmap && isDma(d, gfn, 1)) {
      // It programs devices with these addresses. As Xen tells a PV guest the frames of its extents.
      store<u64>(arg, dmaFrame(d, gfn, entryMfn(physmapLookup(d, gfn))));
      if (!copyToGuest(v, list + (done << 3), arg, 8)) break;
    }
  }
  return done;
}

function extent(d: Domain, op: u32, gfn: u64, order: u32): bool {
  const frames: u32 = 1 << order;
  if (!mayChange(d, op, gfn, frames)) return false;
  if (op == XENMEM_decrease_reservation) {
    for (let i: u64 = 0; i < frames; i++) {
      if (removePage(d, gfn + i) != 0) return false;
      if (isLendableStable(d, gfn + i)) stableRelease(d, gfn + i);
    }
    return true;
  }
  if (op == XENMEM_populate_physmap) return (isDma(d, gfn, 1) ? giveRun(d, gfn, order) : giveRam(d, gfn, order)) == 0;
  // increase_reservation: frames that stay unmapped until the guest is destroyed, as Xen does for translated guests.
  return ramAlloc(d, order) != 0;
}

/** A domain that is held to its layout has no use for frames that are mapped nowhere. */
function mayChange(d: Domain, op: u32, gfn: u64, frames: u32): bool {
  if (op == XENMEM_increase_reservation) return d.kind != DomainKind.Software || d.privileged != 0;
  return layoutAllows(d, gfn, frames, P2M_RAM);
}

function domainNumber(v: Vcpu, op: u32, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, MemoryDomain.SIZE)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, MemoryDomain.domid));
  if (d == null) return -ESRCH;
  if (!mayTarget(v, d)) return -EPERM;
  if (op == XENMEM_current_reservation) return d.totalPages;
  if (op == XENMEM_maximum_reservation) return d.maxPages;
  return d.highestGfn;
}

function addToPhysmap(v: Vcpu, start: u64, gva: u64): i64 {
  const arg = scratch(v);
  if (start >> 16 != 0) return -EDOM;
  if (!copyStructureFrom(v, arg, gva, AddToPhysmap.SIZE, ADD_TO_PHYSMAP)) return -EFAULT;
  const space = load<u32>(arg, AddToPhysmap.space);
  if (space == XENMAPSPACE_gmfn_foreign) return -ENOSYS; // only by the batch call, which names the other domain
  const d = domainNamed(v, load<u16>(arg, AddToPhysmap.domid));
  if (d == null) return -ESRCH;
  const refused = physmapSpaceRefusal(v, d, space);
  if (refused) return refused;
  const index = load<u64>(arg, AddToPhysmap.idx);
  const gfn = load<u64>(arg, AddToPhysmap.gpfn);
  if (gfn == u64.MAX_VALUE) return -EINVAL;
  if (space != XENMAPSPACE_gmfn_range) return addOne(d, space, index, gfn);
  const size: u64 = load<u16>(arg, AddToPhysmap.size);
  if (size < start) return -EILSEQ;
  if (gfn + size < gfn || index + size < index) return -EOVERFLOW;
  for (let i = start; i < size; i++) {
    if (i != start && preemptNeeded(v)) {
      return hypercallRestart(v, XENMEM_add_to_physmap | (i << OP_BITS), gva, 0, 0, 0, 0);
    }
    const rc = addOne(d, XENMAPSPACE_gmfn, index + i, gfn + i);
    if (rc) return rc;
  }
  return 0;
}

/** xatp_permission_check: 0, -EACCES or -EPERM. */
function physmapSpaceRefusal(v: Vcpu, d: Domain, space: u32): i32 {
  const own = changetype<usize>(d) == changetype<usize>(v.domain);
  if (space == XENMAPSPACE_dev_mmio && !(own && (d.privileged || drivesDevices(d)))) return -EACCES;
  return mayTarget(v, d) ? 0 : -EPERM;
}

/** One page of the spaces that need no other domain. */
function addOne(d: Domain, space: u32, index: u64, gfn: u64): i32 {
  if (!layoutAllows(d, gfn, 1, space == XENMAPSPACE_dev_mmio ? P2M_MMIO : P2M_SHARED)) return -EPERM;
  switch (space) {
    case XENMAPSPACE_shared_info:
      return index == 0 && d.sharedInfoMfn ? mapShared(d, gfn, d.sharedInfoMfn) : -EINVAL;
    case XENMAPSPACE_grant_table: {
      const mfn = grantFrameMfn(d, index);
      return mfn ? mapShared(d, gfn, mfn) : -EINVAL;
    }
    case XENMAPSPACE_gmfn:
      return layoutAllows(d, index, 1, P2M_RAM) ? movePage(d, index, gfn) : -EPERM;
    case XENMAPSPACE_dev_mmio:
      return drivesDevices(d) ? registersMap(d, index, gfn) : -EOPNOTSUPP; // domain 0 here drives no devices
    default:
      return -EINVAL;
  }
}

function addToPhysmapBatch(v: Vcpu, start: u64, gva: u64): i64 {
  const arg = scratch(v);
  if (start >> 16 != 0) return -EDOM;
  if (!copyStructureFrom(v, arg, gva, AddToPhysmapBatch.SIZE, ADD_TO_PHYSMAP_BATCH)) return -EFAULT;
  const space: u32 = load<u16>(arg, AddToPhysmapBatch.space);
  if (space == XENMAPSPACE_gmfn_range) return -EOPNOTSUPP;
  const d = domainNamed(v, load<u16>(arg, AddToPhysmapBatch.domid));
  if (d == null) return -ESRCH;
  const refused = physmapSpaceRefusal(v, d, space);
  if (refused) return refused;
  const size: u64 = load<u16>(arg, AddToPhysmapBatch.size);
  if (size < start) return -EILSEQ;
  if (size == start) return start ? -EILSEQ : 0;
  const extra = <u32>load<u16>(arg, AddToPhysmapBatch.u_foreign_domid);
  if (space == XENMAPSPACE_dev_mmio && extra != 0) return -EOPNOTSUPP;
  const indexes = load<u64>(arg, AddToPhysmapBatch.idxs);
  const gfns = load<u64>(arg, AddToPhysmapBatch.gpfns);
  const errors = load<u64>(arg, AddToPhysmapBatch.errs);
  for (let i = start; i < size; i++) {
    if (i != start && preemptNeeded(v)) {
      return hypercallRestart(v, XENMEM_add_to_physmap_batch | (i << OP_BITS), gva, 0, 0, 0, 0);
    }
    if (!copyLongFrom(v, arg, indexes, i)) return -EFAULT;
    if (!copyLongFrom(v, arg + 8, gfns, i)) return -EFAULT;
    const gfn = load<u64>(arg, 8);
    if (gfn == u64.MAX_VALUE) return -EINVAL;
    const index = load<u64>(arg);
    const rc = space == XENMAPSPACE_gmfn_foreign ? addForeign(v, d, extra, index, gfn) : addOne(d, space, index, gfn);
    store<i32>(arg, rc);
    if (!copyToGuest(v, errors + (i << 2), arg, 4)) return -EFAULT;
  }
  return 0;
}

/** Only domain 0 maps others' memory, and only into itself. */
function addForeign(v: Vcpu, d: Domain, foreign: u32, index: u64, gfn: u64): i32 {
  if (!d.privileged || !v.domain.privileged) return -EPERM;
  const owner = domainById(foreign);
  if (owner == null) return -ESRCH;
  if (changetype<usize>(owner) == changetype<usize>(v.domain)) return -EPERM;
  return mapForeign(d, gfn, owner, index);
}

function removeFromPhysmap(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, RemoveFromPhysmap.SIZE, REMOVE_FROM_PHYSMAP)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, RemoveFromPhysmap.domid));
  if (d == null) return -ESRCH;
  if (!mayTarget(v, d)) return -EPERM;
  const gfn = load<u64>(arg, RemoveFromPhysmap.gpfn);
  return layoutAllows(d, gfn, 1, P2M_SHARED) || layoutAllows(d, gfn, 1, P2M_MMIO) ? unhookPage(d, gfn) : -EPERM;
}

function claim(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, MemoryReservation.SIZE, RESERVATION)) return -EFAULT;
  if (load<u64>(arg, MemoryReservation.extent_start) || load<u32>(arg, MemoryReservation.extent_order)) return -EINVAL;
  if (load<u32>(arg, MemoryReservation.mem_flags)) return -EINVAL;
  const d = domainById(load<u16>(arg, MemoryReservation.domid));
  if (d == null) return -EINVAL;
  if (!v.domain.privileged) return -EPERM;
  return claimPages(d, load<u64>(arg, MemoryReservation.nr_extents));
}

/** XENMEM_acquire_resource: a domain's grant-table frames, mapped into domain 0. */
function acquireResource(v: Vcpu, start: u64, gva: u64): i64 {
  const arg = scratch(v);
  const self = v.domain;
  if (!self.privileged) return -EACCES;
  if (!copyFromGuest(v, arg, gva, MemAcquireResource.SIZE)) return -EFAULT;
  if (load<u32>(arg, MemAcquireResource.pad)) return -EINVAL;
  const first = load<u64>(arg, MemAcquireResource.frame);
  const frames = <u64>load<u32>(arg, MemAcquireResource.nr_frames);
  if (first >> 32 != 0 || (first + frames) >> 32 != 0) return -EINVAL;
  const d = domainById(load<u16>(arg, MemAcquireResource.domid));
  if (d == null) return -ESRCH;
  if (changetype<usize>(d) == changetype<usize>(self)) return -EPERM;
  const type = <u32>load<u16>(arg, MemAcquireResource.type);
  if (type == XENMEM_resource_ioreq_server || type == XENMEM_resource_vmtrace_buf) return -EINVAL;
  if (type != XENMEM_resource_grant_table) return -EOPNOTSUPP;
  if (load<u32>(arg, MemAcquireResource.id) != XENMEM_resource_grant_table_id_shared || !d.grants) return -EINVAL;
  const list = load<u64>(arg, MemAcquireResource.frame_list);
  if (!list) {
    if (frames || start) return -EINVAL;
    store<u32>(arg, grants(d).maxFrames);
    return copyToGuest(v, gva + MemAcquireResource.nr_frames, arg, 4) ? 0 : -EFAULT;
  }
  if (start >= frames || frames > EXTENTS_MAX || !grantFrameMfn(d, first + frames - 1)) return -EINVAL;
  for (let i = start; i < frames; i++) {
    if (i != start && preemptNeeded(v)) {
      return hypercallRestart(v, XENMEM_acquire_resource | (i << OP_BITS), gva, 0, 0, 0, 0);
    }
    if (!copyFromGuest(v, arg, list + (i << 3), 8)) return -EFAULT;
    const rc = mapForeignFrame(self, load<u64>(arg), d, grantFrameMfn(d, first + i));
    if (rc) return i ? -EIO : rc;
  }
  return 0;
}
