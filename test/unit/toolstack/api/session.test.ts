/** The control protocol: what a client gets, and what becomes of clients that break it, leave or do not read. */
import { setImmediate } from "node:timers/promises";
import test from "ava";
import { RequestFailed, type Pending } from "../../../../toolstack/cli/connection/client.ts";
import { encodeFrame, HELLO, REQUEST, REQUESTS_MOST } from "../../../../toolstack/api/protocol.ts";
import {
  consoleRequest,
  createRequest,
  destroyRequest,
  listRequest,
  logsRequest,
} from "../../../../toolstack/api/requests/domains.ts";
import { imageListRequest } from "../../../../toolstack/api/requests/images.ts";
import { dmesgRequest, infoRequest, jsRequest } from "../../../../toolstack/api/requests/machine.ts";
import { guestPrints, guestRing, kernel } from "../fake-session.ts";
import { booted, connect, runUntil, serverOf, settled } from "./clients.ts";
import { Pipe } from "./pipe.ts";
import { RANDOM_DOMAINS, RandomClient, RandomFrames } from "./random-frames.ts";

/** Random frames, and by `FRAMES` in the environment more. */
const FRAMES = Number(process.env.FRAMES ?? 10_000);

/** All bytes of a request's stream. */
function collect<R>({ stream }: Pending<R>): () => string {
  let text = "";
  stream.on("data", (bytes: Buffer) => (text += bytes.toString()));
  return () => text;
}

test("requests are answered as data: create, list, info, destroy; a wrong one is refused in words", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  const made = await settled(
    m,
    client.request(createRequest, { kernel: "hello", name: "web", memory: 16 } as never).result,
  );
  t.like(made, { id: 1, name: "web" });
  t.regex(made.uuid, /^[0-9a-f-]{36}$/);
  const list = await settled(m, client.request(listRequest, {}).result);
  t.deepEqual(
    list.map(({ name, id, memoryMib }) => ({ name, id, memoryMib })),
    [
      { name: "Domain-0", id: 0, memoryMib: 0 },
      { name: "web", id: 1, memoryMib: 16 },
    ],
  );
  t.like(await settled(m, client.request(infoRequest, { id: "web" }).result), { id: 1, uuid: made.uuid });
  const refused = async (params: object, message: RegExp) => {
    const error = await t.throwsAsync(settled(m, client.request(createRequest, params as never).result), {
      instanceOf: RequestFailed,
    });
    t.regex(error.message, message);
    t.is(error.kind, "refused");
  };
  await refused({ kernel: "hello", name: "web" }, /a domain named "web" exists already/);
  await refused({}, /^kernel: /);
  await refused({ kernel: "hello", memory: 0 }, /^memory: .*>=1.*0/);
  await refused({ kernel: "hello", colour: "red" }, /^colour: /);
  await refused({ kernel: "hello", vif: ["mac=x"] }, /mac/);
  await settled(m, client.request(destroyRequest, { ids: ["web"] }).result);
  t.is(m.domains.size, 0);
  t.regex(m.takeOutput(), /^$/, "nothing of it is printed on the machine's console");
});

test("several clients and requests at once: each gets its own answer", async (t) => {
  const m = await booted();
  const clients = await Promise.all([0, 1, 2].map(() => connect(m)));
  t.is(serverOf(m).count, 3);
  const answers = clients.flatMap(({ client }, i) =>
    [1, 2, 3, 4].map((n) => client.request(jsRequest, { script: `await sleep(${10 - n}); ${i * 10 + n}` }).result),
  );
  const shown = await settled(m, Promise.all(answers));
  t.deepEqual(
    shown.map((answer) => answer.shown),
    [1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24].map(String),
  );
  for (const { client } of clients) client.close();
  await runUntil(m, () => serverOf(m).count === 0);
  t.pass();
});

test("two clients create the same name: one does", async (t) => {
  const m = await booted();
  const [a, b] = [await connect(m), await connect(m)];
  const both = [a, b].map(
    ({ client }) => client.request(createRequest, { kernel: "hello", name: "one" } as never).result,
  );
  const results = await settled(m, Promise.allSettled(both));
  t.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  t.is(m.domains.size, 1);
});

test("console: kept output, both directions, until the domain ends; logs show what nobody has seen, again and again", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  await settled(m, client.request(createRequest, { kernel: "hello" } as never).result);
  const domain = m.domains.get(1)!;
  guestPrints(m, domain, "before\n");
  await m.settle();
  for (let i = 0; i < 2; i++) {
    const logs = client.request(logsRequest, { id: "1", raw: false });
    const text = collect(logs);
    t.deepEqual(await settled(m, logs.result), { ended: null });
    t.is(text(), "before\n");
  }
  const talk = client.request(consoleRequest, { id: "hello", safe: false });
  const text = collect(talk);
  talk.stream.write("typed\n");
  await runUntil(m, () => text() === "before\n");
  const page = domain.frames.get(domain.params.get(14)!);
  t.truthy(page ?? domain);
  await m.pass(5);
  guestPrints(m, domain, "now\n");
  await runUntil(m, () => text() === "before\nnow\n");
  const other = await connect(m);
  await t.throwsAsync(settled(m, other.client.request(consoleRequest, { id: "1", safe: false }).result), {
    message: /shown already/,
  });
  guestPrints(m, domain, "last\n");
  m.shutdownGuest(domain, 0);
  t.deepEqual(await settled(m, talk.result), { ended: "poweroff" });
  t.is(text(), "before\nnow\nlast\n");
});

