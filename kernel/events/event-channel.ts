/**
 * Event channels: one-bit messages between domains, from the hypervisor (VIRQ) and between a domain's vCPUs (IPI).
 *
 * Two ports are bound to each other as equals: each names the other, and closing one leaves the other unbound and open
 * to the same peer. The records are event-port.ts, what the guest sees of a port (pending, mask) event-delivery.ts.
 *
 * Locks: binding and closing take the locks of both domains, lower address first; sending takes the sender's only,
 * because the peer cannot unbind without it. Behaviour and errors are Xen 4.17's.
 */
import { EAGAIN, EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, ERESTART, ESRCH } from "../../abi/errno";
import { EVTCHN_FIFO_NR_CHANNELS, EVTCHN_FIFO_PRIORITY_DEFAULT } from "../../abi/event-channel";
import { NR_VIRQS, VIRQ_DEBUG, VIRQ_DOM_EXC, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { domainNamed, mayTarget, vcpuOf } from "../records/domain-access";
import { Domain, DomainLife } from "../records/domain";
import { domainById, domainChangedAll, domainFirst } from "../records/domain-list";
import { anyPending, clearPending, isBusy, portsOfAbi, setPending, setPriority, unmask } from "./event-delivery";
import { fifoDestroy } from "./event-fifo-setup";
import { eventsOf, portOf, portsFree, portsGrow, portsInit, PortState, usable } from "./event-port";
import { Vcpu } from "../records/vcpu";
import { preemptNeeded } from "../records/cpu";
import { pirqBind, pirqBindable, pirqUnbind } from "../devices/pirq";

/** Domain id that takes each global VIRQ (XEN_DOMCTL_set_virq_handler); domain 0 unless set. */
const virqHandlers: usize = memory.data(24 * 4);

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

// --- Life cycle --------------------------------------------------------------------------------------------------------

/** Allocates a new domain's (empty) table of ports. 0 or -ENOMEM. */
export function evtchnInit(d: Domain): i32 {
  const rc = portsInit(d);
  if (!rc) evtchnSetLimit(d, u32.MAX_VALUE);
  return rc;
}

/** Lowers the highest port number (XEN_DOMCTL_createdomain's max_evtchn_port); larger values mean no limit. */
export function evtchnSetLimit(d: Domain, maxPort: u32): void {
  eventsOf(d).maxPort = min(maxPort, EVTCHN_FIFO_NR_CHANNELS - 1);
}

/**
 * EVTCHNOP_reset: closes every port, leaving peers unbound, and puts the domain back to the 2-level ABI.
 * @param by the calling vCPU: the reset is preempted when its slice is over; null for no limit
 * @param resuming continues a preempted reset
 * @returns 0; -ERESTART preempted; -EBUSY a reset is in progress, or there is none to continue; -EAGAIN ports were
 * bound meanwhile
 */
export function evtchnReset(d: Domain, by: Vcpu | null, resuming: bool): i32 {
  if (!d.events) return 0;
  const e = eventsOf(d);
  if ((e.resetAt != 0) != resuming) return -EBUSY;
  for (let port = resuming ? e.resetAt : 1; port < e.valid && e.active; port++) {
    evtchnClose(d, port);
    if ((port & 63) == 0 && by != null && preemptNeeded(by)) {
      e.resetAt = port + 1;
      e.resetBy = by.domain.id;
      return -ERESTART;
    }
  }
  e.resetAt = 0;
  if (e.active) return -EAGAIN;
  fifoDestroy(d);
  return 0;
}

/** Whether a reset of `d` requested by `by` was preempted and has not continued yet. */
export function evtchnResetBy(d: Domain, by: Domain): bool {
  return d.events != 0 && eventsOf(d).resetAt != 0 && eventsOf(d).resetBy == by.id;
}

/** Cancels the unfinished resets of `by`: it has restarted and will not continue them. */
export function evtchnResetsForget(by: Domain): void {
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    if (d.events && eventsOf(d).resetBy == by.id) eventsOf(d).resetAt = 0;
  }
}

/** The domain is dying: cancels any reset in progress, since every port is to be closed. Before evtchnTeardown. */
export function evtchnTeardownBegin(d: Domain): void {
  if (d.events) eventsOf(d).resetAt = 0;
}

