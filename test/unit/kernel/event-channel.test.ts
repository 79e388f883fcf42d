/** Event channels: every sub-operation, its result and its errors, from inside a guest. */
import test from "ava";
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../../abi/errno.ts";
import * as evtchn from "../../../abi/event-channel.ts";
import { AddToPhysmap, XENMAPSPACE_shared_info, XENMEM_add_to_physmap } from "../../../abi/memory.ts";
import {
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_memory_op,
  DOMID_SELF,
  SharedInfo,
  VcpuInfo,
  VIRQ_DOM_EXC,
  VIRQ_TIMER,
} from "../../../abi/xen.ts";
import { hypercall, type Steps } from "../../sim/call.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { await_, call, Lab, result } from "./lab.ts";

const NOBODY = 999;
const SHARED = 40 * 4096;
const ABSENT = 0x3f00000;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

const alloc = function* (cpu: GuestCpu, dom: number, remote: number): Steps<number> {
  const values = { dom, remote_dom: remote };
  const { result: rc, view } = yield* call(
    cpu,
    EVENTS,
    evtchn.EVTCHNOP_alloc_unbound,
    evtchn.EvtchnAllocUnbound,
    values,
  );
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnAllocUnbound.port, true);
};
const bind = function* (cpu: GuestCpu, dom: number, port: number): Steps<number> {
  const values = { remote_dom: dom, remote_port: port };
  const op = evtchn.EVTCHNOP_bind_interdomain;
  const { result: rc, view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnBindInterdomain, values);
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnBindInterdomain.local_port, true);
};
const virq = function* (cpu: GuestCpu, number: number, vcpu: number): Steps<number> {
  const values = { virq: number, vcpu };
  const { result: rc, view } = yield* call(cpu, EVENTS, evtchn.EVTCHNOP_bind_virq, evtchn.EvtchnBindVirq, values);
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnBindVirq.port, true);
};
const ipi = function* (cpu: GuestCpu, vcpu: number): Steps<number> {
  const { result: rc, view } = yield* call(cpu, EVENTS, evtchn.EVTCHNOP_bind_ipi, evtchn.EvtchnBindIpi, { vcpu });
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnBindIpi.port, true);
};
const status = function* (cpu: GuestCpu, dom: number, port: number): Steps<{ result: number; view: DataView }> {
  return yield* call(cpu, EVENTS, evtchn.EVTCHNOP_status, evtchn.EvtchnStatus, { dom, port });
};
const stateOf = function* (cpu: GuestCpu, port: number): Steps<number> {
  return (yield* status(cpu, DOMID_SELF, port)).view.getUint32(evtchn.EvtchnStatus.status, true);
};
const onPort = (op: number) =>
  function* (cpu: GuestCpu, port: number): Steps<number> {
    return yield* result(cpu, EVENTS, op, evtchn.EvtchnSend, { port });
  };
const send = onPort(evtchn.EVTCHNOP_send);
const close = onPort(evtchn.EVTCHNOP_close);
const unmask = onPort(evtchn.EVTCHNOP_unmask);

function* mapShared(cpu: GuestCpu): Steps<number> {
  const values = { domid: DOMID_SELF, space: XENMAPSPACE_shared_info, gpfn: SHARED / 4096 };
  return yield* result(cpu, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap, values);
}

/** What the guest sees of its events. */
class Shared {
  private readonly view: DataView;

  constructor(cpu: GuestCpu) {
    this.view = cpu.view(SHARED, 4096);
  }
  pending(port: number): boolean {
    return (
      ((this.view.getBigUint64(SharedInfo.evtchn_pending + (port >> 6) * 8, true) >> BigInt(port & 63)) & 1n) === 1n
    );
  }
  mask(port: number): void {
    this.view.setBigUint64(SharedInfo.evtchn_mask + (port >> 6) * 8, 1n << BigInt(port & 63), true);
  }
  get upcall(): number {
    return this.view.getUint8(VcpuInfo.evtchn_upcall_pending);
  }
  get selector(): bigint {
    return this.view.getBigUint64(VcpuInfo.evtchn_pending_sel, true);
  }
  clear(): void {
    for (let i = 0; i < 64; i++) this.view.setBigUint64(SharedInfo.evtchn_pending + i * 8, 0n, true);
    this.view.setBigUint64(VcpuInfo.evtchn_pending_sel, 0n, true);
    this.view.setUint8(VcpuInfo.evtchn_upcall_pending, 0);
  }
}

