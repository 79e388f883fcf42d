/** Connecting to a machine that is not ready yet: tried again, but not where that is of no use. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import test, { type ExecutionContext } from "ava";
import { encodeFrame, HELLO, PROTOCOL_VERSION } from "../../../toolstack/api/protocol.ts";
import { ConnectionLost } from "../../../toolstack/cli/connection/client.ts";
import { makeKey, readKey, writeKey } from "../../../toolstack/cli/connection/key.ts";
import { connectWithin } from "../../../toolstack/cli/connection/retry.ts";

/** So long that it is never over: what ends a test is what the server does. */
const LONG_MS = 600_000;

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-retry-"));
const keyFile = path.join(folder, "a.key");
writeKey(keyFile, makeKey("a"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** A server that resets its first `resets` connections; the others are greeted as Typevisor does, if they have the key. */
async function listen(t: ExecutionContext, resets: number) {
  const { identity, key } = readKey(keyFile);
  const secure = tls.createServer(
    {
      ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
      maxVersion: "TLSv1.2",
      pskCallback: (_socket, name) => (name === identity ? Buffer.from(key) : null),
    },
    (socket) => socket.on("error", () => {}).once("data", () => socket.write(encodeFrame(HELLO, 0, greeting))),
  );
  secure.on("tlsClientError", () => {});
  const greeting = new TextEncoder().encode(JSON.stringify({ protocol: PROTOCOL_VERSION, software: "test" }));
  let attempts = 0;
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    if (++attempts <= resets) socket.resetAndDestroy();
    else secure.emit("connection", socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  return { server, attempts: () => attempts, target: { name: "m", address: "127.0.0.1", port, keyFile } };
}

test("one that resets two connections is reached by the third", async (t) => {
  const { target, attempts } = await listen(t, 2);
  const client = await connectWithin(target, LONG_MS);
  t.is(attempts(), 3);
  client.close();
});

test("without time for another attempt there is one", async (t) => {
  const { target, attempts } = await listen(t, 1);
  const error = await t.throwsAsync(connectWithin(target, 0), { instanceOf: ConnectionLost });
  t.regex(error!.message, /^m \(127\.0\.0\.1:\d+\) cannot be reached: .*ECONNRESET/);
  t.is(attempts(), 1);
});

test("nor is there one after Ctrl-C", async (t) => {
  const { target, attempts } = await listen(t, 1);
  await t.throwsAsync(connectWithin(target, LONG_MS, AbortSignal.abort()), { instanceOf: ConnectionLost });
  t.is(attempts(), 1);
});

test("where nothing listens, or the key is another, that is told at once", async (t) => {
  const { server, target, attempts } = await listen(t, 0);
  const other = path.join(folder, "b.key");
  writeKey(other, makeKey("a"));
  await t.throwsAsync(connectWithin({ ...target, keyFile: other }, LONG_MS), { message: /it refused the key/ });
  t.is(attempts(), 1);
  server.close();
  await once(server, "close");
  await t.throwsAsync(connectWithin(target, LONG_MS), { message: /nothing listens there/ });
  const sockets = [path.join(folder, "none.sock")];
  await t.throwsAsync(connectWithin({ name: "m", keyFile, sockets }, LONG_MS), { message: /there is no socket/ });
});
