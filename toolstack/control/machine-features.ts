/**
 * The machine features that Typevisor requires or can use, whether they are present, and the consequences if not. Sources:
 * the processor's CPUID leaves and capability MSRs, the hypervisor's counters and its message why no guest can run.
 */
import { cpuidLeaf, IA32_VMX_EPT_VPID_CAP, IA32_VMX_PROCBASED_CTLS2, SVM_LEAF } from "./cpu-features.ts";
import type { CpuPolicy, PhysicalInfo } from "./hypercalls/sysctl.ts";
import { formatBytes } from "../api/sizes.ts";
import { PAGE_SIZE } from "./window.ts";

/** `required`: without it no guest runs. `used`: used if present. `unused`: not used by Typevisor yet. */
export type Use = "required" | "used" | "unused";

export interface Feature {
  name: string;
  use: Use;
  offered: boolean;
  /** How many, which kind. */
  detail?: string;
  /** The consequence of its absence, or for an unused one its possible use. */
  note: string;
}

export interface MachineFacts {
  policy: CpuPolicy;
  physical: PhysicalInfo;
  /** Processors listed by the firmware; 0 if unknown. */
  cpusFound: number;
  /** 0 none, 1 Intel's, 2 AMD's; and whether it confines devices. */
  iommu: number;
  dmaConfined: boolean;
  /** Why no guest can run; null when guests can. */
  refusal: string | null;
}

// Registers of a CPUID leaf.
const EBX = 1;
const ECX = 2;
const EDX = 3;

// Capability MSRs of VT-x (SDM volume 3D, appendix A).
const IA32_VMX_PINBASED_CTLS = 0x481;
const IA32_VMX_PROCBASED_CTLS = 0x482;

/** All of it, what guests cannot do without first. */
export function machineFeatures(facts: MachineFacts): Feature[] {
  const cpuid = (leaf: number, register: number, bit: number) =>
    (((cpuidLeaf(facts.policy, leaf)?.[register] ?? 0) >>> bit) & 1) !== 0;
  const svm = cpuid(0x80000001, ECX, 2);
  const vmx = cpuid(1, ECX, 5);
  const disabled = facts.refusal !== null && /disabled by the firmware/.test(facts.refusal);
  const common: Feature[] = [
    {
      name: "VT-x or AMD-V",
      use: "required",
      offered: svm || vmx,
      detail: svm ? "AMD-V" : vmx ? "VT-x" : undefined,
      note: "no guest can run; a hypervisor below may hide it",
    },
    {
      name: "virtualisation enabled by the firmware",
      use: "required",
      offered: (svm || vmx) && !disabled,
      note: disabled ? "locked: enable it in the firmware's set-up" : "no guest can run",
    },
    {
      name: "NX (pages that cannot be executed)",
      use: "required",
      offered: cpuid(0x80000001, EDX, 20),
      note: "no guest can run",
    },
  ];
  const vendor = svm ? svmFeatures(facts.policy, cpuid) : vmx ? vmxFeatures(facts.policy) : [];
  return [...common, ...vendor, ...generalFeatures(cpuid), ...machineParts(facts)];
}

type Cpuid = (leaf: number, register: number, bit: number) => boolean;

const NESTED_2M = "guests' memory is mapped in pages of 4 KiB: larger page tables, more TLB misses";
const NESTED_1G = "guests' memory is mapped in pages of 2 MiB at most: more TLB misses in large guests";
const NESTED_DIRTY = "would tell which memory a guest changes, for live migration";
const VIRTUAL_APIC = "guests' local APICs are emulated: an exit for each access";

function svmFeatures(policy: CpuPolicy, cpuid: Cpuid): Feature[] {
  const offers = (bit: number) => cpuid(SVM_LEAF, EDX, bit);
  const asids = cpuidLeaf(policy, SVM_LEAF)?.[EBX] ?? 0;
  return [
    { name: "NPT (nested paging)", use: "required", offered: offers(0), note: "no guest can run" },
    {
      name: "ASIDs (address space identifiers)",
      use: "required",
      offered: asids >= 2,
      detail: String(asids),
      note: "no guest can run with fewer than two",
    },
    { name: "nested pages of 2 MiB", use: "used", offered: offers(0), note: NESTED_2M },
    { name: "nested pages of 1 GiB", use: "used", offered: cpuid(0x80000001, EDX, 26), note: NESTED_1G },
    {
      name: "next RIP",
      use: "used",
      offered: offers(3),
      note: "instructions that make exits are fetched and decoded: slower exits",
    },
    {
      name: "flush by ASID",
      use: "unused",
      offered: offers(6),
      note: "a fresh identifier is taken instead",
    },
    { name: "decode assists", use: "unused", offered: offers(7), note: "instructions are fetched and decoded" },
    { name: "VMCB clean bits", use: "unused", offered: offers(5), note: "would make entries a little faster" },
    {
      name: "pause filter",
      use: "unused",
      offered: offers(10),
      note: "a vCPU that spins on a lock uses up its time slice",
    },
    { name: "nested accessed and dirty flags", use: "unused", offered: offers(0), note: NESTED_DIRTY },
    { name: "AVIC (virtual APIC)", use: "unused", offered: offers(13), note: VIRTUAL_APIC },
    { name: "TSC scaling", use: "unused", offered: offers(4), note: "would let guests move between clock rates" },
  ];
}

