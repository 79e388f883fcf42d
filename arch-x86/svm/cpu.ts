/** Enabling and disabling AMD-V on one CPU (APM 2, 15.4 and 15.30). */
import { HVM_FEATURE_SUPERPAGE_1G } from "../features";
import { rdmsr, wrmsr } from "../hw";
import { p2mSetGibPages } from "../p2m";
import { REFUSAL_MEMORY } from "../refusals";
import { MSR_EFER, MSR_VM_CR, MSR_VM_HSAVE } from "../msr";
import { allocFrame } from "../supply";
import { bitmapsInit } from "./bitmaps";
import { svmFeatureMask, svmFeaturesRead } from "./features";
import { EFER_SVME } from "../control-bits";

const VM_CR_SVMDIS: u64 = 1 << 4;

/**
 * Sets EFER.SVME and gives the CPU the frame in which VMRUN saves host state. Called once per CPU, on it, after detect.
 * @returns 0 or REFUSAL_MEMORY
 */
export function svmCpuInit(_cpu: u32): i32 {
  svmFeaturesRead();
  p2mSetGibPages((svmFeatureMask() & HVM_FEATURE_SUPERPAGE_1G) != 0);
  if (bitmapsInit() != 0) return REFUSAL_MEMORY;
  const save = allocFrame();
  if (save == 0) return REFUSAL_MEMORY;
  // Detection let it pass, so SVMDIS is clear, or the lock is open. Bochs has no VM_CR: rdmsr then gives 0.
  const control = rdmsr(MSR_VM_CR);
  if ((control & VM_CR_SVMDIS) != 0) wrmsr(MSR_VM_CR, control & ~VM_CR_SVMDIS);
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
  wrmsr(MSR_VM_HSAVE, save << 12);
  return 0;
}

/** Clears EFER.SVME on this CPU. The host save area is not freed: the machine is about to power off. */
export function svmCpuStop(_cpu: u32): void {
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
}
