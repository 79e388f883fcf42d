/** Optional AMD-V features of this processor: CPUID leaf 8000_000A (APM 3, E.4.9). */
import { cpuidEbx, cpuidEdx } from "../hw";
import { HVM_FEATURE_FLUSH_ONE, HVM_FEATURE_NESTED_PAGING, HVM_FEATURE_NEXT_RIP } from "../features";
import { HVM_FEATURE_SUPERPAGE_1G, HVM_FEATURE_SUPERPAGE_2M, HVM_FEATURE_TAGGED_TLB } from "../features";
import { HVM_FEATURE_TASK_PRIORITY } from "../features";

const LEAF_SVM: u32 = 0x8000000a;
export const SVM_NESTED_PAGING: u32 = 1 << 0;
export const SVM_NEXT_RIP: u32 = 1 << 3;
export const SVM_FLUSH_BY_ASID: u32 = 1 << 6;
const LEAF_EXTENDED: u32 = 0x80000001;
const PAGE_1G: u32 = 1 << 26; // EDX of LEAF_EXTENDED: also for nested page tables

/** SVM_*: read once by svmFeaturesRead. */
export let svmFeatures: u32 = 0;
/** 1 if the exit reports the next RIP. A separate word: it is read at every hypercall. */
export let svmHasNextRip: u32 = 0;
/** ASIDs 1 .. svmAsids-1 are for guests; 0 is the host. */
export let svmAsids: u32 = 0;

export function svmFeaturesRead(): void {
  svmFeatures = cpuidEdx(LEAF_SVM, 0);
  svmHasNextRip = svmFeatures & SVM_NEXT_RIP ? 1 : 0;
  svmAsids = cpuidEbx(LEAF_SVM, 0);
}

/** HVM_FEATURE_* bits of hvm.ts. */
export function svmFeatureMask(): u32 {
  let mask = HVM_FEATURE_NESTED_PAGING | HVM_FEATURE_SUPERPAGE_2M | HVM_FEATURE_TAGGED_TLB;
  mask |= HVM_FEATURE_TASK_PRIORITY; // V_TPR: every AMD-V has it
  if (cpuidEdx(LEAF_EXTENDED, 0) & PAGE_1G) mask |= HVM_FEATURE_SUPERPAGE_1G;
  if (svmFeatures & SVM_NEXT_RIP) mask |= HVM_FEATURE_NEXT_RIP;
  if (svmFeatures & SVM_FLUSH_BY_ASID) mask |= HVM_FEATURE_FLUSH_ONE;
  return mask;
}
