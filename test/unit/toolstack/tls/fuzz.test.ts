/** Whatever a peer sends, whole or damaged: the module does not fault, hang or grow, and nothing is accepted that was not sent. */
import { randomBytes } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import {
  TLS_ESTABLISHED,
  TLS_FAILED,
  TLS_INPUT_BYTES,
  TLS_NO_MEMORY,
  TLS_OPEN,
  TLS_OUTPUT_BYTES,
  TLS_OWN_BYTES,
  TLS_SESSION_BYTES,
} from "../../../../abi/tls.ts";
import type { SecureConnection } from "../../../../toolstack/control/tls/secure.ts";
import { Clock, FakeConnection, KEY, NodeHost } from "./lab.ts";
import { record, recordEnds, sameLab } from "./recording.ts";
import { TlsModule } from "../../../../toolstack/control/tls/module.ts";

const recording = await record();
const SAID = recording.text;

interface Outcome {
  accepted: boolean;
  heard: Buffer;
  ended: SecureConnection["ended"];
  /** Calls of the module. */
  calls: number;
}

/** One for all of them: making a linear memory takes Node longer than a handshake. */
const playHost = new NodeHost();

/** Plays `pieces` to a new server, one after another, then the end of the connection. */
function play(pieces: Uint8Array[]): Outcome {
  const clock = new Clock();
  const host = playHost;
  host.calls = 0;
  const { server } = sameLab({ host }, clock);
  const below = new FakeConnection();
  const heard: Buffer[] = [];
  const accepted: SecureConnection[] = [];
  server.add(below, (connection) => {
    accepted.push(connection);
    connection.onReady = () => {
      const into = new Uint8Array(1000);
      for (let bytes; (bytes = connection.read(into)) > 0;) heard.push(Buffer.from(into.slice(0, bytes)));
      if (heard.length > 0) connection.write(randomBytes(100));
    };
  });
  clock.pass(0);
  for (const piece of pieces) below.arrive(piece);
  below.finish("closed");
  clock.pass(10_000);
  if (host.fault !== null) throw host.fault;
  if (clock.waiting > 0) throw new Error("a timer is left");
  if (host.given !== TLS_OWN_BYTES) throw new Error("a session is left");
  if (below.ended === null) throw new Error("a connection is left");
  host.take(0, TLS_OWN_BYTES);
  return {
    accepted: accepted.length > 0,
    heard: Buffer.concat(heard),
    ended: accepted[0]?.ended ?? null,
    calls: host.calls,
  };
}

/** What must hold for anything that was made from the recording. */
function check({ accepted, heard, ended, calls }: Outcome, bytes: number): void {
  if (!SAID.subarray(0, heard.length).equals(heard)) throw new Error("something was heard that was not said");
  if (ended === "closed" && heard.length !== SAID.length) throw new Error("a part was taken for the whole");
  if (heard.length > 0 && !accepted) throw new Error("something was heard before it was accepted");
  if (calls > 100 + bytes / 50) throw new Error(`${calls} calls for ${bytes} bytes`);
}

test("the recording as it is", (t) => {
  const outcome = play([recording.bytes]);
  t.true(outcome.accepted);
  t.true(SAID.equals(outcome.heard));
  t.is(outcome.ended, "closed");
  // And a byte at a time.
  t.like(play([...recording.bytes].map((byte) => Uint8Array.of(byte))), { accepted: true, ended: "closed" });
});

test("a recording that ends early is no whole", (t) => {
  const { bytes, data } = recording;
  const ends = recordEnds(bytes);
  for (let length = 0; length < bytes.length; length++) {
    const outcome = play([bytes.subarray(0, length)]);
    check(outcome, length);
    t.is(outcome.accepted, length >= data);
    t.not(outcome.ended, "closed");
  }
  t.true(ends.length >= 6);
});

test("played back to another server, it is refused", (t) => {
  const clock = new Clock();
  const { host, server, log } = sameLab({ stir: () => Uint8Array.of(1) }, clock);
  const below = new FakeConnection();
  server.add(below, () => t.fail());
  clock.pass(0);
  below.arrive(recording.bytes);
  t.not(below.ended, null);
  t.regex(log[0], /it does not have the key operator/);
  t.is(host.given, TLS_OWN_BYTES);
});

const LENGTH = recording.bytes.length;
type Damage = (bytes: Buffer) => Buffer;
const at = fc.nat(LENGTH - 1);
const damage: fc.Arbitrary<Damage> = fc.oneof(
  // a byte changed
  fc.tuple(at, fc.integer({ min: 1, max: 255 })).map(([place, by]): Damage => (bytes) => {
    const out = Buffer.from(bytes);
    if (out.length > 0) out[place % out.length] ^= by;
    return out;
  }),
  // a length field or a value at the edge of its range
  fc.tuple(at, fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)).map(([place, value]): Damage => (bytes) => {
    const out = Buffer.from(bytes);
    if (out.length > 0) out[place % out.length] = value;
    return out;
  }),
  // a part left out
  fc.tuple(at, fc.nat(300)).map(
    ([place, length]): Damage =>
      (bytes) =>
        Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + length)]),
  ),
  // something put in
  fc.tuple(at, fc.uint8Array({ maxLength: 300 })).map(
    ([place, more]): Damage =>
      (bytes) =>
        Buffer.concat([bytes.subarray(0, place), more, bytes.subarray(place)]),
  ),
  // a record twice, or left out
  fc.tuple(fc.nat(20), fc.boolean()).map(([which, twice]): Damage => (bytes) => {
    const ends = [0, ...recordEnds(bytes)].filter((end) => end <= bytes.length);
    if (ends.length < 2) return bytes;
    const [from, to] = [ends[which % (ends.length - 1)], ends[(which % (ends.length - 1)) + 1]];
    return Buffer.concat([bytes.subarray(0, twice ? to : from), bytes.subarray(twice ? from : to)]);
  }),
);

