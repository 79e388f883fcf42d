/**
 * What a frame and a request cost: accesses to memory that is shared with the device (each one machine instruction), barriers, notifications
 * (each an exit in a virtual machine), and hypercalls, of which there are none. In batches of 32, as the backends work.
 */
import test from "ava";
import { BlockClient, READ } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { NetworkClient, payload } from "./network-client.ts";
import { BLK_FEATURES, VirtioBlkModel } from "./virtio-blk-model.ts";
import { RING_KINDS, type VirtioModel } from "./virtio-model.ts";
import { NET_FEATURES, VirtioNetModel } from "./virtio-net-model.ts";

const BATCH = 32;
const ROUNDS = 64;

interface Cost {
  /** Reads and writes of shared memory. */
  accesses: number;
  barriers: number;
  notifications: number;
  interrupts: number;
  hypercalls: number;
}

/** Mean cost of one of `BATCH * ROUNDS` pieces, after some to warm up. */
function cost(machine: IoMachine, device: VirtioModel, round: () => void): Cost {
  for (let i = 0; i < 20; i++) round();
  machine.calls.clear();
  const before = { notifications: device.notifications, interrupts: device.interruptsSent };
  for (let i = 0; i < ROUNDS; i++) round();
  const sum = (pattern: RegExp): number =>
    [...machine.calls].filter(([name]) => pattern.test(name)).reduce((total, [, count]) => total + count, 0);
  const each = (count: number): number => Math.round((count / (BATCH * ROUNDS)) * 100) / 100;
  return {
    accesses: each(sum(/^(read|write)\d+$/)),
    barriers: each(sum(/^barrier$/)),
    notifications: each(device.notifications - before.notifications),
    interrupts: each(device.interruptsSent - before.interrupts),
    hypercalls: each(sum(/^hypercall$/)),
  };
}

function describe({ accesses, barriers, notifications, interrupts }: Cost): string {
  return `${accesses} accesses, ${barriers} barriers, ${notifications} notifications, ${interrupts} interrupts`;
}

/** Most accesses: a frame sent, a frame received, a request of 4 KiB, one of 128 KiB in 32 segments. */
const MOST: Record<string, [number, number, number, number]> = {
  "split, indirect, event index": [8.2, 8.3, 16.3, 78.3],
  "packed, indirect, event index": [6.2, 6.3, 14.3, 76.3],
};

for (const [kind, [sent, received, small, large]] of Object.entries(MOST)) {
  test(`a frame: ${kind}`, async (t) => {
    const card = new VirtioNetModel({ features: [...NET_FEATURES, ...RING_KINDS[kind]!] });
    const machine = await IoMachine.start([0x18, card]);
    const client = new NetworkClient(machine);
    client.open();
    const frame = payload(1514, 1);
    const sending = cost(machine, card, () => {
      for (let i = 0; i < BATCH; i++) client.send(frame, { kick: i === BATCH - 1 });
      machine.run();
    });
    const receiving = cost(machine, card, () => {
      for (let i = 0; i < BATCH; i++) card.deliver(frame, {}, 0, i === BATCH - 1);
      machine.run();
    });
    t.log(`sent: ${describe(sending)}`);
    t.log(`received: ${describe(receiving)}`);
    t.true(sending.accesses <= sent, `${sending.accesses}`);
    t.true(receiving.accesses <= received, `${receiving.accesses}`);
    for (const c of [sending, receiving]) {
      t.is(c.hypercalls, 0);
      t.true(c.notifications <= 1 / BATCH + 0.01);
      t.true(c.barriers <= 3 / BATCH);
    }
    t.true(sending.interrupts <= 0.01, "nobody waits for frames to be sent");
    t.true(receiving.interrupts <= 1 / BATCH + 0.01);
  });

  test(`a request: ${kind}`, async (t) => {
    const disk = new VirtioBlkModel({ features: [...BLK_FEATURES, ...RING_KINDS[kind]!] });
    const machine = await IoMachine.start([0x20, disk]);
    const client = new BlockClient(machine);
    for (const [sectors, most] of [
      [8, small],
      [256, large],
    ] as const) {
      const requests = Array.from(
        { length: BATCH },
        (_, i) => client.submit({ operation: READ, sector: i, sectors, kick: i === BATCH - 1 }).request,
      );
      machine.run();
      const c = cost(machine, disk, () => {
        for (const request of requests) machine.exports["blockSubmit"]!(client.device, request);
        machine.exports["blockKick"]!(client.device);
        machine.run();
      });
      t.log(`${sectors / 2} KiB: ${describe(c)}`);
      t.true(c.accesses <= most, `${c.accesses}`);
      t.is(c.hypercalls, 0);
      t.true(c.notifications <= 1 / BATCH + 0.01);
      t.true(c.interrupts <= 1 / BATCH + 0.01);
    }
    t.deepEqual(machine.violations, []);
  });
}
