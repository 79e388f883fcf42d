/**
 * Creation and destruction of domains and vCPUs. A destroyed domain keeps its id, as Dying, until the last of its frames that
 * others still map is released; then its record is freed.
 */
import { XEN_DOMCTL_CDF_hvm, XEN_X86_EMU_LAPIC } from "../../abi/domctl";
import { EEXIST, EINVAL, ENOMEM, ENOSPC } from "../../abi/errno";
import { DOMID_FIRST_RESERVED, NR_VIRQS, VIRQ_DOM_EXC } from "../../abi/xen";
import { hvmFpuSwitch, hvmVcpuFree, hvmVcpuInit } from "../../arch-x86/hvm";
import { HvmVcpu } from "../../arch-x86/hvm-vcpu";
import { P2m } from "../../arch-x86/p2m";
import { vcpuOf } from "../records/domain-access";
import { cpuOf } from "../records/cpu";
import { Domain, DomainKind, DomainLife, SHUTDOWN_CODE_INVALID } from "../records/domain";
import {
  DOMAIN_LEAF_BYTES,
  domainById,
  domainChanged,
  domainEnter,
  domainFreeId,
  domainNeedsLeaf,
  domainReapLater,
  domainReapTake,
  domainRemove,
} from "../records/domain-list";
import { evtchnFree, evtchnInit, evtchnTeardown, evtchnTeardownBegin, sendGlobalVirq } from "../events/event-channel";
import { domainReleaseMemory } from "../memory/domain-memory";
import { claimRelease } from "../memory/claims";
import { FrameType } from "../memory/frames";
import { frameChargeBegin, frameChargeEnd, overheadClaim, overheadReclaim } from "../memory/overhead";
import { heapAlloc, heapAllocFor, heapFree, heapFreeFor } from "../memory/heap";
import { physmapInit, physmapTeardown } from "../memory/physmap";
import {
  domainPauseFlag,
  PAUSE_DOMAIN,
  PAUSE_DYING,
  PAUSE_SHUTDOWN,
  schedulerAdd,
  schedulerRemove,
} from "../scheduling/scheduler";
import {
  sharedInfoFree,
  sharedInfoInit,
  updateTime,
  vcpuInfoFree,
  vcpuInfoInit,
  vcpuInfoReserve,
} from "../events/shared-info";
import { nowNs } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";
import { vlapicCreate, vlapicDestroy } from "../events/vlapic-delivery";
import { vcpuTimersFree, vcpuTimersInit, vcpuTimersStop } from "./vcpu-timers";
import { grantTableFree, grantTableInit } from "../grants/grant-frames";
import { grantTableReleaseMappings } from "../grants/grant-map";
import { watchdogsFree } from "./watchdogs";
import { hvmParamsFree, hvmParamsInit } from "./hvm-params";
import { devicePageFree, devicesForget } from "./device-page";
import { consoleLineFree } from "./guest-log";
import { memoryMapFree } from "../memory/e820";
import { runstateCpuNs } from "../scheduling/runstate";

/** Most vCPUs a domain may have, as Xen's HVM_MAX_VCPUS. */
export const DOMAIN_VCPUS_MAX: u32 = 128;
/** Guest-physical addresses have at most 39 bits: one entry of a nested table's top level. */
const HVM_GFN_LIMIT: u64 = 1 << 27;
const SOFTWARE_GFN_LIMIT: u64 = 1 << 20;
const EXIT_KINDS: usize = 16;

/**
 * Creates a domain, paused (pauseCount 1), without memory and vCPUs.
 * @param id wanted id, u32.MAX_VALUE for the next free one
 * @param kind DomainKind
 * @param flags XEN_DOMCTL_CDF_*
 * @param error linear address of an i32: 0, -EINVAL, -EEXIST, -ENOSPC (no id), -ENOMEM
 * @returns null, with nothing left behind, on error
 */
