/** The vCPU hypercall (xen/vcpu.h): a domain's own vCPUs. Errors in Xen 4.17's order. */
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOSYS } from "../../abi/errno";
import { VcpuHvmContext } from "../../abi/hvm-vcpu";
import {
  VCPUOP_down,
  VCPUOP_get_physid,
  VCPUOP_get_runstate_info,
  VCPUOP_initialise,
  VCPUOP_is_up,
  VCPUOP_register_runstate_memory_area,
  VCPUOP_register_vcpu_info,
  VCPUOP_register_vcpu_time_memory_area,
  VCPUOP_send_nmi,
  VCPUOP_set_periodic_timer,
  VCPUOP_set_singleshot_timer,
  VCPUOP_stop_periodic_timer,
  VCPUOP_stop_singleshot_timer,
  VCPUOP_up,
  VcpuRegisterRunstateMemoryArea,
  VcpuRegisterTimeMemoryArea,
  VcpuRegisterVcpuInfo,
  VcpuRunstateInfo,
  VcpuSetPeriodicTimer,
  VcpuSetSingleshotTimer,
} from "../../abi/vcpu";
import { VIRQ_TIMER } from "../../abi/xen";
import { hvmInjectNmi } from "../../arch-x86/hvm";
import { vcpuOf } from "../records/domain-access";
import { DomainKind } from "../records/domain";
import { vcpuDownOrShutdown } from "../domains/domain-shutdown";
import { sendVirq } from "../events/event-channel";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { vcpuUp, vcpuWake } from "../scheduling/scheduler";
import { scratch } from "../memory/scratch";
import { markUpcall } from "../events/event-notify";
import { updateTime, vcpuInfoIsHidden, vcpuInfoMove } from "../events/shared-info";
import { nowNs } from "../scheduling/time";
import { Vcpu, VcpuRun } from "../records/vcpu";
import { vcpuHvmInitialise } from "./vcpu-initialise";
import { periodicSet, singleshotSet, singleshotStop } from "../domains/vcpu-timers";
import { runstateRecord, updateRunstate } from "../scheduling/runstate";

const PERIOD_MIN_NS: u64 = 1000000;
/** Xen's STIME_DELTA_MAX: 2^56 ns. */
const PERIOD_MAX_NS: u64 = ((<u64>1) << 56) - 1;

/** VCPUOP_*: see xen/vcpu.h. `caller` acts on vCPU `id` of its own domain. */
export function vcpuOp(caller: Vcpu, cmd: u64, id: u64, arg: u64, a4: u64, a5: u64, a6: u64): i64 {
  const v = vcpuOf(caller.domain, <u32>id);
  if (v == null) return -ENOENT;
  const self = changetype<usize>(v) == changetype<usize>(caller);
  switch (<u32>cmd) {
    case VCPUOP_initialise:
      return initialise(caller, v, arg);
    case VCPUOP_up:
      if (!v.initialised) return -EINVAL;
      vcpuUp(v);
      return 0;
    case VCPUOP_down:
      return vcpuDownOrShutdown(v);
    case VCPUOP_is_up:
      return v.run == VcpuRun.Down ? 0 : 1;
    case VCPUOP_get_runstate_info:
      return copyRunstate(caller, v, arg);
    case VCPUOP_register_runstate_memory_area:
      return registerRunstate(caller, v, arg);
    case VCPUOP_set_periodic_timer:
      return setPeriodic(caller, v, arg);
    case VCPUOP_stop_periodic_timer:
      periodicSet(v, 0);
      return 0;
    case VCPUOP_set_singleshot_timer:
      return self ? setSingleshot(v, arg) : -EINVAL;
    case VCPUOP_stop_singleshot_timer:
      if (!self) return -EINVAL;
      singleshotStop(v);
      return 0;
    case VCPUOP_register_vcpu_info:
      return registerInfo(caller, v, arg, self);
    case VCPUOP_register_vcpu_time_memory_area:
      return registerTime(caller, v, arg);
    case VCPUOP_send_nmi:
      if (arg) return -EINVAL;
      if (v.domain.kind == DomainKind.Hvm) hvmInjectNmi(v);
      vcpuWake(v);
      return 0;
    case VCPUOP_get_physid:
      return -EINVAL; // only for a pinned vCPU of the hardware domain
    default:
      return -ENOSYS;
  }
}

