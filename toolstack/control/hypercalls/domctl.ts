/** domctl: making, describing and ending domains. */
import {
  Domctl,
  DomctlCreatedomain,
  DomctlGetdomaininfo,
  DomctlHvmcontext,
  DomctlMaxMem,
  DomctlMaxVcpus,
  DomctlSetdomainhandle,
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_unpausedomain,
  XEN_X86_EMU_LAPIC,
} from "../../../abi/domctl.ts";
import { EAGAIN, EBUSY, ESRCH } from "../../../abi/errno.ts";
import { __HYPERVISOR_domctl } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall, HypercallError } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { store64 } from "../window.ts";
import { decodeDomainInfo, type DomainInfo } from "./domain-info.ts";

/** Bytes of a domain's handle, which the toolstack may use as it likes. */
export const HANDLE_SIZE = 16;

/** Ports a guest may use: what the 2-level ABI has. */
const MAX_PORT = 4095;
const DEFAULT = 0xffffffff;

const buffer = reserveScratch(Domctl.SIZE);
const u = buffer + Domctl.u;

function domctl(name: string, cmd: number, domain: number): void {
  memory.store32(buffer + Domctl.cmd, cmd);
  memory.store32(buffer + Domctl.interface_version, XEN_DOMCTL_INTERFACE_VERSION);
  memory.store32(buffer + Domctl.domain, domain);
  checked(name, hypercall(__HYPERVISOR_domctl, buffer));
}

/** Makes an empty, paused PVH domain without memory or vCPUs; returns the id the hypervisor chose. */
export function createDomain(vcpus: number): number {
  memory.zero(u, DomctlCreatedomain.SIZE);
  memory.store32(u + DomctlCreatedomain.flags, XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap);
  memory.store32(u + DomctlCreatedomain.max_vcpus, vcpus);
  memory.store32(u + DomctlCreatedomain.max_evtchn_port, MAX_PORT);
  memory.store32(u + DomctlCreatedomain.max_grant_frames, DEFAULT);
  memory.store32(u + DomctlCreatedomain.max_maptrack_frames, DEFAULT);
  memory.store32(u + DomctlCreatedomain.grant_opts, 1);
  memory.store32(u + DomctlCreatedomain.arch_emulation_flags, XEN_X86_EMU_LAPIC);
  domctl("XEN_DOMCTL_createdomain", XEN_DOMCTL_createdomain, 0);
  return memory.load16(buffer + Domctl.domain);
}

/** Creates the vCPUs; `vcpus` as given to `createDomain`. */
export function setMaxVcpus(domain: number, vcpus: number): void {
  memory.store32(u + DomctlMaxVcpus.max, vcpus);
  domctl("XEN_DOMCTL_max_vcpus", XEN_DOMCTL_max_vcpus, domain);
}

/** Sets the most memory the domain may own, in KiB. */
export function setMaxMemory(domain: number, kib: number): void {
  store64(memory, u + DomctlMaxMem.max_memkb, kib);
  domctl("XEN_DOMCTL_max_mem", XEN_DOMCTL_max_mem, domain);
}

/** Loads vCPU state from a sequence of HVM save records at `address` in the window. */
export function setHvmContext(domain: number, address: number, size: number): void {
  memory.store32(u + DomctlHvmcontext.size, size);
  store64(memory, u + DomctlHvmcontext.buffer, address);
  domctl("XEN_DOMCTL_sethvmcontext", XEN_DOMCTL_sethvmcontext, domain);
}

/** Writes the domain's handle: HANDLE_SIZE bytes that outlive domain 0. */
export function setDomainHandle(domain: number, handle: Uint8Array): void {
  memory.write(u + DomctlSetdomainhandle.handle, handle);
  domctl("XEN_DOMCTL_setdomainhandle", XEN_DOMCTL_setdomainhandle, domain);
}

/** Xen counts pauses: as many unpauses are needed. */
export function pauseDomain(domain: number): void {
  domctl("XEN_DOMCTL_pausedomain", XEN_DOMCTL_pausedomain, domain);
}

export function unpauseDomain(domain: number): void {
  domctl("XEN_DOMCTL_unpausedomain", XEN_DOMCTL_unpausedomain, domain);
}

/** Ends a domain. It disappears when the last of its frames is no longer mapped by anyone. */
export function destroyDomain(domain: number): void {
  for (;;) {
    memory.store32(buffer + Domctl.cmd, XEN_DOMCTL_destroydomain);
    memory.store32(buffer + Domctl.interface_version, XEN_DOMCTL_INTERFACE_VERSION);
    memory.store32(buffer + Domctl.domain, domain);
    const result = hypercall(__HYPERVISOR_domctl, buffer);
    // Large domains are taken apart in several steps.
    if (result === -EAGAIN || result === -EBUSY) continue;
    checked("XEN_DOMCTL_destroydomain", result);
    return;
  }
}

/** True while there is a domain of that id, dying ones included. */
export function domainExists(domain: number): boolean {
  try {
    // For an id that nobody has, Xen describes the next one above it.
    return domainInfo(domain).id === domain;
  } catch (error) {
    if (error instanceof HypercallError && error.code === ESRCH) return false;
    throw error;
  }
}

/** One domain's state. */
export function domainInfo(domain: number): DomainInfo {
  memory.zero(u, DomctlGetdomaininfo.SIZE);
  domctl("XEN_DOMCTL_getdomaininfo", XEN_DOMCTL_getdomaininfo, domain);
  return decodeDomainInfo(u);
}
