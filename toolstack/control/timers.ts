/** One-shot timers of domain 0, by system time. The loop runs those that are due and arms Xen's timer for the next. */
import { systemTime } from "./clock.ts";
import { reportFailure } from "./failures.ts";
import { setTimer } from "./hypercalls/sched.ts";

interface Timer {
  at: number;
  run: () => void;
}

/** By ascending time; few at any moment. */
const timers: Timer[] = [];
/** The system time Xen's timer is armed for, 0 none. */
let armed = 0;

/**
 * Calls `run` once, `ms` milliseconds from now at the earliest.
 * @returns a function that withdraws the timer; harmless when it has run
 */
export function after(ms: number, run: () => void): () => void {
  const timer = { at: systemTime() + Math.max(ms, 0) * 1e6, run };
  let place = timers.length;
  while (place > 0 && timers[place - 1]!.at > timer.at) place--;
  timers.splice(place, 0, timer);
  if (place === 0) armTimer();
  return () => {
    const index = timers.indexOf(timer);
    if (index >= 0) timers.splice(index, 1);
  };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    after(ms, resolve);
  });
}

/** Runs the timers that are due at system time `now`. */
export function runTimers(now: number): void {
  if (armed !== 0 && armed <= now) armed = 0;
  while (timers.length > 0 && timers[0]!.at <= now) {
    const timer = timers.shift()!;
    try {
      timer.run();
    } catch (error) {
      reportFailure("a timer", error);
    }
  }
}

/**
 * Xen's timer has fired, or one that was replaced since: whichever it was, the next one must be armed anew. The event may
 * come while a turn drains events that began before the timer was due: that turn does not run it.
 */
export function timerFired(): void {
  armed = 0;
}

/** Makes sure Xen wakes domain 0 in time for the first timer. */
export function armTimer(): void {
  const next = timers.length > 0 ? timers[0]!.at : 0;
  if (next === 0 || (armed !== 0 && armed <= next)) return;
  armed = next;
  setTimer(next);
}
