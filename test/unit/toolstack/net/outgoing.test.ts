/** Connections that domain 0 makes, and tunnels over them: how they begin, pass bytes, end each way, and fail. */
import test from "ava";
import {
  NET_ABORT,
  NET_CLOSE,
  NET_END,
  NET_LISTEN,
  NET_STREAMS,
  NetStream,
  STREAM_CLOSED,
  STREAM_OPEN,
  STREAM_RESET,
} from "../../../../abi/net.ts";
import { BODY_MOST, WINDOW_FIRST } from "../../../../toolstack/api/protocol.ts";
import { ServerStream } from "../../../../toolstack/control/api/stream.ts";
import { passBytes } from "../../../../toolstack/control/commands/devices/forward.ts";
import { RaisableInterruption } from "../../../../toolstack/control/interruption.ts";
import type { OutgoingConnection } from "../../../../toolstack/control/net/connection.ts";
import { Random } from "../../../sim/random.ts";
import { type Faults, Lab, NONE } from "./lab.ts";
import { netModules, type Peer } from "./stack.ts";

const modules = await netModules();
const serial = modules === null ? test.skip : test.serial;

const PORT = 80;
const GUEST = Uint8Array.of(10, 0, 0, 2);
const BAD: Faults = { lost: 50, twice: 30, late: 50 };

/** A lab with a guest at 10.0.0.2 that listens on PORT. */
function lab(faults = NONE): { lab: Lab; guest: Peer } {
  const made = new Lab(modules!, 1);
  const [guest] = made.peers as [Peer];
  guest.call(NET_LISTEN, PORT);
  made.faults = faults;
  return { lab: made, guest };
}

function connected(lab: Lab, guest: Peer): { connection: OutgoingConnection; stream: number } {
  const before = new Set(guest.inState(STREAM_OPEN));
  const connection = lab.tcp.connect(GUEST, PORT)!;
  const made = () => guest.inState(STREAM_OPEN).find((each) => !before.has(each));
  lab.until("connected", () => connection.progress === "connected" && made() !== undefined);
  return { connection, stream: made()! };
}

function randomBytes(length: number): Buffer {
  const random = new Random(11);
  return Buffer.from(Uint8Array.from({ length }, () => random.below(256)));
}

/** A client's side of a tunnel: what the session and the client's `chaos` do. */
class FakeClient {
  readonly received: Buffer[] = [];
  outputEnded = false;
  /** Bytes that it may send. */
  window = WINDOW_FIRST;
  /** It takes nothing. */
  stalled = false;
  readonly interruption = new RaisableInterruption();
  guestEnded: (reason: string) => void = () => {};
  readonly stream = new ServerStream({
    hasRoom: () => !this.stalled,
    data: (bytes) => {
      this.received.push(Buffer.from(bytes));
      queueMicrotask(() => this.stream.allow(bytes.length));
    },
    dataEnd: () => (this.outputEnded = true),
    window: (bytes) => (this.window += bytes),
  });
  private sent = 0;

  /** Sends as much of some bytes as it may; true when all were sent. */
  send(bytes: Buffer): boolean {
    while (this.sent < bytes.length && this.window > 0) {
      const part = bytes.subarray(this.sent, this.sent + Math.min(this.window, BODY_MOST));
      this.window -= part.length;
      this.sent += part.length;
      if (!this.stream.input(part)) throw new Error("more than there is room for");
    }
    return this.sent === bytes.length;
  }

