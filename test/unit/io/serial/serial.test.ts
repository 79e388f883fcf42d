/** Serial ports of a virtio console, between a device that keeps the rules and domain 0's own code. */
import test from "ava";
import { SERIAL_LABEL, SERIAL_RING_BYTES, SerialPage } from "../../../../abi/io/control-serial.ts";
import { VIRTIO_CONSOLE_F_SIZE, VIRTIO_CONSOLE_PORT_OPEN } from "../../../../abi/io/virtio-console.ts";
import { RING_KINDS } from "../drivers/virtio-model.ts";
import { CONSOLE_FEATURES, VirtioConsoleModel } from "./console-model.ts";
import { pattern, SerialHost } from "./serial-host.ts";

const ONE = { 1: SERIAL_LABEL };

for (const [kind, features] of Object.entries(RING_KINDS)) {
  test(`bytes both ways, more than fits anywhere: ${kind}`, async (t) => {
    const device = new VirtioConsoleModel(ONE, 2, { features: [...CONSOLE_FEATURES, ...features] });
    const host = await SerialHost.start([0x18, device]);
    const line = host.line(0);
    t.is(line.connection % 2, 0);
    device.open(1);
    host.settle(line);
    t.is(line.connection % 2, 1);
    const there = pattern(300_000);
    device.hostSends(1, there);
    host.settle(line);
    t.true(device.ports.get(1)!.unsent.length > 0, "the host waits while domain 0 takes nothing");
    t.is(line.available, SERIAL_RING_BYTES);
    t.true(host.drain(line).equals(there));
    // The other way, to a host that reads nothing at first.
    const back = pattern(300_000, 5);
    device.ports.get(1)!.throttled = true;
    let sent = line.write(back);
    for (let before = -1; sent !== before;) {
      before = sent;
      host.settle(line);
      sent += line.write(back.subarray(sent));
    }
    t.true(sent < back.length && sent >= SERIAL_RING_BYTES);
    t.is(host.field(0, SerialPage.txWaits), 1);
    t.true(device.take(1).equals(Buffer.alloc(0)));
    device.resume(1);
    host.settle(line);
    while (sent < back.length) {
      const part = line.write(back.subarray(sent));
      t.true(part > 0);
      sent += part;
      host.settle(line);
    }
    t.true(device.take(1).equals(back));
    t.deepEqual(host.machine.violations, []);
  });
}

test("names tell which ports are domain 0's, four at most; each has its own bytes", async (t) => {
  const names = {
    1: "org.qemu.guest_agent.0",
    2: `${SERIAL_LABEL}.0`,
    3: `${SERIAL_LABEL}.10`,
    4: `${SERIAL_LABEL}x`,
    5: `${SERIAL_LABEL}.1`,
    6: SERIAL_LABEL,
    7: `${SERIAL_LABEL}.2`,
    8: `${SERIAL_LABEL}.3`,
    20: `${SERIAL_LABEL}.4`,
  };
  const device = new VirtioConsoleModel(names, 31);
  const host = await SerialHost.start([0x18, device]);
  t.is(host.pages.length, 4);
  t.deepEqual(host.machine.log, [
    `virtio-console 0:3.0 port 2: ${SERIAL_LABEL}.0`,
    `virtio-console 0:3.0 port 5: ${SERIAL_LABEL}.1`,
    `virtio-console 0:3.0 port 6: ${SERIAL_LABEL}`,
    `virtio-console 0:3.0 port 7: ${SERIAL_LABEL}.2`,
  ]);
  const lines = [0, 1, 2, 3].map((index) => host.line(index));
  for (const [i, port] of [2, 5, 6, 7].entries()) {
    device.open(port);
    device.hostSends(port, pattern(100, i));
    lines[i]!.write(pattern(50, i + 10));
  }
  host.settle(...lines);
  for (const [i, port] of [2, 5, 6, 7].entries()) {
    t.true(host.drain(lines[i]!).equals(pattern(100, i)));
    t.true(device.take(port).equals(pattern(50, i + 10)));
  }
  // The driver's end of what is not domain 0's stays closed.
  t.false(device.ports.get(1)!.guestOpen || device.ports.get(8)!.guestOpen);
  t.deepEqual(host.machine.violations, []);
});

