/**
 * Deferred work. An interrupt's handler does nothing but enter its device here; the module's turn runs what was entered, each a
 * bounded piece at a time and in turn, so that no device and no flood of interrupts keeps the others waiting.
 */

/** Does up to `budget` pieces of work (frames, requests). Returns whether there is more: it is then run again. */
export type PollFn = (record: usize, budget: u32) => bool;

/** Base class of what can be entered; embedded at the start of a driver's record. */
@unmanaged
export class Pollable {
  pollNext: usize;
  pollFn: usize; // PollFn, called with this record
  pollEntered: u32;
}

let head: usize = 0;
let tail: usize = 0;

/** Prepares a record, not entered. `fn` is a top-level function. */
export function pollInit(p: Pollable, fn: PollFn): void {
  p.pollNext = 0;
  p.pollFn = changetype<usize>(fn);
  p.pollEntered = 0;
}

/** Enters a record, at the end; no effect when it is entered already. */
export function pollEnter(p: Pollable): void {
  if (p.pollEntered) return;
  p.pollEntered = 1;
  p.pollNext = 0;
  if (tail) changetype<Pollable>(tail).pollNext = changetype<usize>(p);
  else head = changetype<usize>(p);
  tail = changetype<usize>(p);
}

/** Whether anything is entered: the turn must not block. */
export function pollWaiting(): bool {
  return head != 0;
}

/**
 * Runs every record that is entered now once, in order; what they leave, and what they enter, is for the next call.
 * @param budget pieces of work for each
 */
export function pollRun(budget: u32): void {
  const last = tail;
  while (head) {
    const p = changetype<Pollable>(head);
    head = p.pollNext;
    if (!head) tail = 0;
    p.pollEntered = 0;
    if (changetype<PollFn>(p.pollFn)(changetype<usize>(p), budget)) pollEnter(p);
    if (changetype<usize>(p) == last) return;
  }
}
