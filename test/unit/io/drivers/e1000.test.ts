/** The e1000 driver against a model of the card: rings, checksums and TSO, and cards that break the rules. */
import test, { type ExecutionContext } from "ava";
import { E1000, E1000_82540EM, E1000_82574L } from "../../../../abi/io/e1000.ts";
import { E1000Model } from "./e1000-model.ts";
import { tcpFrame, wireErrors } from "./frames.ts";
import { IoMachine } from "./machine.ts";
import { NetworkClient, payload } from "./network-client.ts";

const SECOND = 1_000_000_000n;
const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const GONE = 2;

interface Bench {
  machine: IoMachine;
  client: NetworkClient;
  card: E1000Model;
}

async function start(card = new E1000Model(), gives = {}): Promise<Bench> {
  const machine = await IoMachine.start([0x18, card]);
  Object.assign(machine.gives, gives);
  const client = new NetworkClient(machine);
  if (client.open() !== 0) throw new Error(`the card does not open; log: ${machine.log.join("; ")}`);
  machine.run();
  return { machine, client, card };
}

test("what the card is", async (t) => {
  const { client, card } = await start(new E1000Model(E1000_82574L).msi());
  t.is(client.card.get("mac"), 0xefcdab005452);
  t.is(client.card.get("mtu"), 1500);
  t.is(client.card.get("features"), 15);
  t.is(client.card.get("linkUp"), 1);
  t.is(card.get(E1000.RCTL) & 0x18, 0x18, "promiscuous");
  for (const device of [E1000_82540EM, E1000_82574L]) {
    const bare = Object.assign(new E1000Model(device), { loads: false, eeprom: [0x1234, 0x5678, 0x9abc] });
    t.is((await start(bare)).client.card.get("mac"), 0x9abc56781234, "from the EEPROM");
    const none = Object.assign(new E1000Model(device), { loads: false });
    t.is((await start(none)).client.card.get("mac") % 4, 2, "the EEPROM does not answer");
  }
  const other = await start(new E1000Model(E1000_82540EM, [0, 0, 0, 0, 0, 0]));
  t.is(other.client.card.get("features"), 11);
  t.is(other.client.card.get("mac") % 4, 2, "an address of our own");
});

for (const [what, gives] of Object.entries({
  MSI: { msix: false, msi: true, gsi: true },
  "the pin": { msix: false, msi: false, gsi: true },
  polling: { msix: false, msi: false, gsi: false },
})) {
  test(`${what}: frames are sent and received, whole and in order`, async (t) => {
    const card = new E1000Model();
    if (what === "MSI") card.msi();
    const { machine, client } = await start(card, gives);
    const frames = Array.from({ length: 1200 }, (_, i) => payload(60 + ((i * 37) % 1450), i));
    for (const [i, frame] of frames.entries()) {
      t.is(client.send(frame, { cookie: i + 1 }), 0);
      if (i % 2 === 0) t.true(card.deliver(frame), `frame ${i}`);
      if (i % 7 === 0) machine.pass(2_000_000n);
    }
    machine.pass(2n * SECOND);
    t.deepEqual(card.sent, frames);
    t.deepEqual(
      machine.told.sent.map(({ cookie, status }) => [cookie, status]),
      frames.map((_, i) => [i + 1, 0]),
    );
    t.deepEqual(
      machine.told.received.map(({ frame }) => frame.data),
      frames.filter((_, i) => i % 2 === 0),
    );
    t.is(machine.eois > 0, what === "the pin");
    t.deepEqual(machine.violations, []);
  });
}

