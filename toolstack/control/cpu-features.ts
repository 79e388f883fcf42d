/** A description of the processor: model and virtualisation features, from its CPUID leaves and capability MSRs. */
import type { CpuidRegisters, CpuPolicy } from "./hypercalls/sysctl.ts";

const BRAND_FIRST = 0x80000002;
const BRAND_LEAVES = 3;
export const SVM_LEAF = 0x8000000a;

/** EDX of leaf 8000000AH (APM volume 3, E.4.9). */
const SVM_FEATURES: [number, string][] = [
  [0, "nested paging"],
  [1, "LBR virtualisation"],
  [3, "next RIP"],
  [4, "TSC ratio"],
  [5, "VMCB clean bits"],
  [6, "flush by ASID"],
  [7, "decode assists"],
  [10, "pause filter"],
  [13, "AVIC"],
  [16, "virtual GIF"],
];

export const IA32_VMX_PROCBASED_CTLS2 = 0x48b;
export const IA32_VMX_EPT_VPID_CAP = 0x48c;
/** Low word of IA32_VMX_EPT_VPID_CAP (SDM volume 3, A.10). */
const EPT_FEATURES: [number, string][] = [
  [6, "4-level EPT"],
  [16, "2 MiB pages"],
  [17, "1 GiB pages"],
  [20, "INVEPT"],
  [21, "EPT accessed/dirty"],
];

function text(words: number[]): string {
  let result = "";
  for (const word of words) {
    for (let shift = 0; shift < 32; shift += 8) {
      const byte = (word >>> shift) & 0xff;
      if (byte !== 0) result += String.fromCharCode(byte);
    }
  }
  return result;
}

/** Registers EAX, EBX, ECX, EDX of a leaf; undefined for one that the processor does not have. */
export function cpuidLeaf(policy: CpuPolicy, leaf: number): CpuidRegisters["registers"] | undefined {
  return policy.leaves.find((entry) => entry.leaf === leaf)?.registers;
}

/** The brand string, or vendor, family, model and stepping where there is none. */
export function cpuName(policy: CpuPolicy): string {
  const brand: number[] = [];
  for (let i = 0; i < BRAND_LEAVES; i++) brand.push(...(cpuidLeaf(policy, BRAND_FIRST + i) ?? []));
  const name = text(brand).trim().replace(/\s+/g, " ");
  if (name !== "") return name;
  const vendor = cpuidLeaf(policy, 0);
  const signature = cpuidLeaf(policy, 1)?.[0] ?? 0;
  const baseFamily = (signature >>> 8) & 0xf;
  const family = baseFamily === 0xf ? baseFamily + ((signature >>> 20) & 0xff) : baseFamily;
  const model = ((signature >>> 4) & 0xf) | ((signature >>> 12) & 0xf0);
  const vendorName = vendor === undefined ? "unknown CPU" : text([vendor[1], vendor[3], vendor[2]]);
  return `${vendorName} family ${family} model ${model} stepping ${signature & 0xf}`;
}

/** "AMD-V: nested paging, next RIP", "VT-x: 4-level EPT, ...". */
export function virtualisationFeatures(policy: CpuPolicy): string {
  const svm = cpuidLeaf(policy, SVM_LEAF);
  if (svm !== undefined && svm[3] !== 0) return `AMD-V: ${named(SVM_FEATURES, svm[3])}`;
  const ept = policy.msrs.get(IA32_VMX_EPT_VPID_CAP);
  if (ept !== undefined) return `VT-x: ${named(EPT_FEATURES, ept.low)}`;
  if (policy.msrs.has(IA32_VMX_PROCBASED_CTLS2)) return "VT-x without EPT";
  return "none";
}

function named(features: [number, string][], bits: number): string {
  const names = features.filter(([bit]) => ((bits >>> bit) & 1) !== 0).map(([, name]) => name);
  return names.length === 0 ? "no optional features" : names.join(", ");
}
