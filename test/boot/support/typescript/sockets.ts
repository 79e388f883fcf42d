/** Echoes by TCP and UDP; or, with an address as its argument, a client that checks such a server and an HTTP server. */
import assert from "node:assert";
import dgram from "node:dgram";
import http from "node:http";
import net from "node:net";

const peer = process.argv[2];
const BYTES = 300_000;

function serve(): void {
  net.createServer((socket) => socket.pipe(socket)).listen(7);
  const udp = dgram.createSocket("udp4", (data, from) => udp.send(data, from.port, from.address)).bind(7);
  http
    .createServer((request, response) => {
      if (request.url === "/moved") response.writeHead(302, { location: "/there" }).end();
      else if (request.url === "/slow") setTimeout(() => response.end("late"), 300);
      else response.end(`${request.method} ${request.url} ${request.headers["x-word"] ?? ""}`);
    })
    .listen(80, () => console.log("serving"));
}

function echoed(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = net.connect(7, peer!, () => socket.end(bytes));
    socket.on("data", (part) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts)));
    socket.on("error", reject);
  });
}

function datagram(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    const again = setInterval(() => socket.send(text, 7, peer!), 500);
    socket.send(text, 7, peer!);
    socket.on("message", (data) => {
      clearInterval(again);
      socket.close();
      resolve(String(data));
    });
  });
}

async function check(): Promise<void> {
  const bytes = Buffer.alloc(BYTES, "0123456789abcdef");
  assert((await echoed(bytes)).equals(bytes));
  assert.strictEqual(await datagram("a datagram"), "a datagram");
  const answer = await fetch(`http://${peer}/path?x=1`, { headers: { "x-word": "said" } });
  assert.strictEqual(answer.status, 200);
  assert.strictEqual(await answer.text(), "GET /path?x=1 said");
  const moved = await fetch(`http://${peer}/moved`);
  assert.deepStrictEqual([moved.redirected, await moved.text()], [true, "GET /there "]);
  await assert.rejects(fetch(`http://${peer}/slow`, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  await assert.rejects(fetch(`http://${peer}:81/`), (error: Error) => /ECONNREFUSED/.test(String(error.cause)));
  await assert.rejects(fetch(`https://${peer}/`), (error: Error) => /no TLS/.test(String(error.cause)));
  console.log("sockets are as expected");
}

if (peer === undefined) serve();
else await check();
