/** A guest's local APIC, and a second one, as their unit tests use them: the module of arch-x86/unit-test-entry.ts. */
import { ALL_ONES, Arch, VENDOR_SVM } from "./arch.ts";

// Registers, by their offset in the page.
export const ID = 0x20;
export const VERSION = 0x30;
export const TPR = 0x80;
export const PPR = 0xa0;
export const EOI = 0xb0;
export const LDR = 0xd0;
export const DFR = 0xe0;
export const SVR = 0xf0;
export const ISR = 0x100;
export const TMR = 0x180;
export const IRR = 0x200;
export const ESR = 0x280;
export const CMCI = 0x2f0;
export const ICR = 0x300;
export const ICR_HIGH = 0x310;
export const LVT_TIMER = 0x320;
export const LVT_THERMAL = 0x330;
export const LVT_PERF = 0x340;
export const LVT_LINT0 = 0x350;
export const LVT_LINT1 = 0x360;
export const LVT_ERROR = 0x370;
export const INITIAL = 0x380;
export const CURRENT = 0x390;
export const DIVIDE = 0x3e0;
export const SELF_IPI = 0x3f0;

export const APIC_BASE = 0x1b;
export const TSC_DEADLINE = 0x6e0;
export const DEFAULT_BASE = 0xfee0_0000n;
export const BOOT_CPU = 0x100n;
export const X2 = 0x400n;
export const ENABLE = 0x800n;

export const EFFECT_TIMER = 1;
export const EFFECT_IPI = 2;
export const EFFECT_ENABLED = 4;

export const MASKED = 0x1_0000;
export const PERIODIC = 0x2_0000;
export const DEADLINE = 0x4_0000;
export const RECEIVE_ILLEGAL = 0x40;
export const NEVER = ALL_ONES;

export const machine = await Arch.open();

/** Two vCPUs after power-on; the first one's APIC is what most tests look at. */
export class Apic {
  constructor(vendor = VENDOR_SVM, id = 0) {
    machine.now = 1_000_000n;
    machine.call("begin", vendor, 1n << 20n);
    if (machine.call("cpuInit") !== 0) throw new Error("refused");
    if (machine.call("vcpuInit") !== 0) throw new Error("no memory");
    machine.call("apicBegin", id);
  }
  read(register: number, n = 0): number {
    return machine.call("apicRead", n, register) >>> 0;
  }
  write(register: number, value: number, n = 0): void {
    machine.call("apicWrite", n, register, value);
  }
  /** Switches it on by software, and forgets what that leaves to do. */
  enable(): this {
    this.write(SVR, 0x1ff);
    this.write(SVR, 0x1ff, 1);
    machine.call("apicEffects");
    return this;
  }
  /** True: the interrupt was not there yet. */
  post(vector: number, n = 0): boolean {
    return machine.call("apicPost", n, vector) === 1;
  }
  /** The vector to be delivered next, 0 for none. */
  get vector(): number {
    return machine.field("APIC_VECTOR");
  }
  accept(): number {
    const vector = this.vector;
    machine.call("apicAccept");
    return vector;
  }
  effects(): number {
    return machine.call("apicEffects");
  }
  /** Vectors whose bits are set in one of the bitmaps. */
  bits(first: number): number[] {
    return Array.from({ length: 256 }, (_, vector) => vector).filter(
      (vector) => (this.read(first + 16 * (vector >> 5)) >>> (vector & 31)) & 1,
    );
  }
  msr(msr: number, n = 0): bigint | "#GP" {
    if (machine.call("readMsr", n, msr) === 0) return "#GP";
    return machine.linear.getBigUint64(machine.constant("registers") + machine.constant("EXIT_VALUE"), true);
  }
  setMsr(msr: number, value: bigint, n = 0): "ok" | "#GP" {
    return machine.call("writeMsr", n, msr, value) === 1 ? "ok" : "#GP";
  }
  x2(): this {
    for (const n of [0, 1]) {
      const base = this.msr(APIC_BASE, n) as bigint;
      if (this.setMsr(APIC_BASE, base | X2, n) !== "ok") throw new Error("no x2APIC mode");
    }
    machine.call("apicEffects");
    return this;
  }
  /** Register `register` by its MSR, in x2APIC mode. */
  get(register: number): bigint | "#GP" {
    return this.msr(0x800 + (register >> 4));
  }
  set(register: number, value: bigint): "ok" | "#GP" {
    return this.setMsr(0x800 + (register >> 4), value);
  }
  get next(): bigint {
    return machine.big("apicTimerNext");
  }
  /** Lets the timer's moment come, as the kernel's timer does; false: its interrupt before still waits. */
  fire(): boolean {
    machine.now = this.next;
    return machine.call("apicTimerFire") === 1;
  }
  means(n: number): boolean {
    return machine.call("apicMeans", n) === 1;
  }
}