test("all that one client has sent is there before its end is told; the next is another", async (t) => {
  const device = new VirtioConsoleModel(ONE, 2);
  const host = await SerialHost.start([0x18, device]);
  const line = host.line(0);
  device.open(1);
  host.settle(line);
  const first = line.connection;
  const last = pattern(40_000);
  device.hostSends(1, last); // more than the ring holds: some is still with the driver when the end comes
  device.close(1);
  device.open(1);
  host.settle(line);
  t.is(line.connection, first);
  const read = host.drain(line);
  t.true(read.equals(last.subarray(0, read.length)));
  t.true(read.length >= SERIAL_RING_BYTES);
  t.is(line.connection, first + 2, "it was closed and opened meanwhile");
  // An end of which the driver had no room to be told: opened again is another client, too.
  device.tellDriver(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
  host.settle(line);
  t.is(line.connection, first + 4);
  device.close(1);
  host.settle(line);
  t.is(line.connection, first + 5);
  device.tellDriver(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
  host.settle(line);
  t.is(line.connection, first + 5, "closed twice is closed");
});

test("nothing is received before domain 0 wants it; a new domain 0 goes on where the one before was", async (t) => {
  const device = new VirtioConsoleModel(ONE, 2);
  const host = await SerialHost.start([0x18, device]);
  device.open(1);
  device.hostSends(1, pattern(10));
  host.machine.run();
  t.is(device.ports.get(1)!.unsent.length, 10);
  const before = host.line(0);
  t.true(host.drain(before).equals(pattern(10)));
  before.write(pattern(20));
  device.hostSends(1, pattern(30));
  host.settle(before);
  // What the one before had not read is nobody's.
  const after = host.line(0);
  t.is(after.available, 0);
  t.is(after.connection % 2, 1);
  device.hostSends(1, pattern(40, 3));
  after.write(pattern(50, 4));
  host.settle(after);
  t.true(host.drain(after).equals(pattern(40, 3)));
  t.true(device.take(1).equals(Buffer.concat([pattern(20), pattern(50, 4)])));
});

test("a device that wants a reset is started again: the client's end is told, the next is served", async (t) => {
  const device = new VirtioConsoleModel(ONE, 2);
  const host = await SerialHost.start([0x18, device]);
  const line = host.line(0);
  device.open(1);
  host.settle(line);
  const { connection } = line;
  device.needReset();
  host.settle(line);
  t.not(line.connection, connection);
  // QEMU's host end stays open over a reset.
  t.is(line.connection % 2, 1);
  t.deepEqual(host.pages.length, 1);
  device.hostSends(1, pattern(99));
  line.write(pattern(77));
  host.settle(line);
  t.true(host.drain(line).equals(pattern(99)));
  t.true(device.take(1).equals(pattern(77)));
  // Too often: given up, and closed for domain 0.
  for (let i = 0; i < 6; i++) {
    if (device.running) device.needReset();
    host.settle(line);
  }
  t.is(line.connection % 2, 0);
  t.true(host.machine.log.some((text) => /virtio-console .*given up/.test(text)));
  line.write(pattern(10));
  host.settle(line);
  t.deepEqual(host.machine.violations, []);
});

test("devices without named ports, or with a configuration that cannot be, are not used", async (t) => {
  const plain = new VirtioConsoleModel(ONE, 2, { features: [VIRTIO_CONSOLE_F_SIZE], queues: 2 });
  let host = await SerialHost.start([0x18, plain]);
  t.deepEqual(host.machine.log, ["virtio-console 0:3.0: it has no named ports; not used"]);
  t.deepEqual(host.pages, []);
  for (const device of [
    new VirtioConsoleModel({}, 0, { queues: 4 }),
    new VirtioConsoleModel(ONE, 2, { queues: 5 }),
    new VirtioConsoleModel(ONE, 2, { queueSize: 8 }),
  ]) {
    host = await SerialHost.start([0x18, device]);
    t.deepEqual(host.machine.log, ["virtio-console 0:3.0: features or configuration refused; not used"]);
    t.false(device.masters);
  }
});

test("interrupts of each kind, and none", async (t) => {
  for (const gives of [
    { msix: false, msi: true, gsi: true },
    { msix: false, msi: false, gsi: true },
    { msix: false, msi: false, gsi: false },
  ]) {
    const device = new VirtioConsoleModel(ONE, 2);
    const host = await SerialHost.with(gives, [0x18, device]);
    host.machine.pass(100_000_000n);
    const line = host.line(0);
    device.open(1);
    device.hostSends(1, pattern(9000));
    host.machine.pass(2_000_000_000n);
    t.true(host.drain(line).equals(pattern(9000)), JSON.stringify(gives));
  }
});
