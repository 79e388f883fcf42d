/**
 * A vCPU's local APIC (SDM 3A, chapter 11): its state, prioritisation, and accepting, acknowledging and
 * ending interrupts. Guest accesses to registers are in vlapic-registers.ts, the timer in
 * vlapic-timer.ts, modes and MSRs in vlapic-msr.ts, destinations of IPIs in vlapic-destination.ts.
 *
 * It only tracks state. Actions that need the kernel (arming a timer, accessing another vCPU) are requested by
 * HvmVcpu.apicEffects.
 *
 * Calling context: as hvm.ts; one physical CPU runs all guests, so that another vCPU's state may be changed in place.
 */
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { getTaskPriority, holdInterrupt, setTaskPriority } from "../state";

// Bits of HvmVcpu.apicEffects: what the kernel has to do after a guest's access (kernel/events/vlapic-delivery.ts).
/** The timer's deadline may have changed. */
export const APIC_EFFECT_TIMER: u32 = 1;
/** ICR was written: `icr` and `icrHigh` say what to send to whom. */
export const APIC_EFFECT_IPI: u32 = 2;
/** Software has enabled the APIC. */
export const APIC_EFFECT_ENABLED: u32 = 4;

// Registers by their offset in the page; in x2APIC mode register n / 16 (SDM 3A, tables 11-1 and 11-6).
export const APIC_ID: u32 = 0x20;
export const APIC_VERSION: u32 = 0x30;
export const APIC_TPR: u32 = 0x80;
export const APIC_PPR: u32 = 0xa0;
export const APIC_EOI: u32 = 0xb0;
export const APIC_LDR: u32 = 0xd0;
export const APIC_DFR: u32 = 0xe0;
export const APIC_SVR: u32 = 0xf0;
export const APIC_ISR: u32 = 0x100; // eight of each
export const APIC_TMR: u32 = 0x180;
export const APIC_IRR: u32 = 0x200;
export const APIC_ESR: u32 = 0x280;
export const APIC_LVT_CMCI: u32 = 0x2f0;
export const APIC_ICR: u32 = 0x300;
export const APIC_ICR_HIGH: u32 = 0x310;
export const APIC_LVT_TIMER: u32 = 0x320; // six LVT entries from here on
export const APIC_LVT_THERMAL: u32 = 0x330;
export const APIC_LVT_PERF: u32 = 0x340;
export const APIC_LVT_LINT0: u32 = 0x350;
export const APIC_LVT_LINT1: u32 = 0x360;
export const APIC_LVT_ERROR: u32 = 0x370;
export const APIC_TIMER_INITIAL: u32 = 0x380;
export const APIC_TIMER_CURRENT: u32 = 0x390;
export const APIC_TIMER_DIVIDE: u32 = 0x3e0;
export const APIC_SELF_IPI: u32 = 0x3f0; // x2APIC mode only

/** An integrated APIC with six LVT entries and no suppression of EOI broadcasts, as Xen's. */
export const APIC_VERSION_VALUE: u32 = 0x00050014;
export const LVT_COUNT: u32 = 6;

// IA32_APIC_BASE.
export const APIC_BASE_BOOT_CPU: u64 = 1 << 8;
export const APIC_BASE_X2: u64 = 1 << 10;
export const APIC_BASE_ENABLE: u64 = 1 << 11;
export const APIC_BASE_ADDRESS: u64 = 0x000ffffffffff000;
/** Where the registers are in xAPIC mode; Xen moves them nowhere else. */
export const APIC_BASE_DEFAULT: u64 = 0xfee00000;

export const SVR_ENABLE: u32 = 1 << 8;
export const DFR_FLAT: u32 = 0xffffffff;
export const LVT_MASKED: u32 = 1 << 16;

// ESR.
export const ESR_SEND_ILLEGAL: u32 = 1 << 5;
export const ESR_RECEIVE_ILLEGAL: u32 = 1 << 6;

/** Vectors below are no interrupts'. */
export const FIRST_VECTOR: u32 = 16;
const PRIORITY_CLASS: u32 = 0xf0;

