/**
 * Unimplemented hypercalls: platform and device-model calls, PV page tables, hypfs (run-time parameters), performance
 * counters. They are refused as Xen 4.17 refuses them to a PVH guest: same errno, same order of checks.
 */
import { E2BIG, EACCES, EFAULT, EINVAL, ENODATA, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../abi/errno";
import { DmOpBuf } from "../../abi/dm-op";
import { Domctl, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMCTL_shadow_op } from "../../abi/domctl";
import { PlatformOp, XENPF_INTERFACE_VERSION } from "../../abi/platform";
import { DOMID_SELF } from "../../abi/xen";
import { copyStructureFrom, Layout, LONG, structureSize } from "./compat";
import { DomainKind } from "../records/domain";
import { domainById } from "../records/domain-list";
import { copyFromGuest } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";

/** Most buffers that HYPERVISOR_dm_op takes, as Xen. */
const DM_OP_BUFFERS: u32 = 2;
const DM_OP_BUF: Layout = [LONG, LONG];

/** Numbers without a handler, and those for which Xen has no handler for HVM guests. */
export function noCall(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  return -ENOSYS;
}

/** HYPERVISOR_platform_op: `a1` is the address of a struct xen_platform_op. */
export function platformOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, a1, PlatformOp.SIZE)) return -EFAULT;
  if (load<u32>(arg, PlatformOp.interface_version) != XENPF_INTERFACE_VERSION) return -EACCES;
  return v.domain.privileged ? -ENOSYS : -EPERM;
}

/** HYPERVISOR_mmuext_op: `a4` names the domain whose page tables are meant; only PV domains have any of that kind. */
export function mmuextOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const id = (<u32>a4) & 0xffff;
  if (id == DOMID_SELF) return -EINVAL;
  const d = domainById(id);
  if (d == null || changetype<usize>(d) == changetype<usize>(v.domain)) return -ESRCH;
  return d.kind == DomainKind.Hvm ? -EINVAL : -EPERM; // treated like Xen's PV domain 0
}

/** HYPERVISOR_xenpmu_op: Xen's answer with performance monitoring off, its default. */
export function xenpmuOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  return -EOPNOTSUPP;
}

/** HYPERVISOR_dm_op: domain `a1`, `a2` buffers listed at `a3`. There are no device models outside the hypervisor. */
export function dmOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const buffers = <u32>a2;
  if (!buffers) return -ENODATA;
  if (buffers > DM_OP_BUFFERS) return -E2BIG;
  for (let i: u32 = 0; i < buffers; i++) {
    const at = a3 + i * structureSize(v, DmOpBuf.SIZE, DM_OP_BUF);
    if (!copyStructureFrom(v, scratch(v), at, DmOpBuf.SIZE, DM_OP_BUF)) return -EFAULT;
  }
  const d = domainById((<u32>a1) & 0xffff);
  if (d == null) return -ESRCH;
  if (changetype<usize>(d) == changetype<usize>(v.domain)) return -EPERM;
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  return v.domain.privileged ? -EOPNOTSUPP : -EPERM;
}

/** HYPERVISOR_hypfs_op. */
export function hypfsOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  return v.domain.privileged ? -ENOSYS : -EPERM;
}

/** The number by which Xen continues a long XEN_DOMCTL_shadow_op; here none is ever in progress. */
export function pagingDomctlContinue(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, a1, Domctl.SIZE)) return -EFAULT;
  if (load<u32>(arg, Domctl.interface_version) != XEN_DOMCTL_INTERFACE_VERSION) return -EOPNOTSUPP;
  if (load<u32>(arg, Domctl.cmd) != XEN_DOMCTL_shadow_op) return -EOPNOTSUPP;
  if (domainById(load<u16>(arg, Domctl.domain)) == null) return -ESRCH;
  return v.domain.privileged ? -EOPNOTSUPP : -EPERM;
}
