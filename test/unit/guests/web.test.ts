/** The web server as a process: what it answers, from memory and from a volume, to a computer that is not lwIP. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { type ArchiveFile, crc32, packArchive } from "../../../scripts/volume/archive.ts";
import { buildNative, NativeGuest, Sysctl } from "./native.ts";
import { type Connection, Peer } from "./peer.ts";

const folder = mkdtempSync(path.join(tmpdir(), "web-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** Bytes without a period. */
function noise(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

const MEGABYTE = noise(1 << 20, 1);
const FILES: ArchiveFile[] = [
  { path: "index.html", data: Buffer.from("<p>front page</p>\n") },
  { path: "docs/index.html", data: Buffer.from("<p>docs</p>\n") },
  { path: "docs/a b.txt", data: Buffer.from("a blank\n") },
  { path: "empty.json", data: Buffer.alloc(0) },
  { path: "large.bin", data: MEGABYTE },
  { path: "odd.bin", data: noise(70001, 2) },
];

let images = 0;
function imageOf(files: ArchiveFile[]): string {
  const file = path.join(folder, `${images++}.img`);
  writeFileSync(file, packArchive(files));
  return file;
}

type Place = "memory" | "volume";

async function start(
  t: ExecutionContext,
  place: Place,
  image: string,
  more: string[] = [],
): Promise<[NativeGuest, Peer]> {
  const built = await buildNative("web");
  if ("missing" in built) throw new Error(built.missing);
  const store = place === "memory" ? ["--ramdisk", image] : ["--disk", image, "--read-only", "yes"];
  const guest = new NativeGuest(built.program, "ip=10.0.0.2", ["--net", "--sysctl", ...store, ...more]);
  t.teardown(() => {
    if (!t.passed) t.log(guest.console);
    return guest.stop();
  });
  await guest.printed(/web: \d+ files/);
  return [guest, new Peer(guest)];
}

interface Answer {
  status: number;
  fields: Map<string, string>;
  body: Buffer;
}

async function readAnswer(connection: Connection, headOnly: boolean = false): Promise<Answer> {
  const lines = (await connection.upTo("\r\n\r\n")).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(lines[0])?.[1]);
  const fields = new Map(
    lines
      .slice(1)
      .filter((line) => line !== "")
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  );
  const body = headOnly ? Buffer.alloc(0) : await connection.bytes(Number(fields.get("content-length") ?? 0));
  return { status, fields, body };
}

async function request(peer: Peer, text: string): Promise<Answer> {
  const connection = peer.connect(80);
  connection.write(text.replaceAll("\n", "\r\n"));
  const answer = await readAnswer(connection, text.startsWith("HEAD"));
  connection.close();
  return answer;
}

const get = (target: string, fields: string = "") => `GET ${target} HTTP/1.1\nHost: x\n${fields}\n`;

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

for (const place of ["memory", "volume"] as const) {
  test(`files come whole from ${place}, also several at once`, async (t) => {
    const [guest, peer] = await start(t, place, imageOf(FILES), ["--memory", "4"]);
    const large = await Promise.all(Array.from({ length: 6 }, () => request(peer, get("/large.bin"))));
    for (const { status, body, fields } of large) {
      t.is(status, 200);
      t.is(digest(body), digest(MEGABYTE));
      t.is(fields.get("content-type"), "application/octet-stream");
    }
    t.deepEqual((await request(peer, get("/odd.bin"))).body, Buffer.from(FILES[5].data));
    t.is((await request(peer, get("/empty.json"))).fields.get("content-length"), "0");
    t.deepEqual(peer.wrong, []);
    // Segments are full: many files have left in few frames.
    t.true(peer.counts.tcp < 8 * (MEGABYTE.length / 1460) * 1.1 + 200, `${peer.counts.tcp} segments`);
    guest.sysctl(Sysctl.Poweroff);
    t.is(await guest.ended, 0);
  });

  test(`ranges from ${place} are exactly those bytes`, async (t) => {
    const [, peer] = await start(t, place, imageOf(FILES));
    const whole = MEGABYTE.length;
    for (const [range, first, last] of [
      ["0-0", 0, 0],
      ["511-4097", 511, 4097],
      [`${whole - 1}-`, whole - 1, whole - 1],
      ["-70000", whole - 70000, whole - 1],
      [`123457-${whole + 5}`, 123457, whole - 1],
    ] as const) {
      const answer = await request(peer, get("/large.bin", `Range: bytes=${range}\n`));
      t.is(answer.status, 206, range);
      t.is(answer.fields.get("content-range"), `bytes ${first}-${last}/${whole}`);
      t.is(digest(answer.body), digest(MEGABYTE.subarray(first, last + 1)), range);
    }
    const beyond = await request(peer, get("/large.bin", `Range: bytes=${whole}-\n`));
    t.is(beyond.status, 416);
    t.is(beyond.fields.get("content-range"), `bytes */${whole}`);
    t.is((await request(peer, get("/large.bin", "Range: bytes=1-2,4-5\n"))).status, 200);
    t.is((await request(peer, get("/large.bin", "Range: lines=1-2\n"))).status, 200);
  });
}

