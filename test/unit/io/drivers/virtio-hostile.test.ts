/**
 * Any sequence of work and misbehaviour, drawn by fast-check: a virtio device that lies in its rings, scribbles over what it shares with the driver,
 * interrupts at will, and is silent at times. Whatever it does, the driver does not trap, does not touch what is not its own, ends each
 * frame and request exactly once, and works again with a device that behaves, unless it has given it up.
 */
import test from "ava";
import fc from "fast-check";
import { BlockClient, FLUSH, FUA, READ, WRITE } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { NetworkClient, payload } from "./network-client.ts";
import { BLK_FEATURES, VirtioBlkModel } from "./virtio-blk-model.ts";
import { RING_KINDS, type VirtioModel } from "./virtio-model.ts";
import { NET_FEATURES, VirtioNetModel } from "./virtio-net-model.ts";

const SECOND = 1_000_000_000n;

type Action =
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
const actions = fc.array(
  fc.oneof(
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
  ) as fc.Arbitrary<Action>,
  { minLength: 1, maxLength: 60 },
);

/** What any device may do; a model's own errors about a ring that it has itself spoilt do not count. */
function misbehave(device: VirtioModel, machine: IoMachine, action: Action): void {
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
function driversOwn(machine: IoMachine): string[] {
  return machine.violations.filter(
    (text) =>
      !/broke a rule of its queue|^DMA to|a frame to send|num_buffers|a request without|a flush without|a discard with|more segments/.test(
        text,
      ),
  );
}

/** A device that throws because its ring is nonsense is one that does nothing. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || !(error instanceof Error)) throw error;
    if (!/RangeError|Offset|out of|index/i.test(`${error.name} ${error.message}`)) throw error;
  }
}

for (const kind of Object.keys(RING_KINDS).filter(
  (name) => name.includes("split, indirect, event") || name.startsWith("packed"),
)) {
  test(`network, ${kind}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(actions, async (list) => {
        const card = new VirtioNetModel({ features: [...NET_FEATURES, ...RING_KINDS[kind]!] });
        const machine = await IoMachine.start([0x18, card]);
        const client = new NetworkClient(machine);
        client.open();
        machine.run();
        const accepted: number[] = [];
        for (const action of list) {
          attempt(() => {
            if (action.kind === "work") {
              const offload =
                action.offload && action.size > 60 ? { flags: 1, checksumStart: 34, checksumOffset: 16 } : {};
              const cookie = accepted.length + 1;
              if (client.send(payload(action.size, cookie), { ...offload, cookie }) === 0) accepted.push(cookie);
            } else if (action.kind === "deliver") {
              const [flags, gsoType, gsoSize, checksumStart, checksumOffset, buffers] = action.header;
              const header = {
                flags: (flags ?? 0) & 255,
                gsoType: (gsoType ?? 0) & 255,
                gsoSize,
                checksumStart,
                checksumOffset,
                buffers,
              };
              if (card.running) card.deliver(payload(action.size, 1), header);
            } else if (action.kind === "keep") card.keep = action.on;
            else if (action.kind === "release") card.release();
            else misbehave(card, machine, action);
          });
          attempt(() => machine.run());
        }
        card.keep = false;
        attempt(() => card.release());
        machine.pass(120n * SECOND);
        t.deepEqual(
          machine.told.sent.map(({ cookie }) => cookie).sort((a, b) => a - b),
          accepted,
        );
        t.deepEqual(driversOwn(machine), []);
        if (client.card.get("state") !== 1) return;
        // An honest device from here on.
        card.needReset();
        machine.pass(61n * SECOND);
        t.is(client.send(payload(99, 1), { cookie: 1_000_000 }), 0);
        t.deepEqual(card.sent.at(-1)!.data, payload(99, 1));
        const before = machine.told.received.length;
        t.true(card.deliver(payload(200, 2)));
        machine.run();
        t.deepEqual(
          machine.told.received.slice(before).map(({ frame }) => frame.data),
          [payload(200, 2)],
        );
      }),
      { numRuns: 60 },
    );
    t.pass();
  });

  test(`block, ${kind}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(actions, async (list) => {
        const disk = new VirtioBlkModel({ features: [...BLK_FEATURES, ...RING_KINDS[kind]!] });
        const machine = await IoMachine.start([0x20, disk]);
        const client = new BlockClient(machine);
        machine.run();
        const accepted: number[] = [];
        for (const action of list) {
          attempt(() => {
            if (action.kind === "work") {
              const sectors = (action.size % 8) + 1;
              const operation = action.size % 5 === 0 ? FLUSH : action.size % 2 === 0 ? READ : WRITE;
              const s = client.submit({ operation, sector: action.size, sectors, flags: action.offload ? FUA : 0 });
              if (s.status === 0) accepted.push(s.request);
            } else if (action.kind === "keep") disk.keep = action.on;
            else if (action.kind === "release") disk.release();
            else if (action.kind !== "deliver") misbehave(disk, machine, action);
          });
          attempt(() => machine.run());
        }
        disk.keep = false;
        attempt(() => disk.release());
        machine.pass(120n * SECOND);
        t.deepEqual(
          machine.told.blockDone.map(({ request }) => request).sort((a, b) => a - b),
          accepted,
        );
        t.is(client.disk.get("inFlight"), 0);
        t.deepEqual(driversOwn(machine), []);
        if (client.disk.get("state") !== 0) return;
        disk.needReset();
        machine.pass(61n * SECOND);
        t.is(client.perform({ operation: WRITE, sector: 1, data: payload(1024, 3) }).outcome, 0);
        t.deepEqual(disk.data.subarray(512, 1536), payload(1024, 3));
      }),
      { numRuns: 60 },
    );
    t.pass();
  });
}
