/** Enabling and disabling VT-x on one CPU (SDM 3C 24.7, 24.8), and its features. */
import {
  HVM_FEATURE_DEADLINE,
  HVM_FEATURE_FLUSH_ONE,
  HVM_FEATURE_NESTED_PAGING,
  HVM_FEATURE_NEXT_RIP,
  HVM_FEATURE_SUPERPAGE_1G,
  HVM_FEATURE_SUPERPAGE_2M,
  HVM_FEATURE_TAGGED_TLB,
  HVM_FEATURE_TASK_PRIORITY,
} from "../features";
import { rdmsr, readCr0, readCr4, store32, vmxoff, vmxon, writeCr0, writeCr4, wrmsr } from "../hw";
import { MSR_FEATURE_CONTROL } from "../msr";
import { p2mSetGibPages } from "../p2m";
import { REFUSAL_MEMORY, REFUSAL_VMX_CONTROLS, REFUSAL_VMX_FIRMWARE, REFUSAL_VMXON } from "../refusals";
import { allocFrame, freeFrame } from "../supply";
import { bitmapInit } from "./bitmap";
import {
  cpuControls2,
  CPU2_VPID,
  cr0Fixed0,
  cr0Fixed1,
  CR4_VMXE,
  EPT_CAP_1G,
  EPT_CAP_2M,
  eptCapabilities,
  hasTimer,
  hasTprShadow,
  vmcsRevision,
  vmxControlsRead,
} from "./controls";

const FEATURE_CONTROL_LOCK: u64 = 1 << 0; // SDM 4, table 2-2
const FEATURE_CONTROL_VMX: u64 = 1 << 2; // outside SMX

/**
 * Enters VMX operation. Called once per CPU, on it, after detect; the region it needs is never freed.
 * @returns 0 or a REFUSAL_*
 */
export function vmxCpuInit(_cpu: u32): i32 {
  if (!vmxControlsRead()) return REFUSAL_VMX_CONTROLS;
  p2mSetGibPages((eptCapabilities & EPT_CAP_1G) != 0);

  const control = rdmsr(MSR_FEATURE_CONTROL);
  if ((control & FEATURE_CONTROL_LOCK) == 0) {
    // The firmware left the choice open, as some emulators do.
    wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);
  } else if ((control & FEATURE_CONTROL_VMX) == 0) {
    return REFUSAL_VMX_FIRMWARE;
  }

  if (!bitmapInit()) return REFUSAL_MEMORY;
  const region = allocFrame();
  if (region == 0) return REFUSAL_MEMORY;
  store32(region << 12, vmcsRevision);
  writeCr0((readCr0() | cr0Fixed0) & cr0Fixed1);
  writeCr4(readCr4() | CR4_VMXE);
  if (vmxon(region << 12) != 0) {
    writeCr4(readCr4() & ~CR4_VMXE);
    freeFrame(region);
    return REFUSAL_VMXON;
  }
  return 0;
}

/** Leaves VMX operation, in which the CPU blocks the INIT of a reset. */
export function vmxCpuStop(_cpu: u32): void {
  vmxoff();
  writeCr4(readCr4() & ~CR4_VMXE);
}

/** HVM_FEATURE_* bits; valid after vmxCpuInit. */
export function vmxFeatureMask(): u32 {
  let mask = HVM_FEATURE_NESTED_PAGING | HVM_FEATURE_NEXT_RIP | HVM_FEATURE_FLUSH_ONE;
  if ((eptCapabilities & EPT_CAP_2M) != 0) mask |= HVM_FEATURE_SUPERPAGE_2M;
  if ((eptCapabilities & EPT_CAP_1G) != 0) mask |= HVM_FEATURE_SUPERPAGE_1G;
  if ((cpuControls2 & CPU2_VPID) != 0) mask |= HVM_FEATURE_TAGGED_TLB;
  if (hasTimer) mask |= HVM_FEATURE_DEADLINE;
  if (hasTprShadow) mask |= HVM_FEATURE_TASK_PRIORITY;
  return mask;
}
