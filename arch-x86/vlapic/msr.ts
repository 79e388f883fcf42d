/**
 * The local APIC's MSRs: IA32_APIC_BASE with the transitions between disabled, xAPIC and x2APIC mode, IA32_TSC_DEADLINE, and
 * the registers in x2APIC mode, 0x800 on (SDM 3A 11.4.3, 11.5.4.1, 11.12). False from any of these is #GP.
 */
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_X2APIC } from "../msr";
import {
  APIC_BASE_ADDRESS,
  APIC_BASE_BOOT_CPU,
  APIC_BASE_DEFAULT,
  APIC_BASE_ENABLE,
  APIC_BASE_X2,
  APIC_EFFECT_TIMER,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ID,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_CMCI,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_SELF_IPI,
  APIC_SVR,
  APIC_TIMER_CURRENT,
  APIC_TIMER_DIVIDE,
  APIC_TIMER_INITIAL,
  APIC_TPR,
  APIC_VERSION,
  isX2apic,
  LVT_COUNT,
  vlapicId,
  vlapicOf,
  vlapicRefresh,
} from "./state";
import { ICR_BITS, lvtBits, SVR_BITS, vlapicRead, vlapicWrite } from "./registers";
import { vlapicReset } from "./reset";

/** MSRs 0x800..0x8ff are x2APIC's, most of them none. */
const X2APIC_MSRS: u32 = 0x100;
/** Shorthand "self" of ICR. */
const ICR_SELF: u32 = 1 << 18;
/** Delivery status: read-only, and let pass in an LVT entry that was read and is written back. */
const DELIVERY_STATUS: u32 = 1 << 12;
const VECTOR: u64 = 0xff;

/** Whether an MSR is one of x2APIC mode's. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function isX2apicMsr(msr: u32): bool {
  return msr - MSR_X2APIC < X2APIC_MSRS;
}

/** The LDR derived from an id in x2APIC mode: a cluster of 16 in the upper half, a bit for the position in it. */
export function x2apicLdr(id: u32): u32 {
  return ((id & ~0xf) << 12) | (1 << (id & 0xf));
}

/** WRMSR of IA32_APIC_BASE. The base cannot be changed: Xen refuses that, too. */
export function vlapicWriteBase(v: HvmVcpu, value: u64): bool {
  const l = vlapicOf(v);
  if ((value & ~(APIC_BASE_ADDRESS | APIC_BASE_ENABLE | APIC_BASE_BOOT_CPU | APIC_BASE_X2)) != 0) return false;
  const mode = value & (APIC_BASE_ENABLE | APIC_BASE_X2);
  const changed = l.base ^ value;
  if (mode == APIC_BASE_X2) return false;
  if (mode == APIC_BASE_ENABLE && (value & APIC_BASE_ADDRESS) != APIC_BASE_DEFAULT) return false;
  if ((changed & APIC_BASE_ENABLE) != 0) {
    if ((value & APIC_BASE_X2) != 0) return false; // straight from disabled
    if ((value & APIC_BASE_ENABLE) != 0) vlapicReset(v);
    // What the timer may do follows from the mode.
    v.apicEffects |= APIC_EFFECT_TIMER;
  } else if ((changed & APIC_BASE_X2) != 0 && (value & APIC_BASE_X2) == 0) {
    return false; // back, without disabling it first
  }
  l.base = value;
  if (isX2apic(l)) {
    l.id = vlapicId(v);
    l.ldr = x2apicLdr(l.id);
  }
  vlapicRefresh(v);
  return true;
}

/** RDMSR of register MSR `msr`, into v.exitValue. */
export function vlapicRdmsr(v: HvmVcpu, msr: u32): bool {
  const l = vlapicOf(v);
  const register = (msr - MSR_X2APIC) << 4;
  if (!isX2apic(l) || !isReadable(register)) return false;
  v.exitValue = vlapicRead(v, register);
  if (register == APIC_ICR) v.exitValue |= (<u64>l.icrHigh) << 32;
  return true;
}

function isReadable(register: u32): bool {
  if (register >= APIC_ISR && register <= APIC_ESR) return true; // TMR and IRR lie between
  if (register - APIC_LVT_TIMER < 16 * LVT_COUNT) return true;
  switch (register) {
    case APIC_ID:
    case APIC_VERSION:
    case APIC_TPR:
    case APIC_PPR:
    case APIC_LDR:
    case APIC_SVR:
    case APIC_LVT_CMCI:
    case APIC_ICR:
    case APIC_TIMER_INITIAL:
    case APIC_TIMER_CURRENT:
    case APIC_TIMER_DIVIDE:
      return true;
    default:
      return false;
  }
}

/** WRMSR of one. */
export function vlapicWrmsr(v: HvmVcpu, msr: u32, value: u64): bool {
  const l = vlapicOf(v);
  const register = (msr - MSR_X2APIC) << 4;
  if (!isX2apic(l) || (value & ~writable(register)) != 0) return false;
  switch (register) {
    case APIC_EOI:
    case APIC_ESR:
    case APIC_TPR:
    case APIC_SVR:
    case APIC_TIMER_INITIAL:
    case APIC_TIMER_DIVIDE:
      break;
    case APIC_ICR:
      l.icrHigh = <u32>(value >> 32);
      break;
    case APIC_SELF_IPI:
      vlapicWrite(v, APIC_ICR, ICR_SELF | (<u32>value));
      return true;
    default:
      // There is no bank of corrected machine checks behind CMCI's entry.
      if (register != APIC_LVT_CMCI && register - APIC_LVT_TIMER >= 16 * LVT_COUNT) return false;
  }
  vlapicWrite(v, register, <u32>value);
  return true;
}

/** Bits that may be set in a write to `register`; the others are #GP. */
function writable(register: u32): u64 {
  switch (register) {
    case APIC_TPR:
    case APIC_SELF_IPI:
      return VECTOR;
    case APIC_SVR:
      return SVR_BITS;
    case APIC_ICR:
      return ((<u64>u32.MAX_VALUE) << 32) | ICR_BITS;
    case APIC_TIMER_INITIAL:
      return u32.MAX_VALUE;
    case APIC_TIMER_DIVIDE:
      return 0xb;
    case APIC_EOI:
    case APIC_ESR:
      return 0;
    default:
      return lvtBits(register) | DELIVERY_STATUS;
  }
}
