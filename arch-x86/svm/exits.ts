/**
 * Exit handlers: one table, by exit code. Exits handled here return HvmExit.None and the guest continues.
 * A guest can never trigger an assertion: an exit that is not understood is HvmExit.Unknown, which ends that guest.
 */
import { guestCpuid } from "../cpuid";
import { debugLoad } from "../debug-registers";
import { fpuSetXcr0 } from "../fpu";
import { load64 } from "../hw";
import { HVM_ACCESS_FETCH, HVM_ACCESS_READ, HVM_ACCESS_TABLE, HVM_ACCESS_WRITE, HvmExit, HvmVcpu } from "../hvm-vcpu";
import { CR4_OSXSAVE } from "../cpuid-policy";
import { MSR_XEN_HYPERCALL_PAGE } from "../msr";
import { guestRdmsr, guestWrmsr } from "../msr-policy";
import { getCpl, getCr4 } from "../state";
import { stringIo } from "../emulation/string-io";
import { svmWriteCr0, svmWriteCr4, svmWriteCr8 } from "./control-register";
import { apicExit } from "../vlapic/state";
import { svmCanTakeInterrupt, svmCancelOffer, svmInjectException, svmNmiDone, svmRedeliver } from "./inject";
import { svmInShadow, svmTakeBackSti } from "./shadow";
import { svmResumeAt, svmSkip, svmSkipBytes } from "./vcpu";
import {
  EVENT_VALID,
  EXIT_CPUID,
  EXIT_WRITE_CR0,
  EXIT_EXCEPTION,
  EXIT_HLT,
  EXIT_INTR,
  EXIT_INVALID,
  EXIT_INVD,
  EXIT_INVLPGA,
  EXIT_INVLPGB,
  EXIT_INVLPGB_ILLEGAL,
  EXIT_INVPCID,
  EXIT_IO,
  EXIT_IRET,
  EXIT_MCOMMIT,
  EXIT_MONITOR,
  EXIT_MSR,
  EXIT_MWAIT,
  EXIT_MWAIT_CONDITIONAL,
  EXIT_NMI,
  EXIT_NPF,
  EXIT_RDPMC,
  EXIT_RDPRU,
  EXIT_RDTSCP,
  EXIT_READ_DR0,
  EXIT_RSM,
  EXIT_SHUTDOWN,
  EXIT_SKINIT,
  EXIT_SMI,
  EXIT_STGI,
  EXIT_CLGI,
  EXIT_TLBSYNC,
  EXIT_VINTR,
  EXIT_VMLOAD,
  EXIT_VMRUN,
  EXIT_VMSAVE,
  EXIT_WBINVD,
  EXIT_WRITE_CR4,
  EXIT_WRITE_CR8,
  EXIT_WRITE_DR15,
  EXIT_XSETBV,
  IO_IN,
  IO_PORT_SHIFT,
  IO_SIZE_SHIFT,
  IO_STRING,
  MSR_WRITE,
  NPF_FETCH,
  NPF_TABLE_WALK,
  NPF_WRITE,
  VMCB,
} from "./vmcb";
import { VECTOR_DB, VECTOR_AC, VECTOR_GP, VECTOR_UD } from "../vectors";

/** With prefixes, one of which is skipped instead, it halts again: no need to decode it. */
const HLT_BYTES: u32 = 1;

/** Handles every exit but VMMCALL, which enter.ts has seen to. Returns HvmExit. */
export function svmSettle(v: HvmVcpu, code: u32): u32 {
  if (code == EXIT_INVALID) return HvmExit.EntryFailed;
  if (code == EXIT_SHUTDOWN) return HvmExit.TripleFault;
  const cut = load64(v.controlPa + VMCB.EXIT_INT_INFO);
  if ((cut & EVENT_VALID) != 0) svmRedeliver(v, cut);
  const exit = dispatch(v, code);
  // Some processors see a virtual interrupt only when the guest sets IF, not when it is set already: look ourselves.
  if (exit == HvmExit.None && v.windowOpen != 0 && svmCanTakeInterrupt(v)) return window(v);
  return exit;
}

