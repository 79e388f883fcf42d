/** HTTP servers of TypeScript guests, over connections that are simulated: what comes in any pieces, what must be refused. */
import test from "ava";
import { FakeGuest, type GuestOptions, type Peer } from "./fake-guest.ts";

const SERVER = `
  const http = globalThis[Symbol.for("typevisor.module")]("http");
  const server = http.createServer((request, response) => {
    if (request.url === "/echo") {
      response.setHeader("x-method", request.method);
      request.pipe(response);
    } else if (request.url === "/throw") {
      throw new Error("the program's own");
    } else if (request.url === "/later") {
      setTimeout(() => response.end("later"), 1000);
    } else if (request.url === "/parts") {
      response.write("one");
      setTimeout(() => response.end("two"), 10);
    } else if (request.url === "/listeners") {
      const { socket } = request;
      response.end(String(socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0)));
    } else if (request.url === "/framed") {
      response.setHeader("transfer-encoding", "chunked").setHeader("x-a", request.headers["x-a"]);
      response.end("whole", () => console.log("sent", response.writableFinished));
    } else if (request.url === "/empty") {
      response.writeHead(204).end();
    } else if (request.url === "/bad") {
      try { response.setHeader("x", "a\\r\\nb: c"); } catch (error) { response.end(error.code); }
    } else {
      response.end(request.url + " " + (request.headers["x-a"] ?? ""));
    }
  });
  server.listen(80);
`;

async function start(options: GuestOptions = {}): Promise<{ guest: FakeGuest; open: () => Promise<Peer> }> {
  const guest = await FakeGuest.run(SERVER, options);
  return {
    guest,
    open: async () => {
      const peer = guest.connect(80);
      await guest.settle(guest.timeNs);
      return peer;
    },
  };
}

/** What the server says to `pieces`, without its dates. */
async function exchange(
  pieces: string[],
  options: GuestOptions = {},
  seconds = 4,
): Promise<{ text: string; peer: Peer; guest: FakeGuest }> {
  const { guest, open } = await start(options);
  const peer = await open();
  for (const piece of pieces) {
    peer.send(piece);
    await guest.settle(guest.timeNs);
  }
  await guest.settle(guest.timeNs + seconds * 1e9);
  return { text: peer.received.replace(/Date: [^\r]*\r\n/g, ""), peer, guest };
}

