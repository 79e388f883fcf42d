/** A server of names (of `known.test` and `other.test`), with an HTTP server; or, with an argument, a client of both. */
import assert from "node:assert";
import dgram from "node:dgram";
import dns from "node:dns";
import http from "node:http";
import net from "node:net";

const [role, own = ""] = process.argv.slice(2);

/** The name of a query's only question, and where it ends. */
function question(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  while (query[at]! > 0) {
    labels.push(query.subarray(at + 1, at + 1 + query[at]!).toString());
    at += 1 + query[at]!;
  }
  return { name: labels.join("."), end: at + 5 };
}

let asked = 0;

function serve(): void {
  const socket = dgram.createSocket("udp4", (query: Buffer, from: { address: string; port: number }) => {
    const { name, end } = question(query);
    asked++;
    if (name === "silent.test") return;
    const known = ["known.test", "other.test"].includes(name);
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(known ? 1 : 0, 6);
    head.writeUInt16BE(0, 10);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...own.split(".").map(Number)]);
    const parts = [head, query.subarray(12, end), ...(known ? [answer] : [])];
    socket.send(Buffer.concat(parts), from.port, from.address);
  });
  socket.bind(53);
  http
    .createServer((request, response) => response.end(`${request.headers.host} ${asked}`))
    .listen(80, () => console.log("names are served"));
}

const fails = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (reason: NodeJS.ErrnoException) => reason,
  );
  return error?.code ?? "no error";
};

async function check(): Promise<void> {
  assert.deepStrictEqual(await dns.promises.lookup("known.test"), { address: own, family: 4 });
  assert.deepStrictEqual(await dns.promises.resolve4("KNOWN.test."), [own]);
  assert.strictEqual(await (await fetch("http://known.test/")).text(), "known.test 1"); // asked once: it is remembered
  // More at a time than the resolver has places.
  const many = Array.from({ length: 20 }, (_, i) => fails(dns.promises.lookup(`absent${i}.test`)));
  assert.deepStrictEqual([...new Set(await Promise.all(many))], ["ENOTFOUND"]);
  const connected = await new Promise<string>((resolve, reject) => {
    const socket = net.connect(80, "other.test", () => {
      resolve(socket.remoteAddress!);
      socket.destroy();
    });
    socket.on("error", reject);
  });
  assert.strictEqual(connected, own);
  assert.strictEqual(
    await fails(fetch("http://absent.test/").catch((error: Error) => Promise.reject((error.cause as Error) ?? error))),
    "ENOTFOUND",
  );
  assert.strictEqual(await fails(dns.promises.lookup("no name at all")), "ENOTFOUND");
  assert.deepStrictEqual(await dns.promises.lookup("10.9.8.7", { all: true }), [{ address: "10.9.8.7", family: 4 }]);
  assert.strictEqual(await fails(dns.promises.lookup("silent.test")), "ENOTFOUND");
  console.log("names are as expected");
}

if (role === "serve") serve();
else if (role === "alone") console.log("without a server", await fails(dns.promises.lookup("known.test")));
else await check();
