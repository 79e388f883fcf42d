/** What a device may do wrong, drawn by fast-check: for tests of the drivers of any virtio device. */
import fc from "fast-check";
import type { IoMachine } from "./machine.ts";
import type { VirtioModel } from "./virtio-model.ts";

export type Action =
  | { kind: "work"; size: number; offload: boolean }
  | { kind: "deliver"; size: number; header: number[] }
  | { kind: "lie"; queue: number; id: number; bytes: number }
  | { kind: "answer"; queue: number; bytes: number; twice: boolean }
  | { kind: "scribble"; queue: number; area: number; offset: number; value: number }
  | { kind: "keep"; on: boolean }
  | { kind: "release" }
  | { kind: "interrupt"; vector: number }
  | { kind: "needReset" }
  | { kind: "pass"; ms: number };

const number16 = fc.oneof(
  fc.integer({ min: 0, max: 8 }),
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 0xffff }),
);
const length = fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: 12, max: 8192 }), fc.constant(0xffffffff));
export const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("work" as const),
      size: fc.integer({ min: 14, max: 1514 }),
      offload: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("deliver" as const),
      size: fc.integer({ min: 0, max: 9000 }),
      header: fc.array(number16, { minLength: 0, maxLength: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("lie" as const),
      queue: fc.integer({ min: 0, max: 2 }),
      id: number16,
      bytes: length,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("answer" as const),
      queue: fc.integer({ min: 0, max: 2 }),
      bytes: length,
      twice: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("scribble" as const),
      queue: fc.integer({ min: 0, max: 2 }),
      area: fc.integer({ min: 0, max: 2 }),
      offset: fc.integer({ min: 0, max: 4095 }),
      value: fc.integer({ min: 0, max: 255 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("keep" as const), on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("interrupt" as const), vector: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("needReset" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
  },
) as fc.Arbitrary<Action>;

export const actions = fc.array(action, { minLength: 1, maxLength: 60 });

/** What any device may do; a model's own errors about a ring that it has itself spoilt do not count. */
export function misbehave(device: VirtioModel, machine: IoMachine, action: Action): void {
  if (action.kind === "interrupt") device.interrupt(action.vector);
  else if (action.kind === "needReset" && device.running) device.needReset();
  else if (action.kind === "pass") machine.pass(BigInt(action.ms) * 1_000_000n);
  else if (action.kind === "lie") {
    const ring = device.queues[action.queue]?.ring;
    if (ring && device.masters) ring.lie(action.id, action.bytes);
    device.interrupt(1);
  } else if (action.kind === "answer") {
    // What is available, put back with any length, once or twice; behind the header of a frame of one buffer.
    const ring = device.queues[action.queue]?.ring;
    const chain = ring && device.masters ? ring.pop() : null;
    if (!ring || !chain) return;
    device.memory.write(chain.writable, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    ring.push(chain, action.bytes);
    if (action.twice) ring.push(chain, action.bytes);
    device.interrupt(1);
  } else if (action.kind === "scribble") {
    const queue = device.queues[action.queue];
    if (!queue?.ring || !device.masters) return;
    // Anywhere in the areas' page: descriptors, available and used ring.
    const page = queue.addresses[action.area]! & ~0xfffn;
    const memory = machine.dma(device, page + BigInt(action.offset), 1);
    if (memory) memory[0] = action.value;
    device.interrupt(1);
  }
}

/** Violations that are the driver's, of a device that has spoilt its own rings. */
export function driversOwn(machine: IoMachine): string[] {
  return machine.violations.filter(
    (text) =>
      !/broke a rule of its queue|^DMA to|a frame to send|num_buffers|a request without|a flush without|a discard with|more segments|room to write|a message /.test(
        text,
      ),
  );
}

/** A device that throws because its ring is nonsense is one that does nothing. */
export function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || !(error instanceof Error)) throw error;
    if (!/RangeError|Offset|out of|index/i.test(`${error.name} ${error.message}`)) throw error;
  }
}
