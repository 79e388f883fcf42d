/**
 * The local APIC's timer (SDM 3A 11.5.4): counts down at 100 MHz, as Xen's, through a divider, one-shot or periodic, or
 * waits for a value of the guest's TSC. There is no periodic work: the count is computed when it is read, and the kernel's
 * timer is set for the next expiry.
 *
 * Times are values of the host's TSC.
 */
import { rdtsc } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { nsToTsc, tscToNs } from "../host/tsc";
import { APIC_EFFECT_TIMER, getLvt, LVT_MASKED, Vlapic, vlapicEnabled, vlapicOf, vlapicPost } from "./state";

/** Nanoseconds of a count undivided: APIC_BUS_CYCLE_NS in Xen. */
const BUS_CYCLE_NS: u64 = 10;
/** Shortest period of a periodic timer, as in Xen. */
const PERIOD_MIN_NS: u64 = 100000;
/** Nothing to wait for. */
export const TIMER_NEVER: u64 = ~(<u64>0);
/** Furthest deadline, TSC ticks from now: months, and far from where conversions would overflow. */
const FURTHEST: u64 = 1 << 54;

const MODE: u32 = 3 << 17; // of the LVT entry
const MODE_ONE_SHOT: u32 = 0 << 17;
const MODE_PERIODIC: u32 = 1 << 17;
const MODE_DEADLINE: u32 = 2 << 17;

const DIVIDE_BITS: u32 = 0xb;

function mode(l: Vlapic): u32 {
  return l.lvt0 & MODE;
}

/** Whether initial and current count mean anything. */
function counts(l: Vlapic): bool {
  return mode(l) <= MODE_PERIODIC;
}

/** What the divider divides by: its bits 0, 1 and 3 are the power of two, less one; 7 stands for one. */
export function vlapicTimerDivisor(l: Vlapic): u32 {
  const code = ((l.timerDivide & 3) | ((l.timerDivide & 8) >> 1)) + 1;
  return 1 << (code & 7);
}

/** Nanoseconds of one count. */
function unitNs(l: Vlapic): u64 {
  return BUS_CYCLE_NS * vlapicTimerDivisor(l);
}

/** Counts since the timer was started, at `now`. */
function passed(l: Vlapic, now: u64): u64 {
  return tscToNs(now - l.timerStart) / unitNs(l);
}

function guestTsc(v: HvmVcpu): u64 {
  return rdtsc() + v.tscOffset;
}

/** Stopped, counts zero, divided by two. */
export function vlapicTimerReset(v: HvmVcpu): void {
  const l = vlapicOf(v);
  l.timerDivide = 0;
  l.timerInitial = 0;
  l.timerCounting = 0;
  l.timerDeadline = 0;
  v.apicEffects |= APIC_EFFECT_TIMER;
}

/** The current-count register. */
export function vlapicTimerCurrent(v: HvmVcpu): u32 {
  const l = vlapicOf(v);
  if (!counts(l) || l.timerCounting == 0) return 0;
  let done = passed(l, rdtsc());
  if (mode(l) == MODE_PERIODIC) done %= l.timerInitial;
  return done < l.timerInitial ? l.timerInitial - <u32>done : 0;
}

/** The initial-count register as it reads: zero while it has no meaning. */
export function vlapicTimerInitial(v: HvmVcpu): u32 {
  const l = vlapicOf(v);
  return counts(l) ? l.timerInitial : 0;
}

/** A write of the initial count starts the timer, of zero stops it; no effect in TSC-deadline mode. */
export function vlapicTimerSetInitial(v: HvmVcpu, value: u32): void {
  const l = vlapicOf(v);
  if (!counts(l)) return;
  l.timerInitial = value;
  l.timerCounting = value != 0 ? 1 : 0;
  l.timerStart = rdtsc();
  v.apicEffects |= APIC_EFFECT_TIMER;
}

/** Sets the divider; what has been counted stays counted. */
export function vlapicTimerSetDivide(v: HvmVcpu, value: u32): void {
  const l = vlapicOf(v);
  const now = rdtsc();
  const done = passed(l, now);
  l.timerDivide = value & DIVIDE_BITS;
  if (l.timerCounting == 0) return;
  // In periods that are over lies nothing that could still matter.
  const rest = mode(l) == MODE_PERIODIC ? done % l.timerInitial : min<u64>(done, l.timerInitial);
  l.timerStart = now - nsToTsc(rest * unitNs(l));
  v.apicEffects |= APIC_EFFECT_TIMER;
}