test.serial("unbound and interdomain ports", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* alloc(cpu, DOMID_SELF, 0), 1, "port 0 is never given out");
    t.is(yield* alloc(cpu, 0, 0), -EPERM, "in domain 0");
    t.is(yield* alloc(cpu, NOBODY, 0), -ESRCH);
    t.is(yield* alloc(cpu, DOMID_SELF, NOBODY), 2, "the peer need not exist yet");
    t.is(yield* bind(cpu, 0, 1), -EINVAL, "domain 0 offers nothing");
    t.is(yield* bind(cpu, NOBODY, 1), -ESRCH);
    t.is(yield* bind(cpu, DOMID_SELF, 1), -EINVAL, "meant for another domain");
    t.is(yield* bind(cpu, DOMID_SELF, 0), -EINVAL);
    t.is(yield* bind(cpu, DOMID_SELF, 0xffffffff), -EINVAL);
    const port = yield* alloc(cpu, DOMID_SELF, DOMID_SELF);
    const other = yield* bind(cpu, DOMID_SELF, port);
    t.is(other, 4, "a channel to oneself");
    t.is(yield* bind(cpu, DOMID_SELF, port), -EINVAL, "bound already");
    const { view } = yield* status(cpu, DOMID_SELF, other);
    t.is(view.getUint32(evtchn.EvtchnStatus.status, true), evtchn.EVTCHNSTAT_interdomain);
    t.is(view.getUint32(evtchn.EvtchnStatus.u_interdomain_port, true), port);
    t.is(yield* stateOf(cpu, 1), evtchn.EVTCHNSTAT_unbound);
    t.is(yield* stateOf(cpu, 63), evtchn.EVTCHNSTAT_closed);
    t.is((yield* status(cpu, DOMID_SELF, 64)).result, -EINVAL, "no such port yet");
    t.is((yield* status(cpu, 0, 4000)).result, -EINVAL, "the port is looked at before the privilege, as on Xen");
    t.is((yield* status(cpu, 0, 1)).result, -EPERM);
    t.is((yield* status(cpu, NOBODY, 1)).result, -ESRCH);
    t.is(yield* close(cpu, port), 0);
    t.is(yield* close(cpu, port), -EINVAL, "closed twice");
    t.is(yield* stateOf(cpu, other), evtchn.EVTCHNSTAT_unbound, "the other end stays, unbound");
    t.is(yield* close(cpu, 0), -EINVAL);
    t.is(yield* close(cpu, 99999), -EINVAL);
  });
});

test.serial("a send sets pending, selector and upcall; a masked one waits for unmask", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* mapShared(cpu), 0);
    const shared = new Shared(cpu);
    const port = yield* alloc(cpu, DOMID_SELF, DOMID_SELF);
    const other = yield* bind(cpu, DOMID_SELF, port);
    t.true(shared.pending(other), "a new channel starts pending: sends before were lost");
    shared.clear();
    t.is(yield* send(cpu, port), 0);
    t.true(shared.pending(other));
    t.false(shared.pending(port));
    t.is(shared.selector, 1n);
    t.is(shared.upcall, 1);
    shared.clear();
    shared.mask(other);
    t.is(yield* send(cpu, port), 0);
    t.true(shared.pending(other));
    t.is(shared.upcall, 0);
    t.is(yield* unmask(cpu, other), 0);
    t.is(shared.upcall, 1);
    t.is(yield* unmask(cpu, 4096), -EINVAL);
    t.is(yield* send(cpu, 0), -EINVAL);
    t.is(yield* send(cpu, 50), -EINVAL);
    t.is(yield* send(cpu, 0xffffffff), -EINVAL);
    const unbound = yield* alloc(cpu, DOMID_SELF, 0);
    t.is(yield* send(cpu, unbound), 0, "a send to an unbound port is dropped");
    shared.clear();
    t.is(yield* send(cpu, port), 0);
    t.is(yield* close(cpu, other), 0);
    t.false(shared.pending(other), "closing takes the pending bit away");
  });
});

