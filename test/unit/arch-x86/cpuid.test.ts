/** CPUID and MSRs as guests find them on machines of several kinds: below another hypervisor, with and without features. */
import test, { type ExecutionContext } from "ava";
import { Arch, VENDOR_SVM, VENDOR_VMX } from "./arch.ts";

const XEN = 0x4000_0000;
const POWER = 0x8000_0007;
const INVARIANT_TSC = 1 << 8;
const HWCR = 0xc001_0015;
const KVM = [0x4000_0010, 0x4b4d564b, 0x564b4d56, 0x4d];

const machine = await Arch.open();
const own = new Map(machine.leaves);

function fresh(vendor = VENDOR_SVM, leaves: Record<number, [number, number, number, number]> = {}): void {
  machine.leaves.clear();
  for (const [leaf, words] of own) machine.leaves.set(leaf, words);
  for (const [leaf, words] of Object.entries(leaves)) machine.leaves.set(Number(leaf), words);
  machine.call("begin", vendor, 1n << 20n);
  if (machine.call("cpuInit") !== 0 || machine.call("vcpuInit") !== 0) throw new Error("no machine");
}

function cpuid(leaf: number, subleaf = 0): number[] {
  machine.call("cpuid", leaf | 0, subleaf);
  return [0, 3, 1, 2].map((register) => Number(machine.register(register)));
}

function rdmsr(msr: number): bigint | "#GP" {
  return machine.call("readMsr", 0, msr | 0) ? machine.bigField("EXIT_VALUE") : "#GP";
}
const wrmsr = (msr: number, value: bigint) => (machine.call("writeMsr", 0, msr | 0, value) ? "ok" : "#GP");

test.serial("Xen's leaves are at 0x40000000 also on another hypervisor, of which nothing shows", (t) => {
  const below: [number, number, number, number][] = [
    KVM as [number, number, number, number],
    [0x0100_0000, 1, 2, 3],
    [4, 5, 6, 7],
  ];
  const leaves = Object.fromEntries(
    below.flatMap((words, i) => [0, 6, 0x10, 0x100, 0x200].map((at) => [XEN + at + i, words])),
  );
  fresh(VENDOR_SVM, leaves);
  t.deepEqual(cpuid(XEN), [XEN + 5, 0x566e6558, 0x65584d4d, 0x4d4d566e]);
  t.deepEqual(cpuid(XEN + 2), [1, 0x4000_0000, 0, 0]);
  for (let leaf = XEN + 6; leaf < XEN + 0x210; leaf++) t.deepEqual(cpuid(leaf), [0, 0, 0, 0], leaf.toString(16));
});

test.serial("the TSC is called safe, and of one rate, where the processor's is invariant", (t) => {
  fresh();
  t.is(cpuid(XEN + 3)[0]! & 2, 0, "a processor without the leaf");
  t.is(rdmsr(HWCR), 0n);
  fresh(VENDOR_SVM, { [POWER]: [0, 0, 0, 0xff & ~INVARIANT_TSC] });
  t.is(cpuid(XEN + 3)[0]! & 2, 0, "a processor whose TSC may change its rate");
  t.is(rdmsr(HWCR), 0n);
  fresh(VENDOR_SVM, { [POWER]: [0, 0, 0, INVARIANT_TSC] });
  t.is(cpuid(XEN + 3)[0]! & 3, 2, "not emulated, safe");
  t.is(cpuid(POWER)[3], INVARIANT_TSC);
  t.is(rdmsr(HWCR), 1n << 24n);
});

const MCG_CAP = 0x179;
const MCG_STATUS = 0x17a;
const MCG_CTL = 0x17b;
const CTL2 = 0x280;
const BANK0 = 0x400;
const [STATUS, ADDRESS, MISC] = [1, 2, 3];
const ALL_ONES = (1n << 64n) - 1n;

function expectMachineCheck(t: ExecutionContext, capabilities: bigint): void {
  t.is((cpuid(1)[3]! >>> 7) & 1, 1, "MCE");
  t.is((cpuid(1)[3]! >>> 14) & 1, 1, "MCA");
  t.is(machine.call("cr4Accepted", 1n << 6n), 1, "CR4.MCE");
  t.is(rdmsr(MCG_CAP), capabilities);
  t.is(wrmsr(MCG_CAP, 0n), "ok", "read-only without a fault");
  t.is(rdmsr(MCG_CAP), capabilities);
  t.is(rdmsr(MCG_CTL), 0n);
  t.is(wrmsr(MCG_STATUS, 5n), "ok");
  t.is(rdmsr(MCG_STATUS), 5n);
  for (const bank of [0, 1, 2, 31]) {
    const there = bank < 2;
    const at = BANK0 + 4 * bank;
    t.is(rdmsr(at), there ? ALL_ONES : 0n, `control of bank ${bank}`);
    t.is(wrmsr(at, 0n), "ok");
    t.is(rdmsr(at), there ? ALL_ONES : 0n);
    for (const register of [STATUS, ADDRESS, MISC]) {
      t.is(rdmsr(at + register), 0n);
      t.is(wrmsr(at + register, 0n), "ok");
      t.is(wrmsr(at + register, 1n), there ? "#GP" : "ok", `register ${register} of bank ${bank}`);
      t.is(rdmsr(at + register), 0n);
    }
  }
  t.is(rdmsr(BANK0 + 128), "#GP", "there is no bank 32");
  t.is(rdmsr(0x4d0), "#GP", "no local machine checks");
  for (const msr of [0, 1]) {
    t.is(rdmsr(msr), 0n);
    t.is(wrmsr(msr, 0n), "#GP");
  }
}

test.serial("the machine-check architecture is Xen's on AMD-V", (t) => {
  fresh(VENDOR_SVM);
  expectMachineCheck(t, 2n);
  t.is(wrmsr(CTL2, 7n), "ok");
  t.is(rdmsr(CTL2), 0n);
  t.is(rdmsr(0xc000_0408), 0n);
});

test.serial("the machine-check architecture is Xen's on VT-x", (t) => {
  fresh(VENDOR_VMX);
  expectMachineCheck(t, 0x1000c02n);
  t.is(wrmsr(CTL2 + 1, 0x4000_0001n), "ok");
  t.deepEqual([CTL2, CTL2 + 1, CTL2 + 2, CTL2 + 31].map(rdmsr), [0n, 0x4000_0001n, 0n, 0n]);
  t.is(wrmsr(CTL2 + 2, 1n), "ok");
  t.is(rdmsr(CTL2 + 2), 0n);
  t.is(rdmsr(0xc000_0408), "#GP");
});

test.serial("a machine-check MSR is a vCPU's own and starts clear", (t) => {
  fresh(VENDOR_VMX);
  wrmsr(MCG_STATUS, 1n);
  wrmsr(CTL2, 1n);
  fresh(VENDOR_VMX);
  t.is(rdmsr(MCG_STATUS), 0n);
  t.is(rdmsr(CTL2), 0n);
});

test.serial("a processor without machine checks shows none", (t) => {
  fresh(VENDOR_SVM, { 1: [0x806c1, 0, ~0, ~((1 << 7) | (1 << 14))] });
  t.is(cpuid(1)[3]! & ((1 << 7) | (1 << 14)), 0);
});
