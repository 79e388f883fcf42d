/** Who is accepted at a port, who waits, who is dropped: by a clock that the test moves, with recorded and silent clients. */
import { randomBytes } from "node:crypto";
import test from "ava";
import { TLS_OWN_BYTES } from "../../../../abi/tls.ts";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import { addressOf, BackOff } from "../../../../toolstack/control/tls/back-off.ts";
import { MOST_CONNECTIONS } from "../../../../toolstack/control/tls/listen.ts";
import { checkKeys } from "../../../../toolstack/control/tls/module.ts";
import type { SecureConnection } from "../../../../toolstack/control/tls/secure.ts";
import { Clock, FakeConnection, KEY, type Lab } from "./lab.ts";
import { record, sameLab } from "./recording.ts";

const { bytes: RECORDED, data: HANDSHAKE, text: SAID } = await record();

/**
 * A server to whose instances the recording can be played: each session's random numbers follow those of the one before, so each one
 * that is to succeed needs a new instance.
 */
class Port {
  readonly clock = new Clock();
  readonly lab: Lab = sameLab({}, this.clock);
  readonly accepted: SecureConnection[] = [];
  private add: (connection: Connection) => void = () => {};

  constructor() {
    const listen = this.lab.server.secure((_port, accept) => {
      this.add = accept;
      return { close: () => {} };
    });
    listen(1, (connection) => this.accepted.push(connection));
  }

  connect(peer: string): FakeConnection {
    const connection = new FakeConnection(peer);
    this.add(connection);
    return connection;
  }

  get given(): number {
    return this.lab.host.given;
  }
}

test("a client with the key is accepted once it has shown it, and not before", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED.subarray(0, HANDSHAKE - 1));
  t.is(port.accepted.length, 0);
  client.arrive(RECORDED.subarray(HANDSHAKE - 1));
  t.is(port.accepted.length, 1);
  const [connection] = port.accepted;
  t.is(connection.identity, KEY.identity);
  const into = new Uint8Array(10_000);
  t.is(connection.read(into), SAID.length);
  t.true(SAID.equals(into.subarray(0, SAID.length)));
  t.is(connection.read(into), 0);
  t.is(connection.ended, "closed");
  t.is(port.clock.waiting, 0);
  t.is(port.given, TLS_OWN_BYTES);
});

test("onReady is called for what arrived before the listener was there", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED);
  let ready = 0;
  port.accepted[0].onReady = () => ready++;
  client.finish("closed");
  t.true(ready > 0);
});

test("no handshake within five seconds: it is cut off, and the log says so", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(4999);
  t.is(client.ended, null);
  port.clock.pass(1);
  t.is(client.ended, "local");
  t.deepEqual(port.lab.log, ["control: 192.0.2.1:1 is refused: no handshake within 5 s (1 failure from there)"]);
  t.is(port.given, TLS_OWN_BYTES);
  t.is(port.clock.waiting, 0);
});

test("a slow handshake, a byte now and then, has no more time than another", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  for (let i = 0; i < 60 && client.ended === null; i++) {
    client.arrive(RECORDED.subarray(i, i + 1));
    port.clock.pass(100);
  }
  t.is(client.ended, "local");
  t.is(port.clock.now, 1000 + 5000);
});

test("a thousand connections without a handshake: the next client is served, and nothing stays behind", (t) => {
  const port = new Port();
  const silent = Array.from({ length: 1000 }, (_, i) => {
    const connection = port.connect(`198.51.100.7:${i}`);
    port.clock.pass(1);
    return connection;
  });
  t.true(port.lab.server.sizes.pending <= 16);
  t.true(port.given <= TLS_OWN_BYTES + 16 * 57344);
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED);
  t.is(port.accepted.length, 1);
  t.is(port.accepted[0].read(new Uint8Array(SAID.length)), SAID.length);
  port.accepted[0].close();
  port.clock.pass(60_000);
  t.true(silent.every(({ ended }) => ended !== null));
  t.deepEqual(port.lab.server.sizes, { pending: 0, accepted: 0, sessions: 0, addresses: 1 });
  t.is(port.given, TLS_OWN_BYTES);
  t.is(port.clock.waiting, 0);
  const lines = port.lab.log.filter((line) => line.includes("198.51.100.7"));
  t.is(lines.length, 4, lines.join("\n")); // 1, 10, 100, 1000
});