const RUNS = Number(process.env.TYPEVISOR_TLS_RUNS ?? 1000);

test("damaged recordings", (t) => {
  let established = 0;
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
      const bytes = damages.reduce((made, change) => change(made), recording.bytes);
      const outcome = play([bytes]);
      if (outcome.accepted) established++;
      check(outcome, bytes.length);
    }),
    { numRuns: RUNS },
  );
  t.log(`${RUNS} runs, ${established} with a whole handshake`);
  t.true(established > 0);
});

test("random records", (t) => {
  const recordOf = fc
    .tuple(
      fc.constantFrom(20, 21, 22, 23, 24, 0, 255),
      fc.constantFrom(0x303, 0x303, 0x301, 0x300, 0x304, 0x200),
      fc.uint8Array({ maxLength: 600 }),
      fc.option(fc.nat(65535)),
    )
    .map(([type, version, body, length]) => {
      const header = Buffer.alloc(5);
      header[0] = type;
      header.writeUInt16BE(version, 1);
      header.writeUInt16BE(length ?? body.length, 3);
      return Buffer.concat([header, body]);
    });
  const { bytes, data } = recording;
  fc.assert(
    fc.property(
      // after nothing, after the first message, after the whole handshake
      fc.constantFrom(0, recordEnds(bytes)[0], data),
      fc.array(fc.oneof(recordOf, fc.uint8Array({ maxLength: 200 })), { minLength: 1, maxLength: 10 }),
      (before, records) => {
        const pieces = [bytes.subarray(0, before), ...records];
        check(play(pieces), Buffer.concat(pieces).length);
      },
    ),
    { numRuns: RUNS },
  );
  t.pass();
});

test("a peer that sends without end is read only as far as there is room", (t) => {
  const clock = new Clock();
  const { host, server } = sameLab({}, clock);
  const below = new FakeConnection();
  const accepted: SecureConnection[] = [];
  server.add(below, (connection) => accepted.push(connection));
  clock.pass(0);
  below.arrive(recording.bytes.subarray(0, recording.data));
  t.is(accepted.length, 1);
  const calls = host.calls;
  for (let i = 0; i < 100; i++) below.arrive(randomBytes(1000));
  t.is(below.waits, 100_000, "read though nobody here wanted it");
  t.true(host.calls - calls <= 100);
  accepted[0].abort();
  t.is(host.given, TLS_OWN_BYTES);
});

test("a handshake with any smaller heap fails, or is as good as with the whole", (t) => {
  const host = new NodeHost();
  let instances = 0;
  let whole = 0;
  let least = Infinity;
  for (let withheld = 0; withheld <= 27_600; withheld += 48) {
    const module = new TlsModule(
      host,
      [KEY],
      () => Buffer.alloc(48, 7),
      () => new Uint8Array(0),
      () => {},
    );
    const call = host.call.bind(host);
    host.call = (operation, a, b) => call(operation, a, operation === TLS_OPEN ? withheld : b);
    const session = module.session()!;
    host.call = call;
    instances++;
    const below = new FakeConnection();
    below.arrive(recording.bytes);
    session.receive(below);
    session.step();
    if (session.state === TLS_ESTABLISHED) {
      const into = new Uint8Array(1000);
      const heard = session.read(into);
      t.true(SAID.subarray(0, heard).equals(into.subarray(0, heard)));
      if (session.state !== TLS_FAILED) whole++;
      least = withheld;
    } else {
      t.is(session.state, TLS_FAILED);
      t.is(session.error, TLS_NO_MEMORY);
      // Nothing of a handshake that went on without memory is sent.
      t.is(session.send(below), 0);
      t.is(below.sent.length, 0);
    }
    session.close();
    host.take(0, TLS_OWN_BYTES);
  }
  t.is(host.fault, null);
  t.log(`${instances} heaps, ${whole} were enough: up to ${least} bytes less than there are`);
  t.true(whole > 0 && whole < instances);
});

test("what domain 0 writes into a session by mistake is refused", (t) => {
  const host = new NodeHost();
  const module = new TlsModule(
    host,
    [KEY],
    () => randomBytes(48),
    () => new Uint8Array(0),
    () => {},
  );
  const session = module.session()!;
  fc.assert(
    fc.property(fc.constantFrom(8, 12, 16, 20), fc.nat(0xffffffff), (field, value) => {
      host.store32(TLS_OWN_BYTES + field, value);
      host.call(4, 0, 0);
      host.call(5, 0, value);
      host.call(6, 0, value);
      host.call(7, 0, 0);
      host.call(value, value, value);
      for (const clear of [8, 12, 16, 20]) host.store32(TLS_OWN_BYTES + clear, 0);
    }),
  );
  t.is(host.fault, null);
  session.close();
  t.is(host.given, TLS_OWN_BYTES);
  t.true(TLS_INPUT_BYTES + TLS_OUTPUT_BYTES < TLS_SESSION_BYTES);
});
