/** What a toolstack sees of a domain: struct xen_domctl_getdomaininfo, for domctl and sysctl. */
import {
  DomctlGetdomaininfo,
  XEN_DOMCTL_CDF_xs_domain,
  XEN_DOMINF_blocked,
  XEN_DOMINF_dying,
  XEN_DOMINF_hap,
  XEN_DOMINF_hvm_guest,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownmask,
  XEN_DOMINF_shutdownshift,
  XEN_DOMINF_xs_domain,
} from "../../../abi/domctl";
import { vcpuOf } from "../../records/domain-access";
import { Domain, DomainKind, DomainLife } from "../../records/domain";
import { nowNs } from "../../scheduling/time";
import { VcpuRun } from "../../records/vcpu";
import { runstateCpuNs } from "../../scheduling/runstate";
import { sharedFrameAt } from "../../memory/frames";

/** Fills a DomctlGetdomaininfo at linear `at`. */
export function domainInfo(d: Domain, at: usize): void {
  memory.fill(at, 0, DomctlGetdomaininfo.SIZE);
  let flags: u32 = (d.shutdownCode & XEN_DOMINF_shutdownmask) << XEN_DOMINF_shutdownshift;
  // From the first call of destroydomain on. Xen sets it when everything that can be freed has been; here a domain 0 that
  // was restarted in the middle of a destroy finds by it which domains it must continue to destroy.
  if (d.life != DomainLife.Alive) flags |= XEN_DOMINF_dying;
  if (d.kind == DomainKind.Hvm) flags |= XEN_DOMINF_hap;
  if (d.kind == DomainKind.Hvm && !d.pvhv1) flags |= XEN_DOMINF_hvm_guest;
  if (d.shutdown) flags |= XEN_DOMINF_shutdown;
  if (d.pauseCount) flags |= XEN_DOMINF_paused;
  if (d.createFlags & XEN_DOMCTL_CDF_xs_domain) flags |= XEN_DOMINF_xs_domain;
  let cpuTime = d.cpuTimeNs;
  let online: u32 = 0;
  let blocked = true;
  const now = nowNs();
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null) continue;
    cpuTime += runstateCpuNs(v, now);
    if (v.run == VcpuRun.Down) continue;
    online++;
    if (v.run != VcpuRun.Blocked) blocked = false;
    if (v.run == VcpuRun.Running) flags |= XEN_DOMINF_running;
  }
  if (blocked) flags |= XEN_DOMINF_blocked;
  store<u16>(at, <u16>d.id, DomctlGetdomaininfo.domain);
  store<u32>(at, flags, DomctlGetdomaininfo.flags);
  store<u64>(at, d.totalPages, DomctlGetdomaininfo.tot_pages);
  store<u64>(at, d.maxPages, DomctlGetdomaininfo.max_pages);
  store<u64>(at, d.claimedPages, DomctlGetdomaininfo.outstanding_pages);
  const sharedInfoAt: u64 = d.sharedInfoMfn ? sharedFrameAt(d.sharedInfoMfn) : 0; // a dying domain may have none
  store<u64>(at, sharedInfoAt - 1, DomctlGetdomaininfo.shared_info_frame); // ~0: not mapped
  store<u64>(at, cpuTime, DomctlGetdomaininfo.cpu_time);
  store<u32>(at, online, DomctlGetdomaininfo.nr_online_vcpus);
  store<u32>(at, d.vcpuCount - 1, DomctlGetdomaininfo.max_vcpu_id);
  store<u64>(at, d.handle0, DomctlGetdomaininfo.handle);
  store<u64>(at, d.handle1, DomctlGetdomaininfo.handle + 8);
  store<u8>(at, <u8>(76 - clz<u64>(d.maxGfn - 1)), DomctlGetdomaininfo.gpaddr_bits);
  store<u32>(at, d.emulation, DomctlGetdomaininfo.arch_config_emulation_flags);
}
