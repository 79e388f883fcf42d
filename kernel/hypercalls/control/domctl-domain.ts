/** Operations of domctl on whole domains. Arguments: `u`, linear address of the operation's structure; `v`, the caller. */
import { EACCES, EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, ESRCH } from "../../../abi/errno";
import {
  Domctl,
  DomctlCreatedomain,
  DomctlGetdomaininfo,
  DomctlHypercallInit,
  DomctlMaxMem,
  DomctlMaxVcpus,
  DomctlPagingMempool,
  DomctlSetdebugging,
  DomctlSetdomainhandle,
  DomctlShadowOp,
  DomctlTscInfo,
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_oos_off,
  XEN_DOMCTL_CDF_xs_domain,
  XEN_DOMCTL_GRANT_version_mask,
  XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION,
  XEN_DOMCTL_SHADOW_OP_OFF,
  XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION,
  XEN_X86_EMU_LAPIC,
  XEN_X86_MISC_FLAGS_MAX,
} from "../../../abi/domctl";
import { DOMID_FIRST_RESERVED, VIRQ_DOM_EXC } from "../../../abi/xen";
import {
  DomctlGetDomainState,
  XEN_DOMCTL_GETDOMSTATE_STATE_DEAD,
  XEN_DOMCTL_GETDOMSTATE_STATE_DYING,
  XEN_DOMCTL_GETDOMSTATE_STATE_EXIST,
  XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN,
} from "../../../abi/domain-state";
import { tscKhz } from "../../../arch-x86/host/tsc";
import { vcpuOf } from "../../records/domain-access";
import { overheadReclaim } from "../../memory/overhead";
import { Domain, DomainKind, DomainLife } from "../../records/domain";
import { domainInfo } from "./domain-info";
import { domainCreate, domainKill, vcpuCreate } from "../../domains/domain-life";
import { domainResume } from "../../domains/soft-reset";
import { domainById, domainChangedTake, domainFrom } from "../../records/domain-list";
import { evtchnSetLimit, handlesVirq } from "../../events/event-channel";
import { hypercallPageWrite } from "../hypercall-page";
import { domainPause, domainUnpause } from "../../scheduling/scheduler";
import { scratch } from "../../memory/scratch";
import { nowNs } from "../../scheduling/time";
import { Vcpu } from "../../records/vcpu";
import { virtualisationReady } from "../../machine/virtualisation";
import { grantTableLimits } from "../../grants/grant-frames";

const FLAGS_KNOWN: u32 = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_xs_domain;
const PAUSES_MAX: u32 = 0x7fffffff;
/** tsc_mode values of gettscinfo: the guest reads the hardware's counter, by default and on request. */
const TSC_MODE_DEFAULT: u32 = 0;
const TSC_MODE_NEVER_EMULATE: u32 = 2;

const error: usize = memory.data(4, 4);

function isSelf(v: Vcpu, d: Domain): bool {
  return changetype<usize>(v.domain) == changetype<usize>(d);
}

/**
 * createdomain: a hardware guest, paused, without memory and vCPUs; its id goes into the structure at `arg`. Without
 * XEN_DOMCTL_CDF_hvm, that is a PV guest on nested paging, it is a PVHv1 guest (docs/decisions/0009-pvhv1.md).
 * @returns 0; -EEXIST the id is taken; -EINVAL flags or limits; -EOPNOTSUPP emulated devices beyond a local APIC;
 *   -ENOENT another CPU pool; -ENOMEM, -ENOSPC
 */