test("a path is decoded, a folder has its index, and a name without it leads there", async (t) => {
  const [, peer] = await start(t, "memory", imageOf(FILES));
  const body = async (target: string) => (await request(peer, get(target))).body.toString();
  t.is(await body("/"), "<p>front page</p>\n");
  t.is(await body("/docs/"), "<p>docs</p>\n");
  t.is(await body("/docs/a%20b.txt?x=y"), "a blank\n");
  t.is(await body("http://host:80/docs/a%20b.txt"), "a blank\n");
  const moved = await request(peer, get("/docs"));
  t.is(moved.status, 301);
  t.is(moved.fields.get("location"), "/docs/");
  t.is((await request(peer, get("/docs/a%20b.txt"))).fields.get("content-type"), "text/plain; charset=utf-8");
});

test("a file that is known already is not sent again", async (t) => {
  const [, peer] = await start(t, "memory", imageOf(FILES));
  const tag = (await request(peer, get("/odd.bin"))).fields.get("etag")!;
  t.regex(tag, /^"[0-9a-f]{8}-11171"$/);
  const again = await request(peer, get("/odd.bin", `If-None-Match: "other", ${tag}\n`));
  t.is(again.status, 304);
  t.is(again.fields.get("etag"), tag);
  t.is((await request(peer, get("/odd.bin", 'If-None-Match: "other"\n'))).status, 200);
  t.is((await request(peer, get("/odd.bin", `Range: bytes=0-9\nIf-Range: ${tag}\n`))).status, 206);
  t.is((await request(peer, get("/odd.bin", 'Range: bytes=0-9\nIf-Range: "other"\n'))).status, 200);
});

for (const [title, text, status] of [
  ["a file that is not there", get("/none"), 404],
  ["a path upwards", get("/docs/../index.html"), 404],
  ["another method", "POST / HTTP/1.1\nHost: x\n\n", 405],
  ["contents", "GET / HTTP/1.1\nHost: x\nContent-Length: 5\n\n", 413],
  ["no host", "GET / HTTP/1.1\n\n", 400],
  ["another protocol", "GET / HTTP/2.0\n\n", 505],
  ["no protocol", "GET /\n\n", 400],
  ["a broken escape", get("/%4"), 400],
  ["a zero byte", get("/%00"), 400],
  ["a folded line", "GET / HTTP/1.1\nHost: x\n y\n\n", 400],
  ["a target that is none", get("index.html"), 400],
  ["a path that is too long", get(`/${"x".repeat(600)}`), 414],
  ["a head that is too long", get("/", `X: ${"x".repeat(4000)}\n`), 431],
] as const) {
  test(`refused: ${title}`, async (t) => {
    const [, peer] = await start(t, "memory", imageOf(FILES));
    const answer = await request(peer, text);
    t.is(answer.status, status);
    t.is((await request(peer, get("/"))).status, 200);
  });
}

test("a connection takes one request after another, also before the first is answered", async (t) => {
  const [, peer] = await start(t, "volume", imageOf(FILES));
  const connection = peer.connect(80);
  const one = get("/odd.bin").replaceAll("\n", "\r\n");
  const head = "HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\n";
  connection.write(one.repeat(40) + head + one);
  for (let i = 0; i < 40; i++) t.is(digest((await readAnswer(connection)).body), digest(FILES[5].data));
  const asked = await readAnswer(connection, true);
  t.is(asked.fields.get("content-length"), String(MEGABYTE.length));
  t.is(asked.fields.get("connection"), "keep-alive");
  t.is(digest((await readAnswer(connection)).body), digest(FILES[5].data));
  connection.write("GET / HTTP/1.0\r\n\r\n");
  const last = await readAnswer(connection);
  t.is(last.fields.get("connection"), "close");
  await connection.all();
  t.false(connection.wasReset);
});

