/**
 * Exit handlers: one table, by exit reason. Exits handled here return HvmExit.None and the guest continues.
 * A guest can never trigger an assertion: an exit that is not understood is HvmExit.Unknown, which ends that guest.
 */
import { guestCpuid } from "../cpuid";
import { debugLoad } from "../debug-registers";
import { fpuSetXcr0 } from "../fpu";
import { vmread, vmwrite } from "../hw";
import { HVM_ACCESS_TABLE, HvmExit, HvmVcpu } from "../hvm-vcpu";
import { MSR_XEN_HYPERCALL_PAGE } from "../msr";
import { guestRdmsr, guestWrmsr } from "../msr-policy";
import { getDr6, getDr7, getRflags, RFLAGS_TF, setDr6, setDr7, getInterruptShadow } from "../state";
import { stringIo } from "../emulation/string-io";
import { vmxControlRegister } from "./control-register";
import {
  BLOCKED_BY_NMI,
  EVENT_EXCEPTION,
  EVENT_NMI,
  EVENT_NMI_UNBLOCKED,
  EVENT_TYPE,
  EVENT_VECTOR,
  PENDING_STEP,
} from "./events";
import {
  EPT_ACCESS,
  EPT_LINEAR_VALID,
  EPT_NMI_UNBLOCKED,
  EPT_TRANSLATED,
  EXIT_CPUID,
  EXIT_CR_ACCESS,
  EXIT_DR_ACCESS,
  EXIT_ENTRY_FAILED,
  EXIT_EPT_VIOLATION,
  EXIT_EXCEPTION,
  EXIT_GETSEC,
  EXIT_HLT,
  EXIT_INTERRUPT,
  EXIT_INTERRUPT_WINDOW,
  EXIT_INVD,
  EXIT_INVEPT,
  EXIT_INVVPID,
  EXIT_IO,
  EXIT_MONITOR,
  EXIT_MWAIT,
  EXIT_NMI_WINDOW,
  EXIT_PAUSE,
  EXIT_PREEMPTION_TIMER,
  EXIT_RDMSR,
  EXIT_RDPMC,
  EXIT_RSM,
  EXIT_TPR_BELOW_THRESHOLD,
  EXIT_TRIPLE_FAULT,
  EXIT_VMCLEAR,
  EXIT_VMFUNC,
  EXIT_VMXON,
  EXIT_WBINVD,
  EXIT_WRMSR,
  EXIT_XSETBV,
  IO_IN,
  IO_PORT_SHIFT,
  IO_SIZE,
  IO_STRING,
} from "./exit-reasons";
import { vmxBlockNmiAgain, vmxCancelOffer, vmxInjectException, vmxNmiWindow, vmxRedeliver } from "./inject";
import { apicExit, vlapicRefresh } from "../vlapic/state";
import { vmxSkip } from "./vcpu";
import { VMCS } from "./vmcs";
import { VECTOR_GP, VECTOR_UD, VECTOR_DB, VECTOR_AC } from "../vectors";

// DR6 (SDM 3B 18.2.3): what a debug exception reports, and the bits that are always one.
const DR6_HIT: u64 = 0xf;
const DR6_REPORTED: u64 = 0x600f;
const DR6_ONES: u64 = 0xffff0ff0;
const DR7_GENERAL_DETECT: u64 = 1 << 13;

/** Handles every exit but VMCALL, which enter.ts has seen to. The VMCS is current. Returns HvmExit. */
export function vmxSettle(v: HvmVcpu, reason: u32): u32 {
  if ((reason & EXIT_ENTRY_FAILED) != 0) return HvmExit.EntryFailed;
  switch (reason) {
    case EXIT_PREEMPTION_TIMER:
      return HvmExit.Deadline;
    case EXIT_INTERRUPT:
      return HvmExit.Interrupt;
    case EXIT_EPT_VIOLATION:
      return eptViolation(v);
    case EXIT_HLT:
      vmxSkip(v);
      return HvmExit.Halt;
    case EXIT_IO:
      return portAccess(v);
    case EXIT_INTERRUPT_WINDOW:
      vmxCancelOffer(v);
      return HvmExit.Window;
    case EXIT_CPUID:
      guestCpuid(v, <u32>v.rax, <u32>v.rcx);
      return settled(v);
    case EXIT_RDMSR:
      if (!guestRdmsr(v, <u32>v.rcx)) return fault(v, VECTOR_GP, 0);
      v.rax = v.exitValue & 0xffffffff;
      v.rdx = v.exitValue >> 32;
      return settled(v);
    case EXIT_WRMSR:
      return writeMsr(v);
    case EXIT_EXCEPTION:
      return exception(v);
    case EXIT_TRIPLE_FAULT:
      return HvmExit.TripleFault;
    case EXIT_NMI_WINDOW:
      vmxNmiWindow(v);
      return HvmExit.None;
    case EXIT_CR_ACCESS:
      return vmxControlRegister(v);
    case EXIT_TPR_BELOW_THRESHOLD: // behind the MOV to CR8
      if (v.vlapic != 0) vlapicRefresh(v);
      return apicExit(v);
    case EXIT_DR_ACCESS:
      debugLoad(v); // the access runs again, now for real
      return HvmExit.None;
    case EXIT_PAUSE:
      vmxSkip(v);
      return HvmExit.Pause;
    case EXIT_XSETBV: // CPL and CR4.OSXSAVE have been checked
      return fpuSetXcr0(v) ? settled(v) : fault(v, VECTOR_GP, 0);
    case EXIT_INVD: // never for real: it would throw away the host's memory writes
    case EXIT_WBINVD: // memory is coherent, no device of the guest's needs it
      return settled(v);
    case EXIT_RDPMC: // no counters
      return fault(v, VECTOR_GP, 0);
    case EXIT_GETSEC: // instructions that CPUID says this processor does not have
    case EXIT_RSM:
    case EXIT_MWAIT:
    case EXIT_MONITOR:
    case EXIT_INVEPT:
    case EXIT_INVVPID:
    case EXIT_VMFUNC:
      return fault(v, VECTOR_UD, -1);
  }
  if (reason >= EXIT_VMCLEAR && reason <= EXIT_VMXON) return fault(v, VECTOR_UD, -1);
  return HvmExit.Unknown;
}