  tunnel(connection: OutgoingConnection): Promise<{ toGuest: number; fromGuest: number }> {
    const passed = passBytes(connection, this.stream, {
      place: "port 80 of the guest",
      interruption: this.interruption,
      onGuestEnd: (listener) => {
        this.guestEnded = listener;
        return () => (this.guestEnded = () => {});
      },
    });
    passed.catch(() => {});
    return passed;
  }
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Steps, with promise jobs between them, until something is so. */
async function until(lab: Lab, what: string, isSo: () => boolean, steps = 60_000): Promise<void> {
  for (let i = 0; i < steps; i++) {
    if (isSo()) return;
    lab.step();
    if (i % 8 === 0) await settle();
  }
  throw new Error(`not so after ${steps} steps: ${what}`);
}

for (const [name, faults] of Object.entries({ "a good wire": NONE, "a bad wire": BAD })) {
  serial(`a tunnel passes bytes both ways over ${name}; each direction ends by itself`, async (t) => {
    const { lab: l, guest } = lab(faults);
    const { connection, stream } = connected(l, guest);
    const client = new FakeClient();
    const passed = client.tunnel(connection);
    const request = randomBytes(150_000);
    const got: Buffer[] = [];
    let [all, ended] = [false, false];
    await until(l, "the guest has the request and its end", () => {
      all ||= client.send(request);
      if (all && !ended) {
        client.stream.onInputEnd();
        ended = true;
      }
      got.push(Buffer.from(guest.read(stream)));
      return guest.stream(stream, NetStream.state) === STREAM_CLOSED;
    });
    got.push(Buffer.from(guest.read(stream)));
    t.true(Buffer.concat(got).equals(request), "the guest got the bytes that were sent");
    t.is(connection.ended, null, "the guest may still answer");

    const answer = randomBytes(120_000);
    let sent = 0;
    await until(l, "the answer was sent", () => {
      if (sent < answer.length) sent += guest.write(stream, answer.subarray(sent));
      return sent === answer.length;
    });
    guest.call(NET_CLOSE, stream);
    await until(l, "the tunnel's end", () => connection.ended !== null);
    t.deepEqual(await passed, { toGuest: request.length, fromGuest: answer.length });
    await client.stream.sent();
    t.true(Buffer.concat(client.received).equals(answer), "the client got the bytes that were sent");
    t.is(l.tcp.count, 0);
  });
}

serial("the guest ends its direction first: the client is told, and goes on sending", async (t) => {
  const { lab: l, guest } = lab();
  const { connection, stream } = connected(l, guest);
  const client = new FakeClient();
  const passed = client.tunnel(connection);
  guest.write(stream, Buffer.from("bye"));
  guest.call(NET_END, stream);
  await until(l, "told", () => client.outputEnded);
  t.is(Buffer.concat(client.received).toString(), "bye");
  t.is(connection.ended, null);
  client.send(Buffer.from("and more"));
  let got = "";
  await until(l, "the rest", () => (got += Buffer.from(guest.read(stream)).toString()) === "and more");
  client.stream.onInputEnd();
  await until(l, "the end on both sides", () => guest.stream(stream, NetStream.state) === STREAM_CLOSED);
  t.deepEqual(await passed, { toGuest: 8, fromGuest: 3 });
  t.is(connection.ended, "closed");
  t.is(l.tcp.count, 0);
});

serial("a port where nobody listens is refused, an address of nobody's has no answer, both in words", async (t) => {
  const { lab: l } = lab();
  const refused = l.tcp.connect(GUEST, 81)!;
  const client = new FakeClient();
  const passed = client.tunnel(refused);
  await until(l, "refused", () => refused.ended !== null);
  t.is(refused.progress, "refused");
  await t.throwsAsync(passed, { message: "nothing listens on port 80 of the guest: the connection was refused" });

  const silent = l.tcp.connect(Uint8Array.of(10, 0, 0, 77), PORT)!;
  const waiting = new FakeClient().tunnel(silent);
  await until(l, "given up", () => silent.ended !== null);
  await t.throwsAsync(waiting, { message: "no answer from port 80 of the guest within 10 s" });
  t.is(l.tcp.count, 0);
});

serial("a reset, the guest's end, the client's going: the tunnel is over, and nothing of it stays", async (t) => {
  const { lab: l, guest } = lab();
  const reset = connected(l, guest);
  const first = new FakeClient().tunnel(reset.connection);
  guest.call(NET_ABORT, reset.stream);
  await until(l, "reset", () => reset.connection.ended !== null);
  await t.throwsAsync(first, { message: "the connection to port 80 of the guest was reset" });

  const destroyed = connected(l, guest);
  const client = new FakeClient();
  const second = client.tunnel(destroyed.connection);
  client.guestEnded("destroyed");
  await t.throwsAsync(second, { message: "the guest has ended: destroyed" });

  const gone = connected(l, guest);
  const leaver = new FakeClient();
  const third = leaver.tunnel(gone.connection);
  leaver.interruption.raise();
  await t.throwsAsync(third, { message: /^cancelled/ });
  await until(l, "the guest sees it", () => guest.stream(gone.stream, NetStream.state) === STREAM_RESET);
  t.is(l.tcp.count, 0);
});

serial("a client that does not read stops the guest, one that is not read from is stopped", async (t) => {
  const { lab: l, guest } = lab();
  const { connection, stream } = connected(l, guest);
  const client = new FakeClient();
  client.stalled = true;
  void client.tunnel(connection);
  const block = Buffer.alloc(16_384, 1);
  let sent = 0;
  for (let i = 0; i < 3000; i++) {
    sent += guest.write(stream, block);
    l.step();
  }
  await settle();
  t.true(sent < 256 * 1024, `the guest could send ${sent} bytes`);
  t.is(client.received.length, 0);
  const flood = Buffer.alloc(1024 * 1024, 2);
  for (let i = 0; i < 3000; i++) {
    client.send(flood);
    l.step();
  }
  t.is(client.window, 0);
  client.stalled = false;
  client.stream.pump();
  await until(l, "what waited", () => Buffer.concat(client.received).length === sent);
  client.interruption.raise();
  t.pass();
});

serial("streams are taken from who is not trusted, and not from others; a fault ends connections", (t) => {
  const { lab: l, guest } = lab();
  l.tcp.listen(4000, () => {});
  guest.connect(4000);
  l.until("somebody is connected", () => l.tcp.count === 1);
  const made: OutgoingConnection[] = [];
  for (let i = 0; i < NET_STREAMS; i++) made.push(l.tcp.connect(GUEST, PORT)!);
  t.is(l.tcp.count, NET_STREAMS);
  t.is(l.tcp.connect(GUEST, PORT), null);
  made[0]!.abort();
  t.not(l.tcp.connect(GUEST, PORT), null);
  l.breakModule();
  l.step();
  t.true(made.slice(1).every(({ ended }) => ended === "reset"));
  l.open();
  t.is(l.tcp.count, 0);
});

serial("a thousand connections one after the other, ended in every order, leave nothing", (t) => {
  const { lab: l, guest } = lab();
  const random = new Random(5);
  for (let i = 0; i < 1000; i++) {
    const { connection, stream } = connected(l, guest);
    const first = random.below(4);
    if (first === 0) connection.finish();
    else if (first === 1) guest.call(NET_END, stream);
    else if (first === 2) guest.write(stream, Uint8Array.of(1));
    for (let j = random.below(5); j > 0; j--) l.step();
    const into = new Uint8Array(10);
    connection.read(into);
    if (random.below(2)) connection.finish();
    guest.call(random.below(3) ? NET_CLOSE : NET_ABORT, stream);
    l.until("the guest's end is seen", () => {
      connection.read(into);
      return connection.ended !== null || connection.peerFinished;
    });
    connection.close();
    l.until("nothing", () => l.tcp.count === 0, 200);
  }
  t.true(l.module.isOpen);
});