function initialise(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  if (vcpuInfoIsHidden(v)) return -EINVAL;
  // A software domain has exactly the one vCPU it was built with.
  if (v.domain.kind != DomainKind.Hvm) return -EINVAL;
  const at = contextArea;
  if (!copyFromGuest(caller, at, arg, VcpuHvmContext.SIZE)) return -EFAULT;
  if (v.initialised) return -EEXIST;
  return vcpuHvmInitialise(v, at);
}

const contextArea: usize = memory.data(128, 8);

function copyRunstate(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  const at = scratch(caller);
  runstateRecord(v, at, nowNs());
  if (!caller.hypercallCompat) return copyToGuest(caller, arg, at, VcpuRunstateInfo.SIZE) ? 0 : -EFAULT;
  store<u32>(at + 4, load<u32>(at)); // the 32-bit layout has no hole after the state
  return copyToGuest(caller, arg, at + 4, VcpuRunstateInfo.SIZE - 4) ? 0 : -EFAULT;
}

function registerRunstate(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  const at = scratch(caller);
  const compat = caller.hypercallCompat;
  if (!copyFromGuest(caller, at, arg, compat ? 4 : VcpuRegisterRunstateMemoryArea.SIZE)) return -EFAULT;
  const area: u64 = compat ? load<u32>(at) : load<u64>(at + VcpuRegisterRunstateMemoryArea.addr);
  if (!canonical(area)) return -EFAULT;
  v.runstateGva = area;
  v.runstateCompat = compat;
  updateRunstate(v);
  return 0;
}

/** What Xen's guest_handle_okay checks: a valid guest address; whether memory is mapped there is checked later. */
function canonical(address: u64): bool {
  return <u64>((<i64>(address << 16)) >> 16) == address;
}

function setPeriodic(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  const at = scratch(caller);
  if (!copyFromGuest(caller, at, arg, VcpuSetPeriodicTimer.SIZE)) return -EFAULT;
  const period = load<u64>(at + VcpuSetPeriodicTimer.period_ns);
  if (period < PERIOD_MIN_NS || period > PERIOD_MAX_NS) return -EINVAL;
  periodicSet(v, period);
  return 0;
}

/**
 * A time in the past raises the event immediately, whether VCPU_SSHOTTMR_future is given or not: like Xen 4.17's later point
 * releases, which no longer return -ETIME.
 */
function setSingleshot(v: Vcpu, arg: u64): i64 {
  const at = scratch(v);
  if (!copyFromGuest(v, at, arg, VcpuSetSingleshotTimer.SIZE)) return -EFAULT;
  const timeout = load<u64>(at + VcpuSetSingleshotTimer.timeout_abs_ns);
  if (<i64>timeout < <i64>nowNs()) {
    singleshotStop(v);
    sendVirq(v, VIRQ_TIMER);
  } else {
    singleshotSet(v, timeout);
  }
  return 0;
}

function registerInfo(caller: Vcpu, v: Vcpu, arg: u64, self: bool): i64 {
  const at = scratch(caller);
  if (!copyFromGuest(caller, at, arg, VcpuRegisterVcpuInfo.SIZE)) return -EFAULT;
  const gfn = load<u64>(at + VcpuRegisterVcpuInfo.mfn);
  const rc = vcpuInfoMove(v, gfn, load<u32>(at + VcpuRegisterVcpuInfo.offset), self || v.run == VcpuRun.Down);
  if (rc == 0) markUpcall(v);
  return rc;
}

function registerTime(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  const at = scratch(caller);
  const compat = caller.hypercallCompat;
  if (!copyFromGuest(caller, at, arg, compat ? 4 : VcpuRegisterTimeMemoryArea.SIZE)) return -EFAULT;
  const area: u64 = compat ? load<u32>(at) : load<u64>(at + VcpuRegisterTimeMemoryArea.addr);
  if (!canonical(area)) return -EFAULT;
  v.timeInfoGva = area;
  updateTime(v);
  return 0;
}
