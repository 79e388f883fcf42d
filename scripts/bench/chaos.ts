/** The runs of row `chaos`: requests over the control connection of a machine whose instructions are counted. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { createRequest, destroyRequest } from "../../toolstack/api/requests/domains.ts";
import { imageListRequest } from "../../toolstack/api/requests/images.ts";
import type { Client } from "../../toolstack/cli/connection/client.ts";
import { connect, findTarget } from "../../toolstack/cli/connection/connect.ts";
import { prepareControl } from "../control.ts";
import { Machine, PROMPT } from "../machine.ts";
import { withOwnGuests } from "../modules.ts";
import { jsCommand } from "./guest.ts";

const ROUNDS = 30;
/** Host time for one step, and for the boot. */
const STEP_MS = 300_000;

/** Instructions. */
export interface ChaosCosts {
  connection: number;
  nothing: number;
  create: number;
  destroy: number;
  consoleCreate: number;
  consoleDestroy: number;
}

/** Domain 0's and the I/O domain's processor time, ns, which are instructions. */
const SPENT = "domctl.domainInfo(0).cpuTimeNs + domctl.domainInfo(32751).cpuTimeNs";

/** Run in domain 0: the console's commands, without the console. */
const CONSOLE = `(async () => {
  const find = (name) => commands.find((c) => c.name === name);
  const context = { domains, rawArguments: "", interruption: { raised: false, onRaise() { return () => {}; } } };
  const spent = () => ${SPENT};
  const sums = [0, 0];
  for (let i = 0; i < ${ROUNDS}; i++) {
    const a = spent();
    await find("create").run(["--kernel", "idle", "--memory", "2", "--paused", "--name", "typed"], context);
    const b = spent();
    await find("destroy").run(["typed"], context);
    const c = spent();
    await sleep(20);
    sums[0] += b - a;
    sums[1] += c - b;
  }
  print("typed " + sums.map((n) => n / ${ROUNDS}).join(" ") + "\\n");
})()`;

async function spent(machine: Machine): Promise<number> {
  const said = await machine.command(`js "spent " + (${SPENT})`, STEP_MS);
  const found = /"spent (\d+)"/.exec(said);
  if (found === null) throw new Error(`no figure in: ${said}`);
  return Number(found[1]);
}

/** The average cost of something that is done ROUNDS times. */
async function averageOf(machine: Machine, work: (i: number) => Promise<void>): Promise<number> {
  const [first, second] = [await spent(machine), await spent(machine)];
  for (let i = 0; i < ROUNDS; i++) await work(i);
  const last = await spent(machine);
  return (last - second - (second - first)) / ROUNDS;
}

async function ask<R>({ result, stream }: { result: Promise<R>; stream: NodeJS.ReadableStream }): Promise<R> {
  stream.resume();
  return await result;
}

async function measure(machine: Machine): Promise<ChaosCosts> {
  const target = findTarget(undefined, undefined);
  const create = async (client: Client, i: number) => {
    const params = { kernel: "idle", memory: 2, paused: true, name: `asked-${i}` };
    await ask(client.request(createRequest, params as never));
  };
  const destroy = async (client: Client, i: number) => {
    await ask(client.request(destroyRequest, { ids: [`asked-${i}`] }));
  };
  const connection = async () => {
    const { client } = await connect(target);
    client.close();
  };
  const spinner = await machine.createDomain("--kernel spin --memory 4", STEP_MS);
  await machine.command(`js domctl.setWeight(${spinner}, 1)`, STEP_MS);
  // Everything once.
  await connection();
  const { client } = await connect(target);
  await create(client, 0);
  await destroy(client, 0);
  const costs = {
    nothing: await averageOf(machine, async () => void (await ask(client.request(imageListRequest, {})))),
    create: await averageOf(machine, (i) => create(client, i)),
    destroy: await averageOf(machine, (i) => destroy(client, i)),
    connection: await averageOf(machine, connection),
  };
  client.close();
  const typed = /typed (\d+)\S* (\d+)/.exec(await machine.command(jsCommand(CONSOLE), STEP_MS));
  if (typed === null) throw new Error(`no figures of the console's commands${machine.tail()}`);
  return { ...costs, consoleCreate: Number(typed[1]), consoleDestroy: Number(typed[2]) };
}

/** Boots a machine with a control connection, measures, and ends it. @throws Error in words */
export async function measureChaos(): Promise<ChaosCosts> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-bench-"));
  const before = process.env.XDG_RUNTIME_DIR;
  process.env.XDG_RUNTIME_DIR = folder;
  try {
    const control = await prepareControl(undefined);
    const machine = await Machine.start({
      kind: "qemu-svm",
      cpus: 1,
      memoryMib: 512,
      commandLine: control.word,
      modules: withOwnGuests(control.modules),
      nic: "virtio-net",
      forwards: [control.forward],
      icount: true,
    });
    try {
      await machine.waitFor(`\n${PROMPT}`, STEP_MS, "the first prompt");
      await machine.waitFor(/domain 0's network: /, STEP_MS, "domain 0's address");
      control.record();
      return await measure(machine);
    } finally {
      await machine.stop();
    }
  } finally {
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
    rmSync(folder, { recursive: true, force: true });
  }
}
