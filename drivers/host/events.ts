/** Event channels of the domain: which function handles which port. */
import { eventQueueReaches, eventQueueTake } from "./event-queue";

export type EventFn = (record: usize) => void;
/** Called with a port that nothing handles. */
export type StrayFn = (port: u32) => void;

const PORTS: u32 = 131072;

@unmanaged
class Port {
  fn: usize; // EventFn; 0: nothing handles it
  record: usize;
}
const ports: usize = memory.data(131072 * 8);
/** StrayFn, or 0. */
let stray: usize = 0;

function portAt(port: u32): Port {
  return changetype<Port>(ports + <usize>port * offsetof<Port>());
}

/** Has `fn` called with `record` for each event on `port`. False: there are too many ports; no event of it will be heard. */
export function eventHandle(port: u32, fn: EventFn, record: usize): bool {
  if (port >= PORTS || !eventQueueReaches(port)) return false;
  const p = portAt(port);
  p.fn = changetype<usize>(fn);
  p.record = record;
  return true;
}

/** Has `fn` called for events on ports that nothing handles. */
export function eventStrays(fn: StrayFn): void {
  stray = changetype<usize>(fn);
}

/** Calls the handler of a pending port. */
export function eventDeliver(port: u32): void {
  if (port >= PORTS) return;
  const p = portAt(port);
  if (p.fn) changetype<EventFn>(p.fn)(p.record);
  else if (stray) changetype<StrayFn>(stray)(port);
}

/** Has nothing called for a port any more. */
export function eventForget(port: u32): void {
  if (port < PORTS) portAt(port).fn = 0;
}

/** Calls the handlers of all pending ports. */
export function eventsTake(): void {
  eventQueueTake(eventDeliver);
}
