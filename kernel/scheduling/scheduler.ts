/**
 * Chooses which vCPU runs. Fair by CPU time: each vCPU has a virtual run time that grows as it runs, slower for a higher
 * weight, and the vCPU with the smallest one runs next, for up to a slice. A vCPU that wakes is urgent: it gets the CPU
 * at the hypervisor's next turn, for a short time, and then competes like all others. That time is charged, and a vCPU
 * far ahead of the others is not made urgent, so waking often does not gain more than the fair share.
 *
 * Domain 0 is prompt: as long as it has budget it gets the CPU at the hypervisor's next turn, before all guests. Its budget
 * shrinks while it runs and grows while it does not, ns for ns; when it is used up, domain 0 waits until part of it has been
 * replenished. So it never waits longer than REST_NS for guests, however many vCPUs are runnable, and they get half the CPU even
 * if it never sleeps.
 *
 * The I/O domain, the device class, has a smaller budget of the same kind, which grows half as fast: it gets the CPU before
 * domain 0, for DEVICE_BUDGET_NS in a row and a third of the time. With both never asleep, a sixth is left to the guests; and
 * while no guest wants the CPU the two share it.
 *
 * The rest of the kernel uses only the exported functions; the policy can be replaced behind them.
 * Calling context: any CPU, interrupts off.
 */
import { RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running } from "../../abi/vcpu";
import * as hw from "../../arch-x86/hw";
import { EINVAL } from "../../abi/errno";
import { Cpu, cpuOf } from "../records/cpu";
import { Domain, DomainKind } from "../records/domain";
import { HeapNode, heapHolds, heapInsert, heapRemove } from "./pairing-heap";
import { nowNs } from "./time";
import { Timer, timerArmed, timerStop } from "./timer";
import { SchedClass, Vcpu, VcpuRun } from "../records/vcpu";
import { runstateSet } from "./runstate";

/** Bits of Vcpu.pauseFlags. */
export const PAUSE_DOMAIN: u32 = 1;
export const PAUSE_SHUTDOWN: u32 = 4;
/** Being destroyed: set once, never cleared, so that the domain cannot run while its resources are being freed. */
export const PAUSE_DYING: u32 = 8;

/** Time slice of a vCPU while others wait. */
const SLICE_NS: u64 = 10000000;
/** Time that a woken vCPU runs before it competes with the others. */
const URGENT_NS: u64 = 1000000;
/** A vCPU that is ahead of the others by more than this is not urgent when it wakes. */
const AHEAD_NS: u64 = 10000000;
/** A waiting vCPU takes the CPU within the running one's slice only if it is behind by more than this. */
const PREEMPT_NS: u64 = 1000000;
/** Longest uninterrupted run of a prompt vCPU while others wait. */
const BUDGET_NS: u64 = 5000000;
/** The budget it waits for when its budget is used up: the longest wait. */
const REST_NS: u64 = 2500000;
/** The same of a device vCPU; its budget grows by 1 ns in 2^DEVICE_REFILL_SHIFT. */
const DEVICE_BUDGET_NS: u64 = 2000000;
const DEVICE_REST_NS: u64 = 500000;
const DEVICE_REFILL_SHIFT: u64 = 1;
/** Neutral weight; virtual time runs at WEIGHT / schedWeight of real time. */
export const SCHED_WEIGHT: u32 = 256;

