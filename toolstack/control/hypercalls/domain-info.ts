/** struct xen_domctl_getdomaininfo as an object: the hypervisor's information on a domain. */
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
import { number64 } from "../window.ts";

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
  /** vCPUs it was created with. */
  maxVcpus: number;
  /** Its 16 free bytes, as four words: see name.ts. */
  handle: number[];
}

const DOMAIN = DomctlGetdomaininfo.domain / 4; // its low half
const FLAGS = DomctlGetdomaininfo.flags / 4;
const PAGES = DomctlGetdomaininfo.tot_pages / 4;
const MAX_PAGES = DomctlGetdomaininfo.max_pages / 4;
const CPU_TIME = DomctlGetdomaininfo.cpu_time / 4;
const VCPUS = DomctlGetdomaininfo.nr_online_vcpus / 4;
const MAX_VCPU_ID = DomctlGetdomaininfo.max_vcpu_id / 4;
const HANDLE = DomctlGetdomaininfo.handle / 4;

/** The id in the structure that begins at word `at`. */
export function infoDomain(words: Uint32Array, at: number): number {
  return words[at + DOMAIN]! & 0xffff;
}

/** Reads the structure that begins at word `at`. */
export function decodeDomainInfo(words: Uint32Array, at: number): DomainInfo {
  const flags = words[at + FLAGS]!;
  return {
    id: infoDomain(words, at),
    dying: (flags & XEN_DOMINF_dying) !== 0,
    shutdown: (flags & XEN_DOMINF_shutdown) !== 0,
    shutdownCode: (flags >>> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask,
    paused: (flags & XEN_DOMINF_paused) !== 0,
    blocked: (flags & XEN_DOMINF_blocked) !== 0,
    running: (flags & XEN_DOMINF_running) !== 0,
    pages: number64(words, at + PAGES),
    maxPages: number64(words, at + MAX_PAGES),
    cpuTimeNs: number64(words, at + CPU_TIME),
    onlineVcpus: words[at + VCPUS]!,
    maxVcpus: words[at + MAX_VCPU_ID]! + 1,
    handle: [words[at + HANDLE]!, words[at + HANDLE + 1]!, words[at + HANDLE + 2]!, words[at + HANDLE + 3]!],
  };
}