/**
 * Closes every port of a dying domain, which can bind no more; `resetAt` records the progress.
 * @param by the vCPU whose slice limits the work; null for no limit
 * @returns 0, or -ERESTART: call again
 */
export function evtchnTeardown(d: Domain, by: Vcpu | null): i32 {
  if (!d.events) return 0;
  const e = eventsOf(d);
  for (let port = max<u32>(e.resetAt, 1); port < e.valid && e.active; port++) {
    evtchnClose(d, port);
    if ((port & 63) == 63 && by != null && preemptNeeded(by)) {
      e.resetAt = port + 1;
      return -ERESTART;
    }
  }
  e.resetAt = 0;
  return 0;
}

/** Closes every port and frees the table. The domain is dying; may be called again. */
export function evtchnFree(d: Domain): void {
  if (!d.events) return;
  eventsOf(d).resetAt = 0;
  evtchnReset(d, null, false);
  portsFree(d);
  for (let virq: u32 = 0; virq < NR_VIRQS; virq++) {
    const slot = virqHandlers + ((<usize>virq) << 2);
    if (load<u32>(slot) == d.id) store<u32>(slot, 0);
  }
}

/** Finds a free port; the caller holds the lock and fills the record in with `occupy`. Port number or negative errno. */
function freePort(d: Domain): i32 {
  if (d.life != DomainLife.Alive) return -EINVAL;
  const e = eventsOf(d);
  let port = e.hint;
  while (port < e.valid && portOf(d, port)!.state != PortState.Free) port++;
  e.hint = port;
  // A free port may still be on a queue (FIFO): it must not be allocated before the guest has removed it.
  while (port < e.valid && (portOf(d, port)!.state != PortState.Free || isBusy(d, port))) port++;
  if (port > e.maxPort || port >= portsOfAbi(d)) return -ENOSPC;
  if (port >= e.valid && !portsGrow(d)) return -ENOMEM;
  return <i32>port;
}

function occupy(d: Domain, port: u32, state: u32, vcpu: u32, peer: u32, peerPort: u32): void {
  const p = portOf(d, port)!;
  p.state = <u8>state;
  p.vcpu = <u8>vcpu;
  p.peer = peer;
  p.peerPort = peerPort;
  p.priority = <u8>EVTCHN_FIFO_PRIORITY_DEFAULT;
  eventsOf(d).active++;
}

