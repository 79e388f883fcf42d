/** Guest entry and exit. This code runs at every hypercall: keep it short. */
import { enterSvm, load32, load64, rdtsc, store64 } from "../hw";
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { asidFlushed, asidRefresh, asidStale } from "./asid";
import { svmCount, svmSettle } from "./exits";
import { svmHasNextRip } from "./features";
import { svmPrepareNmi } from "./inject";
import { svmResumeAt, svmSkipBytes } from "./vcpu";
import { EXIT_INVALID, EXIT_VMMCALL, VMCB } from "./vmcb";

const VMMCALL_BYTES: u32 = 3;

/** See hvmEnter. */
export function svmEnter(v: HvmVcpu, deadlineTsc: u64): u32 {
  if (v.shutdownPending != 0) return HvmExit.TripleFault;
  const vmcb = v.controlPa;
  do {
    if (asidStale(v)) asidRefresh(v);
    if (v.nmiPending != 0) svmPrepareNmi(v);
    store64(vmcb + VMCB.RAX, v.rax);
    enterSvm(vmcb, changetype<usize>(v));
    v.rax = load64(vmcb + VMCB.RAX);
    const code = load32(vmcb + VMCB.EXIT_CODE);
    v.exitCode = code;
    if ((v.eventPending | v.tagFlushes) != 0) afterEntry(v, code);
    if (code == EXIT_VMMCALL) {
      // Without NRIPS the instruction is assumed to have no prefixes: no compiler or library emits any.
      if (svmHasNextRip != 0) svmResumeAt(v, load64(vmcb + VMCB.NEXT_RIP));
      else svmSkipBytes(v, VMMCALL_BYTES);
      return HvmExit.Hypercall;
    }
    const exit = svmSettle(v, code);
    if (exit != HvmExit.None) return exit;
    svmCount(v, code);
  } while (rdtsc() < deadlineTsc);
  return HvmExit.Deadline;
}

/** The entry took the injected event and flushed what was to be flushed, unless the processor refused it. */
function afterEntry(v: HvmVcpu, code: u32): void {
  if (code == EXIT_INVALID) return;
  if (v.eventPending != 0) {
    v.eventPending = 0;
    store64(v.controlPa + VMCB.EVENT_INJECT, 0);
  }
  if (v.tagFlushes != 0) asidFlushed(v);
}
