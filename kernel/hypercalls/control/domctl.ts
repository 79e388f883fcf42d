/**
 * __HYPERVISOR_domctl: building, running and ending domains, for domain 0 (xen/domctl.h, interface version 15H). The
 * switch below is the whole interface; any other operation is -ENOSYS. Each operation works on a copy of the caller's
 * structure in the scratch page and sets a flag if the copy is to be copied back.
 */
import { EACCES, EFAULT, ENOSYS, EOPNOTSUPP, EPERM, ERESTART, ESRCH } from "../../../abi/errno";
import {
  Domctl,
  DomctlSettimeoffset,
  DomctlSetVirqHandler,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_get_address_size,
  XEN_DOMCTL_get_paging_mempool_size,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_gethvmcontext,
  XEN_DOMCTL_getnodeaffinity,
  XEN_DOMCTL_gettscinfo,
  XEN_DOMCTL_getvcpuaffinity,
  XEN_DOMCTL_getvcpucontext,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_hypercall_init,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_iomem_permission,
  XEN_DOMCTL_ioport_mapping,
  XEN_DOMCTL_ioport_permission,
  XEN_DOMCTL_irq_permission,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_memory_mapping,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_resumedomain,
  XEN_DOMCTL_scheduler_op,
  XEN_DOMCTL_sendtrigger,
  XEN_DOMCTL_set_address_size,
  XEN_DOMCTL_set_paging_mempool_size,
  XEN_DOMCTL_set_virq_handler,
  XEN_DOMCTL_setdebugging,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_setnodeaffinity,
  XEN_DOMCTL_settimeoffset,
  XEN_DOMCTL_settscinfo,
  XEN_DOMCTL_setvcpuaffinity,
  XEN_DOMCTL_setvcpucontext,
  XEN_DOMCTL_shadow_op,
  XEN_DOMCTL_soft_reset,
  XEN_DOMCTL_unpausedomain,
} from "../../../abi/domctl";
import { XEN_DOMCTL_get_domain_state } from "../../../abi/domain-state";
import { DOMID_INVALID } from "../../../abi/xen";
import { Domain } from "../../records/domain";
import { domainById, domainChanged } from "../../records/domain-list";
import {
  createDomain,
  destroyDomain,
  getDomainInfo,
  getDomainState,
  getMempool,
  hypercallInit,
  maxMem,
  maxVcpus,
  pauseDomain,
  resumeDomain,
  setDebugging,
  setHandle,
  setMempool,
  shadowOp,
  tscInfo,
  unpauseDomain,
} from "./domctl-domain";
import { domainSoftReset } from "../../domains/soft-reset";
import { getVcpuInfo, nodeAffinity, schedulerOp, sendTrigger, vcpuAffinity } from "./domctl-vcpu";
import { setVirqHandler } from "../../events/event-channel";
import { copyFromGuest, copyToGuest } from "../../memory/guest-copy";
import { getHvmContext, setHvmContext } from "./domctl-hvmcontext";
import { hypercallRestart } from "../hypercall";
import { scratch } from "../../memory/scratch";
import { updateWallclock } from "../../events/shared-info";
import { Vcpu } from "../../records/vcpu";

/** Set by an operation whose structure is to go back to the caller, whatever it returns. */
let answer: bool = false;

/**
 * The hypercall.
 * @param a1 guest address of a struct xen_domctl
 * @returns 0 or negative errno: -EACCES for another interface version, -ESRCH, -EPERM for a caller without privilege
 */
export function domctl(v: Vcpu, a1: u64, _a2: u64, _a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, a1, Domctl.SIZE)) return -EFAULT;
  const command = load<u32>(arg, Domctl.cmd);
  if (load<u32>(arg, Domctl.interface_version) != interfaceOf(command)) return -EACCES;
  if (command == XEN_DOMCTL_get_domain_state && load<u16>(arg, Domctl.domain) == DOMID_INVALID) {
    if (!v.domain.privileged) return -EPERM;
    const rc = getDomainState(v, null, arg);
    if (rc || copyToGuest(v, a1, arg, Domctl.SIZE)) return rc;
    domainChanged(load<u16>(arg, Domctl.domain)); // not reported to the caller
    return -EFAULT;
  }
  const d = domainById(load<u16>(arg, Domctl.domain));
  if (d == null && command != XEN_DOMCTL_createdomain && command != XEN_DOMCTL_getdomaininfo) return -ESRCH;
  if (!v.domain.privileged) return -EPERM;
  answer = false;
  const rc = d == null ? withoutDomain(command, arg) : withDomain(v, d, command, arg);
  if (rc == -ERESTART) return hypercallRestart(v, a1, 0, 0, 0, 0, 0);
  if (answer && !copyToGuest(v, a1, arg, Domctl.SIZE)) return -EFAULT;
  return rc;
}