export function createDomain(arg: usize): i32 {
  const u = arg + Domctl.u;
  const wanted: u32 = load<u16>(arg, Domctl.domain);
  let id: u32 = u32.MAX_VALUE;
  if (wanted > 0 && wanted < DOMID_FIRST_RESERVED) {
    if (domainById(wanted) != null) return -EEXIST;
    id = wanted;
  }
  if (!virtualisationReady()) return -EINVAL; // Xen: HVM support not available
  const flags = load<u32>(u, DomctlCreatedomain.flags);
  if (flags & ~FLAGS_KNOWN || !(flags & XEN_DOMCTL_CDF_hap)) return -EINVAL;
  if (load<u32>(u, DomctlCreatedomain.iommu_opts) || load<u32>(u, DomctlCreatedomain.vmtrace_size)) return -EINVAL;
  if (load<u32>(u, DomctlCreatedomain.arch_misc_flags) & ~XEN_X86_MISC_FLAGS_MAX) return -EINVAL;
  const grantOptions = load<u32>(u, DomctlCreatedomain.grant_opts);
  const grantFrames = load<i32>(u, DomctlCreatedomain.max_grant_frames);
  const maptrackFrames = load<i32>(u, DomctlCreatedomain.max_maptrack_frames);
  if (grantOptions & ~XEN_DOMCTL_GRANT_version_mask) return -EINVAL;
  if (grantTableLimits(null, grantFrames, maptrackFrames, grantOptions) != 0) return -EINVAL;
  const emulation = load<u32>(u, DomctlCreatedomain.arch_emulation_flags);
  const lapic = (flags & XEN_DOMCTL_CDF_hvm) != 0 && emulation == XEN_X86_EMU_LAPIC;
  if (emulation != 0 && !lapic) return -EOPNOTSUPP;
  if (load<u32>(u, DomctlCreatedomain.cpupool_id)) return -ENOENT;
  const d = domainCreate(id, DomainKind.Hvm, flags, load<u32>(u, DomctlCreatedomain.max_vcpus), error);
  if (d == null) return load<i32>(error);
  grantTableLimits(d, grantFrames, maptrackFrames, grantOptions);
  evtchnSetLimit(d, load<u32>(u, DomctlCreatedomain.max_evtchn_port));
  d.emulation = emulation;
  d.handle0 = load<u64>(u, DomctlCreatedomain.handle);
  d.handle1 = load<u64>(u, DomctlCreatedomain.handle + 8);
  store<u16>(arg, <u16>d.id, Domctl.domain);
  return 0;
}

/** getdomaininfo: of the domain with that id, or, if there is none, of the one with the next higher id. */
export function getDomainInfo(arg: usize): i32 {
  const wanted: u32 = load<u16>(arg, Domctl.domain);
  if (wanted >= DOMID_FIRST_RESERVED) return -EINVAL;
  const d = domainFrom(wanted);
  if (d == null) return -ESRCH;
  domainInfo(d, arg + Domctl.u);
  store<u16>(arg, load<u16>(arg, Domctl.u + DomctlGetdomaininfo.domain), Domctl.domain);
  return 0;
}

/**
 * get_domain_state: of `d`, or, if null, of a domain that has shut down or been freed since it was last reported; its id goes
 * into the structure at `arg`. 0; -EINVAL nonzero padding; -EACCES not VIRQ_DOM_EXC's handler; -ENOENT none has changed.
 */
export function getDomainState(v: Vcpu, d: Domain | null, arg: usize): i32 {
  const u = arg + Domctl.u;
  if (load<u16>(u, DomctlGetDomainState.pad0) || load<u32>(u, DomctlGetDomainState.pad1)) return -EINVAL;
  if (d == null) {
    if (!handlesVirq(v.domain, VIRQ_DOM_EXC)) return -EACCES;
    const id = domainChangedTake();
    if (id < 0) return -ENOENT;
    store<u16>(arg, <u16>id, Domctl.domain);
    d = domainById(id);
  }
  let state: u32 = 0;
  if (d != null) {
    state = XEN_DOMCTL_GETDOMSTATE_STATE_EXIST;
    if (d.shutdown) state |= XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN;
    if (d.life != DomainLife.Alive) state |= XEN_DOMCTL_GETDOMSTATE_STATE_DYING;
    if (d.life != DomainLife.Alive && !d.vcpus) state |= XEN_DOMCTL_GETDOMSTATE_STATE_DEAD;
  }
  store<u16>(u, <u16>state, DomctlGetDomainState.state);
  store<u64>(u, d != null ? d.createdNs : 0, DomctlGetDomainState.unique_id);
  return 0;
}

/** destroydomain. 0, or -ERESTART to continue after a preemption; -EINVAL for the caller itself and the I/O domain. */
export function destroyDomain(v: Vcpu, d: Domain): i32 {
  if (isSelf(v, d) || d.kind == DomainKind.Software) return -EINVAL;
  return domainKill(d, v);
}

export function pauseDomain(v: Vcpu, d: Domain): i32 {
  if (isSelf(v, d) || d.pauseCount >= PAUSES_MAX) return -EINVAL;
  domainPause(d);
  return 0;
}

export function unpauseDomain(d: Domain): i32 {
  return domainUnpause(d);
}

/**
 * resumedomain: resumes a domain that shut itself down (suspend). -EINVAL for the caller itself, for a dying domain, and for the
 * I/O domain, which has nothing left to go on with.
 */
