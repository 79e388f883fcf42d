/** Listeners and connections on the module that boots: order, ends, bounds, faults. */
import test from "ava";
import {
  NET_ABORT,
  NET_CLOSE,
  NET_RECEIVE_BYTES,
  NET_STREAMS,
  NetStream,
  STREAM_CLOSED,
  STREAM_OPEN,
  STREAM_RESET,
} from "../../../../abi/net.ts";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import type { TcpConnection } from "../../../../toolstack/control/net/tcp.ts";
import { Random } from "../../../sim/random.ts";
import { Lab } from "./lab.ts";
import { netModules } from "./stack.ts";

const modules = await netModules();
const serial = modules === null ? test.skip : test.serial;

const PORT = 4000;

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

/** A lab of which domain 0 echoes on PORT. */
function echoLab(peers: number): { lab: Lab; accepted: TcpConnection[] } {
  const lab = new Lab(modules!, peers);
  const accepted: TcpConnection[] = [];
  lab.tcp.listen(PORT, (connection) => {
    accepted.push(connection);
    echo(connection);
  });
  return { lab, accepted };
}

function echo(connection: Connection): void {
  const buffer = new Uint8Array(5000);
  let rest = buffer.subarray(0, 0);
  connection.onReady = () => {
    for (;;) {
      if (rest.length === 0) rest = buffer.subarray(0, connection.read(buffer));
      if (rest.length === 0) return;
      rest = rest.subarray(connection.write(rest));
      if (rest.length > 0) return;
    }
  };
}

for (const [name, faults] of Object.entries({
  "a good wire": { lost: 0, twice: 0, late: 0 },
  "a bad wire": { lost: 50, twice: 30, late: 50 },
})) {
  serial(`bytes come back as they were sent over ${name}, and the end after them`, (t) => {
    const { lab, accepted } = echoLab(1);
    const [peer] = lab.peers as [(typeof lab.peers)[0]];
    lab.faults = faults;
    t.true(peer.connect(PORT));
    lab.until("connected", () => peer.inState(STREAM_OPEN).length === 1);
    const [stream] = peer.inState(STREAM_OPEN) as [number];
    const data = randomBytes(new Random(7), 200_000);
    const back: number[] = [];
    let sent = 0;
    lab.until(
      "all came back",
      () => {
        if (sent < data.length) sent += peer.write(stream, data.subarray(sent));
        back.push(...peer.read(stream));
        return back.length >= data.length;
      },
      200_000,
    );
    t.deepEqual(Uint8Array.from(back), data);
    t.is(accepted.length, 1);
    t.regex(accepted[0]!.peer, /^10\.0\.0\.2:\d+$/);
    t.is(accepted[0]!.ended, null);
    peer.call(NET_CLOSE, stream);
    lab.until("closed", () => accepted[0]!.ended !== null);
    t.is(accepted[0]!.ended, "closed");
    t.is(accepted[0]!.write(data), 0);
    t.is(lab.tcp.count, 0);
  });
}

serial("what was accepted is sent behind close, and what was received is read before the end is told", (t) => {
  const lab = new Lab(modules!, 1);
  const [peer] = lab.peers as [(typeof lab.peers)[0]];
  let connection: TcpConnection | undefined;
  lab.tcp.listen(PORT, (made) => (connection = made));
  peer.connect(PORT);
  lab.until("connected", () => connection !== undefined);
  const [stream] = peer.inState(STREAM_OPEN) as [number];
  peer.write(stream, Uint8Array.of(1, 2, 3));
  lab.step();
  peer.call(NET_CLOSE, stream);
  for (let i = 0; i < 20; i++) lab.step();
  t.is(connection!.ended, null, "three bytes are to be read");
  const into = new Uint8Array(10);
  t.is(connection!.read(into), 3);
  t.deepEqual([...into.subarray(0, 3)], [1, 2, 3]);
  t.is(connection!.ended, "closed");

  connection = undefined;
  peer.connect(PORT);
  lab.until("connected", () => connection !== undefined);
  const [second] = peer.inState(STREAM_OPEN) as [number];
  const accepted = connection!.write(new Uint8Array(100_000).fill(9));
  t.true(accepted > 10_000 && accepted < 50_000, `${accepted}`);
  connection!.close();
  t.is(connection!.ended, "local");
  let got = 0;
  lab.until("the end", () => {
    got += peer.read(second).length;
    return peer.stream(second, NetStream.state) === STREAM_CLOSED;
  });
  t.is(got + peer.read(second).length, accepted);
});

