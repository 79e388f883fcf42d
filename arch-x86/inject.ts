/** Raising exceptions, and events pending for the next entry, on either vendor. */
import { HvmVcpu } from "./hvm-vcpu";
import { svmGetPendingEvent, svmInjectException, svmResetEvents, svmSetPendingEvent } from "./svm/inject";
import { vendor, VENDOR_SVM } from "./vendor";
import { vmxGetPendingEvent, vmxInjectException, vmxResetEvents, vmxSetPendingEvent } from "./vmx/inject";

/** Of an event in the format both vendors share: there is one. */
const EVENT_VALID: u64 = 1 << 31;
const EVENT_TYPE_SHIFT: u64 = 8;
const EVENT_TYPE_SOFTWARE: u64 = 4;

/**
 * Raises an exception at the next entry. With another exception pending the two combine as on hardware (#DF, shutdown).
 * @param errorCode -1 for a vector without one
 * @param cr2 for vector 14, the faulting address; else ignored
 */
export function injectException(v: HvmVcpu, vector: u32, errorCode: i32, cr2: u64): void {
  if (vendor == VENDOR_SVM) svmInjectException(v, vector, errorCode, cr2);
  else vmxInjectException(v, vector, errorCode, cr2);
}

/** The event that the next entry delivers: vector, type, flags in bits 0..31, error code above; 0 when there is none. */
export function getPendingEvent(v: HvmVcpu): u64 {
  if (v.eventPending == 0) return 0;
  return vendor == VENDOR_SVM ? svmGetPendingEvent(v) : vmxGetPendingEvent(v);
}

/**
 * Makes the next entry deliver an event saved earlier. One that is not valid is none, and so is a software interrupt:
 * RIP is at the instruction, which will run again.
 */
export function setPendingEvent(v: HvmVcpu, event: u64): void {
  if ((event & EVENT_VALID) == 0 || ((event >> EVENT_TYPE_SHIFT) & 7) >= EVENT_TYPE_SOFTWARE) return;
  if (vendor == VENDOR_SVM) svmSetPendingEvent(v, event);
  else vmxSetPendingEvent(v, event);
}

/** Clears all pending events, and everything that blocks them. */
export function resetEvents(v: HvmVcpu): void {
  if (vendor == VENDOR_SVM) svmResetEvents(v);
  else vmxResetEvents(v);
  v.eventPending = 0;
  v.nmiPending = 0;
  v.nmiBlocked = 0;
  v.shutdownPending = 0;
}