/** One for each vCPU of a domain that has local APICs. */
@unmanaged
export class Vlapic {
  /** IA32_APIC_BASE. */
  base: u64;
  // A bit per vector: requested, in service, and of those requested the level-triggered ones (never any here).
  irr0: u64;
  irr1: u64;
  irr2: u64;
  irr3: u64;
  isr0: u64;
  isr1: u64;
  isr2: u64;
  isr3: u64;
  /** In bits 24..31 in xAPIC mode, the whole register in x2APIC mode. */
  id: u32;
  ldr: u32;
  dfr: u32;
  svr: u32;
  /** TPR when it was looked at last: see vlapicTpr. */
  tpr: u32;
  /** ESR as software reads it, and the errors since it last wrote it. */
  esr: u32;
  errors: u32;
  icr: u32;
  /** Destination: in bits 24..31 in xAPIC mode. */
  icrHigh: u32;
  /** LVT timer, thermal, performance, LINT0, LINT1, error. */
  lvt0: u32;
  lvt1: u32;
  lvt2: u32;
  lvt3: u32;
  lvt4: u32;
  lvt5: u32;

  // vlapic-timer.ts.
  timerDivide: u32;
  timerInitial: u32;
  /** 1 from the write of the initial count until the one shot has been fired. */
  timerCounting: u32;
  /** Host TSC at which the count began. */
  timerStart: u64;
  /** IA32_TSC_DEADLINE, 0 when not armed. */
  timerDeadline: u64;
}

/** The APIC of a vCPU that has one (HvmVcpu.vlapic is not 0). */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vlapicOf(v: HvmVcpu): Vlapic {
  return changetype<Vlapic>(v.vlapic);
}

/** Xen numbers APICs so: every other id, as if each vCPU had a sibling thread that is switched off. */
export function vlapicId(v: HvmVcpu): u32 {
  return v.guestVcpuId * 2;
}

export function isX2apic(l: Vlapic): bool {
  return (l.base & APIC_BASE_X2) != 0;
}

/** Enabled by IA32_APIC_BASE and by software: takes interrupts. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vlapicEnabled(l: Vlapic): bool {
  return (l.base & APIC_BASE_ENABLE) != 0 && (l.svr & SVR_ENABLE) != 0;
}

export function getLvt(l: Vlapic, n: u32): u32 {
  return load<u32>(changetype<usize>(l) + offsetof<Vlapic>("lvt0") + 4 * n);
}

export function setLvt(l: Vlapic, n: u32, value: u32): void {
  store<u32>(changetype<usize>(l) + offsetof<Vlapic>("lvt0") + 4 * n, value);
}

// --- Bitmaps of vectors ------------------------------------------------------------------------------------------------

/** Offsets of the bitmaps in a Vlapic. */
export const IRR: usize = offsetof<Vlapic>("irr0");
export const ISR: usize = offsetof<Vlapic>("isr0");

/** The highest vector of a bitmap, 0 when it is empty: vector 0 is never in one. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function highest(l: Vlapic, bitmap: usize): u32 {
  const at = changetype<usize>(l) + bitmap;
  let word = load<u64>(at, 24);
  if (word != 0) return 255 - <u32>clz(word);
  word = load<u64>(at, 16);
  if (word != 0) return 191 - <u32>clz(word);
  word = load<u64>(at, 8);
  if (word != 0) return 127 - <u32>clz(word);
  word = load<u64>(at);
  return word != 0 ? 63 - <u32>clz(word) : 0;
}

function setBit(l: Vlapic, bitmap: usize, vector: u32): void {
  const at = changetype<usize>(l) + bitmap + ((vector >> 6) << 3);
  store<u64>(at, load<u64>(at) | ((<u64>1) << (vector & 63)));
}

function clearBit(l: Vlapic, bitmap: usize, vector: u32): void {
  const at = changetype<usize>(l) + bitmap + ((vector >> 6) << 3);
  store<u64>(at, load<u64>(at) & ~((<u64>1) << (vector & 63)));
}

export function hasBit(l: Vlapic, bitmap: usize, vector: u32): bool {
  return ((load<u64>(changetype<usize>(l) + bitmap + ((vector >> 6) << 3)) >> (vector & 63)) & 1) != 0;
}

// --- Priority ----------------------------------------------------------------------------------------------------------

/** The current TPR: the guest can change it by CR8 without an exit. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vlapicTpr(v: HvmVcpu): u32 {
  const l = vlapicOf(v);
  l.tpr = getTaskPriority(v, l.tpr);
  return l.tpr;
}

/** Processor priority (SDM 3A 11.8.3.1): the task's, or the class of what is in service when that is higher. */
export function vlapicPpr(v: HvmVcpu): u32 {
  const service = highest(vlapicOf(v), ISR) & PRIORITY_CLASS;
  const tpr = vlapicTpr(v);
  return (tpr & PRIORITY_CLASS) >= service ? tpr : service;
}

