/** FIFO event channels: switching to them and back, what a guest sees of its events, and what a hostile one can do. */
import test from "ava";
import { EACCES, EBUSY, EFAULT, EINVAL, ENOENT, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../../abi/errno.ts";
import * as evtchn from "../../../abi/event-channel.ts";
import {
  AddToPhysmap,
  MemoryReservation,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_decrease_reservation,
} from "../../../abi/memory.ts";
import { SCHEDOP_poll, SchedPoll } from "../../../abi/sched.ts";
import {
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
  SharedInfo,
  VcpuInfo,
} from "../../../abi/xen.ts";
import { hypercall, type Steps } from "../../sim/call.ts";
import { expandArray, FifoView, initControl, LINKED, MASKED, PENDING } from "../../sim/fifo.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { await_, call, Lab, result } from "./lab.ts";

const SHARED_GFN = 40;
const CONTROL_GFN = 42;
const WORDS_GFN = 43;
const ABSENT_GFN = 0x3f00;
const NOBODY = 999;
const DEFAULT = evtchn.EVTCHN_FIFO_PRIORITY_DEFAULT;
const CONTROL_SIZE = evtchn.EvtchnFifoControlBlock.SIZE;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

const onPort = (op: number) =>
  function* (cpu: GuestCpu, port: number): Steps<number> {
    return yield* result(cpu, EVENTS, op, evtchn.EvtchnSend, { port });
  };
const send = onPort(evtchn.EVTCHNOP_send);
const close = onPort(evtchn.EVTCHNOP_close);
const unmask = onPort(evtchn.EVTCHNOP_unmask);

function* alloc(cpu: GuestCpu, remote: number = DOMID_SELF): Steps<number> {
  const values = { dom: DOMID_SELF, remote_dom: remote };
  const op = evtchn.EVTCHNOP_alloc_unbound;
  const { result: rc, view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnAllocUnbound, values);
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnAllocUnbound.port, true);
}

function* ipi(cpu: GuestCpu, vcpu = 0): Steps<number> {
  const { result: rc, view } = yield* call(cpu, EVENTS, evtchn.EVTCHNOP_bind_ipi, evtchn.EvtchnBindIpi, { vcpu });
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnBindIpi.port, true);
}

/** A channel of the domain to itself: sending through `from` raises `to`, which may move between vCPUs. */
function* channel(cpu: GuestCpu): Steps<{ from: number; to: number }> {
  const from = yield* alloc(cpu);
  const values = { remote_dom: DOMID_SELF, remote_port: from };
  const op = evtchn.EVTCHNOP_bind_interdomain;
  const { view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnBindInterdomain, values);
  return { from, to: view.getUint32(evtchn.EvtchnBindInterdomain.local_port, true) };
}

function* bindVcpu(cpu: GuestCpu, port: number, vcpu: number): Steps<number> {
  return yield* result(cpu, EVENTS, evtchn.EVTCHNOP_bind_vcpu, evtchn.EvtchnBindVcpu, { port, vcpu });
}

function* setPriority(cpu: GuestCpu, port: number, priority: number): Steps<number> {
  return yield* result(cpu, EVENTS, evtchn.EVTCHNOP_set_priority, evtchn.EvtchnSetPriority, { port, priority });
}

function* reset(cpu: GuestCpu, dom: number = DOMID_SELF, op = evtchn.EVTCHNOP_reset): Steps<number> {
  return yield* result(cpu, EVENTS, op, evtchn.EvtchnReset, { dom });
}

function* mapShared(cpu: GuestCpu): Steps<DataView> {
  const values = { domid: DOMID_SELF, space: XENMAPSPACE_shared_info, gpfn: SHARED_GFN };
  yield* result(cpu, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap, values);
  return cpu.view(SHARED_GFN * 4096, 4096);
}

/** Switches to FIFO with one page of event words. */
function* fifo(cpu: GuestCpu): Steps<FifoView> {
  yield* initControl(cpu, 0, CONTROL_GFN);
  yield* expandArray(cpu, WORDS_GFN);
  return new FifoView(cpu, CONTROL_GFN * 4096, [WORDS_GFN]);
}