const GET = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: h\r\n${more}\r\n`;
const OK = "HTTP/1.1 200 OK\r\n";

test("a request in any pieces, and its answer with a length; the connection stays", async (t) => {
  const whole = GET("/x", "X-A: b\r\nx-a: c\r\n");
  const answer = `${OK}Content-Length: 7\r\nConnection: keep-alive\r\n\r\n/x b, c`;
  t.is((await exchange([whole])).text, answer);
  const { text, peer } = await exchange([...whole]);
  t.is(text, answer);
  t.false(peer.ended);
});

test("an answer in one piece, in the framing that was asked for, with characters beyond ASCII in a field; its end is told", async (t) => {
  const { text, guest } = await exchange([GET("/framed", "X-A: gr\xfcn\r\n") + GET("/x")]);
  const head = `${OK}transfer-encoding: chunked\r\nx-a: gr\xfcn\r\nConnection: keep-alive\r\n\r\n`;
  t.is(text, `${head}5\r\nwhole\r\n0\r\n\r\n${OK}Content-Length: 3\r\nConnection: keep-alive\r\n\r\n/x `);
  t.is(guest.printed, "sent true\n");
});

test("a connection that stays keeps nothing of its requests", async (t) => {
  const { text, guest } = await exchange(Array.from({ length: 30 }, () => GET("/listeners")));
  const counts = [...text.matchAll(/\r\n\r\n(\d+)/g)].map(([, count]) => count);
  t.is(counts.length, 30);
  t.is(new Set(counts.slice(1)).size, 1, counts.join(" "));
  t.notRegex(guest.printed, /Warning/);
});

test("requests behind each other are answered one after the other, also when TCP takes only little at once", async (t) => {
  const pieces = [GET("/later") + GET("/b") + GET("/c", "Connection: close\r\n") + GET("/never")];
  for (const options of [{}, { window: 5 }]) {
    const { text, peer } = await exchange(pieces, options);
    t.deepEqual(
      [...text.matchAll(/\r\n\r\n(later|\/\w+)/g)].map(([, body]) => body),
      ["later", "/b", "/c"],
    );
    t.true(peer.ended);
  }
});

test("bodies: with a length, in chunks, larger than everything that waits", async (t) => {
  const big = "0123456789".repeat(30_000);
  const length = await exchange([
    `POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: ${big.length}\r\n\r\n`,
    big.slice(0, 100_000),
    big.slice(100_000),
  ]);
  t.is(unchunked(length.text), big);
  const chunks = `POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nTrailer: t\r\n\r\n`;
  t.is(unchunked((await exchange([chunks])).text), "Wikipedia");
  t.is(unchunked((await exchange([...chunks])).text), "Wikipedia");
  t.regex((await exchange([chunks + GET("/after")])).text, /\r\n\r\n\/after $/);
});

function unchunked(text: string): string {
  let rest = text.slice(text.indexOf("\r\n\r\n") + 4);
  let body = "";
  for (;;) {
    const size = Number.parseInt(rest, 16);
    if (!(size > 0)) return body;
    const at = rest.indexOf("\r\n") + 2;
    body += rest.slice(at, at + size);
    rest = rest.slice(at + size + 2);
  }
}

test("answers in parts are chunked, for HTTP/1.0 they end with the connection; HEAD and 204 have no body", async (t) => {
  t.is(
    (await exchange([GET("/parts")])).text,
    `${OK}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`,
  );
  const old = await exchange(["GET /parts HTTP/1.0\r\n\r\n"]);
  t.is(old.text, `${OK}Connection: close\r\n\r\nonetwo`);
  t.true(old.peer.ended);
  t.is(
    (await exchange(["HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n"])).text,
    `${OK}Content-Length: 3\r\nConnection: keep-alive\r\n\r\n`,
  );
  t.is((await exchange([GET("/empty")])).text, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
});

test("what is no HTTP is refused with 400, and does not end the program; nothing of a header can begin another", async (t) => {
  for (const bad of [
    "nonsense\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET /\r\n\r\n",
    "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    GET("/", "no colon\r\n"),
    GET("/", "bad name: x\r\n"),
    GET("/", " folded: x\r\n"),
    GET("/", "Content-Length: -1\r\n"),
    GET("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    GET("/", "Transfer-Encoding: gzip, chunked\r\n"),
    `${GET("/echo", "Transfer-Encoding: chunked\r\n")}zz\r\n`,
    GET("/", `X: ${"x".repeat(20_000)}\r\n`),
  ]) {
    const { text, peer, guest } = await exchange([bad], {}, 0);
    t.regex(text, /^HTTP\/1\.1 400 Bad Request\r\n|^HTTP\/1\.1 200 OK\r\nx-method/, bad.slice(0, 60));
    t.true(peer.ended, bad.slice(0, 60));
    t.is(guest.ended, undefined);
  }
  t.regex((await exchange([GET("/bad")])).text, /ERR_INVALID_CHAR$/);
});

test("what a listener throws is the program's end, not a bad request", async (t) => {
  const { guest } = await exchange([GET("/throw")]);
  t.is(guest.ended, "crash");
  t.regex(guest.printed, /Uncaught Error: the program's own/);
});

test("a side that has ended still gets its answer; an idle connection is closed; one that goes within a body harms nobody", async (t) => {
  const { guest, open } = await start();
  const half = await open();
  half.send(GET("/later"));
  half.end();
  const idle = await open();
  const gone = await open();
  gone.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  gone.end();
  await guest.settle(guest.timeNs + 2e9);
  t.regex(half.received, /later$/);
  t.true(half.ended);
  t.false(idle.ended);
  t.is(guest.ended, undefined);
  await guest.settle(guest.timeNs + 100e9);
  t.true(idle.closed);
});

test("Expect: 100-continue is answered at once", async (t) => {
  const { text } = await exchange([
    "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    "ok",
  ]);
  t.regex(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});
