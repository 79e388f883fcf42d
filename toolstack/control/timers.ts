/** One-shot timers of domain 0, by system time. The loop runs those that are due and arms Xen's timer for the next. */
import { systemTime } from "./clock.ts";
import { reportFailure } from "./failures.ts";
import { setTimer } from "./hypercalls/sched.ts";

interface Timer {
  readonly at: number;
  /** Rises with every timer: those of the same time run in the order in which they were made. */
  readonly number: number;
  readonly run: () => void;
  /** Its index in the heap, -1 if it is not in the heap. */
  place: number;
}

/** A binary heap, the first to run at 0: there are several for each guest. */
const heap: Timer[] = [];
let latest = 0;
/** The system time Xen's timer is armed for, 0 none. */
let armed = 0;

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.number < b.number);
}

function put(timer: Timer, place: number): void {
  heap[place] = timer;
  timer.place = place;
}

/** Sifts `timer` up from `place`. */
function rise(timer: Timer, place: number): void {
  while (place > 0) {
    const above = (place - 1) >> 1;
    if (!before(timer, heap[above]!)) break;
    put(heap[above]!, place);
    place = above;
  }
  put(timer, place);
}

/** Sifts `timer` down from `place`. */
function sink(timer: Timer, place: number): void {
  for (;;) {
    let below = 2 * place + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && before(heap[below + 1]!, heap[below]!)) below++;
    if (!before(heap[below]!, timer)) break;
    put(heap[below]!, place);
    place = below;
  }
  put(timer, place);
}

function remove(timer: Timer): void {
  const { place } = timer;
  if (place < 0) return;
  timer.place = -1;
  const last = heap.pop()!;
  if (last === timer) return;
  if (place > 0 && before(last, heap[(place - 1) >> 1]!)) rise(last, place);
  else sink(last, place);
}

/**
 * Calls `run` once, `ms` milliseconds from now at the earliest.
 * @returns a function that withdraws the timer; harmless when it has run
 */
export function after(ms: number, run: () => void): () => void {
  const timer = { at: systemTime() + Math.max(ms, 0) * 1e6, number: ++latest, run, place: 0 };
  rise(timer, heap.length);
  if (timer.place === 0) armTimer();
  return () => remove(timer);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    after(ms, resolve);
  });
}

/** Runs the timers that are due at system time `now`. */
export function runTimers(now: number): void {
  if (armed !== 0 && armed <= now) armed = 0;
  while (heap.length > 0 && heap[0]!.at <= now) {
    const timer = heap[0]!;
    remove(timer);
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
  const next = heap.length > 0 ? heap[0]!.at : 0;
  if (next === 0 || (armed !== 0 && armed <= next)) return;
  armed = next;
  setTimer(next);
}