/** Sets the timer's LVT entry, `value` as the register keeps it. Into and out of TSC-deadline mode the timer stops. */
export function vlapicTimerSetLvt(v: HvmVcpu, value: u32): void {
  const l = vlapicOf(v);
  const old = l.lvt0;
  if (((old ^ value) & MODE) != 0 && ((old & MODE) >= MODE_DEADLINE || (value & MODE) >= MODE_DEADLINE)) {
    l.timerInitial = 0;
    l.timerCounting = 0;
    l.timerDeadline = 0;
  }
  // Interrupts that became due while it was masked are lost.
  if ((old & LVT_MASKED) != 0) {
    if (mode(l) == MODE_ONE_SHOT && l.timerCounting != 0 && passed(l, rdtsc()) >= l.timerInitial) l.timerCounting = 0;
    if (l.timerDeadline <= guestTsc(v)) l.timerDeadline = 0;
  }
  l.lvt0 = value;
  v.apicEffects |= APIC_EFFECT_TIMER;
}

/** IA32_TSC_DEADLINE as it reads: zero once the time has come, and in other modes. */
export function vlapicTimerDeadline(v: HvmVcpu): u64 {
  const l = vlapicOf(v);
  return mode(l) == MODE_DEADLINE && l.timerDeadline > guestTsc(v) ? l.timerDeadline : 0;
}

/** Arms the timer for a value of the guest's TSC, zero stops it; no effect in other modes. */
export function vlapicTimerSetDeadline(v: HvmVcpu, value: u64): void {
  const l = vlapicOf(v);
  if (mode(l) != MODE_DEADLINE) return;
  // An expired one interrupts immediately, unless masked.
  l.timerDeadline = (l.lvt0 & LVT_MASKED) != 0 && value <= guestTsc(v) ? 0 : value;
  v.apicEffects |= APIC_EFFECT_TIMER;
}

/** Time of the timer's next interrupt, possibly now or in the past; TIMER_NEVER. */
export function vlapicTimerNext(v: HvmVcpu): u64 {
  const l = vlapicOf(v);
  if ((l.lvt0 & LVT_MASKED) != 0 || !vlapicEnabled(l)) return TIMER_NEVER;
  const now = rdtsc();
  switch (mode(l)) {
    case MODE_ONE_SHOT:
      return l.timerCounting != 0 ? l.timerStart + nsToTsc(unitNs(l) * l.timerInitial) : TIMER_NEVER;
    case MODE_PERIODIC: {
      if (l.timerCounting == 0) return TIMER_NEVER;
      const period = max<u64>(unitNs(l) * l.timerInitial, PERIOD_MIN_NS);
      const next = (tscToNs(now - l.timerStart) / period + 1) * period;
      return l.timerStart + nsToTsc(next);
    }
    case MODE_DEADLINE: {
      if (l.timerDeadline == 0) return TIMER_NEVER;
      const guest = now + v.tscOffset;
      return l.timerDeadline <= guest ? now : now + min<u64>(l.timerDeadline - guest, FURTHEST);
    }
    default:
      return TIMER_NEVER;
  }
}

/**
 * The time of vlapicTimerNext has come: posts the interrupt.
 * @returns false: the interrupt before it still waits to be delivered, so that there is no hurry with the next
 */
export function vlapicTimerFire(v: HvmVcpu): bool {
  const l = vlapicOf(v);
  if (mode(l) == MODE_DEADLINE) {
    if (l.timerDeadline > guestTsc(v)) return true; // FURTHEST, or the guest has set its TSC back
    l.timerDeadline = 0;
  } else if (mode(l) == MODE_ONE_SHOT) {
    l.timerCounting = 0;
  }
  return vlapicPost(v, getLvt(l, 0) & 0xff);
}

/** Loads saved registers; a `current` count of zero, which Xen saves always, starts a timer over that may have been running. */
export function vlapicTimerRestore(v: HvmVcpu, divide: u32, initial: u32, current: u32): void {
  const l = vlapicOf(v);
  l.timerDivide = divide & DIVIDE_BITS;
  l.timerInitial = initial;
  l.timerCounting = initial != 0 ? 1 : 0;
  const done: u64 = current != 0 && current < initial ? initial - current : 0;
  l.timerStart = rdtsc() - nsToTsc(done * unitNs(l));
  v.apicEffects |= APIC_EFFECT_TIMER;
}