for (const version of [4, 6] as const) {
  for (const vlan of [false, true]) {
    test(`IPv${version}${vlan ? " with VLAN tag" : ""}: checksums and TSO are right on the wire`, async (t) => {
      const { machine, client, card } = await start(new E1000Model(E1000_82574L));
      for (let i = 0; i < 8; i++) {
        const { data, ...fields } = tcpFrame(version, 100 + i, { vlan });
        t.is(client.send(data, { ...fields, flags: 1 }), 0);
        t.deepEqual(wireErrors(card.sent.at(-1)!, version, vlan), []);
      }
      t.is(card.contexts, 1, "frames alike need one context");
      for (const bytes of [1401, 5000, 30_000, 60_000]) {
        const { data, ...fields } = tcpFrame(version, bytes, { vlan });
        const before = card.sent.length;
        t.is(client.send(data, { ...fields, flags: 1, gso: version === 4 ? 1 : 2, gsoSize: 1400, cookie: bytes }), 0);
        const frames = card.sent.slice(before);
        t.is(frames.length, Math.ceil(bytes / 1400));
        for (const frame of frames) t.deepEqual(wireErrors(frame, version, vlan), []);
        t.deepEqual(
          Buffer.concat(frames.map((frame) => frame.subarray(fields.headerBytes))),
          data.subarray(fields.headerBytes),
        );
      }
      machine.pass(2n * SECOND);
      t.is(machine.told.sent.length, 12);
      t.deepEqual(machine.violations, []);
    });
  }
}

test("TSO frames whose headers are not what they are said to be are refused", async (t) => {
  const { client, card } = await start(new E1000Model(E1000_82574L));
  const { data, ...fields } = tcpFrame(4, 5000);
  const options = { ...fields, flags: 1, gso: 1, gsoSize: 1440 };
  t.is(client.send(data, { ...options, gso: 2 }), EINVAL, "IPv4 as IPv6");
  t.is(client.send(data, { ...options, checksumOffset: 6 }), EINVAL, "UDP");
  t.is(client.send(data, { ...options, checksumStart: 20 }), EINVAL, "no room for IP's header");
  t.is(client.send(data, { ...options, headerBytes: 50 }), EINVAL, "no room for TCP's header");
  t.is(client.send(data, { ...options, headerBytes: 300, checksumStart: 270 }), EINVAL, "beyond the context's reach");
  const arp = Buffer.from(data);
  arp.writeUInt16BE(0x0806, 12);
  t.is(client.send(arp, options), EINVAL);
  t.is(card.sent.length, 0);
  t.is(client.send(data, options), 0);
  const old = await start(new E1000Model(E1000_82540EM));
  const six = tcpFrame(6, 5000);
  t.is(
    old.client.send(six.data, { ...six, flags: 1, gso: 2, gsoSize: 1440 } as never),
    EINVAL,
    "the 82540EM has no TSO over IPv6",
  );
});

test("a full ring refuses, and says when it has room", async (t) => {
  const { machine, client, card } = await start();
  card.silent = true;
  let taken = 0;
  while (client.send(payload(100, taken), { cookie: taken }) === 0) taken++;
  t.is(taken, 254);
  t.is(client.send(payload(100, 0)), EAGAIN);
  machine.run();
  t.is(machine.told.transmitReady, 0);
  card.silent = false;
  card.transmit();
  machine.run();
  t.is(machine.told.transmitReady, 1);
  t.is(machine.told.sent.length, 254);
  t.is(client.send(payload(100, 99)), 0);
  t.deepEqual(machine.violations, []);
});

test("received frames: batches, checksums, errors", async (t) => {
  const { machine, client, card } = await start();
  let count = 0;
  while (card.deliver(payload(1000, count), { tell: false })) count++;
  t.is(count, 255);
  const batches: number[] = [];
  const early: boolean[] = [];
  machine.onReceiveEnd = () => {
    batches.push(machine.told.received.length);
    if (batches.length === 1) early.push(card.deliver(payload(10, 0)));
  };
  machine.run(100);
  t.deepEqual(batches, [100, 200, 255]);
  t.deepEqual(early, [false], "the first batch's buffers are not the card's yet");
  t.deepEqual(
    machine.told.received.map(({ frame }) => frame.data),
    Array.from({ length: 255 }, (_, i) => payload(1000, i)),
  );
  machine.onReceiveEnd = null;
  machine.told.received.length = 0;
  t.true(card.deliver(payload(100, 1), { status: 0x23 }));
  t.true(card.deliver(payload(100, 1), { status: 0x27 }));
  t.true(card.deliver(payload(100, 1), { status: 0x03 }));
  t.true(card.deliver(payload(100, 1), { errors: 0x20 }));
  for (const errors of [1, 2, 4, 0x10, 0x80]) t.true(card.deliver(payload(100, 2), { errors }));
  t.true(card.deliver(payload(13, 3)));
  t.true(card.deliver(payload(5000, 3)), "three buffers");
  t.true(card.deliver(payload(100, 4)));
  machine.run();
  t.deepEqual(
    machine.told.received.map(({ frame }) => [frame.data[0], frame.flags]),
    [1, 1, 1, 1, 4].map((seed, i) => [payload(1, seed)[0], i === 0 || i === 4 ? 2 : 0]),
  );
  t.is(client.card.get("receiveErrors"), 9);
  t.deepEqual(machine.violations, []);
});

