/**
 * The page of the local APIC's registers (SDM 3A 11.4.1). It is absent from the physmap, so that every access to it comes
 * to emulate-access.ts. 32-bit registers at multiples of 16; an access must lie within one: others read zero and write
 * nothing, as in Xen.
 */
import { HvmVcpu } from "../hvm-vcpu";
import { APIC_BASE_ADDRESS, APIC_BASE_ENABLE, APIC_BASE_X2, vlapicOf } from "./state";
import { vlapicRead, vlapicWrite } from "./registers";

const PAGE_OFFSET: u64 = 0xfff;
const LAST_REGISTER: u32 = 0x3e0;

/** Whether a guest-physical address is in the page of a vCPU's APIC: in xAPIC mode only. */
export function vlapicCovers(v: HvmVcpu, gpa: u64): bool {
  if (v.vlapic == 0) return false;
  const base = vlapicOf(v).base;
  if ((base & (APIC_BASE_ENABLE | APIC_BASE_X2)) != APIC_BASE_ENABLE) return false;
  return (gpa & ~PAGE_OFFSET) == (base & APIC_BASE_ADDRESS);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function within(offset: u32, bytes: u32): bool {
  return (offset & 15) + bytes <= 4 && offset < LAST_REGISTER + 4;
}

/** Reads `bytes` at a guest-physical address that vlapicCovers. */
export function vlapicPageRead(v: HvmVcpu, gpa: u64, bytes: u32): u64 {
  const offset = <u32>(gpa & PAGE_OFFSET);
  if (!within(offset, bytes)) return 0;
  return (vlapicRead(v, offset & ~15) >> (8 * (offset & 15))) & (0xffffffff >> (32 - 8 * bytes));
}

/** Writes the low `bytes` of `value` there; the rest of the register as it reads is written with them. */
export function vlapicPageWrite(v: HvmVcpu, gpa: u64, bytes: u32, value: u64): void {
  const offset = <u32>(gpa & PAGE_OFFSET);
  if (!within(offset, bytes)) return;
  const register = offset & ~15;
  const shift = 8 * (offset & 15);
  const mask: u32 = (0xffffffff >> (32 - 8 * bytes)) << shift;
  const rest = bytes < 4 ? vlapicRead(v, register) & ~mask : 0;
  vlapicWrite(v, register, rest | (((<u32>value) << shift) & mask));
}
