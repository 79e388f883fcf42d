/**
 * Delivering event-channel upcalls to hardware guests as interrupts: by the vector a vCPU has set
 * (HVMOP_set_evtchn_upcall_vector), else by the domain's callback vector (HVM_PARAM_CALLBACK_IRQ, type 2). Like a
 * level-triggered line it is asserted as long as evtchn_upcall_pending is set.
 */
import { hvmCancelOffer, hvmInterruptsEnabled, hvmOfferInterrupt } from "../arch-x86/hvm";
import { DomainKind } from "./domain";
import { upcallPending } from "./event-channel";
import { Vcpu } from "./vcpu";

// @ts-expect-error: decorator of AssemblyScript
@inline
function upcallVector(v: Vcpu): u32 {
  return v.upcallVector ? v.upcallVector : v.domain.callbackVector;
}

/**
 * Before each entry of a hardware guest: injects the upcall, or opens the interrupt window until the guest can take it.
 */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function upcallDeliver(v: Vcpu): void {
  if (upcallPending(v)) {
    const vector = upcallVector(v);
    // The line stays up until the guest clears the flag: once the handler lets interrupts in again, look again.
    if (vector && hvmOfferInterrupt(v, vector)) hvmOfferInterrupt(v, vector);
  } else if (v.windowOpen) {
    hvmCancelOffer(v);
  }
}

/**
 * Whether an event would get through to the vCPU now, so that it must not block. A hardware guest with interrupts off
 * can be told nothing: it may block, and wakes when an event comes, as on Xen.
 */
export function eventDeliverable(v: Vcpu): bool {
  if (v.nmiPending) return true;
  if (!upcallPending(v)) return false;
  if (v.domain.kind == DomainKind.Software) return true;
  return upcallVector(v) != 0 && hvmInterruptsEnabled(v);
}
