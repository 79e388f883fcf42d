/** `chaos` from outside: a machine as `npm start` makes it, the command's processes, good and bad clients. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { fromRoot, guestsFolder } from "../../scripts/paths.ts";
import { connect, findTarget } from "../../toolstack/cli/connection/connect.ts";
import { makeKey, writeKey } from "../../toolstack/cli/connection/key.ts";
import { consoleRequest, listRequest } from "../../toolstack/api/requests/domains.ts";
import { environmentWith, fishOffers, typed } from "../unit/cli/shells.ts";
import { COMMAND_MS, evaluate, hangDomain0, powerOff } from "./support/boot.ts";
import { awaitValue } from "./support/control-network.ts";
import { startControlled, startTool } from "./support/control.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-chaos-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const tool = (name: "chaos" | "xl", words: string[]) => startTool(name, words).said;
const chaos = (words: string[]) => tool("chaos", words);

const hello = path.join(guestsFolder, "hello.elf");

test.serial("chaos makes, lists, watches and ends domains of files that it uploads once", async (t) => {
  const { machine } = await startControlled(t);
  const good = async (...words: string[]) => {
    const said = await chaos(words);
    t.is(said.status, 0, `${words.join(" ")}: ${said.err}`);
    return said.out;
  };
  const bad = async (words: string[], message: RegExp) => {
    const said = await chaos(words);
    t.is(said.status, 1, words.join(" "));
    t.regex(said.err, message);
    t.is(said.out, "");
  };

  t.regex(await good("machines"), /^typevisor +127\.0\.0\.1:\d+\n$/);
  t.is(await good("create", "--kernel", hello, "--name", "one", "--on-poweroff", "preserve"), "1\n");
  t.regex(await good("list"), /^Name .*\nDomain-0 .*\none +1 +32 +1 /);
  const listed = JSON.parse(await good("list", "--json")) as { name: string; id: number }[];
  t.true(listed.some(({ name, id }) => name === "one" && id === 1));
  await machine.waitFor(/domain 1 \(one\) has ended: poweroff; it is kept/, COMMAND_MS, "the guest's end");
  t.regex(await good("logs", "one"), /Hello from a Xen PVH guest, domain 1![^]*TYPEVISOR-GUEST: PASS hello/);

  // A configuration of LightVM's; the kernel is there already.
  const config = path.join(folder, "two.json");
  writeFileSync(
    config,
    JSON.stringify({ name: "two", kernel: hello, memory: 16, vcpus: 1, paused: true, xen: { pvh: true } }),
  );
  const two = await chaos(["create", "-n", "2", config]);
  t.is(two.status, 0, two.err);
  t.is(two.out, "2\n3\n");
  const images = JSON.parse(await good("image", "list", "--json")) as { name: string }[];
  t.deepEqual(
    images.map(({ name }) => name),
    ["hello.elf"],
  );
  // Their names, vCPUs and shares, and how they are made again.
  await good("rename", "two-1", "three");
  await bad(["rename", "three", "two-2"], /^chaos: a domain named "two-2" exists already\n$/);
  t.like(JSON.parse(await good("vcpu-list", "three", "--json")), [
    { name: "three", vcpu: 0, hard: "all", soft: "all" },
  ]);
  await bad(["vcpu-pin", "three", "0", "1"], /^chaos: HARD: CPU 1 is not there: only CPU 0 is used\n$/);
  t.regex(await good("sched", "three", "--weight", "512"), /^three +2 +512 +0$/m);
  await good("config-update", "three", "--kernel", hello, "--memory", "24");
  t.regex(await good("uptime", "three"), /^three +2 +0:\d\d:\d\d$/m);
  await good("rename", "three", "two-1");
  await good("unpause", "two-1");
  await good("destroy", "one", "two-2");
  t.regex((await chaos(["console", "two-1"])).err, /two-1 has ended|no domain "two-1"|^$/m);
  t.is(await good("js", "20 + 22"), "42\n");
  t.regex(await good("dmesg"), /\(TV\) Typevisor 0\.1\.0/);
  t.regex(await good("info"), /^network +10\.0\.2\.4\/24/m);

  await bad(["destroy", "nobody"], /^chaos: no domain "nobody"; `list` shows them\n$/);
  await bad(["create", "--kernel", "nothing"], /^chaos: --kernel: no boot module "nothing"; boot modules: /);
  await bad(["create", "--kernel", fromRoot("README.md")], /^chaos: README\.md: not an ELF file/);
  await bad(["create", "--kernel", hello, "--memory", "1000000"], /^chaos: not enough memory/);
  await bad(["create", "--kernel", hello, "--memory", "x"], /^chaos: --memory: "x" is not a whole number of MiB/);
  await bad(["--host", "nowhere", "list"], /^chaos: --host: there is no machine nowhere/);
  await bad(["save", "one", "file"], /^chaos: not there yet/);
  // What domain 0 keeps to itself is not offered.
  t.notRegex(await good("modules"), /control\.key|seed/);
  await bad(["create", "--kernel", "control.key"], /no boot module "control\.key"/);

  // The same machine by xl.
  const cfg = path.join(folder, "three.cfg");
  writeFileSync(cfg, `type = "pvh"\nname = "three"\nkernel = "${hello}"\nmemory = 16\non_poweroff = "preserve"\n`);
  const made = await tool("xl", ["create", cfg]);
  t.is(made.status, 0, made.err);
  t.deepEqual([made.out, made.err], ["", `Parsing config from ${cfg}\n`]);
  const { out: number } = await tool("xl", ["domid", "three"]);
  t.regex((await tool("xl", ["list", "three"])).out, /^Name {40}ID   Mem VCPUs\tState\tTime\(s\)\nthree /);
  t.regex((await tool("xl", ["dmesg"])).out, /\(TV\) Typevisor/);
  t.is((await tool("xl", ["destroy", number.trim()])).status, 0);
  const gone = await tool("xl", ["destroy", "three"]);
  t.deepEqual([gone.status, gone.out, gone.err], [1, "", "three is an invalid domain identifier (rc=-6)\n"]);

  // A TypeScript program: its output, its exit status; nothing of it stays.
  const program = path.join(folder, "app.ts");
  writeFileSync(
    program,
    'console.log("from", process.argv[2]);\nif (process.argv[3] === "fail") throw new Error("as asked");\n',
  );
  t.is(await good("run", program, "--", "inside"), "from inside\n");
  const failing = await chaos(["run", program, "--", "inside", "fail"]);
  t.is(failing.status, 1, failing.err);
  t.regex(failing.out, /^from inside\n[^]*Error: as asked[^]*app\.ts:2:\d+/);
  t.is(failing.err, "chaos: app.ts has ended: crash\n");
  t.notRegex(await good("image", "list"), /app/);
  t.notRegex(await good("list"), /app/);

  // Over a restart of domain 0: the image, and who comes later.
  await hangDomain0(machine);
  await awaitValue(machine, "Number(net.describe().startsWith('10.0.2.4/24'))", 1);
  t.regex(await good("image", "list"), /hello\.elf/);
  await powerOff(t, machine);
});

/** Bytes in a file that a command's output goes to. */
async function intoFile(words: string[], file: string): Promise<{ status: number | null; err: string; bytes: Buffer }> {
  const args = ["--import=tsx", fromRoot("toolstack/cli/chaos.ts"), ...words];
  const out = openSync(file, "w");
  const child = spawn(process.execPath, args, {
    cwd: fromRoot("."),
    timeout: COMMAND_MS,
    stdio: ["ignore", out, "pipe"],
  });
  let err = "";
  child.stderr!.on("data", (bytes: Buffer) => (err += bytes.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  closeSync(out);
  return { status, err, bytes: readFileSync(file) };
}

/** Runs `top` on a terminal of its own, presses a key when two tables were drawn, and tells what was shown. */
async function topOnTerminal(name: "chaos" | "xl", key: string): Promise<{ status: number | null; out: string }> {
  const words = [process.execPath, "--import=tsx", fromRoot(`toolstack/cli/${name}.ts`), "top", "-d", "1"];
  // The terminal's settings, before and behind.
  const line = `stty -g; ${words.map((word) => `'${word}'`).join(" ")}; status=$?; stty -g; exit $status`;
  const child = spawn("script", ["-qfec", line, "/dev/null"], { cwd: fromRoot("."), timeout: COMMAND_MS });
  let out = "";
  let pressed = false;
  child.stdout.on("data", (bytes: Buffer) => {
    out += bytes.toString();
    if (pressed || out.split("\x1b[H").length < 3) return;
    pressed = true;
    child.stdin.write(key);
  });
  const [status] = (await once(child, "close")) as [number | null];
  return { status, out };
}

/** A capture that Ctrl-C ends once it has begun. */
async function interruptedCapture(file: string): Promise<{ status: number | null; err: string; bytes: Buffer }> {
  const args = ["--import=tsx", fromRoot("toolstack/cli/chaos.ts"), "bridge", "dump", "xenbr0", "--seconds", "3600"];
  const child = spawn(process.execPath, args, { cwd: fromRoot("."), timeout: COMMAND_MS });
  const pieces: Buffer[] = [];
  let err = "";
  child.stdout.on("data", (bytes: Buffer) => {
    if (pieces.push(bytes) === 1) child.kill("SIGINT");
  });
  child.stderr.on("data", (bytes: Buffer) => (err += bytes.toString()));
  child.stdin.end();
  const [status] = (await once(child, "close")) as [number | null];
  writeFileSync(file, Buffer.concat(pieces));
  return { status, err, bytes: Buffer.concat(pieces) };
}

test.serial(
  "what looks into the machine: top, check, xenctx, the store, a bridge's frames; names for the shells",
  async (t) => {
    const { machine } = await startControlled(t);
    const good = async (...words: string[]) => {
      const said = await chaos(words);
      t.is(said.status, 0, `${words.join(" ")}: ${said.err}`);
      return said.out;
    };
    await machine.command("create --kernel spin --name busy --memory 4", COMMAND_MS);
    await machine.command("create --kernel idle --name calm --memory 4 --vif ip=10.0.2.30", COMMAND_MS);

    // Not on a terminal it is batch: a line or table a sample.
    const lines = (await good("top", "--json", "-d", "1", "-i", "2")).trim().split("\n");
    t.is(lines.length, 2);
    interface Table {
      seconds: number;
      domains: { name: string; cpuPercent: number; vifs: number; exitsPerSecond: object }[];
    }
    for (const { seconds, domains } of lines.map((line) => JSON.parse(line) as Table)) {
      t.true(seconds >= 1);
      t.deepEqual(
        domains.map(({ name, vifs }) => [name, vifs]),
        [
          ["Domain-0", 1],
          ["busy", 0],
          ["calm", 1],
          ["Domain-IO", 0],
        ],
      );
      t.true(domains[1]!.cpuPercent > 1, JSON.stringify(domains));
    }
    t.regex(
      await good("top", "-b", "--delay=1", "--iterations", "1"),
      /^[^\n]* of memory, .*\nName +ID [^]*\nbusy +1 /,
    );
    const xentop = await tool("xl", ["top", "-b", "-i", "2", "-d", "1"]);
    t.is(xentop.status, 0, xentop.err);
    t.regex(xentop.out, /^ +NAME +STATE +CPU\(sec\)[^]*\n +NAME [^]*\n {6}busy -+r? +\d+ +[1-9]\d*\.\d /);

    t.regex(await good("check"), /^required +yes +VT-x or AMD-V: AMD-V\n[^]*\nGuests can run here\./);
    t.like(JSON.parse(await good("check", "--json")), { refusal: null });
    t.regex(await good("xenctx", "busy"), /^domain 1 \(busy\), vCPU 0: .*\n {6}rip [0-9a-f]{16} [^]*call trace:\n/);
    t.like(JSON.parse(await good("xenctx", "busy", "--json")), { id: 1, vcpus: [{ vcpu: 0, bits: 64 }] });
    await good("xenstore-write", "/tool/probe", "some text");
    t.is(await good("xenstore-read", "/tool/probe"), "some text\n");
    t.regex(await good("xenstore-ls", "-f", "/tool"), /^\/tool\/probe = "some text"$/m);
    await good("xenstore-rm", "/tool/probe");
    const absent = await chaos(["xenstore-read", "/tool/probe"]);
    t.deepEqual([absent.status, absent.err], [1, "chaos: /tool/probe: ENOENT\n"]);

    // The file is the output, what is said of it is not; the capture's own frames are not in it.
    const capture = await intoFile(["bridge", "dump", "xenbr0", "--seconds", "2"], path.join(folder, "x.pcap"));
    t.is(capture.status, 0, capture.err);
    t.regex(capture.err, /^\d+ frames?\n$/);
    t.is(capture.bytes.readUInt32LE(0), 0xa1b23c4d);
    t.true(capture.bytes.length < 100_000, `${capture.bytes.length} bytes of a bridge where nothing happens`);

    const cut = await interruptedCapture(path.join(folder, "y.pcap"));
    t.is(cut.status, 0, cut.err);
    t.regex(cut.err, /^\d+ frames?\n$/);
    t.is(cut.bytes.readUInt32LE(0), 0xa1b23c4d);

    // In place on a terminal: another screen, and the terminal as it was.
    for (const [name, key, shown] of [
      ["chaos", "q", / of memory, [^]*\nName +ID [^]*busy +1 /],
      ["xl", "\x03", /NAME +STATE [^]* busy /],
    ] as const) {
      const { status, out } = await topOnTerminal(name, key);
      t.is(status, 0, out);
      t.regex(out, shown);
      const [, before, inside, after] = /^(\S+)\r\n\x1b\[\?1049h([^]*)\x1b\[\?1049l(\S+)\r\n$/.exec(out) ?? [];
      t.is(after, before, "the terminal's settings");
      t.true(inside !== undefined && inside.split("\x1b[H").length >= 3, out);
    }

    const environment = { ...environmentWith(folder), XDG_RUNTIME_DIR: folder };
    const [domains, kernels, bridges, machines, xl] = fishOffers(environment, [
      "chaos destroy ",
      "chaos create --kernel sp",
      "chaos bridge delete ",
      "chaos --host ",
      "xl pause ",
    ]);
    t.deepEqual(domains, ["busy\tdomain 1", "calm\tdomain 2"]);
    t.regex(kernels!.join("\n"), /^spin\t\d/m);
    t.regex(bridges!.join("\n"), /^xenbr0\t/m);
    t.regex(machines!.join("\n"), /^typevisor\t127\.0\.0\.1:/m);
    t.deepEqual(xl, domains);
    for (const shell of ["bash", "zsh"] as const)
      t.deepEqual(await typed(shell, environment, ["chaos destroy ca", "chaos create --kernel=spi"]), [
        "chaos destroy calm",
        "chaos create --kernel=spin",
      ]);
    await powerOff(t, machine);
  },
);

test.serial(
  "wrong keys, garbage, cut and silent clients: refused, logged, bounded, and nobody else is affected",
  async (t) => {
    const { machine, control } = await startControlled(t);
    const target = findTarget(undefined, undefined);
    const { client } = await connect(target);
    const list = async () => {
      const { result, stream } = client.request(listRequest, {});
      stream.resume();
      return (await result).length;
    };
    t.is(await list(), 2);

    // A key that is not the machine's, under its name and under another.
    for (const name of [control.name, "somebody"]) {
      const file = path.join(folder, `${name}-wrong.key`);
      writeKey(file, makeKey(name));
      const said = await chaos(["--key", file, "list"]);
      t.is(said.status, 1);
      t.regex(said.err, /^chaos: typevisor \(127\.0\.0\.1:\d+\) cannot be reached: it refused the key/);
    }
    await machine.waitFor(
      /control: .* (does not have the key|there is no key of the name)/,
      COMMAND_MS,
      "the log's line",
    );
    t.is(await list(), 2);

    // Garbage, connections that are cut, and a hundred that say nothing.
    const { hostPort } = control.forward;
    const silent: net.Socket[] = [];
    for (let i = 0; i < 100; i++) {
      const socket = net.connect(hostPort, "127.0.0.1").on("error", () => {});
      silent.push(socket);
      if (i % 3 === 0) socket.write(randomBytes(200));
      if (i % 3 === 1) socket.once("connect", () => socket.destroy());
    }
    t.is(await list(), 2);
    await awaitValue(machine, "control.count", 1);
    for (const socket of silent) socket.destroy();

    // A client that leaves in the middle of a console: it is free again.
    await machine.command("create --kernel idle --memory 4 --name idle", COMMAND_MS);
    const other = await connect(target);
    other.client.request(consoleRequest, { id: "idle", safe: false }).result.catch(() => {});
    await awaitValue(machine, "Number(domains.find('idle').console.attached)", 1);
    other.client.close();
    await awaitValue(machine, "Number(domains.find('idle').console.attached)", 0);
    t.is(await list(), 3);
    client.close();
    await awaitValue(machine, "control.count", 0);
    t.is(await evaluate<number>(machine, "images.list().length"), 0);
    await powerOff(t, machine);
  },
);
