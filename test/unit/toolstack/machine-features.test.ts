/** `check` on hypothetical machines: with each feature present, and each one missing. */
import test from "ava";
import type { CpuPolicy } from "../../../toolstack/control/hypercalls/sysctl.ts";
import { hypervisorBelow, machineFeatures, type MachineFacts } from "../../../toolstack/control/machine-features.ts";

type Leaves = Record<number, number[]>;
const ALL = 0xffffffff;

function facts(leaves: Leaves, msrs: [number, number, number][] = [], more: Partial<MachineFacts> = {}): MachineFacts {
  const policy: CpuPolicy = {
    leaves: Object.entries(leaves).map(([leaf, registers]) => ({ leaf: Number(leaf), subleaf: 0, registers })),
    msrs: new Map(msrs.map(([msr, low, high]) => [msr, { low, high }])),
  };
  const physical = {
    cpus: 1,
    cpuKhz: 2e6,
    capabilities: 0,
    totalPages: 131072,
    freePages: 65536,
    availablePages: 65536,
  };
  return { policy, physical, cpusFound: 4, iommu: 0, dmaConfined: false, refusal: null, ...more };
}

/** AMD's processor with everything, and Intel's. */
const amd: Leaves = {
  0x1: [0, 0, ALL - (1 << 5), ALL],
  0x7: [0, ALL, ALL, ALL],
  0x80000001: [0, 0, 1 << 2, ALL],
  0x80000007: [0, 0, 0, 1 << 8],
  0x8000000a: [1, 32768, 0, ALL],
};
const intel: Leaves = { ...amd, 0x1: [0, 0, ALL, ALL], 0x80000001: [0, 0, 0, ALL], 0x8000000a: [0, 0, 0, 0] };
const vmx: [number, number, number][] = [0x481, 0x482, 0x48b, 0x48c].map((msr) => [msr, ALL, ALL]);

const VTD = { iommu: 1, dmaConfined: true };
const AMD_VI = { iommu: 2, dmaConfined: true };

const lacking = (given: MachineFacts) => machineFeatures(given).filter(({ offered }) => !offered);
const names = (given: MachineFacts) => lacking(given).map(({ name }) => name);

test("processors with everything lack nothing but an IOMMU", (t) => {
  t.deepEqual(names(facts(amd)), ["IOMMU"]);
  t.deepEqual(names(facts(intel, vmx)), ["IOMMU"]);
  t.deepEqual(names(facts(intel, vmx, VTD)), []);
  const detail = (given: MachineFacts, name: string) => machineFeatures(given).find((f) => f.name === name)?.detail;
  t.is(detail(facts(amd), "ASIDs (address space identifiers)"), "32768");
  t.is(detail(facts(amd), "CPUs"), "4 found, 1 used");
  t.is(detail(facts(amd, [], { cpusFound: 0 }), "CPUs"), "1 found, 1 used");
  t.is(detail(facts(amd), "memory"), "512 MiB, 256 MiB free for guests");
  t.is(detail(facts(amd, [], AMD_VI), "IOMMU"), "AMD-Vi");
});

test("an IOMMU counts when it confines devices; what its lack means is said", (t) => {
  const iommu = (more: Partial<MachineFacts>) => machineFeatures(facts(amd, [], more)).find((f) => f.name === "IOMMU")!;
  t.true(iommu(AMD_VI).offered);
  t.regex(iommu({}).note, /^DMA is not confined \(no IOMMU\): drivers are trusted/);
  const off = iommu({ iommu: 1 });
  t.false(off.offered);
  t.is(off.detail, undefined);
  t.regex(off.note, /^DMA is not confined \(VT-d is not used: `dmesg` says why\)/);
});

