/**
 * One-shot timers on system time. The owner embeds or allocates a Timer and keeps it for as long as it is armed; arming
 * allocates nothing. Callbacks run from the CPU's loop (timersRun), never in the middle of other work.
 */
import * as hw from "../../arch-x86/hw";
import { HeapNode, heapHolds, heapInsert, heapRemove } from "./pairing-heap";

export type TimerFn = (arg: usize) => void;

/** `key` of the node is the deadline: system time in ns. */
@unmanaged
export class Timer extends HeapNode {
  fn: usize; // TimerFn
  arg: usize;
}

let root: usize = 0;
const lockWord: usize = memory.data(4);
/** Set when the earliest deadline moved to an earlier time: the CPU's timer must be reprogrammed. */
let sooner: bool = false;

/** Prepares a timer, not armed. `fn` is a top-level function, called with `arg`. */
export function timerInit(t: Timer, fn: TimerFn, arg: usize): void {
  t.key = 0;
  t.child = 0;
  t.next = 0;
  t.prev = 0;
  t.fn = changetype<usize>(fn);
  t.arg = arg;
}

/** Arms it (again) for `deadlineNs` of system time; a time in the past fires at the CPU's next turn. */
export function timerSet(t: Timer, deadlineNs: u64): void {
  hw.lock(lockWord);
  if (heapHolds(t)) root = heapRemove(root, t);
  t.key = deadlineNs;
  root = heapInsert(root, t);
  if (root == changetype<usize>(t)) sooner = true;
  hw.unlock(lockWord);
}

/** Disarms it; no effect when it is not armed. */
export function timerStop(t: Timer): void {
  hw.lock(lockWord);
  if (heapHolds(t)) root = heapRemove(root, t);
  hw.unlock(lockWord);
}

export function timerArmed(t: Timer): bool {
  return heapHolds(t);
}

/** System time in ns at which it fires, 0 when not armed. */
export function timerDeadline(t: Timer): u64 {
  return heapHolds(t) ? t.key : 0;
}

/**
 * Runs the callbacks of all timers due at `nowNs`. A callback may arm and stop timers, its own included.
 * @returns whether there were any
 */
export function timersRun(nowNs: u64): bool {
  let any = false;
  while (root) {
    const t = changetype<Timer>(root);
    if (t.key > nowNs) break;
    any = true;
    hw.lock(lockWord);
    root = heapRemove(root, t);
    hw.unlock(lockWord);
    changetype<TimerFn>(t.fn)(t.arg);
  }
  sooner = false;
  return any;
}

/** The earliest deadline in ns, u64.MAX_VALUE when no timer is armed. */
export function timersNext(): u64 {
  return root ? changetype<HeapNode>(root).key : u64.MAX_VALUE;
}

/** True when a new earliest deadline was set since the last timersRun: the CPU's timer must be reprogrammed. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function timersSooner(): bool {
  return sooner;
}
