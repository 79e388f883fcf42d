/**
 * The records behind event channels: a domain's table of ports. Records come in buckets, buckets in groups, each
 * allocated when port numbers reach it: a domain is charged only for the ports it uses, 131,072 at most.
 */
import { ENOMEM } from "../../abi/errno";
import { Domain } from "../records/domain";
import { heapAllocFor, heapFreeFor } from "../memory/heap";

export const enum PortState {
  Free = 0,
  /** Port 0: never allocated. */
  Reserved = 1,
  Unbound = 2,
  Interdomain = 3,
  Virq = 4,
  Ipi = 5,
  Pirq = 6,
}

@unmanaged
export class Port {
  /**
   * Unbound: domain id that may bind. Interdomain: pointer to the peer's Domain. Virq, Pirq: its number. Free, of a software
   * domain: the id of the domain that it was bound to when it was closed.
   */
  peer: u32;
  /** Interdomain: the peer's port. Free, of a software domain: the port that it was bound to, 0: none. */
  peerPort: u32;
  state: u8; // PortState
  /** vCPU that is notified of the event. */
  vcpu: u8;

  // FIFO ABI only.
  /** 0 (highest) to 15: the queue it is put on from now on. */
  priority: u8;
  /** 1: raised before there was an event word for it. */
  waiting: u8;
  /** The queue it was last put on; kept when the port is closed, since the guest may not have removed it yet. */
  lastVcpu: u8;
  lastPriority: u8;
}

const PORT_BYTES: usize = 14;
const BUCKET_PORTS: u32 = 64;
const BUCKET_BYTES: usize = 64 * 14;
/** Buckets in a group, and ports. */
const GROUP_BUCKETS: u32 = 64;
const GROUP_PORTS: u32 = 64 * 64;
const GROUP_BYTES: usize = 64 * 4;
/** EVTCHN_FIFO_NR_CHANNELS / GROUP_PORTS. */
const GROUPS: u32 = 32;

@unmanaged
export class DomainEvents {
  lock: u32;
  /** Highest port number this domain may use (XEN_DOMCTL_createdomain's max_evtchn_port). */
  maxPort: u32;
  /** Ports below this have a record; grows by buckets. */
  valid: u32;
  /** Ports in use, port 0 not counted. */
  active: u32;
  /** No port below this is free. */
  hint: u32;
  /** kernel/events/event-fifo.ts: DomainFifo; 0 while the domain uses the 2-level ABI. */
  fifo: usize;
  /** Next port that a reset under way closes, 0 when there is none; and the domain that resets. */
  resetAt: u32;
  resetBy: u32;
  // Pointers to GROUPS groups follow.
}

const GROUPS_AT: usize = 32;
const EVENTS_BYTES: usize = 32 + 32 * 4;

// @ts-expect-error: decorator of AssemblyScript
@inline
export function eventsOf(d: Domain): DomainEvents {
  return changetype<DomainEvents>(d.events);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function groupSlot(d: Domain, port: u32): usize {
  return d.events + GROUPS_AT + ((<usize>port / GROUP_PORTS) << 2);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function bucketSlot(group: usize, port: u32): usize {
  return group + (((<usize>port / BUCKET_PORTS) % GROUP_BUCKETS) << 2);
}

/** The record of `port`; null when the domain has no such port number (yet): -EINVAL. */
export function portOf(d: Domain, port: u32): Port | null {
  if (!d.events || port >= eventsOf(d).valid) return null;
  const bucket = load<usize>(bucketSlot(load<usize>(groupSlot(d, port)), port));
  return changetype<Port | null>(bucket + <usize>(port % BUCKET_PORTS) * PORT_BYTES);
}

/** Whether the guest may use the port: it is bound or unbound, not free. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function usable(p: Port): bool {
  return p.state > <u8>PortState.Reserved;
}

/** Allocates a new domain's table, with port 0. 0, or -ENOMEM with nothing allocated. */
export function portsInit(d: Domain): i32 {
  d.events = heapAllocFor(d, EVENTS_BYTES);
  if (!d.events) return -ENOMEM;
  if (!portsGrow(d)) {
    portsFree(d);
    return -ENOMEM;
  }
  portOf(d, 0)!.state = <u8>PortState.Reserved;
  eventsOf(d).hint = 1;
  return 0;
}

/** Adds a bucket of free ports. False when memory is out. The caller has checked that port `valid` may exist. */
export function portsGrow(d: Domain): bool {
  const e = eventsOf(d);
  const slot = groupSlot(d, e.valid);
  if (!load<usize>(slot)) store<usize>(slot, heapAllocFor(d, GROUP_BYTES));
  const group = load<usize>(slot);
  const bucket = group ? heapAllocFor(d, BUCKET_BYTES) : 0;
  if (!bucket) return false; // a group without a bucket serves the next attempt
  store<usize>(bucketSlot(group, e.valid), bucket);
  e.valid += BUCKET_PORTS;
  return true;
}

/** Frees the table. */
export function portsFree(d: Domain): void {
  for (let g: u32 = 0; g < GROUPS; g++) {
    const group = load<usize>(d.events + GROUPS_AT + ((<usize>g) << 2));
    if (!group) continue;
    for (let b: u32 = 0; b < GROUP_BUCKETS; b++) heapFreeFor(d, load<usize>(group + ((<usize>b) << 2)), BUCKET_BYTES);
    heapFreeFor(d, group, GROUP_BYTES);
  }
  heapFreeFor(d, d.events, EVENTS_BYTES);
  d.events = 0;
}
