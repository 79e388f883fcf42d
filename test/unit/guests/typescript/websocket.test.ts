/** WebSocket of TypeScript guests, against a server that is written here, byte by byte. */
import { createHash, randomBytes } from "node:crypto";
import vm from "node:vm";
import test from "ava";
import { FakeGuest, type Peer } from "./fake-guest.ts";

const PROGRAM = `
  globalThis.socket = new WebSocket("ws://10.0.0.9:81/path?q", ["a", "b"]);
  const say = (...words) => console.log(...words);
  socket.onopen = () => { say("open", socket.protocol, socket.readyState); socket.send("grün"); socket.send(new Uint8Array(70000).fill(7)); };
  socket.onmessage = ({ data }) => say(typeof data === "string" ? data.slice(0, 30) + " " + data.length : new Uint8Array(data));
  socket.onerror = () => say("error");
  socket.addEventListener("close", ({ code, reason, wasClean }) => say("close", code, reason, wasClean));
`;

/** Frames that a client sent, unmasked. */
function frames(text: string): { opcode: number; payload: Buffer }[] {
  const bytes = Buffer.from(text, "latin1");
  const found: { opcode: number; payload: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1]! & 0x7f;
    const [length, head] =
      short === 126
        ? [bytes.readUInt16BE(at + 2), 4]
        : short === 127
          ? [Number(bytes.readBigUInt64BE(at + 2)), 10]
          : [short, 2];
    if ((bytes[at + 1]! & 0x80) === 0) throw new Error("a client's frame must be masked");
    const mask = bytes.subarray(at + head, at + head + 4);
    const start = at + head + 4;
    found.push({
      opcode: bytes[at]! & 0x0f,
      payload: Buffer.from(bytes.subarray(start, start + length).map((byte, i) => byte ^ mask[i & 3]!)),
    });
    at = start + length;
  }
  return found;
}

function frame(opcode: number, payload: Uint8Array | string, final = true): Buffer {
  const data = Buffer.from(payload);
  const head = Buffer.from([(final ? 0x80 : 0) | opcode, data.length < 126 ? data.length : 126]);
  const size = Buffer.alloc(data.length < 126 ? 0 : 2);
  if (size.length > 0) size.writeUInt16BE(data.length);
  return Buffer.concat([head, size, data]);
}

/** A guest whose program has sent its greeting, and the server's right answer to it. */
async function greeted(): Promise<{ guest: FakeGuest; peer: Peer; answer: string }> {
  const guest = await FakeGuest.run(PROGRAM);
  const peer = guest.dialled[0]!;
  const key =
    /^GET \/path\?q HTTP\/1\.1\r\nHost: 10\.0\.0\.9:81\r\n[^]*Sec-WebSocket-Key: (\S+)\r\n[^]*Protocol: a, b\r\n\r\n$/.exec(
      peer.received,
    )![1]!;
  peer.received = "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return {
    guest,
    peer,
    answer: `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: b\r\n\r\n`,
  };
}

const settle = (guest: FakeGuest) => guest.settle(guest.timeNs);

test("messages of both kinds and of any size go both ways, in fragments too, and pings are answered", async (t) => {
  const { guest, peer, answer } = await greeted();
  for (const byte of answer) peer.send(byte);
  await settle(guest);
  t.is(guest.printed, "open b 1\n");
  const sent = frames(peer.received);
  t.deepEqual(
    sent.map(({ opcode, payload }) => [opcode, payload.length]),
    [
      [1, 5],
      [2, 70000],
    ],
  );
  t.is(sent[0]!.payload.toString(), "grün");
  t.true(sent[1]!.payload.every((byte) => byte === 7));

  peer.received = guest.printed = "";
  const bytes = Buffer.concat([
    frame(1, "one ", false),
    frame(9, "ping"),
    frame(0, "two"),
    frame(2, Uint8Array.of(1, 2)),
    frame(1, "x".repeat(300)),
  ]);
  for (let at = 0; at < bytes.length; at += 7) peer.send(bytes.subarray(at, at + 7));
  await settle(guest);
  t.is(guest.printed, `one two 7\nUint8Array(2) [ 1, 2 ]\n${"x".repeat(30)} 300\n`);
  t.deepEqual(
    frames(peer.received).map(({ opcode, payload }) => [opcode, String(payload)]),
    [[10, "ping"]],
  );
});

test("either side closes: the other's answer is waited for, and told", async (t) => {
  const ours = await greeted();
  ours.peer.send(ours.answer);
  await settle(ours.guest);
  ours.peer.received = ours.guest.printed = "";
  vm.runInContext('socket.close(3001, "done"); socket.send("never")', ours.guest.context);
  await settle(ours.guest);
  t.deepEqual(
    frames(ours.peer.received).map(({ payload }) => payload.toString("latin1")),
    ["\x0b\xb9done"],
  );
  ours.peer.send(frame(8, Buffer.from("\x0b\xb9done", "latin1")));
  ours.peer.end();
  await settle(ours.guest);
  t.is(ours.guest.printed, "close 3001 done true\n");
  t.is(ours.guest.ended, "poweroff");

  const theirs = await greeted();
  theirs.peer.send(theirs.answer);
  theirs.peer.send(frame(8, Buffer.from("\x03\xe8bye", "latin1")));
  await settle(theirs.guest);
  theirs.peer.end();
  await settle(theirs.guest);
  t.regex(theirs.guest.printed, /close 1000 bye true\n$/);
  t.is(frames(theirs.peer.received).at(-1)!.payload.toString("latin1"), "\x03\xe8");
});

test("what is no WebSocket server, or breaks the protocol, is an error and the end of the connection", async (t) => {
  for (const make of [
    () => "HTTP/1.1 200 OK\r\n\r\n",
    (answer: string) => answer.replace(/Accept: .*/, `Accept: ${randomBytes(20).toString("base64")}`),
    (answer: string) => answer.replace("Protocol: b", "Protocol: c"),
    (answer: string) => answer + "\xc1\x00",
    (answer: string) => answer + "\x81\x81abcd.",
    (answer: string) => answer + "\x80\x00",
    (answer: string) => answer + "\x81\x01\xff",
    (answer: string) => answer + "\x09\x00",
    (answer: string) => answer + "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    (answer: string) => answer + "\x88\x01a",
  ]) {
    const { guest, peer, answer } = await greeted();
    peer.send(make(answer));
    await settle(guest);
    t.regex(guest.printed, /error\nclose 1006  false\n$/, make("+"));
    t.true(peer.closed);
  }
});
