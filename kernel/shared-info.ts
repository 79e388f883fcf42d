/**
 * shared_info and vcpu_info: what the hypervisor shows a domain in memory. Time (pvclock) and wall clock as in xen/xen.h,
 * run state as in xen/vcpu.h. Everything is written here and read by guests, with version counters that are odd while
 * a record changes.
 */
import { EINVAL, ENOMEM, ENXIO } from "../abi/errno";
import { SharedInfo, VcpuInfo, VcpuTimeInfo, XEN_LEGACY_MAX_VCPUS, XEN_PVCLOCK_TSC_STABLE_BIT } from "../abi/xen";
import { RUNSTATE_running, VcpuRunstateInfo } from "../abi/vcpu";
import * as hw from "../arch-x86/hw";
import { tscMul, tscShift } from "../arch-x86/tsc";
import { Domain, DomainKind } from "./domain";
import { markUpcall } from "./event-notify";
import { frameAlloc, frameFree, framePut, FrameType } from "./frames";
import { copyToGuest } from "./guest-copy";
import { pinRam } from "./guest-pages";
import { rtcSeconds } from "./rtc";
import { nsAtTsc } from "./time";
import { Vcpu } from "./vcpu";

/** Bit 63 of state_entry_time while a record with VMASST_TYPE_runstate_update_flag changes. */
const XEN_RUNSTATE_UPDATE: u64 = 1 << 63;
/** The 32-bit layout of vcpu_runstate_info has no hole before its first u64. */
const COMPAT_RUNSTATE_SIZE: u32 = 44;

/** vcpu_info of vCPUs beyond 31 until they register their own; nobody reads it. */
let dummyMfn: u64 = 0;
/** Seconds since 1970 at system time 0. */
let wallSeconds: u64 = 0;
const record: usize = memory.data(64, 16);

/** Takes the frame for vCPUs without a place of their own, and reads the wall clock. Once, from `start`. */
export function sharedInfoStart(): void {
  dummyMfn = frameAlloc(0x7ff2, FrameType.Control);
  assert(dummyMfn != 0, "no memory at all");
  const now = rtcSeconds();
  const up = nsAtTsc(hw.rdtsc()) / 1000000000;
  wallSeconds = now > up ? now - up : 0;
}

/** Seconds since 1970 at system time 0. */
export function wallClockBase(): u64 {
  return wallSeconds;
}

/** Gives a domain its zeroed shared_info frame. 0 or -ENOMEM. */
export function sharedInfoInit(d: Domain): i32 {
  d.sharedInfoMfn = frameAlloc(d.id, FrameType.XenShared);
  if (!d.sharedInfoMfn) return -ENOMEM;
  updateWallclock(d);
  return 0;
}

/** Undoes sharedInfoInit; frames of guest memory that hold a vcpu_info are let go with their vCPU. */
export function sharedInfoFree(d: Domain): void {
  if (!d.sharedInfoMfn) return;
  frameFree(d.sharedInfoMfn);
  d.sharedInfoMfn = 0;
}

/** Points a new vCPU at its slot of shared_info. Upcalls of a software domain start masked, as a PV guest's do. */
export function vcpuInfoInit(v: Vcpu): void {
  v.infoMfn = 0;
  v.infoOffset = 0;
  v.infoPa =
    v.id < XEN_LEGACY_MAX_VCPUS
      ? (v.domain.sharedInfoMfn << 12) + SharedInfo.vcpu_info + v.id * VcpuInfo.SIZE
      : dummyMfn << 12;
  if (v.domain.kind == DomainKind.Software) hw.store8(v.infoPa + VcpuInfo.evtchn_upcall_mask, 1);
}

/** Lets go of the frame that VCPUOP_register_vcpu_info took. */
export function vcpuInfoFree(v: Vcpu): void {
  if (v.infoMfn) framePut(v.infoMfn);
  vcpuInfoInit(v);
}

/** Physical address of the vCPU's vcpu_info, wherever the guest has put it; never 0. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vcpuInfoPa(v: Vcpu): u64 {
  return v.infoPa;
}

/** True while a vCPU has only the dummy: Xen then refuses to initialise it. */
export function vcpuInfoIsDummy(v: Vcpu): bool {
  return v.infoPa == dummyMfn << 12;
}

/**
 * VCPUOP_register_vcpu_info: moves vcpu_info into the guest's own frame, once in a vCPU's life.
 * @param mayMove the vCPU is the caller itself or down
 * @returns 0; -ENXIO crossing the page or misaligned; -EINVAL registered before, running, or not the guest's RAM
 */
export function vcpuInfoMove(v: Vcpu, gfn: u64, offset: u32, mayMove: bool): i32 {
  if (offset > 4096 - VcpuInfo.SIZE || offset & 7) return -ENXIO;
  if (v.infoMfn || !mayMove) return -EINVAL;
  const mfn = pinRam(v.domain, gfn);
  if (!mfn) return -EINVAL;
  const pa = (mfn << 12) + offset;
  for (let at: u32 = 0; at < VcpuInfo.SIZE; at += 8) {
    hw.store64(pa + at, vcpuInfoIsDummy(v) ? 0 : hw.load64(v.infoPa + at));
  }
  if (vcpuInfoIsDummy(v)) hw.store8(pa + VcpuInfo.evtchn_upcall_mask, 1);
  v.infoMfn = mfn;
  v.infoOffset = offset;
  v.infoPa = pa;
  // An event may have been noted in the old place meanwhile: one upcall too many is harmless, one too few is not.
  hw.store64(pa + VcpuInfo.evtchn_pending_sel, u64.MAX_VALUE);
  markUpcall(v);
  updateTime(v);
  return 0;
}

