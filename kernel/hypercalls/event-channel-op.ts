/** __HYPERVISOR_event_channel_op: copies arguments in and out, checks access to other domains, and calls event-channel.ts. */
import { EFAULT, EINVAL, ENOSYS, ERESTART, ESRCH } from "../../abi/errno";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_pirq,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_reset,
  EVTCHNOP_reset_cont,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_pirq,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindIpi,
  EvtchnBindPirq,
  EvtchnBindVcpu,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnInitControl,
  EvtchnReset,
  EvtchnSend,
  EvtchnSetPriority,
  EvtchnStatus,
  EvtchnUnmask,
} from "../../abi/event-channel";
import { DOMID_SELF } from "../../abi/xen";
import { domainNamed } from "../records/domain-access";
import { Domain } from "../records/domain";
import {
  accessError,
  evtchnAllocUnbound,
  evtchnBindInterdomain,
  evtchnBindIpi,
  evtchnBindPirq,
  evtchnBindVcpu,
  evtchnBindVirq,
  evtchnClose,
  evtchnReset,
  evtchnSend,
  evtchnSetPriority,
  evtchnUnmask,
  eventTarget,
} from "../events/event-channel";
import { fifoExpandArray, fifoInitControl } from "../events/event-fifo-setup";
import { Port, portOf, PortState } from "../events/event-port";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { hypercallRestart } from "./hypercall";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";

/**
 * The hypercall.
 * @param a1 EVTCHNOP_*
 * @param a2 guest address of the operation's structure
 * @returns 0 or negative errno, Xen's
 */
export function eventChannelOp(v: Vcpu, a1: u64, a2: u64, _a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const op = <u32>a1;
  const arg = scratch(v);
  const size = argumentSize(op);
  if (!size) return -ENOSYS;
  if (!copyFromGuest(v, arg, a2, size)) return -EFAULT;
  const d = v.domain;
  switch (op) {
    case EVTCHNOP_send:
      return evtchnSend(d, load<u32>(arg, EvtchnSend.port));
    case EVTCHNOP_unmask:
      return evtchnUnmask(d, load<u32>(arg, EvtchnUnmask.port));
    case EVTCHNOP_close:
      return evtchnClose(d, load<u32>(arg, EvtchnClose.port));
    case EVTCHNOP_bind_vcpu:
      return evtchnBindVcpu(d, load<u32>(arg, EvtchnBindVcpu.port), load<u32>(arg, EvtchnBindVcpu.vcpu));
    case EVTCHNOP_alloc_unbound: {
      const target = eventTarget(v, load<u16>(arg, EvtchnAllocUnbound.dom));
      if (target == null) return accessError;
      let remote = <u32>load<u16>(arg, EvtchnAllocUnbound.remote_dom);
      if (remote == DOMID_SELF) remote = d.id;
      const port = evtchnAllocUnbound(target, remote);
      return answerPort(v, target, port, arg + EvtchnAllocUnbound.port, a2 + EvtchnAllocUnbound.port);
    }
    case EVTCHNOP_bind_interdomain: {
      const remote = domainNamed(v, load<u16>(arg, EvtchnBindInterdomain.remote_dom));
      if (remote == null) return -ESRCH;
      const port = evtchnBindInterdomain(d, remote, load<u32>(arg, EvtchnBindInterdomain.remote_port));
      return answerPort(v, d, port, arg, a2 + EvtchnBindInterdomain.local_port);
    }
    case EVTCHNOP_bind_virq: {
      const port = evtchnBindVirq(d, load<u32>(arg, EvtchnBindVirq.virq), load<u32>(arg, EvtchnBindVirq.vcpu));
      return answerPort(v, d, port, arg, a2 + EvtchnBindVirq.port);
    }
    case EVTCHNOP_bind_ipi: {
      const port = evtchnBindIpi(d, load<u32>(arg, EvtchnBindIpi.vcpu));
      return answerPort(v, d, port, arg, a2 + EvtchnBindIpi.port);
    }
    case EVTCHNOP_bind_pirq: {
      const port = evtchnBindPirq(d, load<u32>(arg, EvtchnBindPirq.pirq));
      return answerPort(v, d, port, arg, a2 + EvtchnBindPirq.port);
    }
    case EVTCHNOP_status:
      return status(v, arg, a2);
    case EVTCHNOP_reset:
      return reset(v, arg, a2, false);
    case EVTCHNOP_reset_cont:
      return reset(v, arg, a2, true);
    case EVTCHNOP_init_control:
      return initControl(v, arg, a2);
    case EVTCHNOP_expand_array:
      return fifoExpandArray(d, load<u64>(arg, EvtchnExpandArray.array_gfn));
    case EVTCHNOP_set_priority:
      return evtchnSetPriority(d, load<u32>(arg, EvtchnSetPriority.port), load<u32>(arg, EvtchnSetPriority.priority));
    default:
      return -ENOSYS;
  }
}

