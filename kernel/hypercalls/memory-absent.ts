/**
 * Unimplemented memory operations: exchanging frames, access rights of monitors, reserved memory of
 * devices, demand population, virtual NUMA. Errno and order of checks are Xen 4.17's.
 */
import { EFAULT, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ESRCH } from "../../abi/errno";
import {
  MemAccessOp,
  MemoryExchange,
  MemoryReservation,
  PodTarget,
  ReservedDeviceMemoryMap,
  VnumaTopologyInfo,
  XENMEM_RDM_ALL,
  XENMEM_set_pod_target,
} from "../../abi/memory";
import { vendor, VENDOR_SVM } from "../../arch-x86/vendor";
import { domainNamed, mayTarget } from "../records/domain-access";
import { copyStructureFrom, copyStructureTo, Layout, LONG, PAD } from "./compat";
import { DomainKind, DomainLife } from "../records/domain";
import { domainById } from "../records/domain-list";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";

const EXCHANGE: Layout = [LONG, LONG, 4, 4, 2, PAD, LONG, LONG, 4, 4, 2, PAD, LONG];
const RESERVED: Layout = [4, 4, LONG, 4, 2];

/**
 * XENMEM_exchange: an empty or completely processed list succeeds. Choosing machine frames is meaningless to translated guests.
 * @param orderMax largest extent, as a power of two of frames
 */
export function memoryExchange(v: Vcpu, gva: u64, orderMax: u32): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, MemoryExchange.SIZE, EXCHANGE)) return -EFAULT;
  const from = arg + MemoryExchange.in_;
  const to = arg + MemoryExchange.out;
  const fromOrder = load<u32>(from, MemoryReservation.extent_order);
  const toOrder = load<u32>(to, MemoryReservation.extent_order);
  if (max(fromOrder, toOrder) > orderMax) return -EPERM;
  const fromExtents = load<u64>(from, MemoryReservation.nr_extents);
  const toExtents = load<u64>(to, MemoryReservation.nr_extents);
  const exchanged = load<u64>(arg, MemoryExchange.nr_exchanged);
  const id = load<u16>(from, MemoryReservation.domid);
  if (exchanged > fromExtents || id != load<u16>(to, MemoryReservation.domid)) return -EINVAL;
  if (u64.MAX_VALUE >> fromOrder < fromExtents || u64.MAX_VALUE >> toOrder < toExtents) return -EINVAL;
  if (fromExtents << fromOrder != toExtents << toOrder) return -EINVAL;
  if (exchanged == fromExtents) return 0;
  const d = domainNamed(v, id);
  if (d == null) return -ESRCH;
  return mayTarget(v, d) ? -EOPNOTSUPP : -EPERM;
}

/** XENMEM_access_op: Xen supports it on other domains than the caller, on Intel processors. */
export function memoryAccess(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, MemAccessOp.SIZE)) return -EFAULT;
  const d = domainById(load<u16>(arg, MemAccessOp.domid));
  if (d == null) return -ESRCH;
  if (changetype<usize>(d) == changetype<usize>(v.domain)) return -EPERM;
  if (d.life != DomainLife.Alive || d.kind != DomainKind.Hvm || vendor == VENDOR_SVM) return -EINVAL;
  return v.domain.privileged ? -ENODEV : -EPERM;
}

/** XENMEM_reserved_device_memory_map: no device has reserved memory. */
export function reservedDeviceMemory(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  const size = ReservedDeviceMemoryMap.SIZE;
  if (!copyStructureFrom(v, arg, gva, size, RESERVED)) return -EFAULT;
  if (load<u32>(arg, ReservedDeviceMemoryMap.flags) & ~XENMEM_RDM_ALL) return -EINVAL;
  store<u32>(arg, 0, ReservedDeviceMemoryMap.nr_entries);
  return copyStructureTo(v, gva, arg, size, RESERVED) ? 0 : -EFAULT;
}

/** XENMEM_set_pod_target, XENMEM_get_pod_target: populate-on-demand is not offered; a guest's target is its current memory. */
export function podTarget(v: Vcpu, op: u32, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, PodTarget.SIZE)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, PodTarget.domid));
  if (d == null) return -ESRCH;
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  if (!v.domain.privileged) return -EPERM;
  if (op == XENMEM_set_pod_target && load<u64>(arg, PodTarget.target_pages) > d.maxPages) return -EINVAL;
  store<u64>(arg, d.totalPages, PodTarget.tot_pages);
  store<u64>(arg, 0, PodTarget.pod_cache_pages);
  store<u64>(arg, 0, PodTarget.pod_entries);
  return copyToGuest(v, gva, arg, PodTarget.SIZE) ? 0 : -EFAULT;
}

/** XENMEM_get_vnumainfo: no domain has a virtual NUMA topology. */
export function vnumaInfo(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, VnumaTopologyInfo.SIZE)) return -EFAULT;
  if (load<u16>(arg, VnumaTopologyInfo.pad)) return -EINVAL;
  const d = domainNamed(v, load<u16>(arg, VnumaTopologyInfo.domid));
  if (d == null) return -ESRCH;
  return mayTarget(v, d) ? -EOPNOTSUPP : -EPERM;
}