test.serial("init_control and expand_array: errors in Xen's order, and nothing changed by them", (t) => {
  lab.runWith(t, { vcpus: 2 }, function* (cpu) {
    const port = yield* alloc(cpu);
    t.is(yield* expandArray(cpu, WORDS_GFN), -EOPNOTSUPP, "not in FIFO mode");
    t.is(yield* setPriority(cpu, port, 3), -ENOSYS, "not in FIFO mode");
    t.is(yield* initControl(cpu, 7, CONTROL_GFN, 3), -ENOENT);
    t.is(yield* initControl(cpu, 0, ABSENT_GFN, 4096 - CONTROL_SIZE + 8), -EINVAL, "beyond the page");
    t.is(yield* initControl(cpu, 0, CONTROL_GFN, 0xfffffff8), -EINVAL);
    t.is(yield* initControl(cpu, 0, CONTROL_GFN, 4), -EINVAL, "not a multiple of 8");
    t.is(yield* initControl(cpu, 0, ABSENT_GFN), -EINVAL, "no RAM there");
    yield* mapShared(cpu);
    t.is(yield* initControl(cpu, 0, SHARED_GFN), -EINVAL, "not the guest's own RAM");
    t.is(yield* hypercall(cpu, EVENTS, evtchn.EVTCHNOP_init_control, ABSENT_GFN * 4096), -EFAULT);
    t.is(yield* expandArray(cpu, WORDS_GFN), -EOPNOTSUPP, "the failures have not switched the domain");
    t.is(yield* initControl(cpu, 0, CONTROL_GFN, 4096 - CONTROL_SIZE), 0, "the last place in the page");
    t.is(yield* initControl(cpu, 0, CONTROL_GFN), -EINVAL, "it has one");
    t.is(yield* initControl(cpu, 1, CONTROL_GFN, 128), 0, "two may share a page");
    t.is(yield* expandArray(cpu, ABSENT_GFN), -EINVAL);
    t.is(yield* hypercall(cpu, EVENTS, evtchn.EVTCHNOP_expand_array, ABSENT_GFN * 4096), -EFAULT);
    for (let i = 0; i < 128; i++) t.is(yield* expandArray(cpu, WORDS_GFN), 0);
    t.is(yield* expandArray(cpu, WORDS_GFN), -ENOSPC, "131,072 ports have words");
    t.is(yield* setPriority(cpu, port, 16), -EINVAL);
    t.is(yield* setPriority(cpu, port, 15), 0);
    t.is(yield* setPriority(cpu, port + 1, 3), -EACCES, "not in use");
    t.is(yield* setPriority(cpu, 0, 3), -EACCES);
    t.is(yield* setPriority(cpu, 64, 3), -EINVAL, "no such port");
  });
});

test.serial("events are linked in order, once, and the first one is announced", (t) => {
  lab.run(t, function* (cpu) {
    const shared = yield* mapShared(cpu);
    const queues = yield* fifo(cpu);
    const [a, b, c] = [yield* ipi(cpu), yield* ipi(cpu), yield* ipi(cpu)];
    t.is(yield* send(cpu, b), 0);
    t.is(queues.word(b), (PENDING | LINKED) >>> 0);
    t.is(queues.readyWord, 1 << DEFAULT);
    t.is(queues.head(DEFAULT), b);
    t.is(shared.getUint8(VcpuInfo.evtchn_upcall_pending), 1);
    t.is(shared.getBigUint64(SharedInfo.evtchn_pending, true), 0n, "the 2-level bits are out of use");
    shared.setUint8(VcpuInfo.evtchn_upcall_pending, 0);
    t.is(yield* send(cpu, a), 0);
    t.is(yield* send(cpu, c), 0);
    t.is(yield* send(cpu, a), 0);
    t.is(queues.word(b), ((PENDING | LINKED) >>> 0) + a);
    t.is(queues.word(a), ((PENDING | LINKED) >>> 0) + c);
    t.is(shared.getUint8(VcpuInfo.evtchn_upcall_pending), 0, "the queue was announced already");
    t.deepEqual(queues.drain(), [b, a, c]);
    t.is(yield* send(cpu, c), 0, "the tail of an emptied queue");
    t.is(shared.getUint8(VcpuInfo.evtchn_upcall_pending), 1);
    t.deepEqual(queues.drain(), [c]);
    t.deepEqual(queues.drain(), []);
  });
});