// @ts-expect-error: decorator of AssemblyScript
@inline
function nodeOf(v: Vcpu): HeapNode {
  return changetype<HeapNode>(changetype<usize>(v) + offsetof<Vcpu>("schedKey"));
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function vcpuOfNode(node: usize): Vcpu {
  return changetype<Vcpu>(node - offsetof<Vcpu>("schedKey"));
}

/** Whether it runs by a budget: prompt or device. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function hasBudget(v: Vcpu): bool {
  return v.schedClass == SchedClass.Prompt || v.schedClass == SchedClass.Device;
}

/** Nothing keeps it from running. */
export function vcpuEligible(v: Vcpu): bool {
  return v.pauseFlags == 0 && (v.run == VcpuRun.Runnable || v.run == VcpuRun.Running);
}

/** It has a CPU now. */
export function vcpuOnCpu(v: Vcpu): bool {
  return cpuOf(v.cpu).current == changetype<usize>(v);
}

/** Where the root of the heap is in which `v` waits: there is one for each class. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function rootOf(c: Cpu, v: Vcpu): usize {
  return changetype<usize>(c) + offsetof<Cpu>("schedFair") + ((<usize>v.schedClass) << 2);
}

function enqueue(c: Cpu, v: Vcpu): void {
  if (heapHolds(nodeOf(v))) return;
  const root = rootOf(c, v);
  store<usize>(root, heapInsert(load<usize>(root), nodeOf(v)));
  c.schedWaiting++;
}

function dequeue(c: Cpu, v: Vcpu): void {
  if (!heapHolds(nodeOf(v))) return;
  const root = rootOf(c, v);
  store<usize>(root, heapRemove(load<usize>(root), nodeOf(v)));
  c.schedWaiting--;
}

/** The state that getdomaininfo and the guest see of a vCPU that has no CPU. */
function idleState(v: Vcpu): u32 {
  if (v.run == VcpuRun.Blocked) return RUNSTATE_blocked;
  return vcpuEligible(v) ? RUNSTATE_runnable : RUNSTATE_offline;
}

/** After a change of `run` or `pauseFlags`: puts the vCPU where it now belongs. */
function settle(v: Vcpu, woken: bool): void {
  const c = cpuOf(v.cpu);
  hw.lock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
  if (c.current == changetype<usize>(v)) {
    // In any case the loop chooses again before the next entry.
    if (!vcpuEligible(v)) c.reschedule = 1;
  } else {
    if (vcpuEligible(v)) {
      if (heapHolds(nodeOf(v))) {
        // It waits already.
      } else if (hasBudget(v)) {
        budgetWait(v, nowNs());
        enqueue(c, v);
        c.reschedule = 1;
      } else {
        v.schedKey = max(v.schedKey, c.schedFloor);
        v.schedClass = woken && v.schedKey <= c.schedFloor + AHEAD_NS ? SchedClass.Urgent : SchedClass.Fair;
        enqueue(c, v);
        const running = changetype<Vcpu | null>(c.current);
        // The first to wait ends the long stretch that the running one was given for itself: its slice counts again.
        if (c.schedWaiting == 1 || running == null) c.reschedule = 1;
        else if (!hasBudget(running)) {
          if (v.schedClass == SchedClass.Urgent || v.schedKey + PREEMPT_NS < liveKey(running)) c.reschedule = 1;
        }
      }
    } else {
      dequeue(c, v);
    }
    runstateSet(v, idleState(v), nowNs());
  }
  hw.unlock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
}

/** Virtual run time of the current vCPU, including the time since it was last charged. */
function liveKey(v: Vcpu): u64 {
  return v.schedKey + virtualTime(v, nowNs() - v.schedSinceNs);
}

function virtualTime(v: Vcpu, ns: u64): u64 {
  return v.schedWeight == SCHED_WEIGHT ? ns : (ns * SCHED_WEIGHT) / v.schedWeight;
}

function budgetMax(v: Vcpu): u64 {
  return v.schedClass == SchedClass.Device ? DEVICE_BUDGET_NS : BUDGET_NS;
}

/** Replenishes the budget of a prompt or device vCPU that has not run since schedSinceNs. */
function refill(v: Vcpu, now: u64): void {
  if (now > v.schedSinceNs) {
    const rested = now - v.schedSinceNs;
    const more = v.schedClass == SchedClass.Device ? rested >> DEVICE_REFILL_SHIFT : rested;
    v.schedBudgetNs = min(v.schedBudgetNs + more, budgetMax(v));
  }
  v.schedSinceNs = now;
}

/** Sets the key by which a prompt or device vCPU waits: when it may run. */
function budgetWait(v: Vcpu, now: u64): void {
  refill(v, now);
  const device = v.schedClass == SchedClass.Device;
  const rest = device ? DEVICE_REST_NS : REST_NS;
  const lacks = v.schedBudgetNs < rest ? rest - v.schedBudgetNs : 0;
  v.schedKey = now + (device ? lacks << DEVICE_REFILL_SHIFT : lacks);
}

/** Prepares a new vCPU: down, weight neutral; prompt if it is the control plane's, of the device class if the I/O domain's. */
export function schedulerAdd(v: Vcpu): void {
  v.run = VcpuRun.Down;
  v.schedWeight = SCHED_WEIGHT;
  v.schedClass = SchedClass.Fair;
  if (v.domain.kind == DomainKind.Software) v.schedClass = v.domain.privileged ? SchedClass.Prompt : SchedClass.Device;
  v.schedBudgetNs = budgetMax(v);
  v.runstate = RUNSTATE_offline;
  v.runstateSince = nowNs();
}

/** Removes a vCPU that is about to be freed from all queues; it is not the caller. */
export function schedulerRemove(v: Vcpu): void {
  const c = cpuOf(v.cpu);
  v.run = VcpuRun.Down;
  dequeue(c, v);
  if (c.current == changetype<usize>(v)) {
    c.current = 0;
    c.reschedule = 1;
  }
}

/** An event came for a vCPU that waits (SCHEDOP_block, SCHEDOP_poll, HLT): it may run. No effect on others. */
export function vcpuWake(v: Vcpu): void {
  if (v.run != VcpuRun.Blocked) return;
  v.polling = 0;
  if (timerArmed(changetype<Timer>(v.pollTimer))) timerStop(changetype<Timer>(v.pollTimer));
  v.run = VcpuRun.Runnable;
  settle(v, true);
}

/** The vCPU waits for an event. The caller has checked that none is pending. */
export function vcpuBlock(v: Vcpu): void {
  if (v.run != VcpuRun.Runnable && v.run != VcpuRun.Running) return;
  v.run = VcpuRun.Blocked;
  settle(v, false);
}

/** VCPUOP_up: from Down to runnable. False when it was not down. */
export function vcpuUp(v: Vcpu): bool {
  if (v.run != VcpuRun.Down) return false;
  v.run = VcpuRun.Runnable;
  settle(v, false);
  return true;
}

/** VCPUOP_down. */
export function vcpuDown(v: Vcpu): void {
  v.run = VcpuRun.Down;
  settle(v, false);
}

/** Sets or clears one of the reasons (PAUSE_*) that keep a vCPU from running. */
export function vcpuPauseFlag(v: Vcpu, flag: u32, on: bool): void {
  const flags = on ? v.pauseFlags | flag : v.pauseFlags & ~flag;
  if (flags == v.pauseFlags) return;
  v.pauseFlags = flags;
  settle(v, false);
}

/** Sets or clears a reason for every vCPU of a domain. */
export function domainPauseFlag(d: Domain, flag: u32, on: bool): void {
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = changetype<Vcpu | null>(load<usize>(d.vcpus + ((<usize>i) << 2)));
    if (v != null) vcpuPauseFlag(v, flag, on);
  }
}

