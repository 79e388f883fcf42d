/**
 * __HYPERVISOR_hvm_op: parameters of a hardware-virtualised domain, upcall vectors, and a few services (xen/hvm). Access to
 * parameters follows Xen: some belong to the guest, most to the toolstack, some are obsolete.
 */
import { EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../abi/errno";
import {
  HVM_NR_PARAMS,
  HVM_PARAM_ACPI_IOPORTS_LOCATION,
  HVM_PARAM_ACPI_S_STATE,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_BUFIOREQ_EVTCHN,
  HVM_PARAM_BUFIOREQ_PFN,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_DM_DOMAIN,
  HVM_PARAM_IOREQ_PFN,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_MCA_CAP,
  HVM_PARAM_MEMORY_EVENT_CR0,
  HVM_PARAM_MEMORY_EVENT_CR3,
  HVM_PARAM_MEMORY_EVENT_CR4,
  HVM_PARAM_MEMORY_EVENT_INT3,
  HVM_PARAM_MEMORY_EVENT_MSR,
  HVM_PARAM_MEMORY_EVENT_SINGLE_STEP,
  HVM_PARAM_NESTEDHVM,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_PAE_ENABLED,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_TIMER_MODE,
  HVM_PARAM_TRIPLE_FAULT_REASON,
  HVM_PARAM_VIRIDIAN,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_X87_FIP_WIDTH,
  HvmEvtchnUpcallVector,
  HvmGetMemType,
  HvmGetTime,
  HVMMEM_mmio_dm,
  HVMMEM_ram_ro,
  HVMMEM_ram_rw,
  HVMOP_altp2m,
  HVMOP_flush_tlbs,
  HVMOP_get_mem_type,
  HVMOP_get_param,
  HVMOP_get_time,
  HVMOP_guest_request_vm_event,
  HVMOP_pagetable_dying,
  HVMOP_set_evtchn_upcall_vector,
  HVMOP_set_param,
  HVMOP_xentrace,
  HvmPagetableDying,
  HvmParam,
  HVMPTM_one_missed_tick_pending,
  HvmXentrace,
} from "../../abi/hvm";
import { hvmFlush } from "../../arch-x86/hvm";
import { P2M_GRANT_RO, P2M_RAM_RO, P2M_SHARED_RO } from "../../arch-x86/p2m-types";
import { domainNamed, mayTarget, vcpuOf } from "../records/domain-access";
import { Domain, DomainKind } from "../records/domain";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { entryType, physmapLookup } from "../memory/physmap";
import { vcpuWake } from "../scheduling/scheduler";
import { scratch } from "../memory/scratch";
import { nowNs } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";
import { vlapicUpcall } from "../events/vlapic-delivery";
import { upcallPending } from "../events/event-notify";
import { acpiWake } from "../domains/acpi-sleep";
import { hvmParam, hvmCallbackVector, hvmParamSet } from "../domains/hvm-params";
/** Largest SHUTDOWN_* code: SHUTDOWN_soft_reset. */
const SHUTDOWN_MAX: u64 = 5;
/** Bytes of a 32-bit TSS, the minimum for virtual-8086 mode. */
const TSS_BYTES: u64 = 104;

/**
 * The hypercall.
 * @param a1 HVMOP_*
 * @param a2 guest address of its structure
 * @returns 0 or negative errno
 */
export function hvmOp(v: Vcpu, a1: u64, a2: u64, _a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const arg = scratch(v);
  if (a1 >> 32 != 0) return -ENOSYS;
  switch (<u32>a1) {
    case HVMOP_set_param:
    case HVMOP_get_param:
      return param(v, arg, a2, <u32>a1 == HVMOP_set_param);
    case HVMOP_set_evtchn_upcall_vector:
      return setUpcallVector(v, arg, a2);
    case HVMOP_get_time:
      store<u64>(arg, nowNs(), HvmGetTime.now);
      return copyToGuest(v, a2, arg, HvmGetTime.SIZE) ? 0 : -EFAULT;
    case HVMOP_flush_tlbs:
      return a2 == 0 ? flushTlbs(v.domain) : -EINVAL;
    case HVMOP_get_mem_type:
      return memType(v, arg, a2);
    case HVMOP_pagetable_dying: {
      if (!copyFromGuest(v, arg, a2, HvmPagetableDying.SIZE)) return -EFAULT;
      const d = domainNamed(v, load<u16>(arg, HvmPagetableDying.domid));
      if (d == null) return -ESRCH;
      // Only relevant to shadow paging.
      return changetype<usize>(d) == changetype<usize>(v.domain) ? -EINVAL : -EOPNOTSUPP;
    }
    case HVMOP_xentrace: {
      if (!copyFromGuest(v, arg, a2, HvmXentrace.SIZE)) return -EFAULT;
      const bad = load<u16>(arg, HvmXentrace.extra_bytes) > 28 || load<u16>(arg, HvmXentrace.event) & 0xf000;
      return bad ? -EINVAL : 0; // there is no trace buffer
    }
    case HVMOP_guest_request_vm_event:
      return a2 == 0 ? 0 : -EINVAL; // no monitor is ever attached
    case HVMOP_altp2m:
      return -EOPNOTSUPP; // Xen's answer without hardware for it
    default:
      return -ENOSYS;
  }
}

function param(v: Vcpu, arg: usize, gva: u64, set: bool): i64 {
  if (!copyFromGuest(v, arg, gva, HvmParam.SIZE)) return -EFAULT;
  const index = load<u32>(arg, HvmParam.index);
  if (index >= HVM_NR_PARAMS) return -EINVAL;
  const d = domainNamed(v, load<u16>(arg, HvmParam.domid));
  if (d == null) return -ESRCH;
  if (d.kind != DomainKind.Hvm || !d.hvmParams) return -EINVAL;
  if (!mayTarget(v, d)) return -EPERM;
  if (set) return setParam(v, d, index, load<u64>(arg, HvmParam.value));
  const rc = mayGet(v, d, index);
  if (rc) return rc;
  store<u64>(arg, getParam(d, index), HvmParam.value);
  return copyToGuest(v, gva, arg, HvmParam.SIZE) ? 0 : -EFAULT;
}

/** The guest's own parameters: it may set them; it may also read them. */
function guestSets(index: u32): bool {
  return (
    index == HVM_PARAM_CALLBACK_IRQ ||
    index == HVM_PARAM_VM86_TSS ||
    index == HVM_PARAM_VM86_TSS_SIZED ||
    index == HVM_PARAM_ACPI_IOPORTS_LOCATION ||
    index == HVM_PARAM_VM_GENERATION_ID_ADDR ||
    index == HVM_PARAM_STORE_EVTCHN ||
    index == HVM_PARAM_CONSOLE_EVTCHN ||
    index == HVM_PARAM_X87_FIP_WIDTH
  );
}

/** Obsolete parameters: they can be neither set nor read. */
function isGone(index: u32): bool {
  return (
    index == HVM_PARAM_PAE_ENABLED ||
    index == HVM_PARAM_DM_DOMAIN ||
    index == HVM_PARAM_NESTEDHVM ||
    index == HVM_PARAM_BUFIOREQ_EVTCHN ||
    index == HVM_PARAM_MEMORY_EVENT_CR0 ||
    index == HVM_PARAM_MEMORY_EVENT_CR3 ||
    index == HVM_PARAM_MEMORY_EVENT_CR4 ||
    index == HVM_PARAM_MEMORY_EVENT_INT3 ||
    index == HVM_PARAM_MEMORY_EVENT_SINGLE_STEP ||
    index == HVM_PARAM_MEMORY_EVENT_MSR
  );
}

/** Parameters that keep the first value other than 0. */
function isFinal(index: u32): bool {
  return (
    index == HVM_PARAM_VIRIDIAN ||
    index == HVM_PARAM_IOREQ_PFN ||
    index == HVM_PARAM_BUFIOREQ_PFN ||
    index == HVM_PARAM_IOREQ_SERVER_PFN ||
    index == HVM_PARAM_NR_IOREQ_SERVER_PAGES ||
    index == HVM_PARAM_ALTP2M ||
    index == HVM_PARAM_MCA_CAP
  );
}

function mayGet(v: Vcpu, d: Domain, index: u32): i32 {
  if (isGone(index)) return -EINVAL;
  if (guestSets(index) || index == HVM_PARAM_STORE_PFN || index == HVM_PARAM_CONSOLE_PFN || index == HVM_PARAM_ALTP2M) {
    return 0;
  }
  return changetype<usize>(d) == changetype<usize>(v.domain) ? -EPERM : 0;
}

function getParam(d: Domain, index: u32): u64 {
  if (index == HVM_PARAM_VM86_TSS) return hvmParam(d, HVM_PARAM_VM86_TSS_SIZED) & 0xffffffff;
  return hvmParam(d, index);
}

function setParam(v: Vcpu, d: Domain, index: u32, value: u64): i32 {
  if (isGone(index)) return -EINVAL;
  if (!guestSets(index) && changetype<usize>(d) == changetype<usize>(v.domain)) return -EPERM;
  const old = hvmParam(d, index);
  if (isFinal(index) && old != 0 && old != value) return -EEXIST;
  let slot = index;
  let kept = value;
  switch (index) {
    case HVM_PARAM_TIMER_MODE:
      if (value > HVMPTM_one_missed_tick_pending) return -EINVAL;
      break;
    case HVM_PARAM_TRIPLE_FAULT_REASON:
      if (value > SHUTDOWN_MAX) return -EINVAL;
      break;
    case HVM_PARAM_X87_FIP_WIDTH:
      if (value != 0 && value != 4 && value != 8) return -EINVAL;
      break;
    case HVM_PARAM_VM86_TSS:
      if (value >> 32 != 0) return -EINVAL;
      slot = HVM_PARAM_VM86_TSS_SIZED;
      if (value) kept = value | ((<u64>128) << 32);
      break;
    case HVM_PARAM_VM86_TSS_SIZED:
      if (value >> 32 < TSS_BYTES) return -EINVAL;
      break;
    case HVM_PARAM_ACPI_IOPORTS_LOCATION: // a PVH guest has no PM timer whose ports could be chosen
      return -ENODEV;
    case HVM_PARAM_ACPI_S_STATE: // on Xen 3 suspends: without firmware to wake in only the guest itself can
      return value == 0 ? acpiWake(d) : -EINVAL;
    case HVM_PARAM_VIRIDIAN: // not offered, nor the next three
    case HVM_PARAM_ALTP2M:
    case HVM_PARAM_MCA_CAP:
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
      if (value) return -EINVAL;
      break;
    default:
      break;
  }
  hvmParamSet(d, slot, kept);
  if (index == HVM_PARAM_CALLBACK_IRQ) {
    d.callbackVector = hvmCallbackVector(d);
    upcallsAfresh(d);
  }
  return 0;
}

/** The upcall method has changed: vCPUs that wait with an upcall pending must take it. */
function upcallsAfresh(d: Domain): void {
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null && upcallPending(v)) vcpuWake(v);
  }
}

