/**
 * RDMSR and WRMSR by a guest, for every MSR that causes an exit. MSRs not listed do not exist for a guest: #GP.
 * Nothing here accesses a register of the host.
 */
import { load64, msrFaulted, rdmsr, rdtsc, store64 } from "./hw";
import { guestEferAccepted } from "./cpuid-policy";
import { HvmVcpu } from "./hvm-vcpu";
import { isMachineCheckMsr, machineCheckRdmsr, machineCheckWrmsr } from "./machine-check";
import {
  MSR_APIC_BASE,
  MSR_DEBUGCTL,
  MSR_DE_CFG,
  MSR_EFER,
  MSR_FEATURE_CONTROL,
  MSR_HWCR,
  MSR_INT_PENDING,
  MSR_MICROCODE,
  MSR_MISC_ENABLE,
  MSR_MISC_FEATURES,
  MSR_MTRR_CAP,
  MSR_MTRR_DEFAULT,
  MSR_MTRR_FIX16K,
  MSR_MTRR_FIX4K,
  MSR_MTRR_FIX64K,
  MSR_MTRR_VARIABLE,
  MSR_PAT,
  MSR_PLATFORM_ID,
  MSR_PLATFORM_INFO,
  MSR_SYSCFG,
  MSR_TSC,
  MSR_TSC_DEADLINE,
  MSR_XEN_HYPERCALL_PAGE,
} from "./msr";
import { getCr0, getEfer, getHardwareMsr, setEfer, setHardwareMsr, setTscOffset } from "./state";
import { FRAME_MTRR_DEFAULT, FRAME_MTRR_FIXED, FRAME_MTRR_VARIABLE } from "./state-frame";
import { tscInvariant } from "./host/tsc";
import { vendor, VENDOR_SVM, VENDOR_VMX } from "./vendor";
import { APIC_BASE_BOOT_CPU, APIC_BASE_DEFAULT, APIC_EFFECT_TIMER, vlapicOf } from "./vlapic/state";
import { isX2apicMsr, vlapicRdmsr, vlapicWrmsr, vlapicWriteBase } from "./vlapic/msr";
import { vlapicTimerDeadline, vlapicTimerSetDeadline } from "./vlapic/timer";
import { EFER_LMA } from "./control-bits";

const MTRR_COUNT: u32 = 8;
const MTRR_CAP_VALUE: u64 = 0x508; // write combining, fixed ranges, 8 variable ones: as Xen
const MTRR_DEFAULT_INITIAL: u64 = 0x806; // on, write-back
const MTRR_DEFAULT_VALID: u64 = 0xcff;
const PAT_RESET: u64 = 0x0007040600070406;
const FEATURE_CONTROL_LOCKED: u64 = 1;
const MISC_ENABLE_VALUE: u64 = (1 << 0) | (1 << 11) | (1 << 12); // fast strings; no branch trace, no sampling
const HWCR_TSC_STEADY: u64 = 1 << 24; // TscFreqSel
const DE_CFG_LFENCE: u64 = 1 << 1; // LFENCE serialises
const PAGE_MASK: u64 = 0xfff;

/** Gives the MSRs their values after INIT, MTRRs as Xen's toolstack sets them for a PVH guest. For a new vCPU. */
export function guestMsrReset(v: HvmVcpu): void {
  setHardwareMsr(v, MSR_PAT, PAT_RESET);
  store64(v.statePa + FRAME_MTRR_DEFAULT, MTRR_DEFAULT_INITIAL);
}

/** Reads `msr` into v.exitValue. False: #GP. */
export function guestRdmsr(v: HvmVcpu, msr: u32): bool {
  const mtrr = mtrrOffset(msr);
  if (mtrr != 0) {
    v.exitValue = load64(v.statePa + mtrr);
    return true;
  }
  if (isX2apicMsr(msr)) return v.vlapic != 0 && vlapicRdmsr(v, msr);
  if (isMachineCheckMsr(msr)) {
    v.exitValue = machineCheckRdmsr(v, msr);
    return true;
  }
  switch (msr) {
    case MSR_TSC:
      v.exitValue = rdtsc() + v.tscOffset;
      return true;
    case MSR_APIC_BASE:
      if (v.vlapic != 0) v.exitValue = vlapicOf(v).base;
      else v.exitValue = APIC_BASE_DEFAULT | (v.guestVcpuId == 0 ? APIC_BASE_BOOT_CPU : 0); // it is off
      return true;
    case MSR_TSC_DEADLINE:
      if (v.vlapic == 0) return false;
      v.exitValue = vlapicTimerDeadline(v);
      return true;
    case MSR_EFER:
      v.exitValue = getEfer(v);
      return true;
    case MSR_PAT:
      v.exitValue = getHardwareMsr(v, MSR_PAT);
      return true;
    case MSR_MTRR_CAP:
      v.exitValue = MTRR_CAP_VALUE;
      return true;
    case MSR_MICROCODE:
      v.exitValue = rdmsr(MSR_MICROCODE);
      if (msrFaulted() != 0) v.exitValue = 0;
      return true;
    case MSR_DEBUGCTL:
    case MSR_XEN_HYPERCALL_PAGE:
      v.exitValue = 0;
      return true;
  }
  return vendor == VENDOR_VMX ? readIntel(v, msr) : readAmd(v, msr);
}

