/** Allocating and freeing a vCPU's control block; skipping an instruction. */
import { ENOMEM } from "../../abi/errno";
import { fpuReset } from "../fpu";
import { load64, store32, store64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { instructionLength } from "../emulation/decode";
import { guestMsrReset } from "../msr-policy";
import { P2m } from "../p2m";
import { resetState } from "../reset";
import { is64, RFLAGS_RF, RFLAGS_TF } from "../state";
import { allocFrame, freeFrame } from "../supply";
import { iopmPa, msrpmPa } from "./bitmaps";
import { svmInterceptDebug } from "./debug";
import { svmHasNextRip } from "./features";
import { svmInjectException } from "./inject";
import {
  EXIT_NPF,
  INTERCEPT1_CPUID,
  INTERCEPT1_HLT,
  INTERCEPT1_INTR,
  INTERCEPT1_INVD,
  INTERCEPT1_INVLPGA,
  INTERCEPT1_IO,
  INTERCEPT1_MSR,
  INTERCEPT1_NMI,
  INTERCEPT1_RDPMC,
  INTERCEPT1_RSM,
  INTERCEPT1_SHUTDOWN,
  INTERCEPT1_SMI,
  INTERCEPT2_CLGI,
  INTERCEPT2_MONITOR,
  INTERCEPT2_MWAIT,
  INTERCEPT2_MWAIT_ARMED,
  INTERCEPT2_RDPRU,
  INTERCEPT2_RDTSCP,
  INTERCEPT2_SKINIT,
  INTERCEPT2_STGI,
  INTERCEPT2_VMLOAD,
  INTERCEPT2_VMMCALL,
  INTERCEPT2_VMRUN,
  INTERCEPT2_VMSAVE,
  INTERCEPT2_WBINVD,
  INTERCEPT2_XSETBV,
  INTERCEPT3_INVLPGB,
  INTERCEPT3_INVLPGB_ILLEGAL,
  INTERCEPT3_INVPCID,
  INTERCEPT3_MCOMMIT,
  INTERCEPT3_TLBSYNC,
  INTERCEPT_WRITE_CR0,
  INTERCEPT_WRITE_CR4,
  V_MASKING,
  VMCB,
} from "./vmcb";
import { VECTOR_DB, VECTOR_AC, VECTOR_MC } from "../vectors";

/** #DB and #AC because their delivery can raise the same exception again forever, uninterruptibly; #MC is the host's. */
const INTERCEPT_EXCEPTIONS: u32 = (1 << VECTOR_DB) | (1 << VECTOR_AC) | (1 << VECTOR_MC);

const DR6_SINGLE_STEP: u64 = 1 << 14;

/** See hvmVcpuInit. */
export function svmVcpuInit(v: HvmVcpu, p2m: P2m): i32 {
  const control = allocFrame();
  if (control == 0) return -ENOMEM;
  const state = allocFrame();
  if (state == 0) {
    freeFrame(control);
    return -ENOMEM;
  }
  v.controlPa = control << 12;
  v.statePa = state << 12;
  v.p2m = p2m;
  v.cr8Watched = 0;
  v.heldClass = 0;
  controlReset(v);
  resetState(v);
  fpuReset(v);
  guestMsrReset(v);
  return 0;
}

/** What makes an exit, and nested paging. */
function controlReset(v: HvmVcpu): void {
  const vmcb = v.controlPa;
  store32(vmcb + VMCB.INTERCEPT_CR, INTERCEPT_WRITE_CR0 | INTERCEPT_WRITE_CR4);
  store32(vmcb + VMCB.INTERCEPT_EXCEPTION, INTERCEPT_EXCEPTIONS);
  store32(
    vmcb + VMCB.INTERCEPT_MISC1,
    INTERCEPT1_INTR |
      INTERCEPT1_NMI |
      INTERCEPT1_SMI |
      INTERCEPT1_RDPMC |
      INTERCEPT1_CPUID |
      INTERCEPT1_RSM |
      INTERCEPT1_INVD |
      INTERCEPT1_HLT |
      INTERCEPT1_INVLPGA |
      INTERCEPT1_IO |
      INTERCEPT1_MSR |
      INTERCEPT1_SHUTDOWN,
  );
  store32(
    vmcb + VMCB.INTERCEPT_MISC2,
    INTERCEPT2_VMRUN |
      INTERCEPT2_VMMCALL |
      INTERCEPT2_VMLOAD |
      INTERCEPT2_VMSAVE |
      INTERCEPT2_STGI |
      INTERCEPT2_CLGI |
      INTERCEPT2_SKINIT |
      INTERCEPT2_RDTSCP |
      INTERCEPT2_WBINVD |
      INTERCEPT2_MONITOR |
      INTERCEPT2_MWAIT |
      INTERCEPT2_MWAIT_ARMED |
      INTERCEPT2_XSETBV |
      INTERCEPT2_RDPRU,
  );
  store32(
    vmcb + VMCB.INTERCEPT_MISC3,
    INTERCEPT3_INVLPGB | INTERCEPT3_INVLPGB_ILLEGAL | INTERCEPT3_INVPCID | INTERCEPT3_MCOMMIT | INTERCEPT3_TLBSYNC,
  );
  svmInterceptDebug(v, true);
  store64(vmcb + VMCB.IOPM_PA, iopmPa);
  store64(vmcb + VMCB.MSRPM_PA, msrpmPa);
  store64(vmcb + VMCB.TSC_OFFSET, v.tscOffset);
  store64(vmcb + VMCB.INTERRUPT_CONTROL, V_MASKING);
  store64(vmcb + VMCB.NESTED_CONTROL, 1);
  store64(vmcb + VMCB.NESTED_CR3, v.p2m.rootPa);
  v.flushPending = 1;
}

/** See hvmVcpuFree. */
export function svmVcpuFree(v: HvmVcpu): void {
  freeFrame(v.controlPa >> 12);
  freeFrame(v.statePa >> 12);
  v.controlPa = 0;
  v.statePa = 0;
}

/** See hvmSkipInstruction. For an exit that an instruction's intercept made, the processor may know where the next is. */
export function svmSkip(v: HvmVcpu): bool {
  if (svmHasNextRip != 0 && v.exitCode < EXIT_NPF) {
    const next = load64(v.controlPa + VMCB.NEXT_RIP);
    if (next != 0) {
      svmResumeAt(v, next);
      return true;
    }
  }
  const length = instructionLength(v);
  if (length == 0) return false;
  svmSkipBytes(v, length);
  return true;
}

/** Moves past an instruction of known length. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function svmSkipBytes(v: HvmVcpu, length: u32): void {
  const next = load64(v.controlPa + VMCB.RIP) + length;
  svmResumeAt(v, next >> 32 != 0 && !is64(v) ? next & 0xffffffff : next);
}

/** Goes on at `rip` as after an instruction: no shadow, no resume flag, and a trap if the guest is single-stepping. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function svmResumeAt(v: HvmVcpu, rip: u64): void {
  const vmcb = v.controlPa;
  store64(vmcb + VMCB.RIP, rip);
  store64(vmcb + VMCB.INTERRUPT_SHADOW, 0);
  const flags = load64(vmcb + VMCB.RFLAGS);
  if ((flags & (RFLAGS_TF | RFLAGS_RF)) != 0) debugResume(v, flags);
}

function debugResume(v: HvmVcpu, flags: u64): void {
  store64(v.controlPa + VMCB.RFLAGS, flags & ~RFLAGS_RF);
  if ((flags & RFLAGS_TF) == 0) return;
  store64(v.controlPa + VMCB.DR6, load64(v.controlPa + VMCB.DR6) | DR6_SINGLE_STEP);
  svmInjectException(v, VECTOR_DB, -1, 0);
}