function setUpcallVector(v: Vcpu, arg: usize, gva: u64): i64 {
  const d = v.domain;
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  if (!copyFromGuest(v, arg, gva, HvmEvtchnUpcallVector.SIZE)) return -EFAULT;
  const vector = load<u8>(arg, HvmEvtchnUpcallVector.vector);
  if (vector < 0x10) return -EINVAL;
  const target = vcpuOf(d, load<u32>(arg, HvmEvtchnUpcallVector.vcpu));
  if (target == null) return -ENOENT;
  target.upcallVector = vector;
  vlapicUpcall(target); // whether there is an upcall or not, as Xen does
  upcallsAfresh(d);
  return 0;
}

/** Flushes all translations of the caller's vCPUs: guest-virtual ones go with the nested ones. */
function flushTlbs(d: Domain): i32 {
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null) hvmFlush(v);
  }
  return 0;
}

function memType(v: Vcpu, arg: usize, gva: u64): i64 {
  if (!copyFromGuest(v, arg, gva, HvmGetMemType.SIZE)) return -EFAULT;
  const d = domainNamed(v, load<u16>(arg, HvmGetMemType.domid));
  if (d == null) return -ESRCH;
  if (!mayTarget(v, d)) return -EPERM;
  if (d.kind != DomainKind.Hvm) return -EINVAL;
  const entry = physmapLookup(d, load<u64>(arg, HvmGetMemType.pfn));
  const type = entryType(entry);
  let answer = HVMMEM_mmio_dm;
  const readOnly = type == P2M_RAM_RO || type == P2M_GRANT_RO || type == P2M_SHARED_RO;
  if (entry) answer = readOnly ? HVMMEM_ram_ro : HVMMEM_ram_rw;
  store<u16>(arg, <u16>answer, HvmGetMemType.mem_type);
  return copyToGuest(v, gva, arg, HvmGetMemType.SIZE) ? 0 : -EFAULT;
}