/** XEN_DOMCTL_pausedomain: counts, and stops every vCPU. The caller's own domain stops at the hypercall's end. */
export function domainPause(d: Domain): void {
  d.pauseCount++;
  domainPauseFlag(d, PAUSE_DOMAIN, true);
}

/** XEN_DOMCTL_unpausedomain: counts down; at 0 the domain runs. -EINVAL when it was not paused. */
export function domainUnpause(d: Domain): i32 {
  if (d.pauseCount == 0) return -EINVAL;
  d.pauseCount--;
  if (d.pauseCount) return 0;
  d.started = 1;
  domainPauseFlag(d, PAUSE_DOMAIN, false);
  return 0;
}

/** SCHEDOP_yield: yields the CPU to the first waiting vCPU, and gives up any lead over it. */
export function schedulerYield(v: Vcpu): void {
  const c = cpuOf(v.cpu);
  if (c.current != changetype<usize>(v) || !c.schedWaiting) return;
  schedulerCharge(c, nowNs());
  if (hasBudget(v)) {
    v.schedBudgetNs = 0;
  } else {
    if (c.schedFair) v.schedKey = max(v.schedKey, changetype<HeapNode>(c.schedFair).key);
    v.schedClass = SchedClass.Fair;
  }
  c.sliceEndNs = 0;
  c.reschedule = 1;
}

