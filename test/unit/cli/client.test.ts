/** The client of the control protocol, with something else at the other end: errors in words, and nothing that is thrown elsewhere. */
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import test from "ava";
import {
  DATA,
  encodeFrame,
  ERROR,
  HELLO,
  PROGRESS,
  RESULT,
  RESULT_PART,
  WINDOW,
} from "../../../toolstack/api/protocol.ts";
import { listRequest } from "../../../toolstack/api/requests/domains.ts";
import { Client, ConnectionLost } from "../../../toolstack/cli/connection/client.ts";
import { Random } from "../../sim/random.ts";

const HELLO_FRAME = encodeFrame(HELLO, 0, Buffer.from('{"protocol":1,"api":1,"software":"x","requests":[]}'));

/** The other end: what it says is pushed, what it is told is dropped. */
const transport = () => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });

async function greeted(): Promise<{ client: Client; other: Duplex }> {
  const other = transport();
  other.push(HELLO_FRAME);
  return { client: (await Client.greet(other, "test", "the machine")).client, other };
}

test("what is no control protocol is said, before and behind the greeting", async (t) => {
  const bad: [Uint8Array, RegExp][] = [
    [Buffer.from("SSH-2.0-OpenSSH\r\n"), /does not speak Typevisor's control protocol: a frame of \d+ bytes/],
    [encodeFrame(HELLO, 0, Buffer.from("{")), /a body that is not JSON/],
    [encodeFrame(HELLO, 0, Buffer.from("null")), /a body that is no JSON object/],
    [encodeFrame(ERROR, 0, Buffer.from("x")), /a body that is not JSON/],
  ];
  for (const [bytes, message] of bad) {
    const other = transport();
    other.push(bytes);
    await t.throwsAsync(Client.greet(other, "test", "the machine"), { instanceOf: ConnectionLost, message });
  }
  for (const [bytes, message] of [
    [encodeFrame(RESULT, 1, Buffer.from("[1")), /not JSON/],
    [encodeFrame(ERROR, 1, Buffer.from('"text"')), /no JSON object/],
    [encodeFrame(PROGRESS, 1, Buffer.from("nothing")), /not JSON/],
    [encodeFrame(WINDOW, 1, Buffer.from("abc")), /a WINDOW of 3 bytes/],
  ] as const) {
    const { client, other } = await greeted();
    const { result } = client.request(listRequest, {}, { onProgress: () => {} });
    other.push(bytes);
    await t.throwsAsync(result, { instanceOf: ConnectionLost, message });
    t.true(other.destroyed);
  }
});

test("random frames from the other end: each request is answered or lost, and nothing is thrown", async (t) => {
  const random = new Random(Number(process.env.SEED ?? 1));
  const bodies = [
    "{}",
    "[]",
    "null",
    "1",
    '{"text":"x"}',
    '{"kind":"refused","message":"no"}',
    "{",
    "\u{1f600}",
    "abcd",
  ];
  for (let round = 0; round < 300; round++) {
    const { client, other } = await greeted();
    const pending = [1, 2, 3].map(() => client.request(listRequest, {}));
    for (const { stream } of pending) stream.resume();
    const results = Promise.allSettled(pending.map(({ result }) => result));
    for (let i = 0; i < 10 && !other.destroyed; i++) {
      const type = random.oneIn(20)
        ? random.below(256)
        : random.pick([HELLO, ERROR, PROGRESS, DATA, WINDOW, RESULT_PART, RESULT]);
      const frame = encodeFrame(type, random.below(5), Buffer.from(random.pick(bodies)));
      other.push(random.oneIn(20) ? frame.subarray(0, random.below(frame.length)) : frame);
      await setImmediate();
    }
    other.destroy();
    for (const { status } of await results) t.true(status === "fulfilled" || status === "rejected");
  }
});
