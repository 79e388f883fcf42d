/** domctl: creating, describing and destroying domains. */
import {
  Domctl,
  DomctlCreatedomain,
  DomctlGetvcpuinfo,
  DomctlHvmcontext,
  DomctlHypercallInit,
  DomctlMaxMem,
  DomctlMaxVcpus,
  DomctlSchedulerOp,
  DomctlSendtrigger,
  DomctlSetdomainhandle,
  DomctlVcpuaffinity,
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_gethvmcontext,
  XEN_DOMCTL_getvcpuaffinity,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_hypercall_init,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_SCHEDOP_getinfo,
  XEN_DOMCTL_SCHEDOP_putinfo,
  XEN_DOMCTL_scheduler_op,
  XEN_DOMCTL_sendtrigger,
  XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_setvcpuaffinity,
  XEN_DOMCTL_soft_reset,
  XEN_DOMCTL_unpausedomain,
  XEN_SCHEDULER_CREDIT2,
  XEN_VCPUAFFINITY_HARD,
  XEN_VCPUAFFINITY_SOFT,
  XEN_X86_EMU_LAPIC,
} from "../../../abi/domctl.ts";
import {
  DomctlGetDomainState,
  XEN_DOMCTL_get_domain_state,
  XEN_DOMCTL_GETDOMSTATE_STATE_EXIST,
} from "../../../abi/domain-state.ts";
import { EAGAIN, EBUSY, ENOENT, ESRCH } from "../../../abi/errno.ts";
import { __HYPERVISOR_domctl, DOMID_INVALID, XenctlBitmap } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall, HypercallError } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { number64 } from "../window.ts";
import { decodeDomainInfo, type DomainInfo } from "./domain-info.ts";
import { LARGE_BUFFER_SIZE, largeBuffer } from "./large-buffer.ts";

/** Bytes of a domain's handle: its UUID (domains/uuid.ts); domain 0's own holds its progress (session.ts). */
export const HANDLE_SIZE = 16;

/** Ports a guest may use: what the 2-level ABI has. */
const MAX_PORT = 4095;
const DEFAULT = 0xffffffff;

const CMD = Domctl.cmd / 4;
const DOMAIN = Domctl.domain / 4; // and padding
const U = Domctl.u / 4;
const MAX_VCPUS = U + DomctlMaxVcpus.max / 4;
const MAX_KIB = U + DomctlMaxMem.max_memkb / 4;
const CONTEXT_SIZE = U + DomctlHvmcontext.size / 4;
const CONTEXT_BUFFER = U + DomctlHvmcontext.buffer / 4;
const HANDLE = U + DomctlSetdomainhandle.handle / 4;
const HYPERCALL_GFN = U + DomctlHypercallInit.gmfn / 4;

function withVersion(words: Uint32Array): void {
  words[Domctl.interface_version / 4] = XEN_DOMCTL_INTERFACE_VERSION;
}

const buffer = reserveScratch(Domctl.SIZE, withVersion);

/** createdomain has its own buffer, of which only a few words change between calls. */
const creation = reserveScratch(Domctl.SIZE, (words) => {
  withVersion(words);
  const u = words.subarray(U);
  words[CMD] = XEN_DOMCTL_createdomain;
  u[DomctlCreatedomain.max_evtchn_port / 4] = MAX_PORT;
  u[DomctlCreatedomain.max_grant_frames / 4] = DEFAULT;
  u[DomctlCreatedomain.max_maptrack_frames / 4] = DEFAULT;
  u[DomctlCreatedomain.grant_opts / 4] = 1;
});
/** get_domain_state is a stable operation, interface version 0. */
const state = reserveScratch(Domctl.SIZE, (words) => {
  words[CMD] = XEN_DOMCTL_get_domain_state;
});
const STATE = U + DomctlGetDomainState.state / 4; // its low half

const CREATION_FLAGS = U + DomctlCreatedomain.flags / 4;
const CREATION_EMULATION = U + DomctlCreatedomain.arch_emulation_flags / 4;
const CREATION_VCPUS = U + DomctlCreatedomain.max_vcpus / 4;

function raw(cmd: number, domain: number): number {
  const { words } = buffer;
  words[CMD] = cmd;
  words[DOMAIN] = domain;
  return hypercall(__HYPERVISOR_domctl, buffer.address);
}

function domctl(name: string, cmd: number, domain: number): void {
  checked(name, raw(cmd, domain));
}

/**
 * Makes an empty, paused domain without memory or vCPUs; returns the id the hypervisor chose.
 * @param pvhv1 a PVHv1 domain, else a PVH one
 */
export function createDomain(vcpus: number, pvhv1: boolean): number {
  const { words } = creation;
  words[DOMAIN] = 0;
  words[CREATION_FLAGS] = pvhv1 ? XEN_DOMCTL_CDF_hap : XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
  words[CREATION_EMULATION] = pvhv1 ? 0 : XEN_X86_EMU_LAPIC;
  words[CREATION_VCPUS] = vcpus;
  checked("XEN_DOMCTL_createdomain", hypercall(__HYPERVISOR_domctl, creation.address));
  return words[DOMAIN]! & 0xffff;
}