test("each feature of AMD-V that is not there is named", (t) => {
  const bits: [number, string[]][] = [
    [0, ["NPT (nested paging)", "nested pages of 2 MiB", "nested accessed and dirty flags"]],
    [3, ["next RIP"]],
    [4, ["TSC scaling"]],
    [5, ["VMCB clean bits"]],
    [6, ["flush by ASID"]],
    [7, ["decode assists"]],
    [10, ["pause filter"]],
    [13, ["AVIC (virtual APIC)"]],
  ];
  for (const [bit, missing] of bits) {
    const without = { ...amd, 0x8000000a: [1, 32768, 0, (ALL & ~(1 << bit)) >>> 0] };
    t.deepEqual(names(facts(without, [], AMD_VI)), missing);
  }
  const one = { ...amd, 0x8000000a: [1, 1, 0, ALL] };
  t.deepEqual(
    lacking(facts(one)).map(({ name, use }) => [name, use]),
    [
      ["ASIDs (address space identifiers)", "required"],
      ["IOMMU", "used"],
    ],
  );
});

test("each control of VT-x that is not there is named", (t) => {
  const cases: [number, "low" | "high", number, string[]][] = [
    [0x481, "high", 6, ["preemption timer"]],
    [0x481, "high", 7, ["posted interrupts"]],
    [0x482, "high", 21, ["TPR shadow"]],
    [0x482, "high", 28, ["MSR bitmaps"]],
    [0x48b, "high", 5, ["VPIDs with INVVPID"]],
    [0x48b, "high", 7, ["unrestricted guest"]],
    [0x48b, "high", 9, ["APICv (virtual APIC)"]],
    [0x48b, "high", 10, ["pause-loop exiting"]],
    [0x48b, "high", 25, ["TSC scaling"]],
    [0x48c, "low", 6, ["EPT of 4 levels, write-back, with INVEPT"]],
    [0x48c, "low", 16, ["nested pages of 2 MiB"]],
    [0x48c, "low", 17, ["nested pages of 1 GiB"]],
    [0x48c, "low", 20, ["EPT of 4 levels, write-back, with INVEPT"]],
    [0x48c, "low", 21, ["nested accessed and dirty flags"]],
    [0x48c, "high", 0, ["VPIDs with INVVPID"]],
    [0x48c, "high", 9, ["VPIDs with INVVPID"]],
  ];
  for (const [msr, half, bit, missing] of cases) {
    const given = facts(intel, vmx, VTD);
    const value = given.policy.msrs.get(msr)!;
    value[half] = (value[half] & ~(1 << bit)) >>> 0;
    t.deepEqual(names(given), missing, `${msr.toString(16)} ${half} ${bit}`);
  }
});

test("what every processor may lack", (t) => {
  const cases: [number, number, number, string][] = [
    [0x1, 2, 21, "x2APIC"],
    [0x1, 2, 24, "TSC deadline timer"],
    [0x1, 2, 26, "XSAVE"],
    [0x1, 2, 28, "AVX"],
    [0x7, 1, 16, "AVX-512"],
    [0x80000001, 3, 20, "NX (pages that cannot be executed)"],
    [0x80000001, 3, 26, "nested pages of 1 GiB"],
    [0x80000007, 3, 8, "invariant TSC"],
  ];
  for (const [leaf, register, bit, name] of cases) {
    const registers = [...amd[leaf]!];
    registers[register] = (registers[register]! & ~(1 << bit)) >>> 0;
    t.deepEqual(names(facts({ ...amd, [leaf]: registers }, [], AMD_VI)), [name]);
  }
});

test("no virtualisation at all, and one that the firmware has locked", (t) => {
  const none = facts({ ...amd, 0x80000001: [0, 0, 0, ALL] });
  const missing = lacking(none).filter(({ use }) => use === "required");
  t.deepEqual(
    missing.map(({ name }) => name),
    ["VT-x or AMD-V", "virtualisation enabled by the firmware"],
  );
  const refusal =
    "No guests can run here: VT-x is disabled by the firmware (IA32_FEATURE_CONTROL is locked without it)";
  const locked = lacking(facts(intel, vmx, { refusal, ...VTD }));
  t.deepEqual(
    locked.map(({ name, note }) => [name, note]),
    [["virtualisation enabled by the firmware", "locked: enable it in the firmware's set-up"]],
  );
  t.true(hypervisorBelow(facts(amd).policy));
  t.false(hypervisorBelow(facts({ ...amd, 0x1: [0, 0, 0, 0] }).policy));
});