test("the link goes down and up", async (t) => {
  const { machine, client, card } = await start();
  card.setLink(false);
  machine.run();
  t.is(client.card.get("linkUp"), 0);
  card.setLink(true);
  machine.run();
  t.is(client.card.get("linkUp"), 1);
  t.is(machine.told.networkChanged, 2);
});

// --- Cards that break the rules ----------------------------------------------------------------------------------------------

async function recovers(t: ExecutionContext, wrong: (bench: Bench) => void): Promise<void> {
  const bench = await start();
  const { machine, client, card } = bench;
  card.silent = true;
  for (let i = 0; i < 5; i++) t.is(client.send(payload(100, i), { cookie: i + 1 }), 0);
  const resets = card.resets;
  wrong(bench);
  machine.run();
  t.is(card.resets, resets + 1, machine.log.join("; "));
  t.is(client.card.get("resets"), 1);
  t.deepEqual(
    machine.told.sent.map(({ cookie, status }) => [cookie, status]),
    [1, 2, 3, 4, 5].map((c) => [c, EIO]),
  );
  card.silent = false;
  t.is(client.send(payload(300, 7), { cookie: 9 }), 0);
  t.true(card.deliver(payload(400, 8)));
  machine.pass(2n * SECOND);
  t.deepEqual(card.sent.at(-1), payload(300, 7));
  t.deepEqual(machine.told.received.at(-1)!.frame.data, payload(400, 8));
  t.deepEqual(machine.violations, []);
}

test("a frame that is longer than its buffer", async (t) => {
  await recovers(t, ({ card }) => void card.deliver(payload(100, 1), { length: 2049 }));
});

test("frames that are never sent", async (t) => {
  await recovers(t, ({ machine }) => machine.pass(11n * SECOND));
});

test("a card that is removed", async (t) => {
  const { machine, client, card } = await start();
  card.silent = true;
  t.is(client.send(payload(100, 1), { cookie: 4 }), 0);
  card.barRead = () => 0xffffffff;
  card.barWrite = () => undefined;
  card.configRead = (_offset, size) => (size === 4 ? 0xffffffff : 2 ** (8 * size) - 1);
  machine.pass(3n * SECOND);
  t.is(client.card.get("state"), GONE);
  t.deepEqual(
    machine.told.sent.map(({ cookie, status }) => [cookie, status]),
    [[4, EIO]],
  );
  t.is(client.send(payload(100, 1)), EIO);
});

test("a card that does it again and again is given up", async (t) => {
  const { machine, client, card } = await start();
  for (let i = 0; i < 6; i++) {
    t.is(client.card.get("state"), 1, `before reset ${i + 1}`);
    t.true(card.deliver(payload(100, 1), { length: 60_000 }));
    machine.run();
  }
  t.is(client.card.get("state"), GONE);
  t.false(card.masters);
  machine.pass(5n * SECOND);
  t.deepEqual(machine.violations, []);
});

test("cards that cannot be used", async (t) => {
  const stuck = Object.assign(new E1000Model(), { resetWorks: false });
  const small = new E1000Model();
  small.bar(0, "memory32", 0x1000, 0xfebc_0000n);
  for (const card of [stuck, small]) {
    const machine = await IoMachine.start([0x18, card]);
    machine.exports["driversStart"]!();
    t.is(machine.exports["networkFirst"]!(), 0);
    t.regex(machine.log.join("; "), /e1000 0:3\.0: .*not used/);
    t.false(card.masters);
  }
  const machine = await IoMachine.start([0x18, new E1000Model()]);
  machine.memoryLeft = 50 * 4096;
  machine.exports["driversStart"]!();
  t.is(machine.exports["networkFirst"]!(), 0);
});
