/**
 * The kernel's part of a guest's local APICs (arch-x86/vlapic/state.ts has the registers): their life, their timers, interrupts
 * that arrive at one, and what a guest's use of its own asks for. A domain has them when it was created with
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

/** Gives a new vCPU its APIC, after hvmVcpuInit. 0 or -ENOMEM. */
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

/** Its state was loaded by a toolstack: the timer goes on, and what waits is delivered. */
export function vlapicRestored(v: Vcpu): void {
  v.apicEffects = 0;
  vlapicTimerArm(v);
  if (v.apicVector) vcpuWake(v);
}

/** An interrupt message arrives. Wakes the vCPU if it can get through. False: it was waiting already. */
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

/** Before an entry that upcalls have no use for: injects the APIC's interrupt, or opens the window until it can be taken. */
export function vlapicDeliver(v: Vcpu): void {
  const vector = vlapicVector(v);
  if (!vector) {
    hvmCancelOffer(v);
    return;
  }
  if (!hvmOfferInterrupt(v, vector)) return;
  vlapicAccept(v);
  if (v.apicTimerStalled) vlapicTimerArm(v);
  // A higher one has come meanwhile: as soon as the handler lets interrupts in.
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
 * Callback of the kernel's timer. A periodic one whose last interrupt still waits goes on when that is delivered: a guest
 * that takes none costs nothing.
 */
export function vlapicTimerExpired(at: usize): void {
  const v = changetype<Vcpu>(at);
  const taken = vlapicTimerFire(v);
  if (taken) vlapicTimerArm(v);
  else v.apicTimerStalled = 1;
  if (v.apicVector) vcpuWake(v);
}