function dispatch(v: HvmVcpu, code: u32): u32 {
  switch (code) {
    case EXIT_INTR:
      if (svmInShadow(v)) svmTakeBackSti(v);
      return HvmExit.Interrupt;
    case EXIT_NMI: // the host takes its NMI or SMI when the world switch sets GIF
    case EXIT_SMI:
      if (svmInShadow(v)) svmTakeBackSti(v);
      return HvmExit.None;
    case EXIT_VINTR:
      return window(v);
    case EXIT_NPF:
      return nestedFault(v);
    case EXIT_HLT:
      svmSkipBytes(v, HLT_BYTES);
      return HvmExit.Halt;
    case EXIT_CPUID:
      guestCpuid(v, <u32>v.rax, <u32>v.rcx);
      return settled(v);
    case EXIT_IO:
      return portAccess(v);
    case EXIT_MSR:
      return msrAccess(v);
    case EXIT_XSETBV:
      return xsetbv(v);
    case EXIT_WRITE_CR0:
      return svmWriteCr0(v);
    case EXIT_WRITE_CR4:
      return svmWriteCr4(v);
    case EXIT_WRITE_CR8:
      return svmWriteCr8(v);
    case EXIT_IRET:
      svmNmiDone(v);
      return HvmExit.None;
    case EXIT_INVD: // never for real: it would throw away the host's memory writes
    case EXIT_WBINVD: // memory is coherent, no device of the guest's needs it
      return settled(v);
    case EXIT_EXCEPTION + VECTOR_DB:
      svmInjectException(v, VECTOR_DB, -1, 0);
      return HvmExit.None;
    case EXIT_EXCEPTION + VECTOR_AC:
      svmInjectException(v, VECTOR_AC, 0, 0);
      return HvmExit.None;
    case EXIT_RDPMC: // no counters
      svmInjectException(v, VECTOR_GP, 0, 0);
      return HvmExit.None;
    case EXIT_RSM: // instructions that CPUID says this processor does not have
    case EXIT_INVLPGA:
    case EXIT_VMRUN:
    case EXIT_VMLOAD:
    case EXIT_VMSAVE:
    case EXIT_STGI:
    case EXIT_CLGI:
    case EXIT_SKINIT:
    case EXIT_RDTSCP:
    case EXIT_MONITOR:
    case EXIT_MWAIT:
    case EXIT_MWAIT_CONDITIONAL:
    case EXIT_RDPRU:
    case EXIT_INVLPGB:
    case EXIT_INVLPGB_ILLEGAL:
    case EXIT_INVPCID:
    case EXIT_MCOMMIT:
    case EXIT_TLBSYNC:
      svmInjectException(v, VECTOR_UD, -1, 0);
      return HvmExit.None;
  }
  if (code >= EXIT_READ_DR0 && code <= EXIT_WRITE_DR15) {
    debugLoad(v); // the access runs again, now for real
    return HvmExit.None;
  }
  return HvmExit.Unknown;
}

/** Counts an exit that was settled here. */
export function svmCount(v: HvmVcpu, code: u32): void {
  if (code == EXIT_CPUID) v.settledCpuid++;
  else if (code == EXIT_MSR) v.settledMsr++;
  else if (code <= EXIT_WRITE_DR15 || code == EXIT_XSETBV) v.settledRegister++;
  else if (code < EXIT_INTR) v.settledException++;
  else v.settledOther++;
}

/** Done: the guest continues after the instruction. */
function settled(v: HvmVcpu): u32 {
  return svmSkip(v) ? HvmExit.None : HvmExit.Unknown;
}

function window(v: HvmVcpu): u32 {
  svmCancelOffer(v);
  return HvmExit.Window;
}

/** APM 2, 15.25.6. */
function nestedFault(v: HvmVcpu): u32 {
  const error = load64(v.controlPa + VMCB.EXIT_INFO1);
  v.exitGpa = load64(v.controlPa + VMCB.EXIT_INFO2);
  let access =
    (error & NPF_FETCH) != 0 ? HVM_ACCESS_FETCH : (error & NPF_WRITE) != 0 ? HVM_ACCESS_WRITE : HVM_ACCESS_READ;
  if ((error & NPF_TABLE_WALK) != 0) access |= HVM_ACCESS_TABLE;
  v.exitAccess = access;
  return HvmExit.NestedFault;
}

/** APM 2, 15.10.2: EXIT_INFO2 is the next RIP on every processor. */
function portAccess(v: HvmVcpu): u32 {
  const info = <u32>load64(v.controlPa + VMCB.EXIT_INFO1);
  v.exitPort = info >> IO_PORT_SHIFT;
  v.exitSize = (info >> IO_SIZE_SHIFT) & 7;
  v.exitIn = info & IO_IN;
  if ((info & IO_STRING) != 0) return stringIo(v);
  v.exitValue = v.rax & (0xffffffff >> (32 - 8 * v.exitSize));
  svmResumeAt(v, load64(v.controlPa + VMCB.EXIT_INFO2));
  return HvmExit.Io;
}

function msrAccess(v: HvmVcpu): u32 {
  const msr = <u32>v.rcx;
  if (load64(v.controlPa + VMCB.EXIT_INFO1) == MSR_WRITE) {
    if (guestWrmsr(v, msr, (v.rdx << 32) | (v.rax & 0xffffffff))) {
      if (!svmSkip(v)) return HvmExit.Unknown;
      if (msr == MSR_XEN_HYPERCALL_PAGE) return HvmExit.HypercallPage;
      return apicExit(v);
    }
  } else if (guestRdmsr(v, msr)) {
    v.rax = v.exitValue & 0xffffffff;
    v.rdx = v.exitValue >> 32;
    return settled(v);
  }
  svmInjectException(v, VECTOR_GP, 0, 0);
  return HvmExit.None;
}

function xsetbv(v: HvmVcpu): u32 {
  if ((getCr4(v) & CR4_OSXSAVE) == 0) {
    svmInjectException(v, VECTOR_UD, -1, 0);
  } else if (getCpl(v) != 0 || !fpuSetXcr0(v)) {
    svmInjectException(v, VECTOR_GP, 0, 0);
  } else {
    return settled(v);
  }
  return HvmExit.None;
}