export function domainCreate(id: u32, kind: u32, flags: u32, maxVcpus: u32, error: usize): Domain | null {
  store<i32>(error, -EINVAL);
  if (maxVcpus == 0 || maxVcpus > DOMAIN_VCPUS_MAX) return null;
  if (id == u32.MAX_VALUE) {
    store<i32>(error, -ENOSPC);
    id = domainFreeId();
  }
  if (id >= DOMID_FIRST_RESERVED) return null;
  store<i32>(error, -EEXIST);
  if (domainById(id) != null) return null;

  store<i32>(error, -ENOMEM);
  const at = heapAlloc(offsetof<Domain>());
  const leaf = at && domainNeedsLeaf(id) ? heapAlloc(DOMAIN_LEAF_BYTES) : 0;
  if (!at || (domainNeedsLeaf(id) && !leaf)) {
    heapFree(at, offsetof<Domain>());
    return null;
  }
  const d = changetype<Domain>(at);
  d.id = id;
  d.kind = kind;
  d.life = DomainLife.Alive;
  d.pauseCount = 1;
  d.shutdownCode = SHUTDOWN_CODE_INVALID;
  d.createFlags = flags;
  d.pvhv1 = kind == DomainKind.Hvm && !(flags & XEN_DOMCTL_CDF_hvm) ? 1 : 0;
  d.devctl = kind == DomainKind.Software || d.pvhv1 ? 1 : 0;
  d.createdNs = nowNs();
  d.maxGfn = kind == DomainKind.Software ? SOFTWARE_GFN_LIMIT : HVM_GFN_LIMIT;
  domainEnter(d, leaf);
  const rc = domainPartsInit(d, maxVcpus);
  store<i32>(error, rc);
  if (rc == 0) return d;
  domainPartsFree(d);
  domainRecordFree(d);
  return null;
}

/** Allocates the parts every domain has; after a failure, missing parts have a null pointer. */
function domainPartsInit(d: Domain, maxVcpus: u32): i32 {
  d.vcpuCount = maxVcpus;
  let rc = overheadReclaim(d);
  if (rc) return rc;
  d.vcpus = heapAllocFor(d, (<usize>maxVcpus) << 2);
  if (!d.vcpus) return -ENOMEM;
  rc = physmapInit(d);
  if (!rc) rc = sharedInfoInit(d);
  if (!rc) rc = evtchnInit(d);
  if (!rc) rc = grantTableInit(d);
  if (!rc) rc = hvmParamsInit(d);
  return rc;
}

/** Frees what domainPartsInit allocated and what was added since, except memory and vCPUs. */
function domainPartsFree(d: Domain): void {
  overheadClaim(d, 0);
  watchdogsFree(d);
  consoleLineFree(d);
  memoryMapFree(d);
  devicePageFree(d);
  evtchnFree(d);
  grantTableFree(d);
  hvmParamsFree(d);
  physmapTeardown(d, null);
  sharedInfoFree(d);
  heapFreeFor(d, d.vcpus, (<usize>d.vcpuCount) << 2);
  d.vcpus = 0;
  d.vcpuCount = 0;
}

/** The last step: frees the record and the id. */
function domainRecordFree(d: Domain): void {
  assert(
    d.heapBytes == 0 && d.overheadPages == 0 && d.totalPages == 0,
    "a domain's record is freed with something left",
  );
  d.life = DomainLife.Dead;
  heapFree(domainRemove(d), DOMAIN_LEAF_BYTES);
  heapFree(changetype<usize>(d), offsetof<Domain>());
}

/**
 * Creates vCPU `i`, down and without registers (hardware guests: PVH start state).
 * @returns 0, -EINVAL, -EEXIST, -ENOMEM with nothing left behind
 */
