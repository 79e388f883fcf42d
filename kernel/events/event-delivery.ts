/**
 * The guest-visible state of event channels in either ABI: 2-level (event-2l.ts), in which every domain starts,
 * or FIFO (event-fifo.ts), to which it may switch. All code that raises or checks events goes through here.
 */
import { EINVAL, ENOSYS } from "../../abi/errno";
import { EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_NR_CHANNELS } from "../../abi/event-channel";
import { Domain } from "../records/domain";
import {
  twoLevelClearPending,
  twoLevelIsMasked,
  twoLevelIsPending,
  twoLevelSetPending,
  twoLevelUnmask,
} from "./event-2l";
import {
  fifoClearPending,
  fifoIsBusy,
  fifoIsMasked,
  fifoIsPending,
  fifoSetPending,
  fifoSetPriority,
  fifoUnmask,
} from "./event-fifo";
import { eventsOf, Port, portOf, usable } from "./event-port";
import { Vcpu } from "../records/vcpu";

/** Ports that the ABI in use has; a domain's own limit may be lower. */
export function portsOfAbi(d: Domain): u32 {
  return eventsOf(d).fifo ? EVTCHN_FIFO_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS;
}

/** Makes `port`, which is usable and bound to `v`, pending. */
export function setPending(d: Domain, v: Vcpu, port: u32): void {
  if (eventsOf(d).fifo) fifoSetPending(d, v, port);
  else twoLevelSetPending(d, v, port);
}

/** Clears the pending bit: the port is being closed. */
export function clearPending(d: Domain, port: u32): void {
  if (eventsOf(d).fifo) fifoClearPending(d, port);
  else twoLevelClearPending(d, port);
}

export function isPending(d: Domain, port: u32): bool {
  return eventsOf(d).fifo ? fifoIsPending(d, port) : twoLevelIsPending(d, port);
}

export function isMasked(d: Domain, port: u32): bool {
  return eventsOf(d).fifo ? fifoIsMasked(d, port) : twoLevelIsMasked(d, port);
}

/** Whether a free port cannot be allocated yet. */
export function isBusy(d: Domain, port: u32): bool {
  return eventsOf(d).fifo != 0 && fifoIsBusy(d, port);
}

/** Unmasks `port`, which is usable; a pending event is raised on `v`. */
export function unmask(d: Domain, v: Vcpu, port: u32): void {
  if (eventsOf(d).fifo) fifoUnmask(d, v, port);
  else twoLevelUnmask(d, v, port);
}

/** EVTCHNOP_set_priority. 0, -ENOSYS in the 2-level ABI, -EACCES, -EINVAL. */
export function setPriority(d: Domain, p: Port, priority: u32): i32 {
  return eventsOf(d).fifo ? fifoSetPriority(p, priority) : -ENOSYS;
}

/**
 * The check for SCHEDOP_poll.
 * @returns 1 when one of the `count` u32 ports at linear `ports` is pending, else 0; -EINVAL for one that is not in use
 */
export function anyPending(d: Domain, ports: usize, count: u32): i32 {
  for (let i: u32 = 0; i < count; i++) {
    const port = load<u32>(ports + ((<usize>i) << 2));
    const p = portOf(d, port);
    if (p == null || !usable(p)) return -EINVAL;
    if (isPending(d, port)) return 1;
  }
  return 0;
}
