/**
 * shared_info and vcpu_info, the memory shared with a domain. Time (pvclock) and wall clock as in xen/xen.h.
 * Records are written here and read by guests, with version counters that are odd during an update.
 */
import { EINVAL, ENOMEM, ENXIO } from "../../abi/errno";
import { SharedInfo, VcpuInfo, VcpuTimeInfo, XEN_LEGACY_MAX_VCPUS, XEN_PVCLOCK_TSC_STABLE_BIT } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { tscMul, tscShift } from "../../arch-x86/host/tsc";
import { Domain, DomainKind } from "../records/domain";
import { vcpuOf } from "../records/domain-access";
import { framePut, FrameType } from "../memory/frames";
import { overheadFrame, overheadFrameFree } from "../memory/overhead";
import { copyToGuest } from "../memory/guest-copy";
import { pinRam } from "../memory/guest-pages";
import { rtcSeconds } from "../scheduling/rtc";
import { nsAtTsc } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";

/** vcpu_info records in one of the frames that are not visible to the guest. */
const HIDDEN_PER_FRAME: u32 = 4096 / VcpuInfo.SIZE;
/** Seconds since 1970 at system time 0. */
let wallSeconds: u64 = 0;
const record: usize = memory.data(64, 16);

/** Reads the wall clock. Once, from `start`. */
export function sharedInfoStart(): void {
  const now = rtcSeconds();
  const up = nsAtTsc(hw.rdtsc()) / 1000000000;
  wallSeconds = now > up ? now - up : 0;
}

/** Allocates a domain's zeroed shared_info frame. 0 or -ENOMEM. */
export function sharedInfoInit(d: Domain): i32 {
  d.sharedInfoMfn = overheadFrame(d, FrameType.XenShared);
  if (!d.sharedInfoMfn) return -ENOMEM;
  updateWallclock(d);
  return 0;
}

/** Undoes sharedInfoInit; frames of guest memory that hold a vcpu_info are released with their vCPU. */
export function sharedInfoFree(d: Domain): void {
  if (!d.sharedInfoMfn) return;
  overheadFrameFree(d, d.sharedInfoMfn);
  d.sharedInfoMfn = 0;
  if (d.hiddenInfoMfn0) overheadFrameFree(d, d.hiddenInfoMfn0);
  if (d.hiddenInfoMfn1) overheadFrameFree(d, d.hiddenInfoMfn1);
  d.hiddenInfoMfn0 = 0;
  d.hiddenInfoMfn1 = 0;
}

/**
 * Makes sure that vCPU `id` has a vcpu_info: shared_info has 32. A vCPU from 32 up has a private record, not visible to the
 * guest, until it registers one, so that its events are recorded separately, as for the others. 0 or -ENOMEM.
 */
export function vcpuInfoReserve(d: Domain, id: u32): i32 {
  if (id < XEN_LEGACY_MAX_VCPUS) return 0;
  if (id - XEN_LEGACY_MAX_VCPUS < HIDDEN_PER_FRAME) {
    if (!d.hiddenInfoMfn0) d.hiddenInfoMfn0 = overheadFrame(d, FrameType.XenShared);
    return d.hiddenInfoMfn0 ? 0 : -ENOMEM;
  }
  if (!d.hiddenInfoMfn1) d.hiddenInfoMfn1 = overheadFrame(d, FrameType.XenShared);
  return d.hiddenInfoMfn1 ? 0 : -ENOMEM;
}

/** Address of the vcpu_info of vCPU `id`, from 32 up, until it registers one. */
function hiddenInfoPa(d: Domain, id: u32): u64 {
  const index = id - XEN_LEGACY_MAX_VCPUS;
  const mfn = index < HIDDEN_PER_FRAME ? d.hiddenInfoMfn0 : d.hiddenInfoMfn1;
  return (mfn << 12) + (index % HIDDEN_PER_FRAME) * VcpuInfo.SIZE;
}

/** Points a new vCPU at its vcpu_info. Upcalls of a software domain start masked, as a PV guest's do, and so a PVHv1 one's. */
export function vcpuInfoInit(v: Vcpu): void {
  const d = v.domain;
  v.infoMfn = 0;
  v.infoPa =
    v.id < XEN_LEGACY_MAX_VCPUS
      ? (d.sharedInfoMfn << 12) + SharedInfo.vcpu_info + v.id * VcpuInfo.SIZE
      : hiddenInfoPa(d, v.id);
  if (d.kind == DomainKind.Software || d.pvhv1) hw.store8(v.infoPa + VcpuInfo.evtchn_upcall_mask, 1);
}

/** Releases the frame referenced by VCPUOP_register_vcpu_info. */
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

/** True while a vCPU's vcpu_info is not visible to the guest: Xen then refuses to initialise it. */
export function vcpuInfoIsHidden(v: Vcpu): bool {
  return v.id >= XEN_LEGACY_MAX_VCPUS && !v.infoMfn;
}

/** Moves every vCPU's vcpu_info back to shared_info, and resets that page to its initial contents. */
export function sharedInfoReset(d: Domain): void {
  hw.zeroFrame(d.sharedInfoMfn);
  updateWallclock(d);
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null) continue;
    vcpuInfoFree(v);
    updateTime(v);
  }
}

/**
 * VCPUOP_register_vcpu_info: moves vcpu_info to the guest's own frame, only once per vCPU. All ports are rechecked
 * at its next upcall, which the caller raises (markUpcall).
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
    hw.store64(pa + at, vcpuInfoIsHidden(v) ? 0 : hw.load64(v.infoPa + at));
  }
  if (vcpuInfoIsHidden(v)) hw.store8(pa + VcpuInfo.evtchn_upcall_mask, 1);
  v.infoMfn = mfn;
  v.infoPa = pa;
  // An event may have been recorded in the old place meanwhile: a spurious upcall is harmless, a lost one is not.
  hw.store64(pa + VcpuInfo.evtchn_pending_sel, u64.MAX_VALUE);
  updateTime(v);
  return 0;
}

/** Rewrites vcpu_time_info, and its copy for user space. The vCPU runs on this CPU or not at all. */
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