/** Charges the current vCPU the time since it got the CPU, or since the latest charge. */
export function schedulerCharge(c: Cpu, now: u64): void {
  const v = changetype<Vcpu | null>(c.current);
  if (v == null || now <= v.schedSinceNs) return;
  const used = now - v.schedSinceNs;
  if (hasBudget(v)) v.schedBudgetNs -= min(used, v.schedBudgetNs);
  else v.schedKey += virtualTime(v, used);
  v.schedSinceNs = now;
}

/**
 * Charges a vCPU that may be waiting or asleep for work that the hypervisor does for it while others run, before the
 * work wakes it. No effect on the vCPU that is running, which is charged by the clock.
 */
export function schedulerOwe(v: Vcpu, ns: u64): void {
  const c = cpuOf(v.cpu);
  if (c.current == changetype<usize>(v)) return;
  if (hasBudget(v)) {
    v.schedBudgetNs -= min(ns, v.schedBudgetNs);
    return;
  }
  hw.lock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
  const waits = heapHolds(nodeOf(v));
  if (waits) dequeue(c, v);
  v.schedKey = max(v.schedKey, c.schedFloor) + virtualTime(v, ns);
  if (waits) enqueue(c, v);
  hw.unlock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
}

/**
 * Chooses the vCPU that runs on this CPU from `now` on, and sets c.current and the end of its slice.
 * @returns null if none is runnable
 */
export function schedulerPick(c: Cpu, now: u64): Vcpu | null {
  hw.lock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
  c.reschedule = 0;
  schedulerCharge(c, now);
  const chosen = choose(c, now);
  if (chosen != c.current) {
    exchange(c, chosen, now);
  } else if (chosen) {
    changetype<Vcpu>(chosen).run = VcpuRun.Running; // it may have blocked and been woken since
    if (now >= c.sliceEndNs) startSlice(c, changetype<Vcpu>(chosen), now);
  }
  if (chosen && !hasBudget(changetype<Vcpu>(chosen))) {
    const waiting = c.schedFair ? changetype<HeapNode>(c.schedFair).key : u64.MAX_VALUE;
    c.schedFloor = max(c.schedFloor, min(changetype<Vcpu>(chosen).schedKey, waiting));
  }
  hw.unlock(changetype<usize>(c) + offsetof<Cpu>("schedLock"));
  return changetype<Vcpu | null>(chosen);
}

