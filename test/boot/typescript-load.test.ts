/** TypeScript guests under load, managed by `chaos`: a hundred HTTP servers at once, and one that fails after many requests. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { fromRoot } from "../../scripts/paths.ts";
import { createRequest, destroyRequest } from "../../toolstack/api/requests/domains.ts";
import { ToolSession } from "../../toolstack/cli/chaos/session.ts";
import { provideImage } from "../../toolstack/cli/chaos/upload.ts";
import { COMMAND_MS, GUEST_MS, powerOff } from "./support/boot.ts";
import { startControlled, startTool } from "./support/control.ts";
import { type Frames, frames } from "./support/frames.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-load-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const GUESTS = 100;
const GUEST_MIB = 6;
const FRAMES_PER_MIB = 256;
const FIRST_ADDRESS = 100;
const REQUESTS_BEFORE = 1000;
/** Connections of this computer's at once. */
const AT_ONCE = 16;
/** As many as may be needed for page tables of domain 0's window that are touched the second time only. */
const TABLES_MOST = 2;
/** A hundred of anything, on a computer that has ten other things to do. */
const ALL_MS = GUEST_MS * 2;

async function chaos(...words: string[]): Promise<string> {
  const { status, out, err } = await startTool("chaos", words, ALL_MS).said;
  if (status !== 0) throw new Error(`chaos ${words.join(" ")}: ${err}`);
  return out;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });

/** The body of an answer. */
async function get(port: number, where: string): Promise<string> {
  const request = http.get({ host: "127.0.0.1", port, path: where, agent, timeout: GUEST_MS });
  request.on("timeout", () => request.destroy(new Error(`port ${port} is silent`)));
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece as string;
  return text;
}

/** The same of a guest that has just been made: until it listens, the emulator's network refuses, which is tried again. */
async function firstAnswer(port: number, where: string): Promise<string> {
  for (const end = Date.now() + GUEST_MS; ;) {
    try {
      return await get(port, where);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ECONNRESET" || Date.now() > end) throw error;
      await delay(200);
    }
  }
}

/** What `work` gives for each of `items`, some of them at once. */
async function each<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

test.serial(
  `${GUESTS} TypeScript HTTP servers at once: each answers, and all of them leave nothing behind`,
  async (t) => {
    t.timeout(ALL_MS * 6);
    const image = path.join(folder, "demo.elf");
    const demo = fromRoot("guests/typescript/demo");
    await chaos("build", path.join(demo, "server.ts"), "--files", path.join(demo, "files"), "-o", image);

    const ports = await freePorts(GUESTS);
    const address = (i: number) => `10.0.2.${FIRST_ADDRESS + i}`;
    const { machine } = await startControlled(t, 0, {
      memoryMib: 1024,
      forwards: ports.map((hostPort, i) => ({ protocol: "tcp", hostPort, address: address(i), port: 80 })),
    });
    const session = new ToolSession({});
    t.teardown(() => session.close());
    // Uploaded once; a hundred guests are made of it.
    const kernel = await provideImage(session, "--kernel", image);

    const round = async (): Promise<{ before: Frames; during: Frames; after: Frames }> => {
      const before = await frames(machine);
      for (let i = 0; i < GUESTS; i++) {
        const params = { kernel, name: `demo-${i}`, memory: GUEST_MIB, vif: [`ip=${address(i)}`] };
        await session.ask(createRequest, params as never);
      }
      const answers = await each([...ports.keys()], (i) => firstAnswer(ports[i]!, `/hello?name=${i}`));
      t.deepEqual(
        answers,
        ports.map((_, i) => `Hello, ${i}!\n`),
      );
      const during = await frames(machine);
      const listed = JSON.parse(await chaos("list", "--json")) as { name: string; state: string }[];
      t.is(listed.filter(({ name }) => /^demo-\d+$/.test(name)).length, GUESTS);
      await session.ask(destroyRequest, { ids: ports.map((_, i) => `demo-${i}`) });
      t.notRegex(await chaos("list"), /demo/);
      return { before, during, after: await frames(machine) };
    };
    // The first time leaves tables that have grown.
    const first = await round();
    const { before, during, after } = await round();
    const tables = after["tables"]! - before["tables"]!;
    const free = "free or domain 0's";
    t.true(tables >= 0 && tables <= TABLES_MOST, `${tables} page tables more`);
    t.deepEqual(
      { ...after, tables: before["tables"]!, [free]: after[free]! + tables },
      first.after,
      "frames after as many again",
    );
    const each100 = (before[free]! - during[free]!) / GUESTS;
    const beyond = each100 - GUEST_MIB * FRAMES_PER_MIB;
    t.log(`a guest has ${GUEST_MIB} MiB, and takes ${(beyond * 4).toFixed(1)} KiB beside them`);
    t.true(beyond > 0 && beyond < FRAMES_PER_MIB / 2, `${beyond} frames for a guest beside its own`);
    t.notRegex(machine.output, /PANIC|uncaught|watchdog|has ended/i);
    await powerOff(t, machine);
  },
);

test.serial(
  `an exception in a handler behind ${REQUESTS_BEFORE} requests: a crash, with its place in \`chaos logs\``,
  async (t) => {
    t.timeout(ALL_MS * 3);
    const image = path.join(folder, "failing.elf");
    const source = fromRoot("test/boot/support/typescript/failing.ts");
    await chaos("build", source, "-o", image);
    const [port] = (await freePorts(1)) as [number];
    const forwards = [{ protocol: "tcp" as const, hostPort: port, address: "10.0.2.40", port: 80 }];
    const { machine } = await startControlled(t, 0, { memoryMib: 512, forwards });
    const settings = ["--memory", "6", "--vif", "ip=10.0.2.40", "--on-crash", "preserve"];
    await chaos("create", "--kernel", image, "--name", "failing", ...settings);

    const first = await firstAnswer(port, "/");
    const others = await each(Array.from({ length: REQUESTS_BEFORE - 1 }), () => get(port, "/"));
    const answers = [first, ...others];
    t.deepEqual(
      answers.map((text) => Number(/^answer (\d+)\n$/.exec(text)?.[1])).sort((a, b) => a - b),
      answers.map((_, i) => i + 1),
    );
    const unanswered = get(port, "/fail").catch(() => "nothing");
    await machine.waitFor(/\(failing\) has ended: crash/, COMMAND_MS, "the guest's end");

    const lines = readFileSync(source, "utf8").split("\n");
    const place = (text: string) => `failing\\.ts:${lines.findIndex((line) => line.includes(text)) + 1}:\\d+`;
    const wanted = [
      "Uncaught TypeError: cannot read property 'name' of undefined\\n",
      `at customerOf \\(${place("order.customer!")}`,
    ];
    const logs = await chaos("logs", "failing");
    t.regex(logs, new RegExp(wanted.join("[^]*")));
    t.notRegex(logs, /Warning/);
    await chaos("destroy", "failing");
    agent.destroy();
    t.is(await unanswered, "nothing");
    await powerOff(t, machine);
  },
);