/** Creates the vCPUs; `vcpus` as given to `createDomain`. */
export function setMaxVcpus(domain: number, vcpus: number): void {
  buffer.words[MAX_VCPUS] = vcpus;
  domctl("XEN_DOMCTL_max_vcpus", XEN_DOMCTL_max_vcpus, domain);
}

/** @param weight and cap, in the halves of a word; returns what the hypervisor left there */
function scheduler(domain: number, cmd: number, weight: number): number {
  const u = buffer.words.subarray(U);
  u[DomctlSchedulerOp.sched_id / 4] = XEN_SCHEDULER_CREDIT2;
  u[DomctlSchedulerOp.cmd / 4] = cmd;
  u[DomctlSchedulerOp.u / 4] = weight;
  domctl("XEN_DOMCTL_scheduler_op", XEN_DOMCTL_scheduler_op, domain);
  return u[DomctlSchedulerOp.u / 4]!;
}

/** Sets the weight of its vCPUs: of two that both want the CPU, each gets time in proportion to its own; 256 is neutral. */
export function setWeight(domain: number, weight: number): void {
  scheduler(domain, XEN_DOMCTL_SCHEDOP_putinfo, weight);
}

/** The weight of its vCPUs, and the most that they may use, per cent of a CPU; 0: there is no such limit. */
export function schedulingOf(domain: number): { weight: number; cap: number } {
  const both = scheduler(domain, XEN_DOMCTL_SCHEDOP_getinfo, 0);
  return { weight: both & 0xffff, cap: both >>> 16 };
}

/** Masks of CPUs, 64 bits each: hard and soft. */
const masks = reserveScratch(16);
const HARD_MAP = U + DomctlVcpuaffinity.cpumap_hard / 4;
const SOFT_MAP = U + DomctlVcpuaffinity.cpumap_soft / 4;

function affinity(name: string, cmd: number, domain: number, vcpu: number, flags: number): void {
  const { words } = buffer;
  words[U + DomctlVcpuaffinity.vcpu / 4] = vcpu;
  words[U + DomctlVcpuaffinity.flags / 4] = flags;
  for (const [map, at] of [
    [HARD_MAP, masks.address],
    [SOFT_MAP, masks.address + 8],
  ] as const) {
    words[map + XenctlBitmap.bitmap / 4] = at;
    words[map + XenctlBitmap.bitmap / 4 + 1] = 0;
    words[map + XenctlBitmap.nr_bits / 4] = 64;
  }
  domctl(name, cmd, domain);
}

/** CPUs that a vCPU may run on, and those that it would rather run on, a bit each. */
export function vcpuAffinity(domain: number, vcpu: number): { hard: bigint; soft: bigint } {
  const flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
  affinity("XEN_DOMCTL_getvcpuaffinity", XEN_DOMCTL_getvcpuaffinity, domain, vcpu, flags);
  const mask = (word: number) => (BigInt(masks.words[word + 1]!) << 32n) | BigInt(masks.words[word]!);
  return { hard: mask(0), soft: mask(2) };
}

/** Sets one of them, or both. EINVAL when there is no CPU among them that is used. */
export function setVcpuAffinity(
  domain: number,
  vcpu: number,
  hard: bigint | undefined,
  soft: bigint | undefined,
): void {
  [hard, soft].forEach((mask = 0n, i) => {
    masks.words[2 * i] = Number(mask & 0xffffffffn);
    masks.words[2 * i + 1] = Number(mask >> 32n);
  });
  const flags = (hard === undefined ? 0 : XEN_VCPUAFFINITY_HARD) | (soft === undefined ? 0 : XEN_VCPUAFFINITY_SOFT);
  if (flags !== 0) affinity("XEN_DOMCTL_setvcpuaffinity", XEN_DOMCTL_setvcpuaffinity, domain, vcpu, flags);
}

/** Sets the most memory the domain may own, in KiB. */
export function setMaxMemory(domain: number, kib: number): void {
  buffer.words[MAX_KIB] = kib;
  buffer.words[MAX_KIB + 1] = kib / 0x100000000;
  domctl("XEN_DOMCTL_max_mem", XEN_DOMCTL_max_mem, domain);
}

/** Writes the hypercall page into a frame of the domain's memory. */
export function writeHypercallPage(domain: number, gfn: number): void {
  const { words } = buffer;
  words[HYPERCALL_GFN] = gfn;
  words[HYPERCALL_GFN + 1] = 0;
  domctl("XEN_DOMCTL_hypercall_init", XEN_DOMCTL_hypercall_init, domain);
}

/** Loads vCPU state from a sequence of HVM save records at `address` in the window. */
export function setHvmContext(domain: number, address: number, size: number): void {
  const { words } = buffer;
  words[CONTEXT_SIZE] = size;
  words[CONTEXT_BUFFER] = address;
  words[CONTEXT_BUFFER + 1] = 0;
  domctl("XEN_DOMCTL_sethvmcontext", XEN_DOMCTL_sethvmcontext, domain);
}

