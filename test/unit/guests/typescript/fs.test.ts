/** `fs` with a volume: what programs call, what it answers, and what is there after the power was lost. */
import test from "ava";
import { Volume } from "../../../../guests/typescript/runtime/volume/volume.ts";
import { Random } from "../../../sim/random.ts";
import { CutDisk } from "./cut-disk.ts";
import { FakeGuest, type GuestOptions } from "./fake-guest.ts";

const HEAD = `const module = globalThis[Symbol.for("typevisor.module")]; const fs = module("fs"), fsp = module("fs/promises");
const codeOf = (run) => { try { run(); return "none"; } catch (error) { return error.code; } };
`;
const files = { "/a.txt": Buffer.from("packed"), "/web/index.html": Buffer.from("<p>") };

async function run(code: string, options: GuestOptions = {}): Promise<string> {
  const guest = await FakeGuest.run(HEAD + code, { files, ...options });
  return `${guest.printed}${guest.ended}`;
}

const disk = () => new CutDisk(4096);

test("files are written and read, at once and later, by path, by descriptor and by stream", async (t) => {
  const store = disk();
  const said = await run(
    `
    fs.mkdirSync("/data/logs/deep", { recursive: true });
    fs.writeFileSync("/data/a.txt", "Grüße");
    fs.appendFileSync("/data/a.txt", Buffer.from("!\\n"));
    console.log(fs.readFileSync("/data/a.txt", "utf8"), fs.statSync("/data/a.txt").size, fs.readdirSync("/data"), fs.readdirSync("/"));
    await fsp.writeFile("/data/logs/b", new Uint8Array([1, 2, 3]));
    await Promise.all([1, 2, 3].map((n) => fsp.writeFile("/data/logs/p" + n, "x".repeat(n * 5000))));
    console.log((await fsp.readdir("/data", { recursive: true })).join(" "));
    await new Promise((done) => fs.rename("/data/logs/b", "/data/c", (error) => { console.log("renamed", error); done(); }));
    const fd = fs.openSync("/data/c", "r+");
    console.log(fs.writeSync(fd, "abcdef", 1), fs.readSync(fd, Buffer.alloc(10), 0, 10, 0), fs.fstatSync(fd).size);
    fs.ftruncateSync(fd, 4); fs.fsyncSync(fd);
    const into = Buffer.alloc(2); fs.readSync(fd, into); fs.closeSync(fd);
    console.log(into, codeOf(() => fs.readSync(fd, into)));
    const handle = await fsp.open("/data/h", "w+");
    console.log((await handle.write("hello world")).bytesWritten, (await handle.read(Buffer.alloc(5), 0, 5, 6)).buffer.toString());
    await handle.sync(); await handle.close();
    await new Promise((done) => fs.createReadStream("/data/logs/p3").pipe(fs.createWriteStream("/data/copy")).on("finish", done));
    console.log(fs.readFileSync("/data/copy").length, fs.existsSync("/data/nothing"), fs.existsSync("/data/copy"));
    fs.copyFileSync("/a.txt", "/data/from-packed"); fs.utimesSync("/data/h", 0, 86400);
    console.log(fs.readFileSync("/data/from-packed", "utf8"), fs.statSync("/data/h").mtime.toISOString());
    fs.rmSync("/data/logs", { recursive: true }); await fsp.unlink("/data/copy"); fs.rmSync("/data/none", { force: true });
    console.log(fs.readdirSync("/data", { withFileTypes: true }).map((entry) => entry.name + entry.isFile()).join(" "));
    console.log(fs.mkdtempSync("/data/tmp-"), fs.realpathSync("/data/../data/./h"));`,
    { disk: store },
  );
  t.is(
    said,
    [
      "Grüße!\n 9 [ 'a.txt', 'logs' ] [ 'a.txt', 'data', 'web' ]",
      "a.txt logs logs/b logs/deep logs/p1 logs/p2 logs/p3",
      "renamed null",
      "6 7 7",
      "<Buffer 01 61> EBADF",
      "11 world",
      "15000 false true",
      "packed 1970-01-02T00:00:00.000Z",
      "a.txttrue ctrue from-packedtrue htrue",
      "/data/tmp-000000 /data/h",
      "poweroff",
    ].join("\n"),
  );
  t.is(await run(`console.log(fs.readFileSync("/data/a.txt", "utf8"));`, { disk: store }), "Grüße!\n\npoweroff");
  t.is(
    await run(
      `console.log(fs.readFileSync("/var/lib/a.txt", "utf8"), fs.readdirSync("/var"), fs.existsSync("/data"));`,
      {
        disk: store,
        commandLine: "volume=/var/lib -- x",
      },
    ),
    "Grüße!\n [ 'lib' ] false\npoweroff",
  );
});

