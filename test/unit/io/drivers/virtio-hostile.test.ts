/**
 * Any sequence of work and misbehaviour, drawn by fast-check: a virtio device that lies in its rings, scribbles over what it shares with the driver,
 * interrupts at will, and is silent at times. Whatever it does, the driver does not trap, does not touch what is not its own, ends each
 * frame and request exactly once, and works again with a device that behaves, unless it has given it up.
 */
import test from "ava";
import fc from "fast-check";
import { BlockClient, FLUSH, FUA, READ, WRITE } from "./block-client.ts";
import { IoMachine } from "./machine.ts";
import { actions, attempt, driversOwn, misbehave } from "./misbehaviour.ts";
import { NetworkClient, payload } from "./network-client.ts";
import { BLK_FEATURES, VirtioBlkModel } from "./virtio-blk-model.ts";
import { RING_KINDS } from "./virtio-model.ts";
import { NET_FEATURES, VirtioNetModel } from "./virtio-net-model.ts";

const SECOND = 1_000_000_000n;

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