test("clients that go away in the middle cost nothing: hundreds of them, then a whole file", async (t) => {
  const [, peer] = await start(t, "volume", imageOf(FILES), ["--memory", "4"]);
  for (let i = 0; i < 60; i++) {
    const connection = peer.connect(80);
    connection.write(get("/large.bin").replaceAll("\n", "\r\n"));
    await connection.bytes(100 + i * 370);
    if (i % 2 === 0) connection.reset();
    else connection.close();
    if (i % 2 === 1) await connection.all();
    peer.connections.delete(connection.localPort);
  }
  t.is(digest((await request(peer, get("/large.bin"))).body), digest(MEGABYTE));
});

test("whatever files there are, each is found and comes back; others are not found", async (t) => {
  const component = fc.stringMatching(/^[a-z0-9_~é.-]{1,12}$/u).filter((text) => text !== "." && text !== "..");
  const paths = fc.uniqueArray(
    fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
    {
      maxLength: 12,
    },
  );
  await fc.assert(
    fc.asyncProperty(paths, fc.array(fc.nat(20000), { minLength: 12, maxLength: 12 }), async (names, lengths) => {
      const files = names.map((name, i) => ({ path: name, data: noise(lengths[i], i + 1) }));
      const [guest, peer] = await start(t, "memory", imageOf(files));
      for (const file of files) {
        const { status, body } = await request(peer, get(`/${file.path.split("/").map(encodeURIComponent).join("/")}`));
        t.is(status, 200, file.path);
        t.is(digest(body), digest(file.data), file.path);
      }
      t.is((await request(peer, get("/not/there/at-all-at-all"))).status, 404);
      await guest.stop();
    }),
    { numRuns: 8 },
  );
});

/** How the server ends with an image that somebody changed, when the index's checksum is made right again or not. */
async function judge(image: Buffer, mend: boolean): Promise<string> {
  const built = await buildNative("web");
  if ("missing" in built) throw new Error(built.missing);
  if (mend) {
    const index = Math.min(image.readUInt32LE(12), image.length);
    image.writeUInt32LE(0, 24);
    image.writeUInt32LE(crc32(image.subarray(0, index)), 24);
  }
  const file = path.join(folder, `${images++}.img`);
  writeFileSync(file, image);
  const guest = new NativeGuest(built.program, "ip=10.0.0.2", ["--net", "--sysctl", "--ramdisk", file]);
  const served = guest.printed(/web: \d+ files/).then(
    () => guest.sysctl(Sysctl.Poweroff),
    () => {},
  );
  const status = await guest.ended;
  await served;
  rmSync(file);
  return status === 0
    ? "served"
    : status === 1
      ? (/FAIL web (.*)/.exec(guest.console)?.[1] ?? "?")
      : `status ${status}`;
}

test("a damaged archive is refused, whatever byte of its index is wrong", async (t) => {
  const good = packArchive(FILES);
  const used = 64 + FILES.length * 32;
  await fc.assert(
    fc.asyncProperty(fc.nat(used - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
      const image = Buffer.from(good);
      image[at] ^= by;
      t.regex(await judge(image, false), /^ramdisk: (it is no archive|the archive)/, `byte ${at} by ${by}`);
    }),
    { numRuns: 40 },
  );
});

test("an archive that lies, with a right checksum, is refused or does no harm", async (t) => {
  const good = packArchive(FILES.slice(0, 4));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 8, max: 64 + 4 * 32 - 8 }), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), {
        minLength: 1,
        maxLength: 3,
      }),
      async (changes) => {
        const image = Buffer.from(good);
        for (const [at, value] of changes) image.writeBigUInt64LE(value, at);
        t.regex(await judge(image, true), /^(served|ramdisk: .*archive.*)$/);
      },
    ),
    { numRuns: 40 },
  );
});