test("of too many, one from the address with most of them is dropped", (t) => {
  const port = new Port();
  const lonely = port.connect("192.0.2.1:1");
  for (let i = 0; i < 100; i++) port.connect(`198.51.100.7:${i}`);
  t.is(lonely.ended, null);
  port.clock.pass(0);
  lonely.arrive(Buffer.from("GET / HTTP/1.0\r\n\r\n"));
  t.is(lonely.ended, "local");
  t.regex(port.lab.log.at(-1)!, /192\.0\.2\.1:1 is refused: it does not speak TLS 1\.2/);
});

test("who has failed waits, longer each time, up to two seconds; others do not", (t) => {
  const port = new Port();
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    const client = port.connect(`192.0.2.1:${i}`);
    client.arrive(Buffer.from("no handshake"));
    const begun = port.clock.now;
    while (client.ended === null) port.clock.pass(25);
    waits.push(port.clock.now - begun);
  }
  t.deepEqual(waits, [0, 125, 250, 500, 1000, 2000, 2000]);
  const other = port.connect("192.0.2.2:1");
  port.clock.pass(0);
  other.arrive(Buffer.from("no handshake"));
  t.not(other.ended, null);
});

test("the peer goes while it waits: it is forgotten at once", (t) => {
  const port = new Port();
  port.connect("192.0.2.1:1").arrive(Buffer.from("no handshake"));
  port.clock.pass(0);
  const second = port.connect("192.0.2.1:2");
  t.is(port.lab.server.sizes.pending, 1);
  second.finish("reset");
  t.is(port.lab.server.sizes.pending, 0);
  t.is(port.clock.waiting, 0);
});

test("a fault in the sandbox ends its connections; the next starts it anew", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED.subarray(0, HANDSHAKE));
  const [connection] = port.accepted;
  const waiting = port.connect("192.0.2.3:1");
  port.clock.pass(0);
  let ready = 0;
  connection.onReady = () => {
    ready++;
    connection.read(new Uint8Array(10));
  };
  port.lab.host.faults = true;
  waiting.arrive(Buffer.from("x"));
  port.clock.pass(0);
  t.is(ready, 1);
  t.is(connection.ended, "reset");
  t.not(waiting.ended, null);
  t.is(port.given, 0);
  t.regex(port.lab.log[0], /the TLS sandbox was stopped/);
  t.is(connection.write(Buffer.from("x")), 0);

  const next = port.connect("192.0.2.9:1");
  port.clock.pass(0);
  next.arrive(RECORDED);
  t.is(port.accepted.length, 2);
  const into = new Uint8Array(SAID.length);
  t.is(port.accepted[1].read(into), SAID.length);
  t.is(port.lab.host.fault, null);
});

test("a fault while it starts: the connection is turned away, the one after it is not", (t) => {
  const port = new Port();
  port.lab.host.faults = true;
  const first = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  t.not(first.ended, null);
  t.is(port.given, 0);
  const second = port.connect("192.0.2.1:2");
  port.clock.pass(0);
  second.arrive(RECORDED.subarray(0, HANDSHAKE));
  t.is(port.accepted.length, 1);
});

test("without memory a connection is turned away, and taken when there is some", (t) => {
  const port = new Port();
  port.lab.host.poor = true;
  const first = port.connect("192.0.2.1:1");
  t.not(first.ended, null);
  t.regex(port.lab.log[0], /192\.0\.2\.1:1 was turned away \(no room for its session\): 1 time/);
  port.lab.host.poor = false;
  const second = port.connect("192.0.2.1:2");
  port.clock.pass(0);
  second.arrive(RECORDED.subarray(0, HANDSHAKE));
  t.is(port.accepted.length, 1);
});

