/**
 * FIFO event channels against a model: after any sequence of sends, masks, changes of priority and vCPU, closings and
 * removals, every queue has the same contents as the model's, in the same order.
 */
import test from "ava";
import fc from "fast-check";
import {
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_unmask,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVcpu,
  EvtchnSetPriority,
} from "../../abi/event-channel.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { __HYPERVISOR_event_channel_op, __HYPERVISOR_sched_op, DOMID_SELF } from "../../abi/xen.ts";
import { structured, type Steps } from "../sim/call.ts";
import { Dom0 } from "../sim/dom0.ts";
import { expandArray, FifoView, initControl } from "../sim/fifo.ts";
import { Machine } from "../sim/machine.ts";
import { hypervisorModule } from "../sim/module.ts";
import type { GuestCpu } from "../sim/svm-cpu.ts";

const CONTROL_GFN = 20;
const WORDS_GFN = 21;
const CHANNELS = 6;
const VCPUS = 2;

type Operation =
  | { kind: "send" | "mask" | "unmask" | "cheap-unmask" | "rebind"; channel: number }
  | { kind: "priority"; channel: number; value: number }
  | { kind: "vcpu"; channel: number; value: number }
  | { kind: "take"; vcpu: number };

const channel = fc.nat(CHANNELS - 1);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), channel }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("take" as const), vcpu: fc.nat(VCPUS - 1) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("mask", "unmask", "cheap-unmask", "rebind"), channel }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("priority" as const), channel, value: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("vcpu" as const), channel, value: fc.nat(VCPUS - 1) }) },
);

/** What the model knows of a port number; its event word outlives the port. */
interface Word {
  pending: boolean;
  masked: boolean;
  linked: boolean;
}

class Model {
  readonly words = new Map<number, Word>();
  readonly queues = Array.from({ length: VCPUS }, () => Array.from({ length: 16 }, (): number[] => []));

  word(port: number): Word {
    let word = this.words.get(port);
    if (!word) this.words.set(port, (word = { pending: false, masked: false, linked: false }));
    return word;
  }

  raise(port: number, vcpu: number, priority: number): void {
    const word = this.word(port);
    word.pending = true;
    if (word.masked || word.linked) return;
    word.linked = true;
    this.queues[vcpu]![priority]!.push(port);
  }

  take(vcpu: number): { port: number; handled: boolean; priority: number } | null {
    const priority = this.queues[vcpu]!.findIndex((queue) => queue.length > 0);
    if (priority < 0) return null;
    const port = this.queues[vcpu]![priority]!.shift()!;
    const word = this.word(port);
    const handled = word.pending && !word.masked;
    word.linked = false;
    if (handled) word.pending = false;
    return { port, handled, priority };
  }
}

function* call(cpu: GuestCpu, command: number, size: number, fill: (v: DataView) => void): Steps<DataView> {
  const { result, view } = yield* structured(cpu, __HYPERVISOR_event_channel_op, command, size, fill);
  if (result !== 0) throw new Error(`EVTCHNOP ${command} returned ${result}`);
  return view;
}