function choose(c: Cpu, now: u64): usize {
  const previous = changetype<Vcpu | null>(c.current);
  const stays = previous != null && vcpuEligible(previous);
  const expired = now >= c.sliceEndNs;
  const budgeted = stays && hasBudget(previous!);
  const funded = budgeted && previous!.schedBudgetNs != 0;
  if (funded && previous!.schedClass == SchedClass.Device) return c.current;
  // Also one whose short stretch domain 0 interrupts again and again has its end.
  if (previous != null && previous.schedClass == SchedClass.Urgent) {
    if (expired || previous.schedKey > c.schedFloor + AHEAD_NS) previous.schedClass = SchedClass.Fair;
  }
  if (c.schedDevice && changetype<HeapNode>(c.schedDevice).key <= now) {
    return changetype<usize>(vcpuOfNode(c.schedDevice));
  }
  if (funded) return c.current;
  if (c.schedPrompt && changetype<HeapNode>(c.schedPrompt).key <= now) {
    return changetype<usize>(vcpuOfNode(c.schedPrompt));
  }
  if (stays && previous!.schedClass == SchedClass.Urgent) return c.current;
  if (c.schedUrgent) return changetype<usize>(vcpuOfNode(c.schedUrgent));
  if (!c.schedFair) {
    // A budget counts only while others want the CPU.
    if (stays) return c.current;
    const waiting = sooner(c.schedDevice, c.schedPrompt);
    return waiting ? changetype<usize>(vcpuOfNode(waiting)) : 0;
  }
  const first = vcpuOfNode(c.schedFair);
  if (stays && !budgeted) {
    // Within a slice only a vCPU far behind preempts; at its end the one furthest behind runs, possibly the same. A yield
    // has made the two equal.
    const ahead = expired ? first.schedKey > previous!.schedKey : first.schedKey + PREEMPT_NS >= previous!.schedKey;
    if (ahead) return c.current;
  }
  return changetype<usize>(first);
}

/** The node with the smaller key; either may be 0 for none. */
function sooner(a: usize, b: usize): usize {
  if (!a || !b) return a | b;
  return changetype<HeapNode>(a).key <= changetype<HeapNode>(b).key ? a : b;
}

function exchange(c: Cpu, chosen: usize, now: u64): void {
  const previous = changetype<Vcpu | null>(c.current);
  if (previous != null) {
    if (previous.run == VcpuRun.Running) previous.run = VcpuRun.Runnable; // also one that is paused
    if (hasBudget(previous)) {
      budgetWait(previous, now);
      // The I/O domain takes the CPU from domain 0, not what is left of its budget.
      if (previous.schedBudgetNs) previous.schedKey = now;
    }
    if (vcpuEligible(previous)) enqueue(c, previous);
    runstateSet(previous, idleState(previous), now);
  }
  c.current = chosen;
  if (!chosen) return;
  const next = changetype<Vcpu>(chosen);
  dequeue(c, next);
  next.run = VcpuRun.Running;
  if (hasBudget(next)) refill(next, now);
  next.schedSinceNs = now;
  runstateSet(next, RUNSTATE_running, now);
  startSlice(c, next, now);
}

function startSlice(c: Cpu, v: Vcpu, now: u64): void {
  let ns = SLICE_NS;
  if (v.schedClass == SchedClass.Urgent) ns = URGENT_NS;
  else if (hasBudget(v)) ns = v.schedBudgetNs ? v.schedBudgetNs : budgetMax(v);
  c.sliceEndNs = now + ns;
}

/**
 * The time until which the vCPU chosen by schedulerPick at `now` may run without rescheduling, ns of system time.
 * @param aloneNs the limit while no other vCPU waits
 */
export function schedulerDeadline(c: Cpu, now: u64, aloneNs: u64): u64 {
  if (!c.schedWaiting) return now + aloneNs;
  const v = changetype<Vcpu>(c.current);
  const funded = hasBudget(v) && v.schedBudgetNs != 0;
  let until = c.sliceEndNs;
  if (c.schedPrompt && !funded) until = min(until, changetype<HeapNode>(c.schedPrompt).key);
  if (c.schedDevice && !(funded && v.schedClass == SchedClass.Device)) {
    until = min(until, changetype<HeapNode>(c.schedDevice).key);
  }
  return until;
}

/** Makes a CPU's loop choose a vCPU at its first turn. */
export function schedulerStart(c: Cpu): void {
  c.reschedule = 1;
}
