/** Forwarded ports on this computer, with a Typevisor that is a few functions: words, waiting, ends of connections. */
import net from "node:net";
import { Duplex } from "node:stream";
import test from "ava";
import { Forwarder, parseForward } from "../../../toolstack/cli/chaos/forward.ts";
import { parseVolume } from "../../../toolstack/cli/chaos/run.ts";
import type { ToolSession } from "../../../toolstack/cli/chaos/session.ts";
import { RequestFailed } from "../../../toolstack/cli/connection/client.ts";

test("what --forward takes, and what it says of anything else", (t) => {
  t.deepEqual(parseForward("--forward", "8080:80"), { hostPort: 8080, port: 80 });
  t.deepEqual(parseForward("--forward", "tcp:0:80"), { hostPort: 0, port: 80 });
  t.deepEqual(parseForward("--forward", "tcp:8080:10.0.2.40:80"), { hostPort: 8080, port: 80, address: "10.0.2.40" });
  t.deepEqual(parseForward("--forward", "8080:10.0.2.40:80"), { hostPort: 8080, port: 80, address: "10.0.2.40" });
  for (const [text, message] of [
    ["udp:53:53", /^--forward: udp:53:53: UDP is not forwarded .*`npm start -- --forward udp:53:53`/],
    ["80", /"80" is not \[tcp:\]HOSTPORT:PORT or tcp:HOSTPORT:ADDRESS:PORT/],
    ["sctp:1:2", /is not \[tcp:\]/],
    ["1:host:2", /is not \[tcp:\]/],
    ["1:2:3", /is not \[tcp:\]/],
    ["70000:80", /ports are 1 to 65535/],
    ["80:0", /ports are 1 to 65535/],
    ["", /is not \[tcp:\]/],
  ] as const) {
    t.throws(() => parseForward("--forward", text), { message }, text);
  }
});

test("what --volume takes", (t) => {
  t.deepEqual(parseVolume("data"), { name: "data" });
  t.deepEqual(parseVolume("data:64M"), { name: "data", size: "64M" });
  t.deepEqual(parseVolume("data:/var/lib"), { name: "data", path: "/var/lib" });
  t.deepEqual(parseVolume("data:1.5G:/x"), { name: "data", size: "1.5G", path: "/x" });
  for (const text of ["", ":64M", "data:big", "data:64M:var", "data:/a:/b", "data:/with space"]) {
    t.throws(() => parseVolume(text), { message: /is not NAME\[:SIZE\]\[:\/PATH\]/ }, text);
  }
});

interface Tunnel {
  stream: Duplex;
  params: { id: string; port: number; address?: string };
  /** Bytes that the client has sent. */
  received: string;
  clientFinished: boolean;
  cancelled: boolean;
  answer(error?: Error): void;
}

/** A session whose tunnels are the test's. */
function fakeSession(): { session: ToolSession; tunnels: Tunnel[]; refuse: { error?: Error } } {
  const tunnels: Tunnel[] = [];
  const refuse: { error?: Error } = {};
  const session = {
    interrupted: false,
    ask: async () => {
      if (refuse.error) throw refuse.error;
    },
    start: async (_request: unknown, params: Tunnel["params"], signal: AbortSignal) => {
      let answer!: (error?: Error) => void;
      const result = new Promise<void>((resolve, reject) => {
        answer = (error) => (error ? reject(error) : resolve());
      });
      result.catch(() => {});
      const tunnel: Tunnel = { stream: null!, params, received: "", clientFinished: false, cancelled: false, answer };
      tunnel.stream = new Duplex({
        read: () => {},
        write: (chunk: Buffer, _encoding, done) => {
          tunnel.received += chunk.toString();
          done();
        },
        final: (done) => {
          tunnel.clientFinished = true;
          done();
        },
      });
      signal.addEventListener("abort", () => {
        tunnel.cancelled = true;
        tunnel.stream.push(null);
        answer(new RequestFailed("refused", "cancelled"));
      });
      tunnels.push(tunnel);
      return { result, stream: tunnel.stream };
    },
  };
  return { session: session as unknown as ToolSession, tunnels, refuse };
}