test("console --safe and logs: without what reprograms a terminal, however it is cut; the end sets back what was changed", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  await settled(m, client.request(createRequest, { kernel: "hello" } as never).result);
  const domain = m.domains.get(1)!;
  const printed = "a\x1b]0;title\x07b\x1b[1mc\x1b[5;5Hd\x1b[6n\n";
  guestPrints(m, domain, printed);
  await m.settle();
  for (const [params, wanted] of [
    [{}, "ab\x1b[1mcd\n\x1b[0m"],
    [{ raw: true }, printed],
  ] as const) {
    const logs = client.request(logsRequest, { id: "1", raw: false, ...params });
    const text = collect(logs);
    await settled(m, logs.result);
    await runUntil(m, () => text().length >= wanted.length);
    t.is(text(), wanted);
  }
  const talk = client.request(consoleRequest, { id: "1", safe: true });
  const text = collect(talk);
  await runUntil(m, () => text().endsWith("\n"));
  for (const piece of ["\x1b]52;", "c;x\x1b", "\\e\x1b[?2", "5l\n"]) {
    guestPrints(m, domain, piece);
    await m.pass(3);
  }
  m.shutdownGuest(domain, 0);
  t.deepEqual(await settled(m, talk.result), { ended: "poweroff" });
  t.is(text(), "ab\x1b[1mc\x1b[5;5Hd\ne\x1b[?25l\n\x1b[0m\x1b[?25h");
});

test("a client that does not read a console stops its guest, not domain 0; leaving frees the console", async (t) => {
  const m = await booted();
  const { client, pipe } = await connect(m);
  await settled(m, client.request(createRequest, { kernel: "hello" } as never).result);
  const domain = m.domains.get(1)!;
  const talk = client.request(consoleRequest, { id: "1", safe: false });
  talk.result.catch(() => {});
  await m.pass(10);
  pipe.stalled = true;
  for (let i = 0; i < 2000 && guestRing(domain).used() < 1024; i++) {
    guestPrints(m, domain, "x".repeat(512));
    await m.pass(2);
    await setImmediate();
  }
  t.true(guestRing(domain).used() >= 1024, "the guest's ring fills up: nothing takes it");
  const other = await connect(m);
  t.is((await settled(m, other.client.request(listRequest, {}).result)).length, 2);
  // It is disconnected when it has taken nothing for 30 seconds.
  await runUntil(m, () => serverOf(m).count === 1, 40_000);
  t.true(pipe.aborted);
  const again = other.client.request(consoleRequest, { id: "1", safe: false });
  const text = collect(again);
  await runUntil(m, () => text().length >= 1024);
});

test("cancelled and cut: a create that nobody waits for leaves no domain, a wait ends", async (t) => {
  const m = await booted();
  const { client, pipe } = await connect(m);
  const gone = new AbortController();
  const waiting = client.request(jsRequest, { script: "new Promise(() => {})" }, { signal: gone.signal });
  waiting.result.catch(() => {});
  await m.pass(5);
  gone.abort();
  await t.throwsAsync(settled(m, waiting.result), { message: /no longer waiting/ });
  client.request(jsRequest, { script: "new Promise(() => {})" }).result.catch(() => {});
  await m.pass(5);
  pipe.client.destroy();
  await runUntil(m, () => serverOf(m).count === 0);
  t.is(m.domains.size, 0);
});

test("a log longer than windows and buffers comes whole", async (t) => {
  const m = await booted();
  m.log = Array.from({ length: 20_000 }, (_, i) => `(XEN) line ${i}\n`).join("");
  const { client } = await connect(m, new Pipe(1000));
  const dmesg = client.request(dmesgRequest, { clear: undefined });
  const text = collect(dmesg);
  await settled(m, dmesg.result, 20_000);
  await runUntil(m, () => text().length === m.log.length);
  t.is(text(), m.log);
});

test("a result longer than what may wait for a client comes whole, whatever its characters; others are answered meanwhile", async (t) => {
  const m = await booted();
  const { client } = await connect(m, new Pipe(64 * 1024));
  // 9 characters, 17 bytes, so that parts end in the middle of each kind.
  const script = "'a\\u00e9\\u20ac\\u{1f600}bc\\u{1f680}'.repeat(1_000_000)";
  const long = client.request(jsRequest, { script }).result;
  await m.pass(3);
  t.is((await settled(m, client.request(listRequest, {}).result)).length, 1);
  const { shown } = await settled(m, long, 100_000);
  t.is(shown.length, 9_000_002);
  t.true(shown === JSON.stringify("a\u00e9\u20ac\u{1f600}bc\u{1f680}".repeat(1_000_000)));
});

