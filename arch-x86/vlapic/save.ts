/**
 * A local APIC as Xen's two save records (xen/arch-x86/hvm/save.h): hvm_hw_lapic, and hvm_hw_lapic_regs, the page of
 * registers as they read. The timer's current count is included, so that it continues where it was; Xen leaves it zero,
 * and then the timer starts over.
 *
 * Calling context: as context.ts. A vCPU's hvm_hw_cpu, which has its TSC, is loaded first.
 */
import { EINVAL } from "../../abi/errno";
import { HvmHwLapic, HvmHwLapicRegs } from "../../abi/hvm";
import { HvmVcpu } from "../hvm-vcpu";
import {
  APIC_BASE_ADDRESS,
  APIC_BASE_BOOT_CPU,
  APIC_BASE_DEFAULT,
  APIC_BASE_ENABLE,
  APIC_BASE_X2,
  APIC_DFR,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR_HIGH,
  APIC_ID,
  APIC_IRR,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_TIMER,
  APIC_SVR,
  APIC_TIMER_CURRENT,
  APIC_TIMER_DIVIDE,
  APIC_TIMER_INITIAL,
  APIC_TPR,
  FIRST_VECTOR,
  IRR,
  isX2apic,
  ISR,
  LVT_COUNT,
  LVT_MASKED,
  setLvt,
  SVR_ENABLE,
  vlapicId,
  vlapicOf,
  vlapicSetTpr,
  vlapicTpr,
} from "./state";
import { x2apicLdr } from "./msr";
import { DFR_ONES, ICR_BITS, lvtBits, SVR_BITS, vlapicRead } from "./registers";
import { vlapicTimerDivisor, vlapicTimerRestore } from "./timer";

const HARDWARE_DISABLED: u32 = 1;
const SOFTWARE_DISABLED: u32 = 2;
const BASE_KNOWN: u64 = APIC_BASE_ADDRESS | APIC_BASE_ENABLE | APIC_BASE_BOOT_CPU | APIC_BASE_X2;
const BITMAP_REGISTERS: u32 = 8;

/** Writes an hvm_hw_lapic to `record`. */
export function vlapicSaveHidden(v: HvmVcpu, record: usize): void {
  const l = vlapicOf(v);
  store<u64>(record + HvmHwLapic.apic_base_msr, l.base);
  let disabled: u32 = (l.base & APIC_BASE_ENABLE) == 0 ? HARDWARE_DISABLED : 0;
  if ((l.svr & SVR_ENABLE) == 0) disabled |= SOFTWARE_DISABLED;
  store<u32>(record + HvmHwLapic.disabled, disabled);
  store<u32>(record + HvmHwLapic.timer_divisor, vlapicTimerDivisor(l));
  store<u64>(record + HvmHwLapic.tdt_msr, l.timerDeadline);
}

/** Writes an hvm_hw_lapic_regs to `record`. */
export function vlapicSaveRegisters(v: HvmVcpu, record: usize): void {
  memory.fill(record, 0, HvmHwLapicRegs.SIZE);
  for (let register: u32 = 0; register < HvmHwLapicRegs.SIZE; register += 16) {
    store<u32>(record + register, vlapicRead(v, register));
  }
}

/** Whether vlapicLoadHidden would accept the record. */
export function vlapicHiddenPossible(record: usize): bool {
  const base = load<u64>(record + HvmHwLapic.apic_base_msr);
  const mode = base & (APIC_BASE_ENABLE | APIC_BASE_X2);
  if ((base & ~BASE_KNOWN) != 0 || mode == APIC_BASE_X2) return false;
  return mode != APIC_BASE_ENABLE || (base & APIC_BASE_ADDRESS) == APIC_BASE_DEFAULT;
}

/** Loads mode and deadline. What is disabled, and the divisor, follow from the registers. 0 or -EINVAL. */
export function vlapicLoadHidden(v: HvmVcpu, record: usize): i32 {
  if (!vlapicHiddenPossible(record)) return -EINVAL;
  const l = vlapicOf(v);
  l.base = load<u64>(record + HvmHwLapic.apic_base_msr);
  l.timerDeadline = load<u64>(record + HvmHwLapic.tdt_msr);
  fixId(v);
  vlapicSetTpr(v, vlapicTpr(v));
  return 0;
}

/** Loads the registers, every one as far as a guest could have written it. */
export function vlapicLoadRegisters(v: HvmVcpu, record: usize): void {
  const l = vlapicOf(v);
  for (let i: u32 = 0; i < BITMAP_REGISTERS; i++) {
    const legal: u32 = i == 0 ? ~((1 << FIRST_VECTOR) - 1) : u32.MAX_VALUE;
    store<u32>(changetype<usize>(l) + IRR + 4 * i, load<u32>(record + APIC_IRR + 16 * i) & legal);
    store<u32>(changetype<usize>(l) + ISR + 4 * i, load<u32>(record + APIC_ISR + 16 * i) & legal);
  }
  l.id = load<u32>(record + APIC_ID);
  l.ldr = load<u32>(record + APIC_LDR);
  l.dfr = load<u32>(record + APIC_DFR) | DFR_ONES;
  l.svr = load<u32>(record + APIC_SVR) & SVR_BITS;
  l.esr = load<u32>(record + APIC_ESR);
  l.errors = 0;
  l.icr = load<u32>(record + APIC_ICR) & ICR_BITS;
  l.icrHigh = load<u32>(record + APIC_ICR_HIGH);
  const masked: u32 = (l.svr & SVR_ENABLE) == 0 ? LVT_MASKED : 0;
  for (let n: u32 = 0; n < LVT_COUNT; n++) {
    const register = APIC_LVT_TIMER + 16 * n;
    setLvt(l, n, (load<u32>(record + register) & lvtBits(register)) | masked);
  }
  fixId(v);
  vlapicTimerRestore(
    v,
    load<u32>(record + APIC_TIMER_DIVIDE),
    load<u32>(record + APIC_TIMER_INITIAL),
    load<u32>(record + APIC_TIMER_CURRENT),
  );
  vlapicSetTpr(v, load<u32>(record + APIC_TPR));
}

/** In x2APIC mode id and LDR follow from the vCPU's number; in xAPIC mode they have eight bits. */
function fixId(v: HvmVcpu): void {
  const l = vlapicOf(v);
  if (isX2apic(l)) {
    l.id = vlapicId(v);
    l.ldr = x2apicLdr(l.id);
  }
}
