/**
 * Guest accesses to the local APIC's registers: writable bits, and side effects of writes (SDM 3A, chapter
 * 11; where hardware differs, Xen's choice). The same for memory and MSRs; the entry points are vlapic-page.ts and
 * vlapic-msr.ts.
 */
import { HvmVcpu } from "../hvm-vcpu";
import {
  APIC_DFR,
  APIC_EFFECT_ENABLED,
  APIC_EFFECT_IPI,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR_HIGH,
  APIC_ID,
  APIC_IRR,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_ERROR,
  APIC_LVT_LINT0,
  APIC_LVT_LINT1,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_SVR,
  APIC_TIMER_CURRENT,
  APIC_TIMER_DIVIDE,
  APIC_TIMER_INITIAL,
  APIC_TMR,
  APIC_TPR,
  APIC_VERSION,
  APIC_VERSION_VALUE,
  getLvt,
  IRR,
  ISR,
  LVT_COUNT,
  LVT_MASKED,
  setLvt,
  SVR_ENABLE,
  vlapicEoi,
  vlapicOf,
  vlapicPpr,
  vlapicRefresh,
  vlapicSetTpr,
  vlapicTpr,
} from "./state";
import {
  vlapicTimerCurrent,
  vlapicTimerInitial,
  vlapicTimerSetDivide,
  vlapicTimerSetInitial,
  vlapicTimerSetLvt,
} from "./timer";

const HIGH_BYTE: u32 = 0xff000000;
export const DFR_ONES: u32 = 0x0fffffff;
/** Vector, enable, focus checking. */
export const SVR_BITS: u32 = 0x3ff;
/** All but the delivery status, which is always "idle". */
export const ICR_BITS: u32 = 0xccfff;

const LVT_VECTOR: u32 = 0xff;
const LVT_DELIVERY: u32 = 7 << 8;
const LVT_PIN: u32 = (1 << 13) | (1 << 15); // polarity, level
const LVT_TIMER_MODE: u32 = 3 << 17;

/** Bits that software may set in the LVT entry at `register`. */
export function lvtBits(register: u32): u32 {
  const common = LVT_VECTOR | LVT_MASKED;
  switch (register) {
    case APIC_LVT_TIMER:
      return common | LVT_TIMER_MODE;
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1:
      return common | LVT_DELIVERY | LVT_PIN;
    case APIC_LVT_ERROR:
      return common;
    default: // thermal, performance, CMCI
      return common | LVT_DELIVERY;
  }
}

/** Number of an LVT entry. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function lvtIndex(register: u32): u32 {
  return (register - APIC_LVT_TIMER) >> 4;
}

/** The 32 vectors of a bitmap that the register at distance `offset` from its first shows. */
function bitmapWord(v: HvmVcpu, bitmap: usize, offset: u32): u32 {
  return load<u32>(changetype<usize>(vlapicOf(v)) + bitmap + (offset >> 2));
}

/** Value of the register at `register`, a multiple of 16; zero where there is none. */
export function vlapicRead(v: HvmVcpu, register: u32): u32 {
  const l = vlapicOf(v);
  if (register >= APIC_ISR && register < APIC_ESR) {
    if (register >= APIC_IRR) return bitmapWord(v, IRR, register - APIC_IRR);
    return register < APIC_TMR ? bitmapWord(v, ISR, register - APIC_ISR) : 0; // TMR: nothing is level-triggered
  }
  if (register - APIC_LVT_TIMER < 16 * LVT_COUNT) return getLvt(l, lvtIndex(register));
  switch (register) {
    case APIC_ID:
      return l.id;
    case APIC_VERSION:
      return APIC_VERSION_VALUE;
    case APIC_TPR:
      return vlapicTpr(v);
    case APIC_PPR:
      return vlapicPpr(v);
    case APIC_LDR:
      return l.ldr;
    case APIC_DFR:
      return l.dfr;
    case APIC_SVR:
      return l.svr;
    case APIC_ESR:
      return l.esr;
    case APIC_ICR:
      return l.icr;
    case APIC_ICR_HIGH:
      return l.icrHigh;
    case APIC_TIMER_INITIAL:
      return vlapicTimerInitial(v);
    case APIC_TIMER_CURRENT:
      return vlapicTimerCurrent(v);
    case APIC_TIMER_DIVIDE:
      return l.timerDivide;
    default:
      return 0;
  }
}

/** Writes the register at `register`, a multiple of 16. Where there is none, or one that is only read, nothing happens. */
export function vlapicWrite(v: HvmVcpu, register: u32, value: u32): void {
  const l = vlapicOf(v);
  if (register - APIC_LVT_TIMER < 16 * LVT_COUNT) {
    writeLvt(v, register, value);
    return;
  }
  switch (register) {
    case APIC_ID:
      l.id = value & HIGH_BYTE;
      return;
    case APIC_TPR:
      vlapicSetTpr(v, value);
      return;
    case APIC_EOI:
      vlapicEoi(v);
      return;
    case APIC_LDR:
      l.ldr = value & HIGH_BYTE;
      return;
    case APIC_DFR:
      l.dfr = value | DFR_ONES;
      return;
    case APIC_SVR:
      writeSvr(v, value);
      return;
    case APIC_ESR: // any write: latches the errors since the last write
      l.esr = l.errors;
      l.errors = 0;
      return;
    case APIC_ICR:
      l.icr = value & ICR_BITS;
      v.apicEffects |= APIC_EFFECT_IPI;
      return;
    case APIC_ICR_HIGH:
      l.icrHigh = value & HIGH_BYTE;
      return;
    case APIC_TIMER_INITIAL:
      vlapicTimerSetInitial(v, value);
      return;
    case APIC_TIMER_DIVIDE:
      vlapicTimerSetDivide(v, value);
  }
}

/** While software has the APIC switched off, every LVT entry is masked. */
function writeLvt(v: HvmVcpu, register: u32, value: u32): void {
  const l = vlapicOf(v);
  value &= lvtBits(register);
  if ((l.svr & SVR_ENABLE) == 0) value |= LVT_MASKED;
  if (register == APIC_LVT_TIMER) vlapicTimerSetLvt(v, value);
  else setLvt(l, lvtIndex(register), value);
}

function writeSvr(v: HvmVcpu, value: u32): void {
  const l = vlapicOf(v);
  const enabled = (l.svr & SVR_ENABLE) != 0;
  l.svr = value & SVR_BITS;
  if ((value & SVR_ENABLE) == 0) {
    for (let n: u32 = 1; n < LVT_COUNT; n++) setLvt(l, n, getLvt(l, n) | LVT_MASKED);
    vlapicTimerSetLvt(v, getLvt(l, 0) | LVT_MASKED);
  } else if (!enabled) {
    v.apicEffects |= APIC_EFFECT_ENABLED;
  }
  vlapicRefresh(v);
}
