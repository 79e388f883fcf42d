/**
 * The kernel's part of a guest's local APICs (arch-x86/vlapic/state.ts has the registers): creation, timers, delivery of
 * interrupts, and actions requested by a guest's APIC accesses. A domain has them if it was created with
 * XEN_X86_EMU_LAPIC. Interprocessor interrupts are in ipi.ts.
 */
import { ENOMEM } from "../../abi/errno";
import { hvmCancelOffer, hvmOfferInterrupt } from "../../arch-x86/hvm";
import { Vlapic, vlapicAccept, vlapicPost, vlapicVector } from "../../arch-x86/vlapic/state";
import { vlapicReset } from "../../arch-x86/vlapic/reset";
import { TIMER_NEVER, vlapicTimerFire, vlapicTimerNext } from "../../arch-x86/vlapic/timer";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { vcpuWake } from "../scheduling/scheduler";
import { nsAtTsc } from "../scheduling/time";
import { Timer, timerSet, timerStop } from "../scheduling/timer";
import { Vcpu } from "../records/vcpu";

/** Allocates a new vCPU's APIC, after hvmVcpuInit. 0 or -ENOMEM. */
export function vlapicCreate(v: Vcpu): i32 {
  v.vlapic = heapAllocFor(v.domain, offsetof<Vlapic>());
  if (!v.vlapic) return -ENOMEM;
  vlapicReset(v);
  v.apicEffects = 0;
  return 0;
}

/** Undoes vlapicCreate; the vCPU's timers are stopped. */
export function vlapicDestroy(v: Vcpu): void {
  if (v.vlapic) heapFreeFor(v.domain, v.vlapic, offsetof<Vlapic>());
  v.vlapic = 0;
}

/** Its state was loaded by a toolstack: the timer resumes, and pending interrupts are delivered. */
export function vlapicRestored(v: Vcpu): void {
  v.apicEffects = 0;
  vlapicTimerArm(v);
  if (v.apicVector) vcpuWake(v);
}

/** Accepts an interrupt message and wakes the vCPU if it is deliverable. False: it was already pending. */
export function vlapicInterrupt(v: Vcpu, vector: u32): bool {
  const news = vlapicPost(v, vector);
  if (v.apicVector) vcpuWake(v);
  return news;
}

/** evtchn_upcall_pending was set: a vector of the vCPU's own (HVMOP_set_evtchn_upcall_vector) goes through its APIC. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vlapicUpcall(v: Vcpu): void {
  if (v.upcallVector && v.vlapic) vlapicInterrupt(v, v.upcallVector);
}

/** Before an entry without an upcall: injects the APIC's interrupt, or requests an interrupt window. */
export function vlapicDeliver(v: Vcpu): void {
  const vector = vlapicVector(v);
  if (!vector) {
    hvmCancelOffer(v);
    return;
  }
  if (!hvmOfferInterrupt(v, vector)) return;
  vlapicAccept(v);
  if (v.apicTimerStalled) vlapicTimerArm(v);
  // A higher one has arrived meanwhile: deliver it when the handler re-enables interrupts.
  if (v.apicVector) hvmOfferInterrupt(v, v.apicVector);
}

/** Sets the kernel's timer for the APIC's. */
export function vlapicTimerArm(v: Vcpu): void {
  v.apicTimerStalled = 0;
  const next = vlapicTimerNext(v);
  if (next == TIMER_NEVER) timerStop(changetype<Timer>(v.apicTimer));
  // One later: several ticks of the TSC may be one nanosecond.
  else timerSet(changetype<Timer>(v.apicTimer), nsAtTsc(next) + 1);
}

/**
 * Callback of the kernel's timer. A periodic timer whose last interrupt is still pending resumes when that is delivered: a
 * guest that takes no interrupts costs nothing.
 */
export function vlapicTimerExpired(at: usize): void {
  const v = changetype<Vcpu>(at);
  const taken = vlapicTimerFire(v);
  if (taken) vlapicTimerArm(v);
  else v.apicTimerStalled = 1;
  if (v.apicVector) vcpuWake(v);
}