test("what fails has Node's codes; packed files stay read-only", async (t) => {
  t.is(
    await run(
      `
      fs.mkdirSync("/data/d"); fs.writeFileSync("/data/f", "");
      console.log([
        () => fs.writeFileSync("/a.txt", ""), () => fs.mkdirSync("/x"), () => fs.renameSync("/a.txt", "/data/a"),
        () => fs.mkdirSync("/data/d"), () => fs.readFileSync("/data/none"), () => fs.readFileSync("/data/d"), () => fs.unlinkSync("/data/d"),
        () => fs.rmdirSync("/data/f"), () => fs.rmSync("/data/d"), () => fs.rmSync("/data/none"), () => fs.readdirSync("/data/f"),
        () => fs.writeFileSync("/data/f", "", { flag: "wx" }), () => fs.mkdirSync("/data/f/x"), () => fs.rmSync("/data", { recursive: true }),
        () => fs.accessSync("/a.txt", fs.constants.W_OK), () => fs.accessSync("/data/f", fs.constants.W_OK),
        () => { const fd = fs.openSync("/data/f", "r"); try { fs.writeSync(fd, "x"); } finally { fs.closeSync(fd); } },
      ].map(codeOf).join(" "));
      const error = await fsp.readFile("/data/none").catch((error) => error);
      console.log(error.message, error.syscall, error.path);`,
      { disk: disk() },
    ),
    "EROFS EROFS EXDEV EEXIST ENOENT EISDIR EISDIR ENOTDIR ERR_FS_EISDIR ENOENT ENOTDIR EEXIST ENOTDIR EBUSY EROFS none EBADF\n" +
      "ENOENT: no such file or directory, open '/data/none' open /data/none\npoweroff",
  );
  const full = await run(
    `console.log(codeOf(() => { for (let i = 0; ; i++) fs.writeFileSync("/data/" + i, "x".repeat(100000)); }));`,
    {
      disk: disk(),
    },
  );
  t.is(full, "ENOSPC\npoweroff");
  const foreign = disk();
  foreign.bytes()[510] = 0x55;
  t.regex(
    await run(
      `console.log(fs.existsSync("/data"), fs.readFileSync("/a.txt", "utf8")); fs.writeFileSync("/data/x", "");`,
      { disk: foreign },
    ),
    /^false packed\nUncaught Error: EIO: the disk has something else on it, which is left alone: a new volume is empty, open '\/data\/x'\n[^]*crash$/,
  );
});

test("a program's last writes stay however it ends; after a loss of power every answered write is there", async (t) => {
  const store = disk();
  await run(`const fd = fs.openSync("/data/open", "a"); fs.writeSync(fd, "not synced"); throw new Error("oh");`, {
    disk: store,
  });
  t.is(await run(`console.log(fs.readFileSync("/data/open", "utf8"));`, { disk: store }), "not synced\npoweroff");

  // Numbered files, by every way: each is printed when it was answered, and then it is there.
  const program = `
    for (let i = 0; ; i++) {
      const path = "/data/n" + (i % 7), text = String(i).repeat(300);
      if (i % 3 === 0) await fsp.writeFile(path, text);
      else if (i % 3 === 1) { fs.writeFileSync(path + ".new", text); fs.renameSync(path + ".new", path); }
      else await new Promise((done) => fs.createWriteStream(path).on("finish", done).end(text));
      console.log(i);
    }`;
  for (let cut = 0; cut < 120; cut += 1 + (cut >> 2)) {
    const cutDisk = disk();
    cutDisk.cutAt = cut;
    const guest = await FakeGuest.run(HEAD + program, { disk: cutDisk });
    t.is(guest.ended, "power");
    const answered = guest.printed.split("\n").length - 2;
    const after = Volume.mount(cutDisk.powerUp(new Random(cut + 1)), () => 0);
    for (let i = Math.max(0, answered - 6); i <= answered; i++) {
      const node = after.get([`n${i % 7}`]);
      const bytes = Buffer.alloc(node.kind === "file" ? node.size : 0);
      if (node.kind === "file") after.read(node, 0, bytes);
      const next = answered + 1;
      const may = [i, ...(next % 7 === i % 7 ? [next] : [])].map((each) => String(each).repeat(300));
      // Of one that is being written anew without a rename, nothing may be there yet.
      if (next % 7 === i % 7) may.push("");
      t.true(
        may.includes(bytes.toString()),
        `cut at ${cut}: file ${i} of ${answered} is ${bytes.toString().slice(0, 20)}`,
      );
    }
  }
});
