/** struct xen_domctl_getdomaininfo as an object: what the hypervisor knows of a domain. */
import {
  DomctlGetdomaininfo,
  XEN_DOMINF_blocked,
  XEN_DOMINF_dying,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownmask,
  XEN_DOMINF_shutdownshift,
} from "../../../abi/domctl.ts";
import { memory } from "../host.ts";
import { load64 } from "../window.ts";

export interface DomainInfo {
  id: number;
  dying: boolean;
  shutdown: boolean;
  /** SHUTDOWN_*, while `shutdown`. */
  shutdownCode: number;
  paused: boolean;
  blocked: boolean;
  running: boolean;
  /** Memory it owns and may own, in 4 KiB pages. */
  pages: number;
  maxPages: number;
  /** CPU time of all its vCPUs, ns. */
  cpuTimeNs: number;
  onlineVcpus: number;
  /** Its 16 free bytes: see name.ts. */
  handle: Uint8Array;
}

/** Reads the structure at `address` in the window. */
export function decodeDomainInfo(address: number): DomainInfo {
  const flags = memory.load32(address + DomctlGetdomaininfo.flags);
  return {
    id: memory.load16(address + DomctlGetdomaininfo.domain),
    dying: (flags & XEN_DOMINF_dying) !== 0,
    shutdown: (flags & XEN_DOMINF_shutdown) !== 0,
    shutdownCode: (flags >>> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask,
    paused: (flags & XEN_DOMINF_paused) !== 0,
    blocked: (flags & XEN_DOMINF_blocked) !== 0,
    running: (flags & XEN_DOMINF_running) !== 0,
    pages: load64(memory, address + DomctlGetdomaininfo.tot_pages),
    maxPages: load64(memory, address + DomctlGetdomaininfo.max_pages),
    cpuTimeNs: load64(memory, address + DomctlGetdomaininfo.cpu_time),
    onlineVcpus: memory.load32(address + DomctlGetdomaininfo.nr_online_vcpus),
    handle: memory.read(address + DomctlGetdomaininfo.handle, 16),
  };
}
