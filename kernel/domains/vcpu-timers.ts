/**
 * The timers of a vCPU: single-shot and periodic, which raise VIRQ_TIMER, the timeout of SCHEDOP_poll, and its local
 * APIC's (vlapic.ts). They are allocated with the vCPU and armed without allocating.
 */
import { ENOMEM } from "../../abi/errno";
import { VIRQ_TIMER } from "../../abi/xen";
import { sendVirq } from "../events/event-channel";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { vcpuWake } from "../scheduling/scheduler";
import { nowNs } from "../scheduling/time";
import { Timer, timerInit, timerSet, timerStop } from "../scheduling/timer";
import { Vcpu } from "../records/vcpu";
import { vlapicTimerExpired } from "../events/vlapic-delivery";

const TIMERS_BYTES: usize = 4 * offsetof<Timer>();

function singleshotExpired(v: usize): void {
  sendVirq(changetype<Vcpu>(v), VIRQ_TIMER);
}

function periodExpired(at: usize): void {
  const v = changetype<Vcpu>(at);
  if (!v.periodNs) return;
  sendVirq(v, VIRQ_TIMER);
  // From now, not from the deadline: a vCPU that was paused for long gets one event, not a burst.
  timerSet(changetype<Timer>(v.periodicTimer), nowNs() + v.periodNs);
}

function pollExpired(at: usize): void {
  vcpuWake(changetype<Vcpu>(at));
}

/** Allocates the timers of a new vCPU. 0 or -ENOMEM. */
export function vcpuTimersInit(v: Vcpu): i32 {
  const block = heapAllocFor(v.domain, TIMERS_BYTES);
  if (!block) return -ENOMEM;
  const at = changetype<usize>(v);
  v.singleshotTimer = block;
  v.periodicTimer = block + offsetof<Timer>();
  v.pollTimer = block + 2 * offsetof<Timer>();
  v.apicTimer = block + 3 * offsetof<Timer>();
  timerInit(changetype<Timer>(v.singleshotTimer), singleshotExpired, at);
  timerInit(changetype<Timer>(v.periodicTimer), periodExpired, at);
  timerInit(changetype<Timer>(v.pollTimer), pollExpired, at);
  timerInit(changetype<Timer>(v.apicTimer), vlapicTimerExpired, at);
  return 0;
}

/** Stops them all: the vCPU will not run again, or starts anew. */
export function vcpuTimersStop(v: Vcpu): void {
  if (!v.singleshotTimer) return;
  timerStop(changetype<Timer>(v.singleshotTimer));
  timerStop(changetype<Timer>(v.periodicTimer));
  timerStop(changetype<Timer>(v.pollTimer));
  timerStop(changetype<Timer>(v.apicTimer));
  v.periodNs = 0;
}

export function vcpuTimersFree(v: Vcpu): void {
  if (!v.singleshotTimer) return;
  vcpuTimersStop(v);
  heapFreeFor(v.domain, v.singleshotTimer, TIMERS_BYTES);
  v.singleshotTimer = 0;
}

/** Arms the single-shot timer for system time `ns`. */
export function singleshotSet(v: Vcpu, ns: u64): void {
  timerSet(changetype<Timer>(v.singleshotTimer), ns);
}

export function singleshotStop(v: Vcpu): void {
  timerStop(changetype<Timer>(v.singleshotTimer));
}

/** Sets the period, 0 to stop; with a period the first event comes at once, as on Xen. */
export function periodicSet(v: Vcpu, periodNs: u64): void {
  timerStop(changetype<Timer>(v.periodicTimer));
  v.periodNs = periodNs;
  if (periodNs) periodExpired(changetype<usize>(v));
}

/** Arms the timeout of SCHEDOP_poll. */
export function pollTimerSet(v: Vcpu, ns: u64): void {
  timerSet(changetype<Timer>(v.pollTimer), ns);
}
