/** See debug-registers.ts. */
import { readDr, vmread, vmwrite, writeDr } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { CPU_MOV_DR_EXITING } from "./controls";
import { PENDING_BREAKPOINT, PENDING_BREAKPOINTS } from "./events";
import { vmxSetCpuControl } from "./state";
import { VMCS } from "./vmcs";

const BREAKPOINTS: u32 = 4;
const DR7_ENABLED: u64 = 3; // L0 and G0; two bits further for each of the others

/**
 * Whether MOV to and from debug registers makes an exit. DR6, which VT-x leaves in the CPU, moves along: this is called
 * when the other debug registers have just been loaded (`on` false) or saved (true).
 */
export function vmxInterceptDebug(v: HvmVcpu, on: bool): void {
  if (on) v.dr6 = readDr(6);
  else writeDr(6, v.dr6);
  vmxSetCpuControl(v, CPU_MOV_DR_EXITING, on);
}

/**
 * After an exit of a guest that uses breakpoints. Bochs reports a breakpoint as pending that was passed but is not
 * enabled, and delivers it at the next entry; a processor does not.
 */
export function vmxDropFalseBreakpoint(): void {
  const pending = vmread(VMCS.GUEST_PENDING_DEBUG);
  if ((pending & PENDING_BREAKPOINT) == 0) return;
  const control = vmread(VMCS.GUEST_DR7);
  for (let n: u32 = 0; n < BREAKPOINTS; n++) {
    if (((pending >> n) & 1) != 0 && ((control >> (2 * n)) & DR7_ENABLED) != 0) return;
  }
  vmwrite(VMCS.GUEST_PENDING_DEBUG, pending & ~(PENDING_BREAKPOINT | PENDING_BREAKPOINTS));
}
