/** The fake hypervisor's scheduler: weights and affinities, as they were set. */
import {
  DomctlGetvcpuinfo,
  DomctlSchedulerOp,
  DomctlVcpuaffinity,
  XEN_DOMCTL_getvcpuaffinity,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_SCHEDOP_putinfo,
  XEN_DOMCTL_scheduler_op,
  XEN_DOMCTL_setvcpuaffinity,
  XEN_SCHEDULER_CREDIT2,
  XEN_VCPUAFFINITY_HARD,
  XEN_VCPUAFFINITY_SOFT,
} from "../../../abi/domctl.ts";
import { EINVAL, ENOSYS } from "../../../abi/errno.ts";
import { SysctlSchedId, SysctlSchedulerOp, XEN_SYSCTL_sched_id, XEN_SYSCTL_scheduler_op } from "../../../abi/sysctl.ts";
import { XenctlBitmap } from "../../../abi/xen.ts";
import type { FakeDomain } from "./fake-domain.ts";
import type { PagedWindow } from "./paged-window.ts";

const ALL = 2n ** 64n - 1n;

/** An operation on a domain, its structure at `u`: 0 or a negative errno; -ENOSYS for one that is none of the scheduler's. */
export function schedulerDomctl(w: PagedWindow, domain: FakeDomain, cmd: number, u: number, cpus: number): number {
  switch (cmd) {
    case XEN_DOMCTL_scheduler_op:
      if (w.load32(u + DomctlSchedulerOp.sched_id) !== XEN_SCHEDULER_CREDIT2) return -EINVAL;
      if (w.load32(u + DomctlSchedulerOp.cmd) === XEN_DOMCTL_SCHEDOP_putinfo) {
        domain.weight = w.load16(u + DomctlSchedulerOp.u) || domain.weight;
      }
      w.store32(u + DomctlSchedulerOp.u, domain.weight);
      return 0;
    case XEN_DOMCTL_getvcpuinfo:
      if (w.load32(u + DomctlGetvcpuinfo.vcpu) >= (domain.vcpus || 1)) return -EINVAL;
      w.store32(u + DomctlGetvcpuinfo.online, domain.id === 0 ? 0x010001 : 0x000101);
      w.store64(u + DomctlGetvcpuinfo.cpu_time, 1.5e9);
      w.store32(u + DomctlGetvcpuinfo.cpu, 0);
      return 0;
    case XEN_DOMCTL_getvcpuaffinity:
    case XEN_DOMCTL_setvcpuaffinity:
      return affinity(w, domain, cmd === XEN_DOMCTL_setvcpuaffinity, u, cpus);
    default:
      return -ENOSYS;
  }
}

function affinity(w: PagedWindow, domain: FakeDomain, set: boolean, u: number, cpus: number): number {
  const vcpu = w.load32(u + DomctlVcpuaffinity.vcpu);
  const flags = w.load32(u + DomctlVcpuaffinity.flags);
  if (vcpu >= (domain.vcpus || 1)) return -EINVAL;
  const masks = domain.affinity.get(vcpu) ?? { hard: ALL, soft: ALL };
  domain.affinity.set(vcpu, masks);
  for (const [key, flag, map] of [
    ["hard", XEN_VCPUAFFINITY_HARD, DomctlVcpuaffinity.cpumap_hard],
    ["soft", XEN_VCPUAFFINITY_SOFT, DomctlVcpuaffinity.cpumap_soft],
  ] as const) {
    if ((flags & flag) === 0) continue;
    const at = w.load64(u + map + XenctlBitmap.bitmap);
    const mask = BigInt(w.load32(at)) | (BigInt(w.load32(at + 4)) << 32n);
    if (set && (mask & (2n ** BigInt(cpus) - 1n)) === 0n) return -EINVAL;
    if (set) masks[key] = mask;
    w.store32(at, Number(masks[key] & 0xffffffffn));
    w.store32(at + 4, Number(masks[key] >> 32n));
  }
  return 0;
}

/** A sysctl of the scheduler's, likewise. */
export function schedulerSysctl(w: PagedWindow, cmd: number, u: number): number {
  if (cmd === XEN_SYSCTL_sched_id) w.store32(u + SysctlSchedId.sched_id, XEN_SCHEDULER_CREDIT2);
  else if (cmd === XEN_SYSCTL_scheduler_op) w.store32(u + SysctlSchedulerOp.u, 0);
  else return -ENOSYS;
  return 0;
}