export function resumeDomain(v: Vcpu, d: Domain): i32 {
  if (isSelf(v, d) || d.life != DomainLife.Alive || d.kind == DomainKind.Software) return -EINVAL;
  domainResume(d);
  return 0;
}

/** max_mem, KiB. -ENOMEM if the reserve for page tables of that much memory is not available. */
export function maxMem(d: Domain, u: usize): i32 {
  const pages = load<u64>(u, DomctlMaxMem.max_memkb) >> 2;
  const before = d.maxPages;
  d.maxPages = pages > 0xfffffffe ? 0xfffffffe : <u32>pages;
  const rc = overheadReclaim(d);
  if (rc) d.maxPages = before;
  return rc;
}

/** max_vcpus: creates them; the number was fixed by createdomain. */
export function maxVcpus(v: Vcpu, d: Domain, u: usize): i32 {
  const wanted = load<u32>(u, DomctlMaxVcpus.max);
  if (isSelf(v, d) || wanted != d.vcpuCount || !wanted) return -EINVAL;
  for (let i: u32 = 0; i < wanted; i++) {
    if (vcpuOf(d, i) == null && vcpuCreate(d, i) != 0) return -ENOMEM;
  }
  return 0;
}

export function setHandle(d: Domain, u: usize): i32 {
  d.handle0 = load<u64>(u, DomctlSetdomainhandle.handle);
  d.handle1 = load<u64>(u, DomctlSetdomainhandle.handle + 8);
  return 0;
}

/** setdebugging: no debugger can be attached, so it is always off. */
export function setDebugging(v: Vcpu, d: Domain, u: usize): i32 {
  if (isSelf(v, d)) return -EINVAL;
  return load<u8>(u, DomctlSetdebugging.enable) ? -EOPNOTSUPP : 0;
}

/**
 * get_paging_mempool_size: the size set, 0 for the default. It is the pool for the domain's page tables: promised to it in
 * full, and its limit (kernel/memory/overhead.ts).
 */
export function getMempool(d: Domain, u: usize): i32 {
  store<u64>(u, d.mempoolBytes, DomctlPagingMempool.size);
  return 0;
}

/** -EINVAL not whole pages; -ENOMEM not enough memory. */
export function setMempool(d: Domain, u: usize): i32 {
  const size = load<u64>(u, DomctlPagingMempool.size);
  if (size & 0xfff || size >> 44 != 0) return -EINVAL;
  return poolOf(d, size);
}

function poolOf(d: Domain, bytes: u64): i32 {
  const before = d.mempoolBytes;
  d.mempoolBytes = bytes;
  const rc = overheadReclaim(d);
  if (rc) d.mempoolBytes = before;
  return rc;
}

/** shadow_op: the pool size in MiB; logging of dirty pages is not offered. */
export function shadowOp(d: Domain, u: usize): i32 {
  switch (load<u32>(u, DomctlShadowOp.op)) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
      return 0;
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
      store<u32>(u, <u32>((d.mempoolBytes + 0xfffff) >> 20), DomctlShadowOp.mb);
      return 0;
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
      return poolOf(d, (<u64>load<u32>(u, DomctlShadowOp.mb)) << 20);
    default:
      return -EOPNOTSUPP;
  }
}

/** hypercall_init: writes the hypercall page at a frame of the domain; -EACCES where it has no writable memory. */
export function hypercallInit(v: Vcpu, d: Domain, u: usize): i32 {
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  const gfn = load<u64>(u, DomctlHypercallInit.gmfn);
  if (gfn >= d.maxGfn) return -EACCES;
  return hypercallPageWrite(d, gfn << 12, scratch(v)) ? 0 : -EACCES;
}

/** gettscinfo, settscinfo: guests read the hardware's counter; only requests for that mode succeed. */
export function tscInfo(v: Vcpu, d: Domain, u: usize, set: bool): i32 {
  if (isSelf(v, d)) return -EINVAL;
  if (set) {
    const mode = load<u32>(u, DomctlTscInfo.tsc_mode);
    return mode == TSC_MODE_DEFAULT || mode == TSC_MODE_NEVER_EMULATE ? 0 : -EINVAL;
  }
  store<u32>(u, TSC_MODE_DEFAULT, DomctlTscInfo.tsc_mode);
  store<u32>(u, tscKhz(), DomctlTscInfo.gtsc_khz);
  store<u32>(u, 0, DomctlTscInfo.incarnation);
  store<u64>(u, nowNs(), DomctlTscInfo.elapsed_nsec);
  return 0;
}
