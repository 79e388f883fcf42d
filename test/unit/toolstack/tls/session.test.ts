/** Sessions between Node's TLS and domain 0's: what goes through, what is refused, and that nothing stays behind. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { setImmediate } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { TLS_OWN_BYTES } from "../../../../abi/tls.ts";
import { KEY, lab, type Lab } from "./lab.ts";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import { connect, readAll, serve, writeAll, type Listening } from "./sockets.ts";

/** Runs `work` with a server, and checks afterwards that nothing of a session is left. */
async function served(
  t: ExecutionContext,
  work: (listening: Listening, all: Lab) => Promise<void>,
  change: Parameters<typeof lab>[0] = {},
): Promise<void> {
  const all = lab(change);
  const listening = await serve(all);
  try {
    await work(listening, all);
  } finally {
    await listening.close();
  }
  // The ends of sockets are told by events.
  for (let i = 0; i < 100 && all.server.sizes.sessions > 0; i++) await new Promise((done) => setImmediate(done));
  t.is(all.host.fault, null);
  t.like(all.server.sizes, { pending: 0, sessions: 0 });
  t.true(all.host.given <= TLS_OWN_BYTES, "a session's memory was not taken back");
}

/** Takes the accepted connection, which ends it in order when it is read to its end. */
async function drained(listening: Listening): Promise<Buffer> {
  return readAll(await listening.next());
}

