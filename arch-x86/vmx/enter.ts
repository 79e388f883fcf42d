/** Guest entry and exit. This code runs at every hypercall: keep it short. */
import { enterVmx, rdtsc, vmread, vmwrite } from "../hw";
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { hasTimer, timerShift } from "./controls";
import { loadMsrs, makeCurrent } from "./current";
import { vmxDropFalseBreakpoint } from "./debug";
import { EXIT_VMCALL } from "./exit-reasons";
import { vmxCount, vmxSettle } from "./exits";
import { flushNested } from "./flush";
import { vmxPrepareNmi } from "./inject";
import { vmxSkip } from "./vcpu";
import { VMCS } from "./vmcs";

const TIMER_MAX: u64 = 0xffffffff;

/** See hvmEnter. */
export function vmxEnter(v: HvmVcpu, deadlineTsc: u64): u32 {
  if (v.shutdownPending != 0) return HvmExit.TripleFault;
  makeCurrent(v);
  loadMsrs(v);
  while (true) {
    const now = rdtsc();
    if (now >= deadlineTsc) return HvmExit.Deadline;
    if (hasTimer) vmwrite(VMCS.PREEMPTION_TIMER, min<u64>((deadlineTsc - now) >> timerShift, TIMER_MAX));
    if (v.flushPending != 0) flushNested(v);
    if (v.nmiPending != 0) vmxPrepareNmi(v);
    if (enterVmx(changetype<usize>(v), v.launched) != 0) {
      v.exitCode = vmread(VMCS.INSTRUCTION_ERROR);
      return HvmExit.EntryFailed;
    }
    const reason = <u32>vmread(VMCS.EXIT_REASON);
    v.exitCode = reason;
    v.launched = 1;
    v.eventPending = 0;
    if (v.debugLoaded != 0) vmxDropFalseBreakpoint();
    if (reason == EXIT_VMCALL) {
      vmxSkip(v);
      return HvmExit.Hypercall;
    }
    const exit = vmxSettle(v, reason);
    if (exit != HvmExit.None) return exit;
    vmxCount(v, reason);
  }
}
