/**
 * One-shot timers on system time. The owner keeps the Timer for as long as it is armed; arming allocates nothing. Callbacks run
 * from the module's turn (timersRun), never in the middle of other work.
 */
export type TimerFn = (record: usize) => void;

@unmanaged
export class Timer {
  next: usize; // armed timers in the order of their deadlines
  armed: u32;
  deadline: u64; // system time in ns
  fn: usize; // TimerFn
  record: usize;
}

let head: usize = 0;

/** Prepares a timer, not armed. `fn` is a top-level function, called with `record`. */
export function timerInit(t: Timer, fn: TimerFn, record: usize): void {
  t.armed = 0;
  t.fn = changetype<usize>(fn);
  t.record = record;
}

/** Arms it (again) for `deadlineNs` of system time. */
export function timerSet(t: Timer, deadlineNs: u64): void {
  timerStop(t);
  t.deadline = deadlineNs;
  t.armed = 1;
  let at = head;
  let before: usize = 0;
  while (at && changetype<Timer>(at).deadline <= deadlineNs) {
    before = at;
    at = changetype<Timer>(at).next;
  }
  t.next = at;
  if (before) changetype<Timer>(before).next = changetype<usize>(t);
  else head = changetype<usize>(t);
}

/** Disarms it; no effect when it is not armed. */
export function timerStop(t: Timer): void {
  if (!t.armed) return;
  t.armed = 0;
  if (head == changetype<usize>(t)) {
    head = t.next;
    return;
  }
  for (let at = head; at; at = changetype<Timer>(at).next) {
    if (changetype<Timer>(at).next != changetype<usize>(t)) continue;
    changetype<Timer>(at).next = t.next;
    return;
  }
}

export function timerArmed(t: Timer): bool {
  return t.armed != 0;
}

/** Runs the callbacks of all timers due at `nowNs`. A callback may arm and stop timers, its own included. */
export function timersRun(nowNs: u64): void {
  while (head && changetype<Timer>(head).deadline <= nowNs) {
    const t = changetype<Timer>(head);
    head = t.next;
    t.armed = 0;
    changetype<TimerFn>(t.fn)(t.record);
  }
}

/** The earliest deadline in ns, u64.MAX_VALUE when no timer is armed. */
export function timersNext(): u64 {
  return head ? changetype<Timer>(head).deadline : u64.MAX_VALUE;
}
