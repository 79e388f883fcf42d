/**
 * Event channels: one-bit messages between domains, from the hypervisor (VIRQ) and between a domain's vCPUs (IPI).
 *
 * A domain's ports are records of 12 bytes in buckets of 64, allocated as the port numbers grow. Two ports are bound to
 * each other as equals: each names the other, and closing one leaves the other unbound and open to the same peer. What
 * the guest sees of a port (pending, mask) is event-2l.ts.
 *
 * Locks: binding and closing take the locks of both domains, lower address first; sending takes the sender's only,
 * because the peer cannot unbind without it. Behaviour and errors are Xen 4.17's.
 */
import { EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, ESRCH } from "../abi/errno";
import { EVTCHN_2L_NR_CHANNELS } from "../abi/event-channel";
import { NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from "../abi/xen";
import * as hw from "../arch-x86/hw";
import { domainNamed, mayTarget, vcpuOf } from "./access";
import { Domain, DomainLife } from "./domain";
import { domainById } from "./domain-list";
import { anyPending, clearPending, setPending, unmask } from "./event-2l";
import { heapAllocFor, heapFreeFor } from "./heap";
import { Vcpu } from "./vcpu";

export { upcallPending } from "./event-2l";
export { eventChannelOp } from "./event-channel-op";

export const enum PortState {
  Free = 0,
  /** Port 0: never given out. */
  Reserved = 1,
  Unbound = 2,
  Interdomain = 3,
  Virq = 4,
  Ipi = 5,
}

@unmanaged
export class Port {
  state: u16; // PortState
  /** vCPU that takes the event. */
  vcpu: u16;
  /** Unbound: domain id that may bind. Interdomain: pointer to the peer's Domain. Virq: its number. */
  peer: u32;
  /** Interdomain: the peer's port. */
  peerPort: u32;
}

const PORT_BYTES: usize = 12;
const BUCKET_PORTS: u32 = 64;
const BUCKETS: u32 = 64;
const BUCKET_BYTES: usize = 64 * 12;

@unmanaged
export class DomainEvents {
  lock: u32;
  /** Highest port number this domain may use. */
  maxPort: u32;
  /** Ports below this have a record; grows by buckets. */
  valid: u32;
  /** Ports in use, port 0 not counted. */
  active: u32;
  /** No port below this is free. */
  hint: u32;
  // Pointers to BUCKETS buckets follow.
}

const BUCKETS_AT: usize = 20;
const EVENTS_BYTES: usize = BUCKETS_AT + 64 * 4;

/** Domain id that takes each global VIRQ (XEN_DOMCTL_set_virq_handler); domain 0 unless set. */
const virqHandlers: usize = memory.data(24 * 4);

// @ts-expect-error: decorator of AssemblyScript
@inline
function events(d: Domain): DomainEvents {
  return changetype<DomainEvents>(d.events);
}

/** The record of `port`; null when the domain has no such port number (yet): -EINVAL. */
export function portOf(d: Domain, port: u32): Port | null {
  if (!d.events || port >= events(d).valid) return null;
  const bucket = load<usize>(d.events + BUCKETS_AT + ((<usize>port / BUCKET_PORTS) << 2));
  return changetype<Port | null>(bucket + <usize>(port % BUCKET_PORTS) * PORT_BYTES);
}

function isGlobal(virq: u32): bool {
  return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

function lockBoth(a: Domain, b: Domain): void {
  const x = changetype<usize>(a);
  const y = changetype<usize>(b);
  if (x < y) {
    hw.lock(a.events);
    hw.lock(b.events);
  } else {
    hw.lock(b.events);
    if (x != y) hw.lock(a.events);
  }
}

function unlockBoth(a: Domain, b: Domain): void {
  hw.unlock(a.events);
  if (changetype<usize>(a) != changetype<usize>(b)) hw.unlock(b.events);
}

// --- Life --------------------------------------------------------------------------------------------------------------

/** Gives a new domain its (empty) table of ports. 0 or -ENOMEM. */
export function evtchnInit(d: Domain): i32 {
  d.events = heapAllocFor(d, EVENTS_BYTES);
  if (!d.events) return -ENOMEM;
  const e = events(d);
  e.maxPort = EVTCHN_2L_NR_CHANNELS - 1;
  e.hint = 1;
  if (!addBucket(d)) {
    evtchnFree(d);
    return -ENOMEM;
  }
  portOf(d, 0)!.state = <u16>PortState.Reserved;
  return 0;
}

/** Lowers the highest port number (XEN_DOMCTL_createdomain's max_evtchn_port); larger values mean all there are. */
export function evtchnSetLimit(d: Domain, maxPort: u32): void {
  events(d).maxPort = min(maxPort, EVTCHN_2L_NR_CHANNELS - 1);
}

/** Closes every port, leaving peers unbound. For a restarted domain 0; also EVTCHNOP_reset's work. */
export function evtchnReset(d: Domain): void {
  if (!d.events) return;
  for (let port: u32 = 1; port < events(d).valid && events(d).active; port++) evtchnClose(d, port);
}

/** Closes every port and frees the table. The domain is dying; may be called again. */
export function evtchnFree(d: Domain): void {
  if (!d.events) return;
  evtchnReset(d);
  for (let i: u32 = 0; i < BUCKETS; i++) {
    const bucket = load<usize>(d.events + BUCKETS_AT + ((<usize>i) << 2));
    if (bucket) heapFreeFor(d, bucket, BUCKET_BYTES);
  }
  heapFreeFor(d, d.events, EVENTS_BYTES);
  d.events = 0;
  for (let virq: u32 = 0; virq < NR_VIRQS; virq++) {
    const slot = virqHandlers + ((<usize>virq) << 2);
    if (load<u32>(slot) == d.id) store<u32>(slot, 0);
  }
}

function addBucket(d: Domain): bool {
  const e = events(d);
  const bucket = heapAllocFor(d, BUCKET_BYTES);
  if (!bucket) return false;
  store<usize>(d.events + BUCKETS_AT + ((<usize>e.valid / BUCKET_PORTS) << 2), bucket);
  e.valid += BUCKET_PORTS;
  return true;
}

/** Finds a free port; the caller holds the lock and fills the record in with `occupy`. Port number or negative errno. */
function freePort(d: Domain): i32 {
  if (d.life != DomainLife.Alive) return -EINVAL;
  const e = events(d);
  let port = e.hint;
  while (port < e.valid && portOf(d, port)!.state != PortState.Free) port++;
  e.hint = port;
  if (port > e.maxPort) return -ENOSPC;
  if (port >= e.valid && !addBucket(d)) return -ENOMEM;
  return <i32>port;
}

function occupy(d: Domain, port: u32, state: u32, vcpu: u32, peer: u32, peerPort: u32): void {
  const p = portOf(d, port)!;
  p.state = <u16>state;
  p.vcpu = <u16>vcpu;
  p.peer = peer;
  p.peerPort = peerPort;
  events(d).active++;
}

function release(d: Domain, port: u32): void {
  const p = portOf(d, port)!;
  clearPending(d, port);
  p.state = <u16>PortState.Free;
  p.vcpu = 0;
  p.peer = 0;
  p.peerPort = 0;
  const e = events(d);
  e.active--;
  if (port < e.hint) e.hint = port;
}

// --- Operations ----------------------------------------------------------------------------------------------------------

/** EVTCHNOP_alloc_unbound: a port of `d` that domain `remote` may bind. Port number or negative errno. */
export function evtchnAllocUnbound(d: Domain, remote: u32): i32 {
  if (!d.events) return -EINVAL;
  hw.lock(d.events);
  const port = freePort(d);
  if (port > 0) occupy(d, port, PortState.Unbound, 0, remote, 0);
  hw.unlock(d.events);
  return port;
}

/**
 * EVTCHNOP_bind_interdomain: a new port of `d` bound to `remotePort` of `remote`, which must be unbound and meant for
 * `d`. The new port starts pending, since sends to the unbound one were lost. Port number or negative errno.
 */
export function evtchnBindInterdomain(d: Domain, remote: Domain, remotePort: u32): i32 {
  if (!d.events || !remote.events) return -EINVAL;
  lockBoth(d, remote);
  const r = portOf(remote, remotePort);
  let port = freePort(d);
  if (port > 0) {
    if (r == null || r.state != PortState.Unbound || r.peer != d.id) {
      port = -EINVAL;
    } else {
      occupy(d, port, PortState.Interdomain, 0, <u32>changetype<usize>(remote), remotePort);
      r.state = <u16>PortState.Interdomain;
      r.peer = <u32>changetype<usize>(d);
      r.peerPort = port;
      const v = vcpuOf(d, 0);
      if (v != null) setPending(d, v, port);
    }
  }
  unlockBoth(d, remote);
  return port;
}

/** EVTCHNOP_bind_virq for the vCPU `vcpu` of `d`. Port number or negative errno. */
export function evtchnBindVirq(d: Domain, virq: u32, vcpu: u32): i32 {
  if (virq >= NR_VIRQS || (isGlobal(virq) && vcpu != 0)) return -EINVAL;
  const v = vcpuOf(d, vcpu);
  if (v == null) return -ENOENT;
  if (!d.events) return -EINVAL;
  if (!v.virqPorts) return -ENOMEM;
  const slot = v.virqPorts + ((<usize>virq) << 2);
  hw.lock(d.events);
  let port: i32 = -EEXIST;
  if (!load<u32>(slot)) {
    port = freePort(d);
    if (port > 0) {
      occupy(d, port, PortState.Virq, vcpu, virq, 0);
      store<u32>(slot, port);
    }
  }
  hw.unlock(d.events);
  return port;
}

/** EVTCHNOP_bind_ipi. Port number or negative errno. */
export function evtchnBindIpi(d: Domain, vcpu: u32): i32 {
  if (vcpuOf(d, vcpu) == null) return -ENOENT;
  if (!d.events) return -EINVAL;
  hw.lock(d.events);
  const port = freePort(d);
  if (port > 0) occupy(d, port, PortState.Ipi, vcpu, 0, 0);
  hw.unlock(d.events);
  return port;
}

/** EVTCHNOP_close. 0, or -EINVAL for a port that is not in use. */
export function evtchnClose(d: Domain, port: u32): i32 {
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  hw.lock(d.events);
  if (p.state == PortState.Interdomain) {
    // Both locks, in order: let go of ours first, then see whether the port is still what it was.
    const remote = changetype<Domain>(<usize>p.peer);
    hw.unlock(d.events);
    lockBoth(d, remote);
    const still = p.state == PortState.Interdomain && p.peer == <u32>changetype<usize>(remote);
    if (still) {
      const r = portOf(remote, p.peerPort)!;
      release(d, port);
      r.state = <u16>PortState.Unbound;
      r.peer = d.id;
      r.peerPort = 0;
    }
    unlockBoth(d, remote);
    return still ? 0 : -EINVAL;
  }
  let rc: i32 = 0;
  if (p.state == PortState.Free || p.state == PortState.Reserved) {
    rc = -EINVAL;
  } else {
    if (p.state == PortState.Virq) {
      const v = vcpuOf(d, isGlobal(p.peer) ? 0 : p.vcpu);
      if (v != null) store<u32>(v.virqPorts + ((<usize>p.peer) << 2), 0);
    }
    release(d, port);
  }
  hw.unlock(d.events);
  return rc;
}

/** EVTCHNOP_send. A send to an unbound port is dropped, as Xen does. 0 or -EINVAL. */
export function evtchnSend(d: Domain, port: u32): i32 {
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  let rc: i32 = 0;
  hw.lock(d.events);
  if (p.state == PortState.Interdomain) {
    const remote = changetype<Domain>(<usize>p.peer);
    notify(remote, portOf(remote, p.peerPort)!.vcpu, p.peerPort);
  } else if (p.state == PortState.Ipi) {
    notify(d, p.vcpu, port);
  } else if (p.state != PortState.Unbound) {
    rc = -EINVAL;
  }
  hw.unlock(d.events);
  return rc;
}

function notify(d: Domain, vcpu: u32, port: u32): void {
  const v = vcpuOf(d, vcpu);
  if (v != null) setPending(d, v, port);
}

/** EVTCHNOP_bind_vcpu: who takes the events of `port`. Per-vCPU VIRQs and IPIs stay where they are. 0 or negative errno. */
export function evtchnBindVcpu(d: Domain, port: u32, vcpu: u32): i32 {
  if (vcpuOf(d, vcpu) == null) return -ENOENT;
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  hw.lock(d.events);
  const ok =
    p.state == PortState.Unbound || p.state == PortState.Interdomain || (p.state == PortState.Virq && isGlobal(p.peer));
  if (ok) p.vcpu = <u16>vcpu;
  hw.unlock(d.events);
  return ok ? 0 : -EINVAL;
}

/** EVTCHNOP_unmask. 0 or -EINVAL. */
export function evtchnUnmask(d: Domain, port: u32): i32 {
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  const v = vcpuOf(d, p.vcpu);
  if (v != null) unmask(d, v, port);
  return 0;
}

/** The domain that `id` means to `v`, if `v` may act on it; else null with the errno in `accessError`. */
export function eventTarget(v: Vcpu, id: u32): Domain | null {
  const d = domainNamed(v, id);
  if (d == null) {
    accessError = -ESRCH;
    return null;
  }
  if (!mayTarget(v, d)) {
    accessError = -EPERM;
    return null;
  }
  return d;
}

/** Why the latest eventTarget returned null. */
export let accessError: i32 = 0;

// --- From the hypervisor --------------------------------------------------------------------------------------------------

/** Raises a per-vCPU VIRQ on `v`; nothing happens when the guest has not bound it. */
export function sendVirq(v: Vcpu, virq: u32): void {
  if (!v.virqPorts) return;
  const port = load<u32>(v.virqPorts + ((<usize>virq) << 2));
  if (port) setPending(v.domain, v, port);
}

/** Raises a global VIRQ on the domain that handles it: domain 0, or who XEN_DOMCTL_set_virq_handler named. */
export function sendGlobalVirq(virq: u32): void {
  const d = domainById(load<u32>(virqHandlers + ((<usize>virq) << 2)));
  if (d == null) return;
  const v = vcpuOf(d, 0);
  if (v == null || !v.virqPorts) return;
  const port = load<u32>(v.virqPorts + ((<usize>virq) << 2));
  if (port) notify(d, portOf(d, port)!.vcpu, port);
}

/** XEN_DOMCTL_set_virq_handler. 0 or -EINVAL. */
export function setVirqHandler(d: Domain, virq: u32): i32 {
  if (virq >= NR_VIRQS || !isGlobal(virq) || !d.events) return -EINVAL;
  store<u32>(virqHandlers + ((<usize>virq) << 2), d.id);
  return 0;
}

/**
 * SCHEDOP_poll: is one of the `count` u32 ports at linear address `ports` pending?
 * @returns 1 yes, 0 no, -EINVAL when the domain of `v` has no such port
 */
export function evtchnPollReady(v: Vcpu, ports: usize, count: u32): i32 {
  const d = v.domain;
  return d.events ? anyPending(d, ports, count, events(d).valid) : -EINVAL;
}