test.serial("VIRQs and IPIs", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* mapShared(cpu), 0);
    t.is(yield* virq(cpu, 24, 0), -EINVAL);
    t.is(yield* virq(cpu, 0xffffffff, 0), -EINVAL);
    t.is(yield* virq(cpu, VIRQ_TIMER, 1), -ENOENT);
    t.is(yield* virq(cpu, VIRQ_DOM_EXC, 1), -EINVAL, "global VIRQs are vCPU 0's");
    const timer = yield* virq(cpu, VIRQ_TIMER, 0);
    t.is(yield* virq(cpu, VIRQ_TIMER, 0), -EEXIST);
    t.is(yield* stateOf(cpu, timer), evtchn.EVTCHNSTAT_virq);
    t.is(yield* send(cpu, timer), -EINVAL);
    const self = yield* ipi(cpu, 0);
    t.is(yield* send(cpu, self), 0);
    t.true(new Shared(cpu).pending(self));
    t.is(yield* ipi(cpu, 1), -ENOENT);
    const bindVcpu = function* (port: number, vcpu: number): Steps<number> {
      return yield* result(cpu, EVENTS, evtchn.EVTCHNOP_bind_vcpu, evtchn.EvtchnBindVcpu, { port, vcpu });
    };
    const port = yield* alloc(cpu, DOMID_SELF, 0);
    t.is(yield* bindVcpu(port, 0), 0);
    t.is(yield* bindVcpu(self, 0), -EINVAL, "an IPI stays where it is");
    t.is(yield* bindVcpu(timer, 0), -EINVAL, "so does a per-vCPU VIRQ");
    t.is(yield* bindVcpu(port, 7), -ENOENT);
    t.is(yield* bindVcpu(4097, 0), -EINVAL);
    t.is(yield* close(cpu, timer), 0);
    t.is(yield* virq(cpu, VIRQ_TIMER, 0), timer, "after closing it can be bound again");
  });
});

test.serial("what is not offered is refused as Xen refuses it", (t) => {
  lab.run(t, function* (cpu) {
    const port = yield* alloc(cpu, DOMID_SELF, 0);
    t.is(yield* result(cpu, EVENTS, evtchn.EVTCHNOP_bind_pirq, evtchn.EvtchnBindPirq, { pirq: 3 }), -EINVAL);
    t.is(yield* result(cpu, EVENTS, evtchn.EVTCHNOP_expand_array, evtchn.EvtchnExpandArray, {}), -EOPNOTSUPP);
    t.is(yield* result(cpu, EVENTS, evtchn.EVTCHNOP_set_priority, evtchn.EvtchnSetPriority, { port }), -ENOSYS);
    t.is(yield* result(cpu, EVENTS, evtchn.EVTCHNOP_set_priority, evtchn.EvtchnSetPriority, { port: 4000 }), -EINVAL);
    t.is(yield* hypercall(cpu, EVENTS, 77, ABSENT), -ENOSYS);
    t.is(yield* hypercall(cpu, EVENTS, evtchn.EVTCHNOP_send, ABSENT), -EFAULT);
    t.is(yield* hypercall(cpu, EVENTS, evtchn.EVTCHNOP_send, 0xdead00000000n), -EFAULT);
  });
});

test.serial("ports run out, and reset gives all of them back", (t) => {
  lab.run(t, function* (cpu) {
    let port = 0;
    let count = 0;
    while ((port = yield* alloc(cpu, DOMID_SELF, 0)) > 0) t.is(port, ++count);
    t.is(port, -ENOSPC);
    t.is(count, 1023, "the limit given to createdomain");
    const reset = function* (dom: number): Steps<number> {
      return yield* result(cpu, EVENTS, evtchn.EVTCHNOP_reset, evtchn.EvtchnReset, { dom });
    };
    t.is(yield* reset(0), -EPERM);
    t.is(yield* reset(NOBODY), -ESRCH);
    t.is(yield* reset(DOMID_SELF), 0);
    t.is(yield* alloc(cpu, DOMID_SELF, 0), 1);
  });
});

test.serial("a channel between two domains; its end when one is closed", (t) => {
  let offered = 0;
  let bound = 0;
  lab.run(
    t,
    function* (cpu, ids, signals) {
      t.is(yield* mapShared(cpu), 0);
      offered = yield* alloc(cpu, DOMID_SELF, ids[1]!);
      signals.add("offered");
      yield* await_(signals, "bound");
      t.is(yield* stateOf(cpu, offered), evtchn.EVTCHNSTAT_interdomain);
      t.is(yield* send(cpu, offered), 0);
      signals.add("sent");
      yield* await_(signals, "closed");
      const { view } = yield* status(cpu, DOMID_SELF, offered);
      t.is(view.getUint32(evtchn.EvtchnStatus.status, true), evtchn.EVTCHNSTAT_unbound);
      t.is(view.getUint16(evtchn.EvtchnStatus.u_unbound_dom, true), ids[1], "open to the same domain again");
      t.is(yield* send(cpu, offered), 0);
    },
    function* (cpu, ids, signals) {
      t.is(yield* mapShared(cpu), 0);
      yield* await_(signals, "offered");
      bound = yield* bind(cpu, ids[0]!, offered);
      t.true(bound > 0);
      const shared = new Shared(cpu);
      shared.clear();
      signals.add("bound");
      yield* await_(signals, "sent");
      t.true(shared.pending(bound));
      t.is(yield* close(cpu, bound), 0);
      signals.add("closed");
    },
  );
});