/**
 * Recomputes which vector the next entry may deliver: after every change of its inputs, except for TPR changes by
 * CR8. When one that waits would be let in by a lower TPR, the guest's next entry makes an exit of that.
 */
export function vlapicRefresh(v: HvmVcpu): void {
  const l = vlapicOf(v);
  const requested = vlapicEnabled(l) ? highest(l, IRR) : 0;
  let held: u32 = 0;
  v.apicVector = 0;
  if ((requested & PRIORITY_CLASS) > (highest(l, ISR) & PRIORITY_CLASS)) {
    if ((requested & PRIORITY_CLASS) > (vlapicTpr(v) & PRIORITY_CLASS)) v.apicVector = requested;
    else held = requested >> 4;
  }
  if (held == v.heldClass) return;
  v.heldClass = held;
  holdInterrupt(v, held);
}

/** The vector to be delivered now, 0 for none: apicVector, unless the guest has raised its task priority since. */
export function vlapicVector(v: HvmVcpu): u32 {
  if (v.apicVector != 0 && vlapicOf(v).tpr != getTaskPriority(v, vlapicOf(v).tpr)) vlapicRefresh(v);
  return v.apicVector;
}

// --- The life of an interrupt ------------------------------------------------------------------------------------------

/**
 * Accepts an interrupt message with `vector`. A disabled APIC accepts none.
 * @returns false: there was one of this vector waiting already, and the two are one
 */
export function vlapicPost(v: HvmVcpu, vector: u32): bool {
  const l = vlapicOf(v);
  if (!vlapicEnabled(l)) return true;
  if (vector < FIRST_VECTOR) {
    vlapicError(v, ESR_RECEIVE_ILLEGAL);
    return true;
  }
  if (hasBit(l, IRR, vector)) return false;
  setBit(l, IRR, vector);
  vlapicRefresh(v);
  return true;
}

/** HvmVcpu.apicVector is about to be delivered: from requested to in service. */
export function vlapicAccept(v: HvmVcpu): void {
  const l = vlapicOf(v);
  const vector = v.apicVector;
  clearBit(l, IRR, vector);
  setBit(l, ISR, vector);
  vlapicRefresh(v);
}

/** The guest has written EOI: ends the highest interrupt in service, if there is one. */
export function vlapicEoi(v: HvmVcpu): void {
  const l = vlapicOf(v);
  const vector = highest(l, ISR);
  if (vector == 0) return;
  clearBit(l, ISR, vector);
  vlapicRefresh(v);
}

/** Notes an error for ESR (ESR_*) and raises the error interrupt, once until software has looked. */
export function vlapicError(v: HvmVcpu, error: u32): void {
  const l = vlapicOf(v);
  if ((l.errors & error) != 0) return;
  l.errors |= error;
  const lvt = getLvt(l, LVT_COUNT - 1);
  if ((lvt & LVT_MASKED) == 0) vlapicPost(v, lvt & 0xff);
}

/**
 * After a guest's access to its APIC or task priority: HvmExit.Apic if the kernel has something to do or an interrupt may
 * be delivered now, else HvmExit.None.
 */
export function apicExit(v: HvmVcpu): u32 {
  return (v.apicEffects | v.apicVector) != 0 ? HvmExit.Apic : HvmExit.None;
}

/** The guest has written `priority`, 0..15, to CR8. */
export function writeTaskPriority(v: HvmVcpu, priority: u32): void {
  if (v.vlapic != 0) vlapicSetTpr(v, priority << 4);
  else setTaskPriority(v, priority << 4);
}

/** Sets the task priority, which CR8 shows the upper half of. */
export function vlapicSetTpr(v: HvmVcpu, value: u32): void {
  vlapicOf(v).tpr = value & 0xff;
  setTaskPriority(v, value & 0xff);
  vlapicRefresh(v);
}