function release(d: Domain, port: u32): void {
  const p = portOf(d, port)!;
  clearPending(d, port);
  p.state = <u8>PortState.Free;
  p.vcpu = 0;
  p.peer = 0;
  p.peerPort = 0;
  const e = eventsOf(d);
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
 * EVTCHNOP_bind_interdomain: a new port of `d` bound to `remotePort` of `remote`, which must be unbound and reserved for
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
      r.state = <u8>PortState.Interdomain;
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
      if (virq == VIRQ_DOM_EXC && handlesVirq(d, virq)) domainChangedAll();
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

/** EVTCHNOP_bind_pirq. Port number, or -EINVAL: not a pirq of `d`, -EEXIST: it is bound, or another negative errno. */
export function evtchnBindPirq(d: Domain, pirq: u32): i32 {
  if (!d.events) return -EINVAL;
  hw.lock(d.events);
  let port = pirqBindable(d, pirq);
  if (port == 0) {
    port = freePort(d);
    if (port > 0) {
      occupy(d, port, PortState.Pirq, 0, pirq, 0);
      pirqBind(d, pirq, port);
    }
  }
  hw.unlock(d.events);
  return port;
}

/**
 * EVTCHNOP_close. 0, or -EINVAL for a port that is not in use. What a software domain's port was bound to stays in its record until
 * the port is used again: the domain may have been restarted before it knew.
 */
export function evtchnClose(d: Domain, port: u32): i32 {
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  hw.lock(d.events);
  if (p.state == PortState.Interdomain) {
    // Both locks, in order: release ours first, then check whether the port has changed.
    const remote = changetype<Domain>(<usize>p.peer);
    hw.unlock(d.events);
    lockBoth(d, remote);
    const still = p.state == PortState.Interdomain && p.peer == <u32>changetype<usize>(remote);
    if (still) {
      const remotePort = p.peerPort;
      const r = portOf(remote, remotePort)!;
      release(d, port);
      if (d.software) {
        p.peer = remote.id;
        p.peerPort = remotePort;
      }
      r.state = <u8>PortState.Unbound;
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
    } else if (p.state == PortState.Pirq) {
      pirqUnbind(d, p.peer);
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

/** EVTCHNOP_bind_vcpu: selects the vCPU notified of `port`. Not for per-vCPU VIRQs and IPIs. 0 or negative errno. */
export function evtchnBindVcpu(d: Domain, port: u32, vcpu: u32): i32 {
  if (vcpuOf(d, vcpu) == null) return -ENOENT;
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  hw.lock(d.events);
  const ok =
    p.state == PortState.Unbound ||
    p.state == PortState.Interdomain ||
    p.state == PortState.Pirq ||
    (p.state == PortState.Virq && isGlobal(p.peer));
  if (ok) p.vcpu = <u8>vcpu;
  hw.unlock(d.events);
  return ok ? 0 : -EINVAL;
}

/** EVTCHNOP_unmask. 0 or -EINVAL. */
export function evtchnUnmask(d: Domain, port: u32): i32 {
  const p = portOf(d, port);
  if (p == null) return -EINVAL;
  const v = vcpuOf(d, p.vcpu);
  if (v != null && usable(p)) unmask(d, v, port);
  return 0;
}

/** EVTCHNOP_set_priority. 0; -EINVAL no such port or priority; -ENOSYS in the 2-level ABI; -EACCES port not in use. */
export function evtchnSetPriority(d: Domain, port: u32, priority: u32): i32 {
  const p = portOf(d, port);
  return p == null ? -EINVAL : setPriority(d, p, priority);
}

/** The domain that `id` refers to in a call by `v`, if `v` may act on it; else null with the errno in `accessError`. */
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

/** Raises `port` of domain `id`: its physical interrupt was taken. */
export function evtchnPirqRaise(id: u32, port: u32): void {
  const d = domainById(id);
  if (d == null) return;
  const p = portOf(d, port);
  if (p != null && p.state == PortState.Pirq) notify(d, p.vcpu, port);
}

/** Raises a per-vCPU VIRQ on `v`; nothing happens when the guest has not bound it. */
export function sendVirq(v: Vcpu, virq: u32): void {
  if (!v.virqPorts) return;
  const port = load<u32>(v.virqPorts + ((<usize>virq) << 2));
  if (port) setPending(v.domain, v, port);
}

/** Raises a global VIRQ on its handler: domain 0, or the domain set by XEN_DOMCTL_set_virq_handler. */
export function sendGlobalVirq(virq: u32): void {
  const d = domainById(load<u32>(virqHandlers + ((<usize>virq) << 2)));
  if (d == null) return;
  const v = vcpuOf(d, 0);
  if (v == null || !v.virqPorts) return;
  const port = load<u32>(v.virqPorts + ((<usize>virq) << 2));
  if (port) notify(d, portOf(d, port)!.vcpu, port);
}

/** Whether `d` is the handler of a global VIRQ. */
export function handlesVirq(d: Domain, virq: u32): bool {
  return load<u32>(virqHandlers + ((<usize>virq) << 2)) == d.id;
}

/** XEN_DOMCTL_set_virq_handler. 0 or -EINVAL. */
export function setVirqHandler(d: Domain, virq: u32): i32 {
  if (virq >= NR_VIRQS || !isGlobal(virq) || !d.events) return -EINVAL;
  store<u32>(virqHandlers + ((<usize>virq) << 2), d.id);
  return 0;
}

/**
 * SCHEDOP_poll: is one of the `count` u32 ports at linear address `ports` pending?
 * @returns 1 yes, 0 no, -EINVAL when a port is not in use
 */
export function evtchnPollReady(v: Vcpu, ports: usize, count: u32): i32 {
  const d = v.domain;
  return d.events ? anyPending(d, ports, count) : -EINVAL;
}