/** Bytes of the structure of `op`; 0 for one that does not exist. */
function argumentSize(op: u32): u32 {
  switch (op) {
    case EVTCHNOP_send:
      return EvtchnSend.SIZE;
    case EVTCHNOP_unmask:
      return EvtchnUnmask.SIZE;
    case EVTCHNOP_close:
      return EvtchnClose.SIZE;
    case EVTCHNOP_bind_vcpu:
      return EvtchnBindVcpu.SIZE;
    case EVTCHNOP_alloc_unbound:
      return EvtchnAllocUnbound.SIZE;
    case EVTCHNOP_bind_interdomain:
      return EvtchnBindInterdomain.SIZE;
    case EVTCHNOP_bind_virq:
      return EvtchnBindVirq.SIZE;
    case EVTCHNOP_bind_ipi:
      return EvtchnBindIpi.SIZE;
    case EVTCHNOP_bind_pirq:
      return EvtchnBindPirq.SIZE;
    case EVTCHNOP_status:
      return EvtchnStatus.SIZE;
    case EVTCHNOP_reset:
    case EVTCHNOP_reset_cont:
      return EvtchnReset.SIZE;
    case EVTCHNOP_init_control:
      return EvtchnInitControl.SIZE;
    case EVTCHNOP_set_priority:
      return EvtchnSetPriority.SIZE;
    case EVTCHNOP_expand_array:
      return EvtchnExpandArray.SIZE;
    default:
      return 0;
  }
}

/** Returns the new port to the guest; if the copy fails, the port is closed again. `port` may be an errno. */
function answerPort(v: Vcpu, d: Domain, port: i32, buffer: usize, gva: u64): i64 {
  if (port < 0) return port;
  store<u32>(buffer, port);
  if (copyToGuest(v, gva, buffer, 4)) return 0;
  evtchnClose(d, port);
  return -EFAULT;
}

function status(v: Vcpu, arg: usize, gva: u64): i64 {
  const d = domainNamed(v, load<u16>(arg, EvtchnStatus.dom));
  if (d == null) return -ESRCH;
  const p = portOf(d, load<u32>(arg, EvtchnStatus.port));
  if (p == null) return -EINVAL;
  if (eventTarget(v, d.id) == null) return accessError;
  store<u32>(arg, statusOf(p), EvtchnStatus.status);
  store<u32>(arg, p.vcpu, EvtchnStatus.vcpu);
  if (p.state == PortState.Unbound) {
    store<u16>(arg, <u16>p.peer, EvtchnStatus.u_unbound_dom);
  } else if (p.state == PortState.Interdomain) {
    store<u16>(arg, <u16>changetype<Domain>(<usize>p.peer).id, EvtchnStatus.u_interdomain_dom);
    store<u32>(arg, p.peerPort, EvtchnStatus.u_interdomain_port);
  } else if (p.state == PortState.Virq) {
    store<u32>(arg, p.peer, EvtchnStatus.u_virq);
  } else if (p.state == PortState.Pirq) {
    store<u32>(arg, p.peer, EvtchnStatus.u_pirq);
  } else if (d.software && p.state == PortState.Free) {
    // Beyond Xen: what it was bound to when it was closed, by a restart for instance. Port 0: nothing.
    store<u16>(arg, <u16>p.peer, EvtchnStatus.u_interdomain_dom);
    store<u32>(arg, p.peerPort, EvtchnStatus.u_interdomain_port);
  }
  return copyToGuest(v, gva, arg, EvtchnStatus.SIZE) ? 0 : -EFAULT;
}

function statusOf(p: Port): u32 {
  switch (<i32>p.state) {
    case PortState.Unbound:
      return EVTCHNSTAT_unbound;
    case PortState.Interdomain:
      return EVTCHNSTAT_interdomain;
    case PortState.Virq:
      return EVTCHNSTAT_virq;
    case PortState.Ipi:
      return EVTCHNSTAT_ipi;
    case PortState.Pirq:
      return EVTCHNSTAT_pirq;
    default:
      return EVTCHNSTAT_closed;
  }
}

function initControl(v: Vcpu, arg: usize, gva: u64): i64 {
  const rc = fifoInitControl(
    v.domain,
    load<u32>(arg, EvtchnInitControl.vcpu),
    load<u64>(arg, EvtchnInitControl.control_gfn),
    load<u32>(arg, EvtchnInitControl.offset),
  );
  if (rc) return rc;
  store<u8>(arg, <u8>EVTCHN_FIFO_LINK_BITS, EvtchnInitControl.link_bits);
  return copyToGuest(v, gva, arg, EvtchnInitControl.SIZE) ? 0 : -EFAULT;
}

/** Closes all ports of the caller's domain, or of one that domain 0 has paused. Continues after a preemption. */
function reset(v: Vcpu, arg: usize, a2: u64, resuming: bool): i64 {
  const d = eventTarget(v, load<u16>(arg, EvtchnReset.dom));
  if (d == null) return accessError;
  if (changetype<usize>(d) != changetype<usize>(v.domain) && !d.pauseCount) return -EINVAL;
  const rc = evtchnReset(d, v, resuming);
  return rc == -ERESTART ? hypercallRestart(v, EVTCHNOP_reset_cont, a2, 0, 0, 0, 0) : rc;
}
