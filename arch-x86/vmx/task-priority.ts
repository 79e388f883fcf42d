/**
 * The guest's task priority: in the virtual-APIC page if the processor has the TPR shadow (SDM 3C 30.1), with which
 * CR8 accesses cause no exits, else at the same place, for vmx/control-register.ts.
 */
import { load32, store32 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { FRAME_VTPR } from "../state-frame";
import { hasTprShadow } from "./controls";
import { vmxWrite } from "./state";
import { VMCS } from "./vmcs";

/** See getTaskPriority of state.ts. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vmxGetTaskPriority(v: HvmVcpu): u32 {
  return load32(v.statePa + FRAME_VTPR) & 0xff;
}

/** See setTaskPriority of state.ts. */
export function vmxSetTaskPriority(v: HvmVcpu, priority: u32): void {
  store32(v.statePa + FRAME_VTPR, priority);
}

/** See holdInterrupt of state.ts. An entry with a threshold above the priority would be refused (SDM 3C 27.2.1.1). */
export function vmxHoldInterrupt(v: HvmVcpu, priorityClass: u32): void {
  if (hasTprShadow) vmxWrite(v, VMCS.TPR_THRESHOLD, priorityClass);
}
