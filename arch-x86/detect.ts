/**
 * Detects which virtualisation extension this machine has and whether it has all required features, before
 * anything is enabled. Sets `vendor`. Runs once, on the boot CPU.
 */
import { EXTENDED_EDX_NX } from "./cpuid-policy";
import { cpuidEax, cpuidEbx, cpuidEcx, cpuidEdx, msrFaulted, rdmsr } from "./hw";
import { MSR_FEATURE_CONTROL, MSR_VM_CR, MSR_VMX_EPT_VPID, MSR_VMX_PROCBASED, MSR_VMX_PROCBASED2 } from "./msr";
import {
  REFUSAL_EPT_FORMAT,
  REFUSAL_NO_ASIDS,
  REFUSAL_NO_EPT,
  REFUSAL_NO_EXTENSION,
  REFUSAL_NO_NPT,
  REFUSAL_NO_NX,
  REFUSAL_NO_UNRESTRICTED,
  REFUSAL_SVM_FIRMWARE,
  REFUSAL_VMX_CONTROLS,
  REFUSAL_VMX_FIRMWARE,
} from "./refusals";
import { setVendor, VENDOR_SVM, VENDOR_VMX } from "./vendor";

const LEAF1_ECX_VMX: u32 = 1 << 5;
const EXTENDED_ECX_SVM: u32 = 1 << 2;
const SVM_EDX_NESTED_PAGING: u32 = 1 << 0;

const VM_CR_LOCK: u64 = 1 << 3; // APM 2, 15.30.1
const VM_CR_SVMDIS: u64 = 1 << 4;

const FEATURE_CONTROL_LOCK: u64 = 1 << 0; // SDM 4, table 2-2
const FEATURE_CONTROL_VMX: u64 = 1 << 2; // outside SMX

// In the high half of a VMX capability MSR: controls that may be 1 (SDM 3D, appendix A.3).
const PROCBASED_MSR_BITMAPS: u64 = 1 << 28;
const PROCBASED_SECONDARY: u64 = 1 << 31;
const PROCBASED2_EPT: u64 = 1 << 1;
const PROCBASED2_UNRESTRICTED: u64 = 1 << 7;
const EPT_WALK_4: u64 = 1 << 6; // SDM 3D, appendix A.10
const EPT_WRITE_BACK: u64 = 1 << 14;

/** 0 and `vendor` set, or a REFUSAL_*. */
export function detect(): i32 {
  if (cpuidEax(0x80000000, 0) < 0x80000001) return REFUSAL_NO_EXTENSION;
  const extended = cpuidEcx(0x80000001, 0);
  const vmx = (cpuidEcx(1, 0) & LEAF1_ECX_VMX) != 0;
  const svm = (extended & EXTENDED_ECX_SVM) != 0;
  if (!vmx && !svm) return REFUSAL_NO_EXTENSION;
  if ((cpuidEdx(0x80000001, 0) & EXTENDED_EDX_NX) == 0) return REFUSAL_NO_NX;
  const missing = svm ? checkSvm() : checkVmx();
  if (missing == 0) setVendor(svm ? VENDOR_SVM : VENDOR_VMX);
  return missing;
}

function checkSvm(): i32 {
  // Some emulators have no VM_CR; where it does not exist, nothing is disabled by it.
  const control = rdmsr(MSR_VM_CR);
  const locked = VM_CR_LOCK | VM_CR_SVMDIS;
  if (msrFaulted() == 0 && (control & locked) == locked) return REFUSAL_SVM_FIRMWARE;
  if ((cpuidEdx(0x8000000a, 0) & SVM_EDX_NESTED_PAGING) == 0) return REFUSAL_NO_NPT;
  if (cpuidEbx(0x8000000a, 0) < 2) return REFUSAL_NO_ASIDS;
  return 0;
}

function checkVmx(): i32 {
  const control = rdmsr(MSR_FEATURE_CONTROL);
  if ((control & FEATURE_CONTROL_LOCK) != 0 && (control & FEATURE_CONTROL_VMX) == 0) return REFUSAL_VMX_FIRMWARE;
  const primary = rdmsr(MSR_VMX_PROCBASED) >> 32;
  if ((primary & PROCBASED_SECONDARY) == 0) return REFUSAL_NO_EPT;
  if ((primary & PROCBASED_MSR_BITMAPS) == 0) return REFUSAL_VMX_CONTROLS;
  const secondary = rdmsr(MSR_VMX_PROCBASED2) >> 32;
  if ((secondary & PROCBASED2_EPT) == 0) return REFUSAL_NO_EPT;
  if ((secondary & PROCBASED2_UNRESTRICTED) == 0) return REFUSAL_NO_UNRESTRICTED;
  const ept = rdmsr(MSR_VMX_EPT_VPID);
  if ((ept & EPT_WALK_4) == 0 || (ept & EPT_WRITE_BACK) == 0) return REFUSAL_EPT_FORMAT;
  return 0;
}
