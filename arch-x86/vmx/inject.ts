/**
 * Delivering interrupts and exceptions: ENTRY_EVENT carries one event into the next entry, and the processor clears it
 * at the exit (SDM 3C 27.6). Interrupt and NMI windows are exits that come as soon as the guest could take one.
 */
import { CR0_PE } from "../control-bits";
import { vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { RFLAGS_IF } from "../state";
import { CPU_INTERRUPT_WINDOW, CPU_NMI_WINDOW } from "./controls";
import { makeCurrent } from "./current";
import {
  BLOCKED_BY_MOV_SS,
  BLOCKED_BY_NMI,
  BLOCKED_BY_STI,
  EVENT_EXCEPTION,
  EVENT_EXTERNAL,
  EVENT_HAS_ERROR,
  EVENT_NMI,
  EVENT_SOFTWARE,
  EVENT_TYPE,
  EVENT_VALID,
  EVENT_VECTOR,
} from "./events";
import { vmxRead, vmxSetCpuControl, vmxWrite } from "./state";
import { VMCS } from "./vmcs";
import { VECTOR_PF, VECTOR_DF, VECTOR_NMI } from "../vectors";
import { combineExceptions, Combined } from "../double-fault";

function put(v: HvmVcpu, event: u32): void {
  vmxWrite(v, VMCS.ENTRY_EVENT, event | EVENT_VALID);
  v.eventPending = 1;
}

/** See hvmCanTakeInterrupt. */
export function vmxCanTakeInterrupt(v: HvmVcpu): bool {
  if (v.eventPending != 0) return false;
  makeCurrent(v);
  if ((vmread(VMCS.GUEST_RFLAGS) & RFLAGS_IF) == 0) return false;
  const blocked = vmread(VMCS.GUEST_INTERRUPTIBILITY);
  if ((blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) != 0) return false;
  // An NMI that the guest can take now comes first.
  return v.nmiPending == 0 || (blocked & BLOCKED_BY_NMI) != 0;
}

/** See hvmOfferInterrupt. */
export function vmxOfferInterrupt(v: HvmVcpu, vector: u32): bool {
  if (vmxCanTakeInterrupt(v)) {
    put(v, EVENT_EXTERNAL | vector);
    vmxCancelOffer(v);
    return true;
  }
  v.windowOpen = 1;
  vmxSetCpuControl(v, CPU_INTERRUPT_WINDOW, true);
  return false;
}

/** See hvmCancelOffer. */
export function vmxCancelOffer(v: HvmVcpu): void {
  v.windowOpen = 0;
  vmxSetCpuControl(v, CPU_INTERRUPT_WINDOW, false);
}

/** See injectException. */
export function vmxInjectException(v: HvmVcpu, vector: u32, errorCode: i32, cr2: u64): void {
  if (vector == VECTOR_PF) v.cr2 = cr2;
  if (v.eventPending != 0) {
    const pending = <u32>vmxRead(v, VMCS.ENTRY_EVENT);
    if ((pending & EVENT_TYPE) == EVENT_EXCEPTION) {
      const combined = combineExceptions(pending & EVENT_VECTOR, vector);
      if (combined == Combined.Shutdown) {
        v.shutdownPending = 1;
        return;
      }
      if (combined == Combined.DoubleFault) {
        putException(v, VECTOR_DF, 0);
        return;
      }
    } else if ((pending & EVENT_TYPE) == EVENT_NMI) {
      // The exception comes first; the NMI is not lost.
      v.nmiPending = 1;
    }
  }
  putException(v, vector, errorCode);
}

/** In real mode no exception pushes an error code, and an entry that asks for one is refused (SDM 3C 27.2.1.3). */
function putException(v: HvmVcpu, vector: u32, errorCode: i32): void {
  let event = EVENT_EXCEPTION | vector;
  if (errorCode != -1 && (vmxRead(v, VMCS.GUEST_CR0) & CR0_PE) != 0) {
    vmxWrite(v, VMCS.ENTRY_ERROR_CODE, <u32>errorCode);
    event |= EVENT_HAS_ERROR;
  }
  put(v, event);
}

/** See hvmInjectNmi. */
export function vmxInjectNmi(v: HvmVcpu): void {
  v.nmiPending = 1;
}

/** Before an entry with nmiPending: injects the NMI if the guest can take it, else asks for an exit when it can. */
export function vmxPrepareNmi(v: HvmVcpu): void {
  const blocked = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI;
  if (v.eventPending != 0 || (vmxRead(v, VMCS.GUEST_INTERRUPTIBILITY) & blocked) != 0) {
    vmxSetCpuControl(v, CPU_NMI_WINDOW, true);
    return;
  }
  put(v, EVENT_NMI | VECTOR_NMI);
  v.nmiPending = 0;
  v.nmiBlocked = 1;
}

/** The NMI window has come. */
export function vmxNmiWindow(v: HvmVcpu): void {
  vmxSetCpuControl(v, CPU_NMI_WINDOW, false);
}

/**
 * After an exit that may have cut short the delivery of an event: it is injected again at the next entry (SDM 3C
 * 28.2.4). Not so INT n, INT3, INTO and INT1: RIP is still at the instruction, which will run again.
 * @returns whether there was one
 */
export function vmxRedeliver(v: HvmVcpu): bool {
  const cut = <u32>vmxRead(v, VMCS.VECTORING_EVENT);
  if ((cut & EVENT_VALID) == 0) return false;
  const type = cut & EVENT_TYPE;
  if (type >= EVENT_SOFTWARE) return true;
  if ((cut & EVENT_HAS_ERROR) != 0) {
    vmxWrite(v, VMCS.ENTRY_ERROR_CODE, vmxRead(v, VMCS.VECTORING_ERROR_CODE));
  }
  if (type == EVENT_NMI) {
    // Its delivery set the blocking, with which it could not be injected.
    const blocked = vmxRead(v, VMCS.GUEST_INTERRUPTIBILITY);
    vmxWrite(v, VMCS.GUEST_INTERRUPTIBILITY, blocked & ~BLOCKED_BY_NMI);
  }
  put(v, cut & (EVENT_VECTOR | EVENT_TYPE | EVENT_HAS_ERROR));
  return true;
}

/** After an exit that an IRET's fault made: the NMIs it was about to unblock are still blocked (SDM 3C 28.2.3). */
export function vmxBlockNmiAgain(v: HvmVcpu): void {
  vmxWrite(v, VMCS.GUEST_INTERRUPTIBILITY, vmxRead(v, VMCS.GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

/** See getPendingEvent of inject.ts. */
export function vmxGetPendingEvent(v: HvmVcpu): u64 {
  return vmxRead(v, VMCS.ENTRY_EVENT) | (vmxRead(v, VMCS.ENTRY_ERROR_CODE) << 32);
}

/** See setPendingEvent of inject.ts. */
export function vmxSetPendingEvent(v: HvmVcpu, event: u64): void {
  vmxWrite(v, VMCS.ENTRY_ERROR_CODE, event >> 32);
  put(v, (<u32>event) & (EVENT_VECTOR | EVENT_TYPE | EVENT_HAS_ERROR));
}

/** See resetEvents of inject.ts. */
export function vmxResetEvents(v: HvmVcpu): void {
  vmxWrite(v, VMCS.ENTRY_EVENT, 0);
  vmxWrite(v, VMCS.GUEST_INTERRUPTIBILITY, 0);
  vmxWrite(v, VMCS.GUEST_PENDING_DEBUG, 0);
  vmxCancelOffer(v);
}
