/**
 * The TypeScript HTTP demo under load, as a guest and on Node in a Debian guest, on the same machine: `wrk`, in a Linux guest of its own on
 * the same bridge, asks both. What each domain executes is told apart by its processor time, which is in instructions here.
 */
import { readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { buildApp } from "../../toolstack/cli/app/build.ts";
import { debianInitramfs, KERNEL_MODULE, linuxModules, RAMDISK_MODULE } from "../linux/guest.ts";
import { LinuxShell } from "../linux/shell.ts";
import { Machine, PROMPT } from "../machine.ts";
import { withOwnGuests, type BootModule } from "../modules.ts";
import { fromRoot } from "../paths.ts";
import { COMPARED_MACHINE } from "./xen-dom0/machine.ts";

/** Host time: of a boot, a command, a Linux guest's boot, a run of wrk; a tenth of each on a computer that does nothing else. */
const WAIT_MS = 1_200_000;

const BRIDGE = "inner";
const NODE_MODULE = "node";
const IO_DOMAIN = 32751;
/** The guest that asks: connections that are kept, one request at a time on each; seconds of the machine's clock. */
export const LOAD = {
  name: "load",
  address: "10.1.0.9",
  memoryMib: 192,
  connections: 16,
  /** Node compiles meanwhile. */
  warmSeconds: 2,
  runSeconds: 1,
};
const SITE = fromRoot("guests/typescript/demo/files");
const FILE = "README.md";

/** What is asked for. */
export const REQUESTS = [
  { name: "greeting", path: "/hello?name=you" },
  { name: "file", path: `/files/${FILE}` },
] as const;

export interface Subject {
  name: string;
  what: string;
  address: string;
  memoryMib: number;
  /** Boot modules, and the kernel's command line. */
  kernel: string;
  ramdisk?: string;
  commandLine: string;
}

export const SUBJECTS: Subject[] = [
  { name: "typescript", what: "TypeScript guest", address: "10.1.0.2", memoryMib: 5, kernel: "demo", commandLine: "" },
  {
    name: "node",
    what: "Node on Debian",
    address: "10.1.0.3",
    memoryMib: 512,
    kernel: KERNEL_MODULE,
    ramdisk: NODE_MODULE,
    commandLine: "console=hvc0 quiet",
  },
];

/** What a program took. */
export interface HttpFigures {
  /** From create to the first answer: instructions of domain 0, the I/O domain and the guest. */
  start: number;
  /** Memory of the guest in use, KiB: with the hypervisor's for it. */
  memoryKib: number;
  requests: Map<string, RequestFigures>;
}

export interface RequestFigures {
  /** Instructions per request: all that was executed but by the load generator; by the guest; by the I/O domain. */
  all: number;
  guest: number;
  io: number;
  /** Requests per second of the machine's clock, the load generator on the same processor. */
  perSecond: number;
}

/** The demo as Node takes it. */
async function nodeProgram(): Promise<Buffer> {
  const { outputFiles } = await build({
    entryPoints: [fromRoot("guests/typescript/demo/server.ts")],
    bundle: true,
    write: false,
    platform: "node",
    target: "node18",
    format: "cjs",
  });
  return Buffer.from(outputFiles[0]!.contents);
}

const NODE_INITTAB = `::once:/usr/bin/node /srv/server.js
::respawn:-/bin/sh
::ctrlaltdel:/sbin/reboot
`;

/** What Debian's Node is made of: the libraries are found, the parts of it in JavaScript that Debian packs apart are not. */
const NODE_PACKAGES = [
  { name: "nodejs", files: /^usr\/bin\/node(js)?$/ },
  { name: "node-acorn", files: /^usr\/share\/nodejs\/acorn(-walk)?\/dist\/\w+\.js$/ },
  { name: "node-cjs-module-lexer", files: /^usr\/share\/nodejs\/cjs-module-lexer\/(dist\/)?lexer\.js$/ },
  { name: "node-undici", files: /^usr\/share\/nodejs\/undici\/undici-fetch\.js$/ },
];

/** Debian's Node with the demo, which its init starts; the demo's files where it looks for them. */
async function nodeRamdisk(): Promise<string> {
  const file = (name: string, data: Buffer) => ({ kind: "file" as const, path: name, mode: 0o644, data });
  return debianInitramfs(NODE_PACKAGES, {
    name: "demo",
    files: [
      file("srv/server.js", await nodeProgram()),
      file(FILE, readFileSync(path.join(SITE, FILE))),
      file("etc/inittab", Buffer.from(NODE_INITTAB)),
    ],
  });
}

async function modules(folder: string): Promise<BootModule[]> {
  const demo = path.join(folder, "demo.elf");
  writeFileSync(demo, await buildApp({ file: fromRoot("guests/typescript/demo/server.ts"), files: SITE }));
  return withOwnGuests([
    ...linuxModules(["wrk"]),
    { name: "demo", file: demo },
    { name: NODE_MODULE, file: await nodeRamdisk() },
  ]);
}

/** Processor time so far, ns: an instruction each. */
interface Times {
  guest: number;
  io: number;
}

const timeOf = (id: number) => `domctl.domainInfo(${id}).cpuTimeNs`;

class Bench {
  private readonly load: LinuxShell;

  constructor(private readonly machine: Machine) {
    this.load = new LinuxShell(machine, LOAD.name, WAIT_MS);
  }

  private command(line: string): Promise<string> {
    return this.machine.command(line, WAIT_MS);
  }

  async open(): Promise<void> {
    await this.machine.waitFor(`\n${PROMPT}`, WAIT_MS, "the first prompt");
    await this.command(`bridge create ${BRIDGE} --dhcp 10.1.0.1/24`);
    await this.machine.createDomain(
      `--kernel ${KERNEL_MODULE} --ramdisk ${RAMDISK_MODULE} --cmdline "console=hvc0 quiet" --name ${LOAD.name} --memory ${LOAD.memoryMib} --vif bridge=${BRIDGE},ip=${LOAD.address}`,
      WAIT_MS,
    );
    await this.load.enter();
    await this.load.run(`until ip address show eth0 | grep -q "inet ${LOAD.address}/24"; do sleep 0.1; done`);
    await this.load.leave();
  }

  /** A JavaScript expression's value in domain 0: an array of numbers. */
  private async numbers(expression: string): Promise<number[]> {
    const printed = await this.command(`js (async () => (${expression}).join(" "))()`);
    const values = /^"([\d ]+)"$/m.exec(printed)?.[1]?.split(" ").map(Number);
    if (values === undefined) throw new Error(`no figures of ${expression}: ${printed}`);
    return values;
  }

  private async times(id: number): Promise<Times> {
    const [guest, io] = await this.numbers(`[${timeOf(id)}, ${timeOf(IO_DOMAIN)}]`);
    return { guest: guest!, io: io! };
  }

  /**
   * Makes a guest, and lets it run: its number, what domain 0 has executed for that, and the I/O domain's processor time before. In
   * one expression: what domain 0 does for who types at its console is not in it.
   */
  private async create(subject: Subject): Promise<{ id: number; toolstack: number; io: number }> {
    const { name, kernel, ramdisk, commandLine, memoryMib, address } = subject;
    const find = (module: string) => `modules.find((m) => m.name === "${module}")`;
    const images = `kernel: ${find(kernel)}${ramdisk === undefined ? "" : `, ramdisk: ${find(ramdisk)}`}`;
    const others = JSON.stringify({
      name,
      commandLine,
      memoryMib,
      vcpus: 1,
      vifs: [`bridge=${BRIDGE},ip=${address}`],
    });
    const [id, toolstack, io] = await this.numbers(
      `await (async () => { const io = ${timeOf(IO_DOMAIN)}, before = ${timeOf(0)}; ` +
        `const guest = await domains.create({ ${images}, ...${others} }); domains.unpause(guest); ` +
        `return [guest.id, ${timeOf(0)} - before, io]; })()`,
    );
    return { id: id!, toolstack: toolstack!, io: io! };
  }

  /** Frames of the machine that are in use. */
  private async framesUsed(): Promise<number> {
    const [used] = await this.numbers(
      '((c) => [c.get("frames.total")[0] - c.get("frames.free")[0]])(sysctl.performanceCounters())',
    );
    return used!;
  }

  /** One figure after the other, of one program. */
  async measure(subject: Subject): Promise<HttpFigures> {
    const { load } = this;
    const { name, address } = subject;
    // Who asks until there is an answer sleeps in between; what it takes is not counted.
    await load.enter();
    const url = (where: string) => `http://${address}:80${where}`;
    await load.run(
      `(until wget -q -O /tmp/answer '${url(REQUESTS[0].path)}'; do usleep 20000; done; touch /tmp/${name}) 2>/dev/null &`,
    );
    await load.leave();
    const framesBefore = await this.framesUsed();
    const made = await this.create(subject);
    await load.enter();
    await load.run(`until [ -e /tmp/${name} ]; do usleep 20000; done`);
    await load.leave();
    const after = await this.times(made.id);
    const start = made.toolstack + (after.io - made.io) + after.guest;
    const memoryKib = 4 * ((await this.framesUsed()) - framesBefore);

    const requests = new Map<string, RequestFigures>();
    for (const request of REQUESTS) {
      await load.enter();
      const run = (seconds: number) =>
        load.run(`wrk -t 1 -c ${LOAD.connections} -d ${seconds}s '${url(request.path)}'`);
      await run(LOAD.warmSeconds);
      await load.leave();
      const begin = await this.times(made.id);
      await load.enter();
      const said = await run(LOAD.runSeconds);
      await load.leave();
      const end = await this.times(made.id);
      const count = Number(/^ +(\d+) requests in /m.exec(said)?.[1]);
      const perSecond = Number(/^Requests\/sec: +([\d.]+)/m.exec(said)?.[1]);
      if (!(count > 0) || /Non-2xx|Socket errors/.test(said)) throw new Error(`${name}, ${request.path}:\n${said}`);
      const [guest, io] = [(end.guest - begin.guest) / count, (end.io - begin.io) / count];
      requests.set(request.name, { all: guest + io, guest, io, perSecond });
    }
    await this.command(`destroy ${made.id}`);
    return { start, memoryKib, requests };
  }
}

/** The figures of each program, by its name. */
export async function httpFigures(): Promise<Map<string, HttpFigures>> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-http-"));
  try {
    const machine = await Machine.start({
      kind: "qemu-svm",
      cpus: 1,
      ...COMPARED_MACHINE,
      commandLine: "",
      modules: await modules(folder),
      icount: true,
    });
    try {
      const bench = new Bench(machine);
      await bench.open();
      const figures = new Map<string, HttpFigures>();
      for (const subject of SUBJECTS) figures.set(subject.name, await bench.measure(subject));
      return figures;
    } finally {
      await machine.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
