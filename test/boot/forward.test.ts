/** `chaos run` and `chaos forward`: the demo as it runs without a word, ports forwarded to guests, what is refused. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { fromRoot } from "../../scripts/paths.ts";
import { diskFile } from "./support/disk-file.ts";
import { COMMAND_MS, powerOff } from "./support/boot.ts";
import { startControlled } from "./support/control.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-forward-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** `chaos` as a process of its own, with what it has said so far. */
class Chaos {
  out = "";
  err = "";
  readonly child: ChildProcess;
  readonly status: Promise<number | null>;
  private readonly listeners = new Set<() => void>();

  constructor(t: ExecutionContext, ...words: string[]) {
    const args = ["--import=tsx", fromRoot("toolstack/cli/chaos.ts"), ...words];
    this.child = spawn(process.execPath, args, { cwd: fromRoot("."), stdio: ["ignore", "pipe", "pipe"] });
    t.teardown(() => this.child.kill("SIGKILL"));
    this.child.stdout!.on("data", (bytes: Buffer) => this.heard(() => (this.out += bytes.toString())));
    this.child.stderr!.on("data", (bytes: Buffer) => this.heard(() => (this.err += bytes.toString())));
    this.status = once(this.child, "close").then(([status]) => status as number | null);
    void this.status.then(() => this.heard(() => {}));
  }

  private heard(note: () => void): void {
    note();
    for (const listener of this.listeners) listener();
  }

  /** Waits for a text in its output. */
  async says(text: RegExp): Promise<RegExpExecArray> {
    return await new Promise((resolve, reject) => {
      const limit = setTimeout(() => done(new Error(`not said: ${text}; ${this.out}${this.err}`)), COMMAND_MS);
      const look = () => {
        const match = text.exec(this.out + this.err);
        if (match !== null) done(match);
        else if (this.child.exitCode !== null) done(new Error(`it ended before ${text}: ${this.out}${this.err}`));
      };
      const done = (result: RegExpExecArray | Error) => {
        clearTimeout(limit);
        this.listeners.delete(look);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      this.listeners.add(look);
      look();
    });
  }
}

/** How a connection to a local port ends: its error's code, or what was read before its end. */
async function ending(port: number, send: string): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  let got = "";
  socket.on("data", (bytes: Buffer) => (got += bytes.toString()));
  socket.on("error", (error: NodeJS.ErrnoException) => (got += error.code));
  socket.end(send);
  await new Promise<void>((resolve) => socket.on("close", () => resolve()));
  return got;
}

test.serial(
  "chaos run without a program is the HTTP demo, which answers this computer; ports are forwarded to any guest",
  async (t) => {
    const { machine } = await startControlled(t, 0, { disks: [{ file: diskFile(t, 64 * 1024 * 1024) }] });

    const demo = new Chaos(t, "run");
    const [, url] = await demo.says(
      /this is the demo, an HTTP server, guests\/typescript\/demo\/server\.ts\n.*curl (\S+) /,
    );
    await demo.says(/network: 10\.0\.2\.254\/24, gateway 10\.0\.2\.2, as configured/);
    await demo.says(/the server listens on port 80/);
    t.regex(await (await fetch(url!)).text(), /<h1>A TypeScript program as a guest<\/h1>/);
    const bytes = randomBytes(300_000);
    const echo = await fetch(`${url}echo`, { method: "POST", body: bytes });
    t.true(Buffer.from(await echo.arrayBuffer()).equals(bytes));
    // More at once than a client may have requests: all are answered.
    const many = await Promise.all(
      Array.from({ length: 40 }, () => fetch(`${url}status`, { headers: { connection: "close" } })),
    );
    t.true(many.every(({ status }) => status === 200));

    const [port, closed] = (await freePorts(2)) as [number, number];
    const forward = new Chaos(t, "forward", "server", `tcp:${port}:10.0.2.254:80`, `${closed}:81`);
    await forward.says(new RegExp(`127\\.0\\.0\\.1:${port} is forwarded to port 80 of server`));
    // Its direction has ended when the answer comes.
    t.regex(await ending(port, "GET /status HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 OK\r\n[^]*"requests":43/);
    t.is(await ending(closed, "x"), "ECONNRESET");
    await forward.says(
      /nothing listens on port 81 of 10\.0\.2\.254, domain \d+ \(server\): the connection was refused/,
    );

    const refused = async (message: RegExp, ...words: string[]) => {
      const chaos = new Chaos(t, ...words);
      t.is(await chaos.status, 1, words.join(" "));
      t.regex(chaos.err, message);
    };
    await refused(/^chaos: PORTS: udp:1:2: UDP is not forwarded/, "forward", "server", "udp:1:2");
    await refused(/^chaos: PORTS: "80" is not \[tcp:\]HOSTPORT:PORT or/, "forward", "server", "80");
    await refused(/^chaos: no domain "nobody"/, "forward", "nobody", "0:80");
    await refused(/has no vif with the address 10\.0\.2\.2\n$/, "forward", "server", "tcp:0:10.0.2.2:80");
    await refused(new RegExp(`port ${port} of 127\\.0\\.0\\.1: it is in use`), "forward", "server", `${port}:80`);

    // Who forwards learns of the guest's end; Ctrl-C of the demo leaves nothing.
    demo.child.kill("SIGINT");
    t.is(await demo.status, 130, demo.err);
    t.is(await forward.status, 1, forward.err);
    t.regex(forward.err, /chaos: server has ended: destroyed\n$/);
    t.notRegex(await machine.command("list", COMMAND_MS), /server/);
    t.regex(await machine.command("js net.describe()", COMMAND_MS), /10\.0\.2\.4\/24/);
    // A volume that is made when it is needed, and stays.
    await machine.command("volume format 0", COMMAND_MS);
    const program = path.join(folder, "count.ts");
    writeFileSync(
      program,
      'import fs from "node:fs";\nconst n = fs.existsSync("/var/n") ? Number(fs.readFileSync("/var/n", "utf8")) + 1 : 1;\n' +
        'fs.writeFileSync("/var/n", String(n));\nconsole.log("run", n);\n',
    );
    for (const n of [1, 2]) {
      const run = new Chaos(t, "run", program, "--volume", "kept:16M:/var");
      t.is(await run.status, 0, run.err);
      t.is(run.out, `run ${n}\n`);
    }
    await refused(/^chaos: --volume: "kept:x" is not NAME/, "run", program, "--volume", "kept:x");
    await refused(/no volume "?other/, "run", program, "--volume", "other");
    await powerOff(t, machine);
  },
);