serial("a reset is told, after what was received before it", (t) => {
  const { lab, accepted } = echoLab(1);
  const [peer] = lab.peers as [(typeof lab.peers)[0]];
  peer.connect(PORT);
  lab.until("connected", () => accepted.length === 1);
  peer.call(NET_ABORT, peer.inState(STREAM_OPEN)[0]!);
  lab.until("reset", () => accepted[0]!.ended !== null);
  t.is(accepted[0]!.ended, "reset");
});

serial("the oldest that is not trusted makes way for the sixty-fifth; without one the newest is refused", (t) => {
  const { lab, accepted } = echoLab(2);
  const [first, second] = lab.peers as [(typeof lab.peers)[0], (typeof lab.peers)[0]];
  for (let i = 0; i < NET_STREAMS; i++) {
    first.connect(PORT);
    lab.until(`connection ${i}`, () => accepted.length === i + 1);
  }
  accepted[0]!.trusted = true;
  second.connect(PORT);
  lab.until("one more", () => accepted.length === NET_STREAMS + 1 && accepted[1]!.ended !== null);
  t.is(lab.tcp.count, NET_STREAMS);
  t.is(accepted[0]!.ended, null);
  t.is(accepted[1]!.ended, "reset");
  t.true(accepted.slice(2).every(({ ended }) => ended === null));
  lab.until("the peer knows", () => first.inState(STREAM_RESET).length === 1);
  for (const connection of accepted) connection.trusted = true;
  second.connect(PORT);
  lab.until("refused", () => second.inState(STREAM_RESET).length === 1);
  t.is(accepted.length, NET_STREAMS + 1);
});

serial("of a thousand that say nothing 64 stay, and whoever has something to say is served", (t) => {
  const { lab, accepted } = echoLab(17);
  const [talker, ...silent] = lab.peers as [(typeof lab.peers)[0], ...typeof lab.peers];
  for (let i = 0; i < 63; i++) {
    for (const peer of silent) peer.connect(PORT);
    lab.step();
    lab.step();
  }
  lab.until("a thousand", () => accepted.length >= 1000);
  t.is(lab.tcp.count, NET_STREAMS);
  t.is(accepted.filter(({ ended }) => ended === "reset").length, accepted.length - NET_STREAMS);
  talker.connect(PORT);
  lab.until("connected", () => talker.inState(STREAM_OPEN).length === 1);
  const [stream] = talker.inState(STREAM_OPEN) as [number];
  talker.write(stream, Uint8Array.of(5));
  lab.until("echoed", () => talker.read(stream).length === 1);
  t.is(lab.tcp.count, NET_STREAMS);
});

serial("a reader that stops holds what there is room for, and nobody else up", (t) => {
  const lab = new Lab(modules!, 2);
  const [stuck, other] = lab.peers as [(typeof lab.peers)[0], (typeof lab.peers)[0]];
  let written = 0;
  lab.tcp.listen(9, (connection) => {
    const bytes = new Uint8Array(10_000);
    connection.onReady = () => {
      for (let n; (n = connection.write(bytes)) > 0;) written += n;
    };
  });
  lab.tcp.listen(PORT, echo);
  stuck.connect(9);
  for (let i = 0; i < 3000; i++) lab.step(10 * 1e6);
  t.true(written > 32_000 && written < 32_120 + 16 * 1460 + 1, `${written} bytes`);
  other.connect(PORT);
  lab.until("connected", () => other.inState(STREAM_OPEN).length === 1);
  const [stream] = other.inState(STREAM_OPEN) as [number];
  other.write(stream, Uint8Array.of(5));
  lab.until("echoed", () => other.read(stream).length === 1);
  // It reads again.
  const [held] = stuck.inState(STREAM_OPEN) as [number];
  t.true(stuck.stream(held, NetStream.produced) <= NET_RECEIVE_BYTES);
  const before = written;
  lab.until("it goes on", () => {
    stuck.read(held);
    return written > before + 200_000;
  });
});

