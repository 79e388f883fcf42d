/**
 * Any sequence of work and misbehaviour: a console that lies in its rings and in its messages, and indices that a broken domain 0 has
 * written. Whatever they do, nothing traps or touches what is not its own; an honest device and a new domain 0 are served again, unless the
 * device has been given up.
 */
import test from "ava";
import fc from "fast-check";
import { SERIAL_LABEL, SerialPage } from "../../../../abi/io/control-serial.ts";
import { action, attempt, driversOwn, misbehave } from "../drivers/misbehaviour.ts";
import { RING_KINDS } from "../drivers/virtio-model.ts";
import { CONSOLE_FEATURES, VirtioConsoleModel } from "./console-model.ts";
import { pattern, SerialHost } from "./serial-host.ts";

const SECOND = 1_000_000_000n;
/** Those that are domain 0's. */
const FIELDS = [SerialPage.rxConsumed, SerialPage.txProduced, SerialPage.txWaits, SerialPage.wanted];

const number16 = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(0xffff));
const own = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("message" as const),
      id: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(0xffffffff)),
      event: number16,
      value: number16,
      bytes: fc.integer({ min: 0, max: 200 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("spoil" as const),
      field: fc.constantFrom(...FIELDS),
      value: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.constant(0xffffffff), fc.constant(0x80000000)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), open: fc.boolean() }) },
);
const list = fc.array(fc.oneof({ weight: 3, arbitrary: action }, { weight: 1, arbitrary: own }), {
  minLength: 1,
  maxLength: 60,
});

for (const kind of ["split", "split, indirect, event index", "packed, event index"]) {
  test(`serial ports, ${kind}`, async (t) => {
    let served = 0;
    await fc.assert(
      fc.asyncProperty(list, async (actions) => {
        const features = [...CONSOLE_FEATURES, ...RING_KINDS[kind]!];
        const device = new VirtioConsoleModel({ 1: SERIAL_LABEL }, 3, { features });
        const host = await SerialHost.start([0x18, device]);
        const { machine } = host;
        let line = host.line(0);
        device.open(1);
        host.settle(line);
        const into = new Uint8Array(4096);
        for (const what of actions) {
          attempt(() => {
            if (what.kind === "work") line.write(pattern(what.size * 10));
            else if (what.kind === "deliver") device.hostSends(1, pattern(what.size));
            else if (what.kind === "keep") device.ports.get(1)!.throttled = what.on;
            else if (what.kind === "release") device.resume(1);
            else if (what.kind === "message") {
              const bytes = Buffer.alloc(200, "org.typevisor.control.1\0");
              bytes.writeUInt32LE(what.id, 0);
              bytes.writeUInt16LE(what.event, 4);
              bytes.writeUInt16LE(what.value, 6);
              device.tellRaw(bytes.subarray(0, what.bytes));
            } else if (what.kind === "spoil") host.spoil(0, what.field, what.value);
            else if (what.kind === "end") {
              if (what.open) device.open(1);
              else device.close(1);
            } else misbehave(device, machine, what);
          });
          attempt(() => host.notify());
          line.read(into);
        }
        attempt(() => device.resume(1));
        machine.pass(120n * SECOND);
        t.deepEqual(driversOwn(machine), []);
        if (machine.log.some((text) => text.includes("given up"))) return;
        // An honest device, and a new domain 0, from here on.
        device.close(1);
        device.needReset();
        machine.pass(61n * SECOND);
        line = host.line(0);
        host.drain(line);
        device.open(1);
        device.take(1);
        host.settle(line);
        t.is(line.connection % 2, 1);
        line.write(pattern(100));
        device.hostSends(1, pattern(200));
        host.settle(line);
        t.true(host.drain(line).equals(pattern(200)));
        t.true(device.take(1).subarray(-100).equals(pattern(100)));
        served++;
      }),
      { numRuns: 80 },
    );
    t.true(served > 20, `only ${served} of 80 devices were not given up`);
  });
}