/** What a local client sees. */
function client(port: number): { socket: net.Socket; got: () => string; closed: Promise<string> } {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let [got, how] = ["", "end"];
  socket.on("data", (bytes: Buffer) => (got += bytes.toString()));
  socket.on("error", (error: NodeJS.ErrnoException) => (how = error.code!));
  const closed = new Promise<string>((resolve) => socket.on("close", () => resolve(how)));
  return { socket, got: () => got, closed };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000; i++) {
    if (isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`not so: ${what}`);
}

test("bytes and ends go both ways; a guest that refuses is a reset; a client that goes cancels its tunnel", async (t) => {
  const { session, tunnels, refuse } = fakeSession();
  const forwarder = new Forwarder(session);
  t.teardown(() => forwarder.close());
  const port = await forwarder.listen({ hostPort: 0, port: 80, address: "10.0.2.9" });
  await t.throwsAsync(new Forwarder(session).listen({ hostPort: port, port: 80 }), { message: /it is in use/ });
  refuse.error = new RequestFailed("refused", "no such address");
  await t.throwsAsync(forwarder.serve("web"), { message: "no such address" });
  refuse.error = undefined;
  await forwarder.serve("web");

  const first = client(port);
  first.socket.end("request");
  await until("the request", () => tunnels.length === 1 && tunnels[0]!.clientFinished);
  t.is(tunnels[0]!.received, "request");
  t.like(tunnels[0]!.params, { id: "web", port: 80, address: "10.0.2.9" });
  tunnels[0]!.stream.push("answer");
  tunnels[0]!.stream.push(null);
  tunnels[0]!.answer();
  t.is(await first.closed, "end");
  t.is(first.got(), "answer");

  // The guest ends its direction first: the local one goes on.
  const second = client(port);
  await until("connected", () => tunnels.length === 2);
  tunnels[1]!.stream.push("bye");
  tunnels[1]!.stream.push(null);
  await until("its end", () => second.socket.readableEnded);
  second.socket.end("and more");
  await until("the rest", () => tunnels[1]!.clientFinished);
  t.is(tunnels[1]!.received, "and more");
  tunnels[1]!.answer();
  t.is(await second.closed, "end");

  const third = client(port);
  await until("connected", () => tunnels.length === 3);
  tunnels[2]!.stream.push(null);
  tunnels[2]!.answer(new RequestFailed("refused", "nothing listens there"));
  t.is(await third.closed, "ECONNRESET");

  const fourth = client(port);
  await until("connected", () => tunnels.length === 4);
  fourth.socket.resetAndDestroy();
  await until("cancelled", () => tunnels[3]!.cancelled);

  const fifth = client(port);
  await until("connected", () => tunnels.length === 5);
  forwarder.close();
  await until("its end", () => fifth.socket.readableEnded || fifth.socket.destroyed);
  fifth.socket.destroy();
  await until("cancelled", () => tunnels[4]!.cancelled);
});

test("connections wait until there is a guest, and beyond twelve until one has ended", async (t) => {
  const { session, tunnels } = fakeSession();
  const forwarder = new Forwarder(session);
  t.teardown(() => forwarder.close());
  const port = await forwarder.listen({ hostPort: 0, port: 80 });
  const clients = Array.from({ length: 20 }, () => client(port));
  await Promise.all(clients.map(({ socket }) => new Promise((resolve) => socket.on("connect", resolve))));
  t.is(tunnels.length, 0);
  await forwarder.serve("web");
  await until("twelve", () => tunnels.length === 12);
  for (const { socket } of clients) socket.end("x");
  await until("their words", () => tunnels.every(({ clientFinished }) => clientFinished));
  t.is(tunnels.length, 12);
  for (let done = 0; done < 20; done++) {
    await until("the next", () => tunnels.length > done);
    tunnels[done]!.stream.push(null);
    tunnels[done]!.answer();
  }
  t.deepEqual([...new Set(await Promise.all(clients.map(({ closed }) => closed)))], ["end"]);
});