/** Its vCPUs' state as HVM save records; pause the domain before, or they are of different moments. */
export function getHvmContext(domain: number): Uint8Array<ArrayBuffer> {
  const { words } = buffer;
  words[CONTEXT_SIZE] = LARGE_BUFFER_SIZE;
  words[CONTEXT_BUFFER] = largeBuffer;
  words[CONTEXT_BUFFER + 1] = 0;
  domctl("XEN_DOMCTL_gethvmcontext", XEN_DOMCTL_gethvmcontext, domain);
  return new Uint8Array(memory.read(largeBuffer, words[CONTEXT_SIZE]!));
}

/** Loads the (possibly modified) result of getHvmContext. */
export function loadHvmContext(domain: number, records: Uint8Array): void {
  if (records.length > LARGE_BUFFER_SIZE) throw new RangeError("the records do not fit the buffer");
  memory.write(largeBuffer, records);
  setHvmContext(domain, largeBuffer, records.length);
}

/** Writes the domain's handle: HANDLE_SIZE bytes, as words, that outlive domain 0. */
export function setDomainHandle(domain: number, handle: ArrayLike<number>): void {
  buffer.words.set(handle, HANDLE);
  domctl("XEN_DOMCTL_setdomainhandle", XEN_DOMCTL_setdomainhandle, domain);
}

/** Xen counts pauses: as many unpauses are needed. */
export function pauseDomain(domain: number): void {
  domctl("XEN_DOMCTL_pausedomain", XEN_DOMCTL_pausedomain, domain);
}

export function unpauseDomain(domain: number): void {
  domctl("XEN_DOMCTL_unpausedomain", XEN_DOMCTL_unpausedomain, domain);
}

/** Sends an NMI to a vCPU. ESRCH when the domain has no such one. */
export function sendNmi(domain: number, vcpu: number): void {
  buffer.words[U + DomctlSendtrigger.trigger / 4] = XEN_DOMCTL_SENDTRIGGER_NMI;
  buffer.words[U + DomctlSendtrigger.vcpu / 4] = vcpu;
  domctl("XEN_DOMCTL_sendtrigger", XEN_DOMCTL_sendtrigger, domain);
}

/** Soft-resets a domain that has shut down: it continues in its memory as if newly created; it is paused. */
export function softResetDomain(domain: number): void {
  domctl("XEN_DOMCTL_soft_reset", XEN_DOMCTL_soft_reset, domain);
}

/** Ends a domain. It disappears when the last of its frames is no longer mapped by anyone. */
export function destroyDomain(domain: number): void {
  for (;;) {
    const result = raw(XEN_DOMCTL_destroydomain, domain);
    // Large domains are destroyed in several steps.
    if (result === -EAGAIN || result === -EBUSY) continue;
    checked("XEN_DOMCTL_destroydomain", result);
    return;
  }
}

/** True while there is a domain of that id, dying ones included. */
export function domainExists(domain: number): boolean {
  try {
    // For an unused id, Xen describes the domain with the next higher one.
    return domainInfo(domain).id === domain;
  } catch (error) {
    if (error instanceof HypercallError && error.code === ESRCH) return false;
    throw error;
  }
}

/**
 * A domain that has shut down or been freed and was not reported since; VIRQ_DOM_EXC announces them.
 * @returns null for none; `exists` is false for one that no longer exists
 */
export function changedDomain(): { id: number; exists: boolean } | null {
  const { words } = state;
  words[DOMAIN] = DOMID_INVALID;
  const result = hypercall(__HYPERVISOR_domctl, state.address);
  if (result === -ENOENT) return null;
  checked("XEN_DOMCTL_get_domain_state", result);
  const exists = (words[STATE]! & XEN_DOMCTL_GETDOMSTATE_STATE_EXIST) !== 0;
  words.fill(0, STATE); // the padding must be zero
  return { id: words[DOMAIN]! & 0xffff, exists };
}

/** The result of XEN_DOMCTL_getvcpuinfo. */
export interface VcpuInfo {
  /** The CPU that it is on, or was on last. */
  cpu: number;
  online: boolean;
  blocked: boolean;
  running: boolean;
  cpuTimeNs: number;
}

export function vcpuInfo(domain: number, vcpu: number): VcpuInfo {
  const { words } = buffer;
  words[U + DomctlGetvcpuinfo.vcpu / 4] = vcpu;
  domctl("XEN_DOMCTL_getvcpuinfo", XEN_DOMCTL_getvcpuinfo, domain);
  // Three flags of a byte each.
  const flags = words[U + DomctlGetvcpuinfo.online / 4]!;
  return {
    cpu: words[U + DomctlGetvcpuinfo.cpu / 4]!,
    online: (flags & 0xff) !== 0,
    blocked: (flags & 0xff00) !== 0,
    running: (flags & 0xff0000) !== 0,
    cpuTimeNs: number64(words, U + DomctlGetvcpuinfo.cpu_time / 4),
  };
}

/** One domain's state. */
export function domainInfo(domain: number): DomainInfo {
  domctl("XEN_DOMCTL_getdomaininfo", XEN_DOMCTL_getdomaininfo, domain);
  return decodeDomainInfo(buffer.words, U);
}
