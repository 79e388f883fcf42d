/**
 * The guest's task priority: the processor keeps its upper half, which is CR8, in V_TPR (APM 2, 15.21.2). Reads never cause
 * an exit. Writes do while one of the following applies; the exit handler is svmWriteCr8.
 *
 * V_IRQ with a priority could wait for a lower V_TPR by itself; but QEMU's TCG ignores the priority, and aborts
 * when CR8 is written while a virtual interrupt is pending.
 */
import { load32, load64, store32, store64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { INTERCEPT_WRITE_CR8, V_TPR, VMCB } from "./vmcb";

/** The interrupt window is open. */
export const WATCH_WINDOW: u32 = 1;
/** An interrupt is blocked by the task priority. */
const WATCH_HELD: u32 = 2;
/** The lower half, which V_TPR does not have, is not zero; a write of CR8 makes it so. */
const WATCH_LOW: u32 = 4;

const LOW_HALF: u32 = 0xf;

/** Watches CR8 for `reason`, or no longer. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function svmWatchCr8(v: HvmVcpu, reason: u32, on: bool): void {
  const old = v.cr8Watched;
  const now = on ? old | reason : old & ~reason;
  v.cr8Watched = now;
  if ((old != 0) == (now != 0)) return;
  const at = v.controlPa + VMCB.INTERCEPT_CR;
  store32(at, load32(at) ^ INTERCEPT_WRITE_CR8);
}

/** See getTaskPriority of state.ts. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function svmGetTaskPriority(v: HvmVcpu, latest: u32): u32 {
  const upper = <u32>(load64(v.controlPa + VMCB.INTERRUPT_CONTROL) & V_TPR);
  return upper == latest >> 4 ? latest : upper << 4;
}

/** See setTaskPriority of state.ts. */
export function svmSetTaskPriority(v: HvmVcpu, priority: u32): void {
  const at = v.controlPa + VMCB.INTERRUPT_CONTROL;
  store64(at, (load64(at) & ~V_TPR) | (priority >> 4));
  svmWatchCr8(v, WATCH_LOW, (priority & LOW_HALF) != 0);
}

/** See holdInterrupt of state.ts. */
export function svmHoldInterrupt(v: HvmVcpu, priorityClass: u32): void {
  svmWatchCr8(v, WATCH_HELD, priorityClass != 0);
}