/** Counts an exit that was settled here. */
export function vmxCount(v: HvmVcpu, reason: u32): void {
  if (reason == EXIT_CPUID) v.settledCpuid++;
  else if (reason == EXIT_RDMSR || reason == EXIT_WRMSR) v.settledMsr++;
  else if (reason == EXIT_CR_ACCESS || reason == EXIT_DR_ACCESS || reason == EXIT_XSETBV) v.settledRegister++;
  else if (reason == EXIT_EXCEPTION) v.settledException++;
  else v.settledOther++;
}

/** Done: the guest continues after the instruction. */
function settled(v: HvmVcpu): u32 {
  vmxSkip(v);
  return HvmExit.None;
}

function fault(v: HvmVcpu, vector: u32, errorCode: i32): u32 {
  vmxInjectException(v, vector, errorCode, 0);
  return HvmExit.None;
}

function eptViolation(v: HvmVcpu): u32 {
  const qualification = <u32>vmread(VMCS.EXIT_QUALIFICATION);
  v.exitGpa = vmread(VMCS.GUEST_PHYSICAL_ADDRESS);
  v.exitAccess = qualification & EPT_ACCESS;
  if ((qualification & (EPT_LINEAR_VALID | EPT_TRANSLATED)) == EPT_LINEAR_VALID) v.exitAccess |= HVM_ACCESS_TABLE;
  if (!vmxRedeliver(v) && (qualification & EPT_NMI_UNBLOCKED) != 0) vmxBlockNmiAgain(v);
  return HvmExit.NestedFault;
}

function portAccess(v: HvmVcpu): u32 {
  const qualification = <u32>vmread(VMCS.EXIT_QUALIFICATION);
  v.exitPort = qualification >> IO_PORT_SHIFT;
  v.exitSize = (qualification & IO_SIZE) + 1;
  v.exitIn = (qualification & IO_IN) != 0 ? 1 : 0;
  if ((qualification & IO_STRING) != 0) return stringIo(v);
  v.exitValue = v.rax & (0xffffffff >> (32 - 8 * v.exitSize));
  vmxSkip(v);
  return HvmExit.Io;
}

function writeMsr(v: HvmVcpu): u32 {
  const msr = <u32>v.rcx;
  if (!guestWrmsr(v, msr, (v.rdx << 32) | (v.rax & 0xffffffff))) return fault(v, VECTOR_GP, 0);
  vmxSkip(v);
  if (msr == MSR_XEN_HYPERCALL_PAGE) return HvmExit.HypercallPage;
  return apicExit(v);
}

/** An NMI for the host, or an exception of the guest's that is intercepted (vcpu.ts says why). */
function exception(v: HvmVcpu): u32 {
  const event = <u32>vmread(VMCS.EXIT_EVENT);
  if ((event & EVENT_TYPE) == EVENT_NMI) {
    // Bochs reports the host's NMI as if it blocked the guest's.
    if (v.nmiBlocked == 0) {
      vmwrite(VMCS.GUEST_INTERRUPTIBILITY, vmread(VMCS.GUEST_INTERRUPTIBILITY) & ~BLOCKED_BY_NMI);
    }
    return HvmExit.Interrupt;
  }
  const vector = event & EVENT_VECTOR;
  if (vector != VECTOR_DB && vector != VECTOR_AC) return HvmExit.Unknown;
  // What was being delivered is delivered again, and meets the same exception if it must.
  if (vmxRedeliver(v)) return HvmExit.None;
  if ((event & EVENT_NMI_UNBLOCKED) != 0) vmxBlockNmiAgain(v);
  if (vector == VECTOR_AC) return fault(v, VECTOR_AC, 0);
  if ((event & EVENT_TYPE) == EVENT_EXCEPTION) {
    // The processor does not update either register; software that delivers the exception must.
    setDr6(v, (getDr6(v) & ~DR6_HIT) | DR6_ONES | (vmread(VMCS.EXIT_QUALIFICATION) & DR6_REPORTED));
    setDr7(v, getDr7(v) & ~DR7_GENERAL_DETECT);
    // A shadow with single-stepping on must come with a pending step, or the entry is refused (SDM 3C 27.3.1.5).
    if ((getRflags(v) & RFLAGS_TF) != 0 && getInterruptShadow(v)) {
      vmwrite(VMCS.GUEST_PENDING_DEBUG, vmread(VMCS.GUEST_PENDING_DEBUG) | PENDING_STEP);
    }
  } else {
    vmxSkip(v); // INT1: delivered as a trap
  }
  return fault(v, VECTOR_DB, -1);
}
