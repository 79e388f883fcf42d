/**
 * Delivering interrupts to hardware guests before they are entered. Event-channel upcalls come by the domain's callback
 * vector (HVM_PARAM_CALLBACK_IRQ, type 2), past the local APIC: like a level-triggered line it is asserted as long as
 * evtchn_upcall_pending is set. A vector that a vCPU has set (HVMOP_set_evtchn_upcall_vector) is a message to its local
 * APIC (vlapicUpcall); where it has none, it takes the callback vector's place.
 */
import { hvmInterruptsEnabled, hvmInterruptWork, hvmOfferInterrupt } from "../../arch-x86/hvm";
import { vlapicVector } from "../../arch-x86/vlapic/state";
import { DomainKind } from "../records/domain";
import { Vcpu } from "../records/vcpu";
import { vlapicDeliver } from "./vlapic-delivery";
import { upcallPending } from "./event-notify";
import * as hw from "../../arch-x86/hw";
import { vcpuInfoPa } from "./shared-info";
import { VcpuInfo } from "../../abi/xen";
import { vcpuBlock } from "../scheduling/scheduler";

// @ts-expect-error: decorator of AssemblyScript
@inline
function directVector(v: Vcpu): u32 {
  return v.upcallVector && !v.vlapic ? v.upcallVector : v.domain.callbackVector;
}

/**
 * Before each entry of a hardware guest: injects the upcall, else the local APIC's interrupt, or requests an interrupt window
 * if the guest cannot take it yet.
 */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function upcallDeliver(v: Vcpu): void {
  if (upcallPending(v)) {
    const vector = directVector(v);
    if (vector) {
      // The line stays asserted until the guest clears the flag: check again when the handler re-enables interrupts.
      if (hvmOfferInterrupt(v, vector)) hvmOfferInterrupt(v, vector);
      return;
    }
  }
  if (hvmInterruptWork(v)) vlapicDeliver(v);
}

/**
 * Whether an event or interrupt could be delivered to the vCPU now, so that it must not block. A hardware guest with interrupts
 * off cannot be interrupted: it may block, and wakes when an event comes, as on Xen.
 */
export function eventDeliverable(v: Vcpu): bool {
  if (v.nmiPending) return true;
  if (v.domain.kind == DomainKind.Software) return upcallPending(v);
  const some = vlapicVector(v) != 0 || (upcallPending(v) && directVector(v) != 0);
  return some && hvmInterruptsEnabled(v);
}

/** SCHEDOP_block, HLT, and the end of a software domain's turn: enables upcalls, then waits unless one is pending. */
export function blockWithEvents(v: Vcpu): void {
  hw.store8(vcpuInfoPa(v) + VcpuInfo.evtchn_upcall_mask, 0);
  if (!eventDeliverable(v)) vcpuBlock(v);
}