test("what breaks the protocol is disconnected, and nobody else", async (t) => {
  const m = await booted();
  const { client } = await connect(m);
  const hello = encodeFrame(HELLO, 0, Buffer.from('{"protocol":1}'));
  const request = (id: number, body: string) => encodeFrame(REQUEST, id, Buffer.from(body));
  const bad: [string, Uint8Array[]][] = [
    ["no HELLO", [request(1, '{"request":"list"}')]],
    ["another version", [encodeFrame(HELLO, 0, Buffer.from('{"protocol":99}'))]],
    ["HELLO is no JSON", [encodeFrame(HELLO, 0, Buffer.from("hello"))]],
    ["a frame that is too long", [hello, Buffer.from("ffffffff0100000000", "hex")]],
    ["a frame that is too short", [hello, Buffer.from("040000000100000000", "hex")]],
    ["an unknown type", [hello, encodeFrame(99, 1)]],
    ["the id 0", [hello, request(0, '{"request":"list"}')]],
    ["a request that is a list", [hello, request(1, "[]")]],
    [
      "the same id twice",
      [hello, request(1, '{"request":"js","params":{"script":"new Promise(() => {})"}}'), request(1, "{}")],
    ],
    [
      "too many at a time",
      [
        hello,
        ...Array.from({ length: REQUESTS_MOST + 1 }, (_, i) =>
          request(i + 1, '{"request":"js","params":{"script":"new Promise(() => {})"}}'),
        ),
      ],
    ],
  ];
  for (const [what, pieces] of bad) {
    const pipe = new Pipe();
    serverOf(m).accept(pipe.connection);
    for (const piece of pieces) pipe.client.write(piece);
    pipe.client.resume();
    await runUntil(m, () => serverOf(m).count === 1);
    t.is(pipe.connection.ended, "local", what);
  }
  const unknown = client.request({ ...listRequest, name: "nonsense" }, {});
  await t.throwsAsync(settled(m, unknown.result), { message: 'there is no request "nonsense"' });
  const nameless = client.request({ ...listRequest, name: { toString: 1 } as never }, {});
  await t.throwsAsync(settled(m, nameless.result), { message: "the request's name is missing" });
  // What an error quotes may be longer than a frame once it is JSON.
  for (const long of ["\0".repeat(5000), "\u{1f600}".repeat(7000)]) {
    const error = await t.throwsAsync(settled(m, client.request({ ...listRequest, name: long }, {}).result));
    t.regex(error.message, /^there is no request "[^]*\.\.\.$/);
  }
  t.is((await settled(m, client.request(listRequest, {}).result)).length, 1);
  t.notRegex(m.takeOutput(), /uncaught exception/);
});

test("silent clients are disconnected, and one too many is not accepted", async (t) => {
  const m = await booted();
  const pipes = Array.from({ length: 40 }, () => new Pipe());
  for (const pipe of pipes) serverOf(m).accept(pipe.connection);
  t.is(serverOf(m).count, 32);
  t.is(pipes.filter(({ aborted }) => aborted).length, 8);
  await runUntil(m, () => serverOf(m).count === 0, 20_000);
  await connect(m);
  t.is(serverOf(m).count, 1);
});

test("random frames harm nobody and leave nothing", async (t) => {
  const m = await booted();
  m.addModule("idle", kernel);
  const { client } = await connect(m);
  const frames = new RandomFrames(Number(process.env.SEED ?? 1));
  const pages = m.imagePages;
  let sent = 0;
  for (let connections = 0; sent < FRAMES; connections++) {
    const pipe = new Pipe();
    serverOf(m).accept(pipe.connection);
    pipe.client.on("error", () => {});
    const random = new RandomClient(frames, (bytes) => pipe.client.write(bytes));
    pipe.client.on("data", (bytes: Buffer) => random.take(bytes));
    for (let last = false; !last; sent++) {
      await runUntil(m, () => random.free && pipe.client.writableLength < 100_000);
      t.is(pipe.connection.ended, null, "it is over before the end");
      last = random.send();
    }
    await m.pass(2);
    // Some in the middle of a frame.
    if (connections % 3 === 0) pipe.client.write(frames.next().bytes.subarray(0, 20));
    pipe.client.destroy();
    await runUntil(m, () => serverOf(m).count === 1);
    if (connections % 10 === 0) t.true((await settled(m, client.request(listRequest, {}).result)).length >= 1);
    t.notRegex(m.takeOutput(), /uncaught exception/);
  }
  t.log([...frames.kinds].map(([kind, count]) => `${count} ${kind}`).join(", "));
  for (const name of RANDOM_DOMAINS) {
    await settled(m, client.request(destroyRequest, { ids: [name] }).result).catch(() => {});
  }
  t.is((await settled(m, client.request(listRequest, {}).result)).length, 1);
  t.is(m.domains.size, 0);
  t.deepEqual(await settled(m, client.request(imageListRequest, {}).result), []);
  await runUntil(m, () => m.imagePages >= pages - 1); // the page that lists them stays
});