/** Writes vcpu_time_info afresh, and its copy for user space. The vCPU runs on this CPU or not at all. */
export function updateTime(v: Vcpu): void {
  const tsc = hw.rdtsc();
  v.timeTscOffset = v.tscOffset;
  const pa = v.infoPa + VcpuInfo.time;
  const version = hw.load32(pa + VcpuTimeInfo.version) | 1;
  const system = nsAtTsc(tsc);
  const word = (<u64>tscMul()) | ((<u64>(<u8>tscShift())) << 32) | ((<u64>XEN_PVCLOCK_TSC_STABLE_BIT) << 40);
  hw.store32(pa + VcpuTimeInfo.version, version);
  hw.store64(pa + VcpuTimeInfo.tsc_timestamp, tsc + v.tscOffset);
  hw.store64(pa + VcpuTimeInfo.system_time, system);
  hw.store64(pa + VcpuTimeInfo.tsc_to_system_mul, word);
  hw.store32(pa + VcpuTimeInfo.version, version + 1);
  if (!v.timeInfoGva) return;
  store<u32>(record + VcpuTimeInfo.version, version);
  store<u32>(record + VcpuTimeInfo.pad0, 0);
  store<u64>(record + VcpuTimeInfo.tsc_timestamp, tsc + v.tscOffset);
  store<u64>(record + VcpuTimeInfo.system_time, system);
  store<u64>(record + VcpuTimeInfo.tsc_to_system_mul, word);
  copyToGuest(v, v.timeInfoGva, record, VcpuTimeInfo.SIZE);
  store<u32>(record + VcpuTimeInfo.version, version + 1);
  copyToGuest(v, v.timeInfoGva, record, 4);
}

/** Writes the domain's wall clock: the machine's plus the domain's own offset. */
export function updateWallclock(d: Domain): void {
  if (!d.sharedInfoMfn) return;
  const pa = d.sharedInfoMfn << 12;
  const version = hw.load32(pa + SharedInfo.wc_version) | 1;
  const seconds = wallSeconds + <u64>d.timeOffsetSeconds;
  hw.store32(pa + SharedInfo.wc_version, version);
  hw.store32(pa + SharedInfo.wc_sec, <u32>seconds);
  hw.store32(pa + SharedInfo.wc_nsec, 0);
  hw.store32(pa + SharedInfo.wc_sec_hi, <u32>(seconds >> 32));
  hw.store32(pa + SharedInfo.wc_version, version + 1);
}

/**
 * Fills a vcpu_runstate_info at linear `at`.
 * @param now system time: the time in the present state is counted up to here
 */
export function runstateRecord(v: Vcpu, at: usize, now: u64): void {
  store<u32>(at + VcpuRunstateInfo.state, v.runstate);
  store<u32>(at + 4, 0);
  store<u64>(at + VcpuRunstateInfo.state_entry_time, v.runstateSince);
  const times = changetype<usize>(v) + offsetof<Vcpu>("runstateTime0");
  for (let i: u32 = 0; i < 4; i++) {
    let time = load<u64>(times + (i << 3));
    if (i == v.runstate && now > v.runstateSince) time += now - v.runstateSince;
    store<u64>(at + VcpuRunstateInfo.time + (i << 3), time);
  }
}

/** Changes a vCPU's run state at system time `now`. */
export function runstateSet(v: Vcpu, state: u32, now: u64): void {
  if (v.runstate == state) return;
  const slot = changetype<usize>(v) + offsetof<Vcpu>("runstateTime0") + ((<usize>v.runstate) << 3);
  if (now > v.runstateSince) store<u64>(slot, load<u64>(slot) + (now - v.runstateSince));
  v.runstateSince = now;
  v.runstate = state;
}

/** CPU time the vCPU has had until `now`, ns. */
export function runstateCpuNs(v: Vcpu, now: u64): u64 {
  const running = v.runstate == RUNSTATE_running && now > v.runstateSince;
  return running ? v.runstateTime0 + (now - v.runstateSince) : v.runstateTime0;
}

/** Brings the guest's registered copy up to date; the vCPU has just got the CPU. No effect without one. */
export function updateRunstate(v: Vcpu): void {
  if (!v.runstateGva) return;
  runstateRecord(v, record, v.runstateSince);
  const compat = v.runstateCompat != 0;
  const entryAt: u32 = compat ? 4 : VcpuRunstateInfo.state_entry_time;
  const since = record + VcpuRunstateInfo.state_entry_time;
  if (v.domain.runstateUpdateFlag) {
    store<u64>(since, v.runstateSince | XEN_RUNSTATE_UPDATE);
    copyToGuest(v, v.runstateGva + entryAt + 7, since + 7, 1);
  }
  if (compat) {
    copyToGuest(v, v.runstateGva, record, 4);
    copyToGuest(v, v.runstateGva + 4, since, COMPAT_RUNSTATE_SIZE - 4);
  } else {
    copyToGuest(v, v.runstateGva, record, VcpuRunstateInfo.SIZE);
  }
  if (v.domain.runstateUpdateFlag) {
    store<u64>(since, v.runstateSince);
    copyToGuest(v, v.runstateGva + entryAt + 7, since + 7, 1);
  }
}