/** Does the operations as a guest, and the same in the model; throws at the first difference. */
function* live(cpu: GuestCpu, operations: Operation[]): Steps<void> {
  const model = new Model();
  const views: FifoView[] = [];
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    yield* initControl(cpu, vcpu, CONTROL_GFN, vcpu * 128);
    views.push(new FifoView(cpu, CONTROL_GFN * 4096 + vcpu * 128, [WORDS_GFN]));
  }
  yield* expandArray(cpu, WORDS_GFN);
  const channels: { from: number; to: number; vcpu: number; priority: number }[] = [];

  function* bind(from: number): Steps<(typeof channels)[number]> {
    const view = yield* call(cpu, EVTCHNOP_bind_interdomain, EvtchnBindInterdomain.SIZE, (v) => {
      v.setUint16(EvtchnBindInterdomain.remote_dom, DOMID_SELF, true);
      v.setUint32(EvtchnBindInterdomain.remote_port, from, true);
    });
    const to = view.getUint32(EvtchnBindInterdomain.local_port, true);
    if (model.word(to).linked) throw new Error(`port ${to} is given out while it is on a queue`);
    model.raise(to, 0, EVTCHN_FIFO_PRIORITY_DEFAULT);
    return { from, to, vcpu: 0, priority: EVTCHN_FIFO_PRIORITY_DEFAULT };
  }

  const compare = (vcpu: number): boolean => {
    const [seen, wanted] = [views[vcpu]!.take(), model.take(vcpu)];
    if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
      throw new Error(`vCPU ${vcpu} takes ${JSON.stringify(seen)}, the model ${JSON.stringify(wanted)}`);
    }
    return seen !== null;
  };
  const port = (which: number) => (v: DataView) => v.setUint32(0, which, true);

  for (let i = 0; i < CHANNELS; i++) {
    const view = yield* call(cpu, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
      v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
      v.setUint16(EvtchnAllocUnbound.remote_dom, DOMID_SELF, true);
    });
    channels.push(yield* bind(view.getUint32(EvtchnAllocUnbound.port, true)));
  }
  for (const op of operations) {
    if (op.kind === "take") {
      compare(op.vcpu);
      continue;
    }
    const c = channels[op.channel]!;
    const word = model.word(c.to);
    switch (op.kind) {
      case "send":
        yield* call(cpu, EVTCHNOP_send, 4, port(c.from));
        model.raise(c.to, c.vcpu, c.priority);
        break;
      case "mask":
        views[0]!.mask(c.to);
        word.masked = true;
        break;
      case "cheap-unmask":
        if (views[0]!.unmaskCheaply(c.to) === word.pending) throw new Error(`pending of port ${c.to} differs`);
        if (!word.pending) word.masked = false;
        break;
      case "unmask":
        yield* call(cpu, EVTCHNOP_unmask, 4, port(c.to));
        word.masked = false;
        if (word.pending) model.raise(c.to, c.vcpu, c.priority);
        break;
      case "rebind":
        yield* call(cpu, EVTCHNOP_close, 4, port(c.to));
        word.pending = false;
        channels[op.channel] = yield* bind(c.from);
        break;
      case "priority":
        yield* call(cpu, EVTCHNOP_set_priority, EvtchnSetPriority.SIZE, (v) => {
          v.setUint32(EvtchnSetPriority.port, c.to, true);
          v.setUint32(EvtchnSetPriority.priority, op.value, true);
        });
        c.priority = op.value;
        break;
      case "vcpu":
        yield* call(cpu, EVTCHNOP_bind_vcpu, EvtchnBindVcpu.SIZE, (v) => {
          v.setUint32(EvtchnBindVcpu.port, c.to, true);
          v.setUint32(EvtchnBindVcpu.vcpu, op.value, true);
        });
        c.vcpu = op.value;
        break;
    }
  }
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) while (compare(vcpu)) continue;
}

test("queues hold what the model's do, in the same order", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 64 });
  const dom0 = new Dom0(machine);
  machine.step(4);
  fc.assert(
    fc.property(fc.array(operation, { minLength: 20, maxLength: 120, size: "max" }), (operations) => {
      let ended = false;
      const id = dom0.build(
        function* (cpu) {
          yield* live(cpu, operations);
          ended = true;
          for (;;) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_block, 0] };
        },
        32,
        VCPUS,
      );
      try {
        dom0.unpause(id);
        machine.runUntil(() => ended, "the end of the guest's program", 5000);
        if (machine.exports.audit() !== 0) throw new Error(machine.output.slice(-500));
      } finally {
        dom0.destroy(id);
        machine.step(3);
      }
    }),
    { numRuns: 150 },
  );
  t.is(machine.exports.audit(), 0);
});