test("a client that does not read: nothing but its room is kept, and closing does not wait for ever", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED.subarray(0, HANDSHAKE));
  const [connection] = port.accepted;
  client.room = client.sent.length + 1000;
  const much = new Uint8Array(100_000);
  let accepted = 0;
  for (let part; (part = connection.write(much)) > 0;) accepted += part;
  t.true(accepted > 0 && accepted <= 3 * 4096, `${accepted} bytes`);
  connection.close();
  t.is(client.ended, null, "it was closed before what it had accepted was sent");
  port.clock.pass(5000);
  t.is(client.ended, "local");
  t.is(port.given, TLS_OWN_BYTES);
});

test("what was accepted is sent when there is room again", (t) => {
  const port = new Port();
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  client.arrive(RECORDED.subarray(0, HANDSHAKE));
  const [connection] = port.accepted;
  const before = client.sent.length;
  client.room = before + 1000;
  const accepted = connection.write(new Uint8Array(8000));
  connection.close();
  for (let i = 0; i < 20 && client.ended === null; i++) {
    client.room += 1000;
    client.onReady();
  }
  t.is(client.ended, "local");
  // Two records of 4,096 and 3,904 bytes, and close_notify: 21 bytes more each.
  t.is(client.sent.length - before, accepted + 21 * 2 + 2 + 21);
  t.is(port.clock.waiting, 0);
});

test("no more than so many connections at once", (t) => {
  const port = new Port();
  // The recording can be played to one session of an instance only: here each has one of its own, kept apart by the server's count.
  const server = port.lab.server as unknown as { accepted: Set<{ ended: null }> };
  for (let i = 0; i < MOST_CONNECTIONS; i++) server.accepted.add({ ended: null });
  const client = port.connect("192.0.2.1:1");
  port.clock.pass(0);
  t.is(client.ended, "local");
  t.regex(port.lab.log[0], /was turned away \(48 connections\)/);
});

test("keys that are not possible", (t) => {
  const key = randomBytes(32);
  t.throws(() => checkKeys([]), { message: /there is no key/ });
  t.throws(() => checkKeys([{ identity: "a", key: key.subarray(1) }]), {
    message: /the key a has 31 bytes instead of 32/,
  });
  t.throws(() => checkKeys([{ identity: "", key }]), { message: /has 0 bytes/ });
  t.throws(() => checkKeys([{ identity: "é".repeat(33), key }]), { message: /has 66 bytes: 1 to 64/ });
  t.throws(
    () =>
      checkKeys([
        { identity: "a", key },
        { identity: "a", key },
      ]),
    { message: /two keys have the name a/ },
  );
  t.throws(() => checkKeys(Array.from({ length: 17 }, (_, i) => ({ identity: `k${i}`, key }))), {
    message: /at most 16/,
  });
});

test("addresses that have failed are remembered for a while, and no more than some", (t) => {
  let now = 0;
  const backOff = new BackOff(() => now);
  t.is(addressOf("10.0.2.2:41234"), "10.0.2.2");
  t.is(addressOf("console"), "console");
  for (let i = 0; i < 1000; i++) backOff.failed(`10.0.${i >> 8}.${i & 255}`);
  t.is(backOff.size, 256);
  t.is(backOff.wait("10.0.0.0"), 0);
  t.is(backOff.wait("10.0.3.231"), 125);
  backOff.succeeded("10.0.3.231");
  t.is(backOff.wait("10.0.3.231"), 0);
  t.is(backOff.failed("10.0.3.230"), 2);
  now = 600_000;
  t.is(backOff.wait("10.0.3.230"), 0);
  t.is(backOff.failed("10.0.3.230"), 1);
});