test.serial("a masked event waits for its unmasking; one that is closed is passed over", (t) => {
  lab.run(t, function* (cpu) {
    const queues = yield* fifo(cpu);
    const [a, b] = [yield* ipi(cpu), yield* ipi(cpu)];
    queues.mask(a);
    t.is(yield* send(cpu, a), 0);
    t.is(queues.word(a), (PENDING | MASKED) >>> 0);
    t.is(queues.readyWord, 0);
    t.false(queues.unmaskCheaply(a), "pending: the hypervisor must link it");
    t.is(yield* unmask(cpu, a), 0);
    t.is(queues.word(a), (PENDING | LINKED) >>> 0);
    t.is(yield* send(cpu, b), 0);
    queues.mask(b);
    t.deepEqual(queues.drain(), [a], "masked after it was linked");
    t.is(yield* unmask(cpu, b), 0);
    t.is(yield* close(cpu, b), 0);
    t.is(queues.word(b), LINKED, "no longer pending, still on its queue");
    t.is(yield* unmask(cpu, b), 0, "not in use: nothing happens");
    t.is(yield* ipi(cpu), b + 1, "its number is not given out before it is off the queue");
    t.deepEqual(queues.drain(), []);
    t.is(yield* ipi(cpu), b);
  });
});

test.serial("queues of higher priority come first; a change of priority is for the next time", (t) => {
  lab.run(t, function* (cpu) {
    const queues = yield* fifo(cpu);
    const ports: number[] = [];
    for (let i = 0; i < 4; i++) ports.push(yield* ipi(cpu));
    const [a, b, c, d] = ports as [number, number, number, number];
    t.is(yield* setPriority(cpu, c, evtchn.EVTCHN_FIFO_PRIORITY_MAX), 0);
    t.is(yield* setPriority(cpu, a, evtchn.EVTCHN_FIFO_PRIORITY_MIN), 0);
    for (const port of ports) t.is(yield* send(cpu, port), 0);
    t.is(queues.readyWord, (1 << 0) | (1 << DEFAULT) | (1 << 15));
    t.is(yield* setPriority(cpu, b, 0), 0);
    t.deepEqual(queues.drain(), [c, b, d, a]);
    for (const port of [b, c]) t.is(yield* send(cpu, port), 0);
    t.is(queues.readyWord, 1);
    t.deepEqual(queues.drain(), [b, c]);
    t.is(yield* close(cpu, c), 0);
    t.is(yield* ipi(cpu), c);
    t.is(yield* send(cpu, c), 0);
    t.is(queues.readyWord, 1 << DEFAULT, "a new port has the default priority");
    t.deepEqual(queues.drain(), [c]);
  });
});

test.serial("ports that were bound before the switch keep what is pending", (t) => {
  lab.run(t, function* (cpu) {
    yield* mapShared(cpu);
    const [a, b, c] = [yield* ipi(cpu), yield* ipi(cpu), yield* ipi(cpu)];
    t.is(yield* send(cpu, a), 0);
    t.is(yield* initControl(cpu, 0, CONTROL_GFN), 0);
    t.is(yield* send(cpu, b), 0, "no event word yet");
    t.is(yield* send(cpu, c), 0);
    t.is(yield* close(cpu, c), 0);
    t.is(yield* ipi(cpu), c, "a new port has nothing pending");
    t.is(yield* expandArray(cpu, WORDS_GFN), 0);
    const queues = new FifoView(cpu, CONTROL_GFN * 4096, [WORDS_GFN]);
    t.deepEqual(queues.drain(), [a, b]);
  });
});

