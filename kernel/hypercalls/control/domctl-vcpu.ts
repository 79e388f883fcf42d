/** Operations of domctl on vCPUs and their scheduling. Arguments as in domctl-domain.ts. */
import { EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, ESRCH } from "../../../abi/errno";
import {
  DomctlGetvcpuinfo,
  DomctlNodeaffinity,
  DomctlSchedCredit2,
  DomctlSchedulerOp,
  DomctlSendtrigger,
  DomctlVcpuaffinity,
  XEN_DOMCTL_SCHEDOP_getinfo,
  XEN_DOMCTL_SCHEDOP_putinfo,
  XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_SCHEDULER_CREDIT2,
  XEN_VCPUAFFINITY_FORCE,
  XEN_VCPUAFFINITY_HARD,
  XEN_VCPUAFFINITY_SOFT,
} from "../../../abi/domctl";
import { hvmInjectNmi } from "../../../arch-x86/hvm";
import { vcpuOf } from "../../records/domain-access";
import { bitmapRead, readBitmap, writeBitmap } from "./control-bitmap";
import { cpusOnline } from "../../records/cpu-set";
import { Domain, DomainKind } from "../../records/domain";
import { vcpuWake } from "../../scheduling/scheduler";
import { nowNs } from "../../scheduling/time";
import { Vcpu, VcpuRun } from "../../records/vcpu";
import { runstateCpuNs } from "../../scheduling/runstate";

/** Bytes behind the structure in the scratch page that bitmaps pass through. */
const WORK: usize = 256;
/** The cap is not to be changed. */
const CAP_UNCHANGED: u32 = 0xffff;

export function getVcpuInfo(d: Domain, u: usize): i32 {
  const id = load<u32>(u, DomctlGetvcpuinfo.vcpu);
  if (id >= d.vcpuCount) return -EINVAL;
  const v = vcpuOf(d, id);
  if (v == null) return -ESRCH;
  store<u8>(u, v.run != VcpuRun.Down ? 1 : 0, DomctlGetvcpuinfo.online);
  store<u8>(u, v.run == VcpuRun.Blocked ? 1 : 0, DomctlGetvcpuinfo.blocked);
  store<u8>(u, v.run == VcpuRun.Running ? 1 : 0, DomctlGetvcpuinfo.running);
  store<u64>(u, runstateCpuNs(v, nowNs()), DomctlGetvcpuinfo.cpu_time);
  store<u32>(u, v.cpu, DomctlGetvcpuinfo.cpu);
  return 0;
}

/** setvcpuaffinity, getvcpuaffinity: hard affinity is obeyed; soft affinity is kept, and has no effect while there is one CPU. */
export function vcpuAffinity(caller: Vcpu, d: Domain, u: usize, set: bool): i32 {
  const id = load<u32>(u, DomctlVcpuaffinity.vcpu);
  const flags = load<u32>(u, DomctlVcpuaffinity.flags);
  if (id >= d.vcpuCount) return -EINVAL;
  const v = vcpuOf(d, id);
  if (v == null) return -ESRCH;
  const both = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
  if (!(flags & (both | XEN_VCPUAFFINITY_FORCE)) || flags & ~(both | XEN_VCPUAFFINITY_FORCE)) return -EINVAL;
  const online = cpusOnline();
  const hard = u + DomctlVcpuaffinity.cpumap_hard;
  const soft = u + DomctlVcpuaffinity.cpumap_soft;
  const work = u + WORK;
  if (flags & XEN_VCPUAFFINITY_HARD) {
    if (set) {
      if (!readBitmap(caller, hard, work)) return -EFAULT;
      if (!(bitmapRead & online)) return -EINVAL;
      v.affinity = bitmapRead;
    }
    if (!writeBitmap(caller, hard, work, set ? v.affinity & online : v.affinity)) return -EFAULT;
  }
  if (flags & XEN_VCPUAFFINITY_SOFT) {
    if (set) {
      if (!readBitmap(caller, soft, work)) return -EFAULT;
      if (!bitmapRead) return -EINVAL;
      v.softAffinity = bitmapRead;
    }
    if (!writeBitmap(caller, soft, work, set ? v.softAffinity & online & v.affinity : v.softAffinity)) return -EFAULT;
  }
  return 0;
}

/** setnodeaffinity, getnodeaffinity: there is one node, 0. */
export function nodeAffinity(caller: Vcpu, u: usize, set: bool): i32 {
  const map = u + DomctlNodeaffinity.nodemap;
  if (!set) return writeBitmap(caller, map, u + WORK, 1) ? 0 : -EFAULT;
  if (!readBitmap(caller, map, u + WORK)) return -EFAULT;
  return bitmapRead & 1 ? 0 : -EINVAL;
}

/** scheduler_op, credit2's: a weight for all vCPUs of the domain. Caps are not offered. */
export function schedulerOp(d: Domain, u: usize): i32 {
  if (load<u32>(u, DomctlSchedulerOp.sched_id) != XEN_SCHEDULER_CREDIT2) return -EINVAL;
  const credit = u + DomctlSchedulerOp.u;
  const command = load<u32>(u, DomctlSchedulerOp.cmd);
  const first = vcpuOf(d, 0);
  if (command == XEN_DOMCTL_SCHEDOP_getinfo) {
    store<u16>(credit, first != null ? <u16>first.schedWeight : 256, DomctlSchedCredit2.weight);
    store<u16>(credit, 0, DomctlSchedCredit2.cap);
    return 0;
  }
  if (command != XEN_DOMCTL_SCHEDOP_putinfo) return -EINVAL;
  const cap: u32 = load<u16>(credit, DomctlSchedCredit2.cap);
  if (cap != 0 && cap != CAP_UNCHANGED) return -EOPNOTSUPP;
  const weight: u32 = load<u16>(credit, DomctlSchedCredit2.weight);
  for (let i: u32 = 0; weight != 0 && i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null) v.schedWeight = weight;
  }
  return 0;
}

/** sendtrigger: an NMI. The others act on devices a PVH guest does not have. */
export function sendTrigger(d: Domain, u: usize): i32 {
  const v = vcpuOf(d, load<u32>(u, DomctlSendtrigger.vcpu));
  if (v == null) return -ESRCH;
  if (load<u32>(u, DomctlSendtrigger.trigger) != XEN_DOMCTL_SENDTRIGGER_NMI) return -ENOSYS;
  if (d.kind != DomainKind.Hvm) return -EOPNOTSUPP;
  hvmInjectNmi(v);
  vcpuWake(v);
  return 0;
}
