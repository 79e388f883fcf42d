/** See debug-registers.ts. */
import { store32 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { VMCB } from "./vmcb";

/** Whether MOV to and from debug registers makes an exit. */
export function svmInterceptDebug(v: HvmVcpu, on: bool): void {
  store32(v.controlPa + VMCB.INTERCEPT_DR, on ? 0xffffffff : 0);
}
