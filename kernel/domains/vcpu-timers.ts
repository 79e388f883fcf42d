/**
 * The timers of a vCPU: single-shot and periodic, which raise VIRQ_TIMER, the timeout of SCHEDOP_poll, and its local
 * APIC's (vlapic.ts). They are allocated with the vCPU and armed without allocating.
 */
import { ENOMEM } from "../../abi/errno";
import { VIRQ_TIMER } from "../../abi/xen";
import { sendVirq } from "../events/event-channel";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { schedulerOwe, vcpuOnCpu, vcpuWake } from "../scheduling/scheduler";
import { nowNs } from "../scheduling/time";
import { Timer, timerInit, timerSet, timerStop } from "../scheduling/timer";
import { Vcpu } from "../records/vcpu";
import { vlapicTimerExpired } from "../events/vlapic-delivery";

/**
 * CPU time that a timer's expiry takes from the running vCPU, ns: an exit, a turn of the loop, the event. It is charged to the
 * timer's vCPU if that is not the one running.
 */
const TIMER_COST_NS: u64 = 2000;

const TIMERS_BYTES: usize = 4 * offsetof<Timer>();

function singleshotExpired(v: usize): void {
  schedulerOwe(changetype<Vcpu>(v), TIMER_COST_NS);
  sendVirq(changetype<Vcpu>(v), VIRQ_TIMER);
}

function periodExpired(at: usize): void {
  periodTick(changetype<Vcpu>(at), nowNs());
}

/** From now, not from the deadline: a vCPU that did not run for long gets one event, not a burst. */
function periodTick(v: Vcpu, now: u64): void {
  v.periodLastNs = now;
  sendVirq(v, VIRQ_TIMER);
  timerSet(changetype<Timer>(v.periodicTimer), now + v.periodNs);
}

function pollExpired(at: usize): void {
  schedulerOwe(changetype<Vcpu>(at), TIMER_COST_NS);
  vcpuWake(changetype<Vcpu>(at));
}

function apicExpired(at: usize): void {
  schedulerOwe(changetype<Vcpu>(at), TIMER_COST_NS);
  vlapicTimerExpired(at);
}

/**
 * The vCPU has been scheduled: its periodic timer resumes, with an immediate event if one has become due. As on Xen it ticks
 * only while the vCPU runs, so that a vCPU that sleeps, is paused or is shut down costs nothing.
 */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function periodicResume(v: Vcpu, now: u64): void {
  if (v.periodNs) periodicGoOn(v, now);
}

function periodicGoOn(v: Vcpu, now: u64): void {
  if (now - v.periodLastNs >= v.periodNs) periodTick(v, now);
  else timerSet(changetype<Timer>(v.periodicTimer), v.periodLastNs + v.periodNs);
}

/** The vCPU has been descheduled. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function periodicSuspend(v: Vcpu): void {
  if (v.periodNs) timerStop(changetype<Timer>(v.periodicTimer));
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
  timerInit(changetype<Timer>(v.apicTimer), apicExpired, at);
  return 0;
}

/** Stops them all: the vCPU will not run again, or is restarted. */
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

/** Sets the period, 0 to stop; with a period the first event comes immediately, as on Xen, or as soon as the vCPU runs. */
export function periodicSet(v: Vcpu, periodNs: u64): void {
  timerStop(changetype<Timer>(v.periodicTimer));
  v.periodNs = periodNs;
  v.periodLastNs = 0;
  if (periodNs && vcpuOnCpu(v)) periodTick(v, nowNs());
}

/** Arms the timeout of SCHEDOP_poll. */
export function pollTimerSet(v: Vcpu, ns: u64): void {
  timerSet(changetype<Timer>(v.pollTimer), ns);
}