function readIntel(v: HvmVcpu, msr: u32): bool {
  switch (msr) {
    case MSR_PLATFORM_ID:
    case MSR_PLATFORM_INFO:
    case MSR_MISC_FEATURES:
      v.exitValue = 0;
      return true;
    case MSR_FEATURE_CONTROL:
      v.exitValue = FEATURE_CONTROL_LOCKED;
      return true;
    case MSR_MISC_ENABLE:
      v.exitValue = MISC_ENABLE_VALUE;
      return true;
  }
  return false;
}

function readAmd(v: HvmVcpu, msr: u32): bool {
  switch (msr) {
    case MSR_SYSCFG:
    case MSR_INT_PENDING: // no C1E state, which Linux looks for on old processors
      v.exitValue = 0;
      return true;
    case MSR_HWCR:
      v.exitValue = tscInvariant() ? HWCR_TSC_STEADY : 0;
      return true;
    case MSR_DE_CFG:
      v.exitValue = DE_CFG_LFENCE;
      return true;
  }
  return false;
}

/**
 * Writes `msr`. False: #GP. MSR_XEN_HYPERCALL_PAGE only leaves the page's guest-physical address in v.exitValue: the
 * caller returns HvmExit.HypercallPage. Uses of the local APIC may leave apicEffects: it returns HvmExit.Apic.
 */
export function guestWrmsr(v: HvmVcpu, msr: u32, value: u64): bool {
  const mtrr = mtrrOffset(msr);
  if (mtrr != 0) {
    // Kept to be read back; memory types of guest RAM are the nested tables' and the guest's PAT.
    if (msr == MSR_MTRR_DEFAULT && (value & ~MTRR_DEFAULT_VALID) != 0) return false;
    store64(v.statePa + mtrr, value);
    return true;
  }
  if (isX2apicMsr(msr)) return v.vlapic != 0 && vlapicWrmsr(v, msr, value);
  if (isMachineCheckMsr(msr)) return machineCheckWrmsr(v, msr, value);
  switch (msr) {
    case MSR_TSC:
      setTscOffset(v, value - rdtsc());
      if (v.vlapic != 0) v.apicEffects |= APIC_EFFECT_TIMER; // it may be waiting for a value of the TSC
      return true;
    case MSR_APIC_BASE:
      return v.vlapic != 0 && vlapicWriteBase(v, value);
    case MSR_TSC_DEADLINE:
      if (v.vlapic == 0) return false;
      vlapicTimerSetDeadline(v, value);
      return true;
    case MSR_EFER: {
      const old = getEfer(v);
      if (!guestEferAccepted(old, value, getCr0(v))) return false;
      setEfer(v, (value & ~EFER_LMA) | (old & EFER_LMA));
      v.flushPending = 1; // NXE changes what translations mean
      return true;
    }
    case MSR_PAT:
      if (!patValid(value)) return false;
      setHardwareMsr(v, MSR_PAT, value);
      v.flushPending = 1; // memory types are part of a translation
      return true;
    case MSR_XEN_HYPERCALL_PAGE:
      // The low bits number the page; there is one.
      if ((value & PAGE_MASK) != 0) return false;
      v.exitValue = value;
      return true;
    case MSR_MICROCODE:
    case MSR_DEBUGCTL:
      return true;
    case MSR_MISC_ENABLE:
    case MSR_MISC_FEATURES:
      return vendor == VENDOR_VMX;
    case MSR_HWCR:
    case MSR_DE_CFG:
      return vendor == VENDOR_SVM;
  }
  return false;
}

/** Where an MTRR's value is kept in the state frame, 0 for any other MSR. */
function mtrrOffset(msr: u32): u32 {
  if (msr == MSR_MTRR_DEFAULT) return FRAME_MTRR_DEFAULT;
  if (msr == MSR_MTRR_FIX64K) return FRAME_MTRR_FIXED;
  if (msr - MSR_MTRR_FIX16K < 2) return FRAME_MTRR_FIXED + 8 * (1 + msr - MSR_MTRR_FIX16K);
  if (msr - MSR_MTRR_FIX4K < 8) return FRAME_MTRR_FIXED + 8 * (3 + msr - MSR_MTRR_FIX4K);
  if (msr - MSR_MTRR_VARIABLE < 2 * MTRR_COUNT) return FRAME_MTRR_VARIABLE + 8 * (msr - MSR_MTRR_VARIABLE);
  return 0;
}

/** Each of PAT's eight bytes names a memory type that exists (SDM 3A, table 11-10). */
function patValid(value: u64): bool {
  for (let i = 0; i < 8; i++) {
    const type = (<u32>(value >> (8 * i))) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}