/** The interface version of a command: 0 for the stable ones. */
function interfaceOf(command: u32): u32 {
  return command == XEN_DOMCTL_get_domain_state ? 0 : XEN_DOMCTL_INTERFACE_VERSION;
}

function withoutDomain(command: u32, arg: usize): i32 {
  answer = true;
  return command == XEN_DOMCTL_createdomain ? createDomain(arg) : getDomainInfo(arg);
}

/** Operations on `d`; `u` is the union in the copy at `arg`. */
function withDomain(v: Vcpu, d: Domain, command: u32, arg: usize): i32 {
  const u = arg + Domctl.u;
  switch (command) {
    // Life cycle.
    case XEN_DOMCTL_createdomain:
    case XEN_DOMCTL_getdomaininfo:
      return withoutDomain(command, arg);
    case XEN_DOMCTL_get_domain_state:
      answer = true;
      return getDomainState(v, d, arg);
    case XEN_DOMCTL_destroydomain:
      return destroyDomain(v, d);
    case XEN_DOMCTL_pausedomain:
      return pauseDomain(v, d);
    case XEN_DOMCTL_unpausedomain:
      return unpauseDomain(d);
    case XEN_DOMCTL_resumedomain:
      return resumeDomain(v, d);
    case XEN_DOMCTL_soft_reset:
      return domainSoftReset(d, v);
    // Resources and limits.
    case XEN_DOMCTL_max_mem:
      return maxMem(d, u);
    case XEN_DOMCTL_max_vcpus:
      return maxVcpus(v, d, u);
    case XEN_DOMCTL_setdomainhandle:
      return setHandle(d, u);
    case XEN_DOMCTL_settimeoffset:
      d.timeOffsetSeconds = load<i64>(u, DomctlSettimeoffset.time_offset_seconds);
      updateWallclock(d);
      return 0;
    case XEN_DOMCTL_set_virq_handler:
      return setVirqHandler(d, load<u32>(u, DomctlSetVirqHandler.virq));
    case XEN_DOMCTL_setdebugging:
      return setDebugging(v, d, u);
    case XEN_DOMCTL_get_paging_mempool_size:
      answer = true;
      return getMempool(d, u);
    case XEN_DOMCTL_set_paging_mempool_size:
      return setMempool(d, u);
    case XEN_DOMCTL_shadow_op:
      answer = true;
      return shadowOp(d, u);
    case XEN_DOMCTL_gettscinfo:
      answer = true;
      return tscInfo(v, d, u, false);
    case XEN_DOMCTL_settscinfo:
      return tscInfo(v, d, u, true);
    case XEN_DOMCTL_hypercall_init:
      return hypercallInit(v, d, u);
    // vCPUs.
    case XEN_DOMCTL_getvcpuinfo:
      answer = true;
      return getVcpuInfo(d, u);
    case XEN_DOMCTL_sethvmcontext:
      return setHvmContext(v, d, u);
    case XEN_DOMCTL_gethvmcontext:
      answer = true;
      return getHvmContext(v, d, u);
    case XEN_DOMCTL_setvcpuaffinity:
    case XEN_DOMCTL_getvcpuaffinity:
      answer = true;
      return vcpuAffinity(v, d, u, command == XEN_DOMCTL_setvcpuaffinity);
    case XEN_DOMCTL_setnodeaffinity:
    case XEN_DOMCTL_getnodeaffinity:
      answer = command == XEN_DOMCTL_getnodeaffinity;
      return nodeAffinity(v, u, command == XEN_DOMCTL_setnodeaffinity);
    case XEN_DOMCTL_scheduler_op:
      answer = true;
      return schedulerOp(d, u);
    case XEN_DOMCTL_sendtrigger:
      return sendTrigger(d, u);
    // A hardware guest's address size and registers are reported by other operations: Xen's answer.
    case XEN_DOMCTL_set_address_size:
    case XEN_DOMCTL_get_address_size:
    case XEN_DOMCTL_setvcpucontext:
    case XEN_DOMCTL_getvcpucontext:
      return -EOPNOTSUPP;
    // Domain 0 has no devices that it could assign.
    case XEN_DOMCTL_iomem_permission:
    case XEN_DOMCTL_ioport_permission:
    case XEN_DOMCTL_irq_permission:
    case XEN_DOMCTL_memory_mapping:
    case XEN_DOMCTL_ioport_mapping:
      return -EPERM;
    default:
      return -ENOSYS;
  }
}
