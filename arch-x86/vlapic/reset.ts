/** The states of a local APIC after power-on and INIT (SDM 3A 11.4.7). */
import { HvmVcpu } from "../hvm-vcpu";
import {
  APIC_BASE_BOOT_CPU,
  APIC_BASE_DEFAULT,
  APIC_BASE_ENABLE,
  DFR_FLAT,
  IRR,
  isX2apic,
  LVT_COUNT,
  LVT_MASKED,
  setLvt,
  vlapicId,
  vlapicOf,
  vlapicSetTpr,
} from "./state";
import { vlapicTimerReset } from "./timer";

const SVR_RESET: u32 = 0xff;
/** Requested and in service: eight words of 64 bits. */
const BITMAPS_BYTES: usize = 64;

/** As power-on leaves it: enabled by IA32_APIC_BASE in xAPIC mode, disabled by software. */
export function vlapicReset(v: HvmVcpu): void {
  const l = vlapicOf(v);
  l.base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (v.guestVcpuId == 0 ? APIC_BASE_BOOT_CPU : 0);
  l.id = vlapicId(v) << 24;
  vlapicInit(v);
}

/** The state after INIT: id and mode are kept, and LDR if it is derived from the id. */
export function vlapicInit(v: HvmVcpu): void {
  const l = vlapicOf(v);
  memory.fill(changetype<usize>(l) + IRR, 0, BITMAPS_BYTES);
  if (!isX2apic(l)) l.ldr = 0;
  l.dfr = DFR_FLAT;
  l.svr = SVR_RESET;
  l.esr = 0;
  l.errors = 0;
  l.icr = 0;
  l.icrHigh = 0;
  for (let n: u32 = 0; n < LVT_COUNT; n++) setLvt(l, n, LVT_MASKED);
  vlapicTimerReset(v);
  vlapicSetTpr(v, 0);
}