test("a client with the key is connected, by the suite and curve that are wanted", async (t) => {
  await served(t, async (listening, { log }) => {
    const { socket, secured, over } = connect(listening.port);
    await secured;
    t.is(socket.getProtocol(), "TLSv1.2");
    t.is(socket.getCipher().standardName, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256");
    const key = socket.getEphemeralKeyInfo() as { name?: string };
    t.is(key.name, "X25519");
    const connection = await listening.next();
    t.is(connection.identity, KEY.identity);
    socket.end("question");
    t.is((await readAll(connection)).toString(), "question");
    t.is(connection.ended, "closed");
    t.is(await over, null);
    t.deepEqual(log, []);
  });
});

test("bytes go both ways as they were, in any sizes", async (t) => {
  await served(t, async (listening) => {
    const { socket, secured } = connect(listening.port);
    await secured;
    const connection = await listening.next();
    const [up, down] = [randomBytes(3_000_001), randomBytes(3_000_003)];
    const received: Buffer[] = [];
    const gotDown = new Promise<void>((resolve) => {
      let bytes = 0;
      socket.on("data", (part: Buffer) => {
        received.push(part);
        if ((bytes += part.length) === down.length) resolve();
      });
    });
    for (let at = 0, size = 1; at < up.length; at += size, size = ((size * 7) % 40_000) + 1) {
      socket.write(up.subarray(at, at + size));
    }
    t.true(up.equals(await readAll(connection, up.length)));
    await writeAll(connection, down);
    await gotDown;
    t.true(down.equals(Buffer.concat(received)));
    socket.end();
    await readAll(connection);
    t.is(connection.ended, "closed");
  });
});

test("the server's end of a stream: what was accepted arrives, then the end", async (t) => {
  await served(t, async (listening) => {
    const { socket, secured, over } = connect(listening.port);
    await secured;
    const connection = await listening.next();
    const parts: Buffer[] = [];
    socket.on("data", (part: Buffer) => parts.push(part));
    const bytes = randomBytes(100_000);
    const accepted = connection.write(bytes);
    t.true(accepted > 0);
    connection.close();
    t.is(connection.ended, "local");
    t.is(connection.write(bytes), 0);
    t.is(await over, null);
    t.true(bytes.subarray(0, accepted).equals(Buffer.concat(parts)));
  });
});

test("a wrong key is refused, told to the log once, and slowed down", async (t) => {
  const waits: number[] = [];
  await served(
    t,
    async (listening, { log, server }) => {
      for (let i = 0; i < 3; i++) {
        const wrong = connect(listening.port, {
          pskCallback: () => ({ identity: KEY.identity, psk: randomBytes(32) }),
        });
        await t.throwsAsync(wrong.secured, { message: /alert bad record mac/ });
        await wrong.over;
      }
      t.is(log.length, 1);
      t.regex(
        log[0],
        /^control: 127\.0\.0\.1:\d+ is refused: it does not have the key operator \(1 failure from there\)$/,
      );
      t.is(server.sizes.addresses, 1);
      // A right one from there waits as long, and then nothing is remembered.
      const right = connect(listening.port);
      await right.secured;
      t.is(server.sizes.addresses, 0);
      right.socket.end();
      await drained(listening);
      t.deepEqual(waits, [125, 250, 500]);
    },
    {
      // Waits of the back-off do not have to pass here.
      after: (ms, run) => {
        if (ms !== 5000 && ms !== 0) waits.push(Math.ceil(ms));
        const timer = setTimeout(run, ms === 5000 ? ms : 0);
        return () => clearTimeout(timer);
      },
      now: () => 1000,
    },
  );
});

test("a wrong name cannot be told from a wrong key by the client", async (t) => {
  await served(t, async (listening, { log }) => {
    const wrong = connect(listening.port, { pskCallback: () => ({ identity: "nobody", psk: KEY.key }) });
    await t.throwsAsync(wrong.secured, { message: /alert bad record mac/ });
    t.regex(log[0], /there is no key of the name that it gave/);
  });
});

for (const [what, options] of [
  ["another cipher suite", { ciphers: "ECDHE-PSK-AES256-CBC-SHA384" }],
  ["another curve alone", { ecdhCurve: "P-256" }],
  ["TLS 1.3 alone", { minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ciphers: "TLS_CHACHA20_POLY1305_SHA256" }],
] as const) {
  test(`a client of ${what} is refused`, async (t) => {
    await served(t, async (listening, { log }) => {
      const client = connect(listening.port, options);
      await t.throwsAsync(client.secured);
      await client.over;
      t.regex(log[0], /it does not speak TLS 1\.2 with ECDHE-PSK-CHACHA20-POLY1305 and X25519/);
    });
  });
}

test("a client that renegotiates is cut off", async (t) => {
  await served(t, async (listening) => {
    const { socket, secured, over } = connect(listening.port);
    await secured;
    const connection = await listening.next();
    socket.renegotiate({}, () => {});
    await readAll(connection);
    t.is(connection.ended, "reset");
    t.is(connection.failure?.error, 3); // TLS_RENEGOTIATION
    await over;
  });
});

/** A client on a socket that can be cut below its TLS. */
async function connectedOver(listening: Listening) {
  const raw = net.connect(listening.port, "127.0.0.1");
  await once(raw, "connect");
  const client = connect(listening.port, { socket: raw });
  await client.secured;
  return { raw, client, connection: await listening.next() };
}

test("a cut connection is no end in order", async (t) => {
  await served(t, async (listening) => {
    const { raw, client, connection } = await connectedOver(listening);
    client.socket.write("before");
    t.is((await readAll(connection, 6)).toString(), "before");
    raw.destroy();
    await readAll(connection);
    t.is(connection.ended, "reset");
  });
});

test("the end is told with the last bytes: who gets less than there was room for does not ask again", async (t) => {
  await served(t, async (listening) => {
    const { raw, client, connection } = await connectedOver(listening);
    for (const text of ["first", "second"]) client.socket.write(text);
    await new Promise<void>((resolve) => client.socket.write("third", () => resolve()));
    raw.destroy();
    const { below } = connection as unknown as { below: Connection };
    const two = new Uint8Array(2);
    while (connection.read(two) === 0) await setImmediate();
    // What is below ends, and was read to its end: there is more in TLS's own buffer.
    while (below.ended === null) {
      await setImmediate();
      below.read(two.subarray(2));
    }
    t.is(Buffer.from(two).toString(), "fi");
    t.is(connection.ended, null);
    const rest = new Uint8Array(100);
    t.is(Buffer.from(rest.subarray(0, connection.read(rest))).toString(), "rstsecondthird");
    t.is(connection.ended, "reset");
  });
});

test("a client that does not read holds up nobody but itself", async (t) => {
  await served(t, async (listening, { host }) => {
    const deaf = connect(listening.port);
    await deaf.secured;
    deaf.socket.pause();
    const first = await listening.next();
    const much = randomBytes(65536);
    // As much as all buffers take: the sockets' are the system's to size.
    let accepted = 0;
    let idle = 0;
    while (idle < 20) {
      const part = first.write(much);
      accepted += part;
      idle = part === 0 ? idle + 1 : 0;
      await new Promise((done) => setTimeout(done, 1));
    }
    t.is(first.write(much), 0);
    t.log(`${accepted} bytes were accepted`);
    const calls = host.calls;
    const other = connect(listening.port);
    await other.secured;
    other.socket.end("served");
    t.is((await drained(listening)).toString(), "served");
    t.true(host.calls > calls);
    first.abort();
    deaf.socket.destroy();
  });
});

test("1,000 handshakes leave the sandbox's memory as before", async (t) => {
  await served(t, async (listening, { host, server }) => {
    const one = async () => {
      const { socket, secured, over } = connect(listening.port);
      await secured;
      socket.end();
      await drained(listening);
      await over;
    };
    await one();
    const [before, given] = [host.own(), host.given];
    host.ns = 0n;
    const calls = host.calls;
    for (let i = 0; i < 1000; i++) await one();
    t.log(`${(Number(host.ns) / 1e9).toFixed(3)} ms of the module's time each, ${(host.calls - calls) / 1000} calls`);
    t.is(host.given, given);
    t.is(server.sizes.sessions, 0);
    // Its own data differ in the random generator's state, the buffer, and what the stack held.
    const after = host.own();
    const differing = [...after.keys()].filter((at) => at >= STACK_BYTES && after[at] !== before[at]);
    t.true(differing.length <= 200, `${differing.length} bytes differ, from ${differing[0]} to ${differing.at(-1)}`);
  });
});
/** scripts/build/tls.ts */
const STACK_BYTES = 0x10000;