export function vcpuCreate(d: Domain, i: u32): i32 {
  if (i >= d.vcpuCount || d.life != DomainLife.Alive) return -EINVAL;
  if (vcpuOf(d, i) != null) return -EEXIST;
  if (vcpuInfoReserve(d, i) != 0) return -ENOMEM;
  const at = heapAllocFor(d, offsetof<Vcpu>());
  if (!at) return -ENOMEM;
  const v = changetype<Vcpu>(at);
  v.domain = d;
  v.id = i;
  v.affinity = 1;
  v.softAffinity = u64.MAX_VALUE;
  v.guestDomainId = d.id;
  v.guestVcpuId = i;
  schedulerAdd(v);
  v.pauseFlags = (d.pauseCount ? PAUSE_DOMAIN : 0) | (d.shutdown ? PAUSE_SHUTDOWN : 0);
  v.exitCounts = heapAllocFor(d, EXIT_KINDS * 8);
  v.virqPorts = heapAllocFor(d, NR_VIRQS * 4);
  let rc = v.exitCounts && v.virqPorts ? vcpuTimersInit(v) : -ENOMEM;
  if (!rc && d.kind == DomainKind.Hvm) {
    frameChargeBegin(d.id, FrameType.Control);
    rc = hvmVcpuInit(v, changetype<P2m>(d.p2m));
    frameChargeEnd();
    if (!rc && d.emulation & XEN_X86_EMU_LAPIC) {
      rc = vlapicCreate(v);
      if (rc) hvmVcpuFree(v);
    }
  }
  if (rc) {
    freeParts(v);
    return rc;
  }
  store<usize>(d.vcpus + ((<usize>i) << 2), at);
  vcpuInfoInit(v);
  updateTime(v);
  return 0;
}

function freeParts(v: Vcpu): void {
  const d = v.domain;
  vcpuTimersFree(v);
  vlapicDestroy(v);
  heapFreeFor(d, v.exitCounts, EXIT_KINDS * 8);
  heapFreeFor(d, v.virqPorts, NR_VIRQS * 4);
  heapFreeFor(d, changetype<usize>(v), offsetof<Vcpu>());
}

/** Removes a vCPU from all queues and frees it; its domain is dying and it is not the caller. */
function vcpuDestroy(v: Vcpu): void {
  const d = v.domain;
  vcpuTimersStop(v);
  d.cpuTimeNs += runstateCpuNs(v, nowNs());
  schedulerRemove(v);
  const c = cpuOf(v.cpu);
  if (c.fpuOwner == changetype<usize>(v)) {
    hvmFpuSwitch(changetype<HvmVcpu | null>(c.fpuOwner), null);
    c.fpuOwner = 0;
  }
  vcpuInfoFree(v);
  if (d.kind == DomainKind.Hvm) hvmVcpuFree(v);
  store<usize>(d.vcpus + ((<usize>v.id) << 2), 0);
  freeParts(v);
}

/**
 * XEN_DOMCTL_destroydomain: stops the domain permanently and frees its resources. Not for the caller's own domain.
 * @param caller whose slice bounds the work, null for no bound
 * @returns 0 when done (the id stays in use while others map its frames), or -ERESTART: call again
 */
export function domainKill(d: Domain, caller: Vcpu | null): i32 {
  if (d.life == DomainLife.Alive) {
    d.life = DomainLife.Dying;
    claimRelease(d);
    overheadClaim(d, 0);
    domainPauseFlag(d, PAUSE_DYING, true);
    for (let i: u32 = 0; i < d.vcpuCount; i++) {
      const v = vcpuOf(d, i);
      if (v != null) vcpuTimersStop(v);
    }
    watchdogsFree(d);
    evtchnTeardownBegin(d);
  }
  if (!d.vcpus) return 0; // already done; others still map frames of it
  let rc = devicesForget(d, caller);
  if (rc) return rc;
  rc = grantTableReleaseMappings(d, caller);
  if (rc) return rc;
  rc = physmapTeardown(d, caller);
  if (rc) return rc;
  rc = domainReleaseMemory(d);
  if (rc) return rc;
  rc = evtchnTeardown(d, caller); // while there are vCPUs that its VIRQ ports name
  if (rc) return rc;
  evtchnFree(d);
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null) vcpuDestroy(v);
  }
  domainPartsFree(d);
  domainReapLater(d);
  return 0;
}

/** Frees the dying domains queued by domainReapLater whose last frame has been freed. From the CPU's loop. */
export function domainsReap(): void {
  for (let d = domainReapTake(); d != null; d = domainReapTake()) {
    // Still being destroyed, or some of its frames are mapped by others: it is queued again when the next of them is freed.
    if (d.life != DomainLife.Dying || d.vcpus || d.totalPages) continue;
    domainChanged(d.id);
    domainRecordFree(d);
    sendGlobalVirq(VIRQ_DOM_EXC);
  }
}