function vmxFeatures({ msrs }: CpuPolicy): Feature[] {
  // Controls that may be 1 are in the upper half of a capability MSR.
  const may = (msr: number, bit: number) => (((msrs.get(msr)?.high ?? 0) >>> bit) & 1) !== 0;
  const primary = (bit: number) => may(IA32_VMX_PROCBASED_CTLS, bit);
  const secondary = (bit: number) => primary(31) && may(IA32_VMX_PROCBASED_CTLS2, bit);
  const ept = (bit: number) => secondary(1) && (((msrs.get(IA32_VMX_EPT_VPID_CAP)?.low ?? 0) >>> bit) & 1) !== 0;
  const invvpid = (bit: number) => ((msrs.get(IA32_VMX_EPT_VPID_CAP)?.high ?? 0) & (1 << (bit - 32))) !== 0;
  return [
    { name: "EPT (nested paging)", use: "required", offered: secondary(1), note: "no guest can run" },
    {
      name: "EPT of 4 levels, write-back, with INVEPT",
      use: "required",
      offered: ept(6) && ept(14) && ept(20),
      note: "no guest can run",
    },
    {
      name: "unrestricted guest",
      use: "required",
      offered: secondary(7),
      note: "no guest can run: they start without paging",
    },
    { name: "MSR bitmaps", use: "required", offered: primary(28), note: "no guest can run" },
    {
      name: "VPIDs with INVVPID",
      use: "used",
      offered: secondary(5) && invvpid(32) && invvpid(41),
      detail: "65535",
      note: "each exit and entry empties the TLB",
    },
    { name: "nested pages of 2 MiB", use: "used", offered: ept(16), note: NESTED_2M },
    { name: "nested pages of 1 GiB", use: "used", offered: ept(17), note: NESTED_1G },
    {
      name: "preemption timer",
      use: "used",
      offered: may(IA32_VMX_PINBASED_CTLS, 6),
      note: "the local APIC's timer ends time slices",
    },
    {
      name: "pause-loop exiting",
      use: "used",
      offered: secondary(10),
      note: "a vCPU that spins on a lock uses up its time slice",
    },
    { name: "nested accessed and dirty flags", use: "unused", offered: ept(21), note: NESTED_DIRTY },
    { name: "TPR shadow", use: "used", offered: primary(21), note: "accesses to CR8 are emulated" },
    { name: "APICv (virtual APIC)", use: "unused", offered: secondary(8) && secondary(9), note: VIRTUAL_APIC },
    {
      name: "posted interrupts",
      use: "unused",
      offered: may(IA32_VMX_PINBASED_CTLS, 7),
      note: "an interrupt for a running guest makes an exit",
    },
    { name: "TSC scaling", use: "unused", offered: secondary(25), note: "would let guests move between clock rates" },
  ];
}

function generalFeatures(cpuid: Cpuid): Feature[] {
  return [
    {
      name: "invariant TSC",
      use: "used",
      offered: cpuid(0x80000007, EDX, 8),
      note: "time goes wrong if the processor changes the counter's rate or stops it",
    },
    {
      name: "TSC deadline timer",
      use: "used",
      offered: cpuid(1, ECX, 24),
      note: "the local APIC's count-down timer is used: a little less exact",
    },
    { name: "XSAVE", use: "used", offered: cpuid(1, ECX, 26), note: "guests have neither XSAVE nor AVX" },
    { name: "AVX", use: "used", offered: cpuid(1, ECX, 28), note: "guests have no AVX" },
    { name: "AVX-512", use: "unused", offered: cpuid(7, EBX, 16), note: "guests are not shown it" },
    {
      name: "x2APIC",
      use: "unused",
      offered: cpuid(1, ECX, 21),
      note: "the mode that the firmware chose is kept; guests have x2APIC on any machine",
    },
  ];
}

/** The kinds of IOMMUs, by the hypervisor's number. */
const IOMMU_NAMES = ["none", "VT-d", "AMD-Vi"];

/** What devices can reach, in words. */
export function dmaConfinement({ iommu, dmaConfined }: Pick<MachineFacts, "iommu" | "dmaConfined">): string {
  if (dmaConfined) return `confined by ${IOMMU_NAMES[iommu] ?? "an IOMMU"}`;
  const why = iommu === 0 ? "no IOMMU" : `${IOMMU_NAMES[iommu] ?? "its IOMMU"} is not used: \`dmesg\` says why`;
  return `not confined (${why}): drivers are trusted with what their devices read and write`;
}

function machineParts({ physical, cpusFound, iommu, dmaConfined }: MachineFacts): Feature[] {
  const found = Math.max(cpusFound, physical.cpus);
  const total = formatBytes(physical.totalPages * PAGE_SIZE);
  const free = formatBytes(physical.freePages * PAGE_SIZE);
  return [
    {
      name: "IOMMU",
      use: "used",
      offered: dmaConfined,
      detail: dmaConfined ? IOMMU_NAMES[iommu] : undefined,
      note: `DMA is ${dmaConfinement({ iommu, dmaConfined })}`,
    },
    { name: "CPUs", use: "used", offered: true, detail: `${found} found, ${physical.cpus} used`, note: "" },
    { name: "memory", use: "used", offered: true, detail: `${total}, ${free} free for guests`, note: "" },
  ];
}

/** Whether Typevisor itself runs in a virtual machine. */
export function hypervisorBelow(policy: CpuPolicy): boolean {
  return ((cpuidLeaf(policy, 1)?.[ECX] ?? 0) & (1 << 31)) !== 0;
}