test.serial("a port bound to another vCPU goes on that one's queue the next time", (t) => {
  lab.runWith(t, { vcpus: 2 }, function* (cpu) {
    const first = yield* fifo(cpu);
    const { from, to } = yield* channel(cpu);
    const other = yield* channel(cpu);
    t.deepEqual(first.drain(), [to, other.to], "a new channel starts pending");
    t.is(yield* bindVcpu(cpu, to, 1), 0);
    t.is(yield* send(cpu, from), 0);
    t.is(first.word(to), 0, "vCPU 1 has no control block: the event is lost");
    t.is(yield* initControl(cpu, 1, CONTROL_GFN, 256), 0);
    const second = new FifoView(cpu, CONTROL_GFN * 4096 + 256, [WORDS_GFN]);

    t.is(yield* send(cpu, from), 0);
    t.is(yield* bindVcpu(cpu, to, 0), 0);
    t.is(yield* send(cpu, from), 0);
    t.is(first.readyWord, 0, "linked already: it stays where it is");
    t.deepEqual(second.drain(), [to]);
    t.is(yield* send(cpu, from), 0);
    t.deepEqual(first.drain(), [to]);

    // The tail of the queue it left must not be taken for the end of that queue, though its word is linked again.
    t.is(yield* bindVcpu(cpu, to, 1), 0);
    t.is(yield* send(cpu, from), 0);
    t.is(yield* send(cpu, other.from), 0);
    t.is(first.head(DEFAULT), other.to);
    t.deepEqual(first.drain(), [other.to]);
    t.deepEqual(second.drain(), [to]);
  });
});

test.serial("more ports than the 2-level ABI has, up to the domain's limit", (t) => {
  lab.runWith(t, { maxPort: 4400 }, function* (cpu) {
    let port = 0;
    for (let i = 1; i <= 4095; i++) port = yield* alloc(cpu);
    t.is(port, 4095);
    t.is(yield* alloc(cpu), -ENOSPC, "the 2-level ABI has no more");
    t.is(yield* initControl(cpu, 0, CONTROL_GFN), 0);
    for (let i = 4096; i < 4400; i++) t.is(yield* alloc(cpu), i);
    const last = yield* ipi(cpu);
    t.is(last, 4400);
    t.is(yield* alloc(cpu), -ENOSPC);
    t.is(yield* send(cpu, last), 0);
    for (let page = 0; page < 5; page++) t.is(yield* expandArray(cpu, WORDS_GFN + page), 0);
    const queues = new FifoView(
      cpu,
      CONTROL_GFN * 4096,
      [0, 1, 2, 3, 4].map((page) => WORDS_GFN + page),
    );
    t.deepEqual(queues.drain(), [last]);
    t.is(yield* reset(cpu), 0);
    t.is(yield* alloc(cpu), 1);
    t.is(yield* unmask(cpu, 4400), 0, "has a record, but no mask bit in the 2-level ABI: nothing happens");
    t.is(yield* send(cpu, 4400), -EINVAL);
  });
});

test.serial("reset goes back to the 2-level ABI and lets go of the pages", (t) => {
  lab.runWith(t, { vcpus: 2 }, function* (cpu, ids) {
    const shared = yield* mapShared(cpu);
    const queues = yield* fifo(cpu);
    t.is(yield* initControl(cpu, 1, CONTROL_GFN, 128), 0);
    const port = yield* ipi(cpu);
    t.is(yield* send(cpu, port), 0);
    t.is(queues.readyWord, 1 << DEFAULT);
    t.is(yield* reset(cpu, 0), -EPERM);
    t.is(yield* reset(cpu, NOBODY), -ESRCH);
    t.is(yield* reset(cpu, ids[0], evtchn.EVTCHNOP_reset_cont), -EBUSY, "no reset is under way");
    t.is(yield* reset(cpu), 0);
    shared.setUint8(VcpuInfo.evtchn_upcall_pending, 0);
    t.is(yield* expandArray(cpu, WORDS_GFN), -EOPNOTSUPP);
    t.is(yield* ipi(cpu), port, "linked or not does not matter any more");
    t.is(yield* send(cpu, port), 0);
    t.is(shared.getBigUint64(SharedInfo.evtchn_pending, true), 1n << BigInt(port));
    const again = yield* fifo(cpu);
    t.deepEqual(again.drain(), [port], "and to FIFO once more");
  });
});

