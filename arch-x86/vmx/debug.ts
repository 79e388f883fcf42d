/** See debug-registers.ts. */
import { readDr, writeDr } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { CPU_MOV_DR_EXITING } from "./controls";
import { vmxSetCpuControl } from "./state";

/**
 * Whether MOV to and from debug registers makes an exit. DR6, which VT-x leaves in the CPU, moves along: this is called
 * when the other debug registers have just been loaded (`on` false) or saved (true).
 */
export function vmxInterceptDebug(v: HvmVcpu, on: bool): void {
  if (on) v.scratch5 = readDr(6);
  else writeDr(6, v.scratch5);
  vmxSetCpuControl(v, CPU_MOV_DR_EXITING, on);
}