serial("who expects bytes is told when they are there, or when no more will come", (t) => {
  const { lab, accepted } = echoLab(1);
  const [peer] = lab.peers as [(typeof lab.peers)[0]];
  peer.connect(PORT);
  lab.until("connected", () => accepted.length === 1);
  const [connection] = accepted as [TcpConnection];
  const [stream] = peer.inState(STREAM_OPEN) as [number];
  let told = 0;
  connection.onReady = () => told++;
  for (let i = 0; i < 100; i++) lab.step();
  connection.expect(6000);
  told = 0;
  peer.write(stream, new Uint8Array(5999));
  for (let i = 0; i < 5000; i++) lab.step();
  t.is(told, 0);
  peer.write(stream, Uint8Array.of(1));
  lab.until("told", () => told > 0);
  t.is(connection.read(new Uint8Array(10_000)), 6000);
  // More than there is room for: it is told while its peer can still send.
  connection.expect(1e6);
  let sent = 0;
  told = 0;
  lab.until("told", () => {
    sent += peer.write(stream, new Uint8Array(1000));
    return told > 0;
  });
  t.true(sent < NET_RECEIVE_BYTES);
  while (connection.read(new Uint8Array(10_000)) > 0);
  connection.expect(6000);
  for (let i = 0; i < 5000; i++) lab.step();
  while (connection.read(new Uint8Array(10_000)) > 0);
  told = 0;
  peer.call(NET_CLOSE, stream);
  lab.until("told", () => told > 0);
  t.is(connection.ended, "closed");
});

serial("a peer that says nothing is dropped after a minute, one that has gone after two", (t) => {
  const { lab, accepted } = echoLab(2);
  const [peer, gone] = lab.peers as [(typeof lab.peers)[0], (typeof lab.peers)[0]];
  peer.connect(PORT);
  gone.connect(PORT);
  lab.until("connected", () => accepted.length === 2);
  gone.write(gone.inState(STREAM_OPEN)[0]!, Uint8Array.of(1));
  for (let i = 0; i < 10; i++) lab.step();
  const silent = accepted.find((connection) => connection.peer.startsWith("10.0.0.2:"))!;
  const talked = accepted.find((connection) => connection.peer.startsWith("10.0.0.3:"))!;
  lab.peers.splice(1); // nothing comes from it any more
  const second = 1e9;
  for (let i = 0; i < 58 * 4; i++) lab.step(second / 4);
  t.is(silent.ended, null);
  for (let i = 0; i < 4 * 4; i++) lab.step(second / 4);
  t.is(silent.ended, "reset");
  t.is(talked.ended, null);
  for (let i = 0; i < 80 * 4; i++) lab.step(second / 4);
  t.is(talked.ended, "reset");
});

serial("a fault in the module resets its connections; opened again it listens where it did", (t) => {
  const { lab, accepted } = echoLab(1);
  const [peer] = lab.peers as [(typeof lab.peers)[0]];
  peer.connect(PORT);
  lab.until("connected", () => accepted.length === 1);
  let told = 0;
  accepted[0]!.onReady = () => told++;
  lab.breakModule();
  lab.step();
  t.is(accepted[0]!.ended, "reset");
  t.is(told, 1);
  t.false(lab.module.isOpen);
  t.is(accepted[0]!.write(Uint8Array.of(1)), 0);
  lab.open();
  peer.call(NET_ABORT, peer.inState(STREAM_OPEN)[0]!);
  peer.connect(PORT);
  lab.until("connected again", () => accepted.length === 2);
});

serial("random frames change nothing", (t) => {
  const { lab, accepted } = echoLab(1);
  const [peer] = lab.peers as [(typeof lab.peers)[0]];
  peer.connect(PORT);
  lab.until("connected", () => accepted.length === 1);
  const random = new Random(3);
  for (let i = 0; i < 20_000; i++) {
    const frame = randomBytes(random, 14 + random.below(200));
    // For this interface, of kinds that it looks at, with headers that are right in parts.
    frame.set([0, 0x16, 0x3e, 0, 1, 1], 0);
    frame.set(random.below(2) ? [8, 0] : [8, 6], 12);
    if (random.below(2) && frame.length > 34)
      frame.set([0x45, 0, 0, frame.length - 14, 0, 0, 0, 0, 64, [1, 6, 17][random.below(3)]!], 14);
    lab.inject(frame);
    if (i % 32 === 0) lab.step();
  }
  t.true(lab.module.isOpen);
  const [stream] = peer.inState(STREAM_OPEN) as [number];
  peer.write(stream, Uint8Array.of(5));
  lab.until("echoed", () => peer.read(stream).length === 1);
});

serial("ports are taken once, and free again", (t) => {
  const lab = new Lab(modules!, 1);
  const listener = lab.tcp.listen(PORT, echo);
  t.throws(() => lab.tcp.listen(PORT, echo), { message: /in use/ });
  t.throws(() => lab.tcp.listen(0, echo), { message: /no port/ });
  listener.close();
  listener.close();
  lab.tcp.listen(PORT, echo).close();
  for (let i = 0; i < 8; i++) lab.tcp.listen(100 + i, echo);
  t.throws(() => lab.tcp.listen(200, echo), { message: /8 ports/ });
});