test.serial("a page that the guest gives back while it is in use stays its own until the reset", (t) => {
  lab.run(t, function* (cpu, ids) {
    yield* fifo(cpu);
    const port = yield* ipi(cpu);
    const pages = lab.dom0.info(ids[0]!).pages;
    const list = 20 * 4096;
    for (const gfn of [CONTROL_GFN, WORDS_GFN]) {
      cpu.view(list, 8).setBigUint64(0, BigInt(gfn), true);
      const values = { extent_start: list, nr_extents: 1, domid: DOMID_SELF };
      const op = XENMEM_decrease_reservation;
      t.is(yield* result(cpu, __HYPERVISOR_memory_op, op, MemoryReservation, values), 1);
    }
    t.is(lab.dom0.info(ids[0]!).pages, pages, "still referenced");
    t.is(yield* send(cpu, port), 0, "written to frames that nobody else has");
    lab.audit(t);
    t.is(yield* reset(cpu), 0);
    t.is(lab.dom0.info(ids[0]!).pages, pages - 2);
  });
});

test.serial("SCHEDOP_poll sees FIFO events, and refuses ports that are not in use", (t) => {
  lab.run(t, function* (cpu) {
    const queues = yield* fifo(cpu);
    const port = yield* ipi(cpu);
    queues.mask(port);
    t.is(yield* send(cpu, port), 0);
    const list = 20 * 4096;
    const poll = function* (which: number): Steps<number> {
      cpu.view(list, 4).setUint32(0, which, true);
      const values = { ports: list, nr_ports: 1, timeout: 1 };
      return yield* result(cpu, __HYPERVISOR_sched_op, SCHEDOP_poll, SchedPoll, values);
    };
    t.is(yield* poll(port), 0);
    t.is(yield* poll(port + 1), -EINVAL);
    t.is(yield* poll(5000), -EINVAL);
  });
});

test.serial("a hostile guest's queues are its own trouble", (t) => {
  lab.run(
    t,
    function* (cpu, ids, signals) {
      const queues = yield* fifo(cpu);
      const offered = yield* alloc(cpu, ids[1]!);
      const own: number[] = [];
      for (let i = 0; i < 12; i++) own.push(yield* ipi(cpu));
      cpu.view(30 * 4096, 4).setUint32(0, offered, true);
      signals.add(`offered ${offered}`);
      signals.add("offered");
      yield* await_(signals, "bound");
      let seed = 12345;
      const random = (): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0);
      for (let round = 0; round < 400; round++) {
        // Links in circles, to itself, to ports beyond the last; words and heads of any value.
        queues.setWord(random() % 1024, random());
        for (const port of own) if (random() & 1) queues.setWord(port, random());
        queues.block.setUint32((random() % 18) * 4, random(), true);
        t.is(yield* send(cpu, own[random() % own.length]!), 0);
        t.is(yield* unmask(cpu, own[random() % own.length]!), 0);
        t.is(yield* setPriority(cpu, own[random() % own.length]!, random() % 16), 0);
        if (round % 50 === 0) lab.audit(t);
      }
      signals.add("done");
    },
    function* (cpu, ids, signals) {
      const shared = yield* mapShared(cpu);
      yield* await_(signals, "offered");
      const remote = Number([...signals].find((name) => name.startsWith("offered "))!.slice(8));
      const values = { remote_dom: ids[0]!, remote_port: remote };
      const op = evtchn.EVTCHNOP_bind_interdomain;
      const { result: rc, view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnBindInterdomain, values);
      t.is(rc, 0);
      const port = view.getUint32(evtchn.EvtchnBindInterdomain.local_port, true);
      const self = yield* ipi(cpu);
      signals.add("bound");
      for (let i = 0; i < 200; i++) {
        t.is(yield* send(cpu, port), 0, "sending to it succeeds");
        t.is(yield* send(cpu, self), 0);
        const word = shared.getBigUint64(SharedInfo.evtchn_pending, true);
        t.is((word >> BigInt(self)) & 1n, 1n, "one's own events arrive");
        shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
      }
      yield* await_(signals, "done");
    },
  );
});
