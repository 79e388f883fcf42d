/** Machines that clients reach by the control connection: started as `npm start` does, good clients, and what clients have left behind. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import type { ExecutionContext } from "ava";
import { prepareControl, type Control } from "../../../scripts/control.ts";
import { freePorts } from "../../../scripts/devices.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { fromRoot } from "../../../scripts/paths.ts";
import { createRequest, destroyRequest, listRequest } from "../../../toolstack/api/requests/domains.ts";
import type { Client } from "../../../toolstack/cli/connection/client.ts";
import { connect, findTarget, secure } from "../../../toolstack/cli/connection/connect.ts";
import { readKey } from "../../../toolstack/cli/connection/key.ts";
import { listMachines, removeMachine } from "../../../toolstack/cli/connection/machines.ts";
import { bootToPrompt, COMMAND_MS, evaluate, type BootOptions } from "./boot.ts";
import { frames, type Frames } from "./frames.ts";

const ADDRESS = /domain 0's network: 10\.0\.2\.4\/24/;

/** Lets domain 0 crash, and waits until the new one can be reached. */
export async function crashDomain0(machine: Machine): Promise<void> {
  machine.send("js memory.store32(0xc01ff000, 3), hypercall(29, 2, 0xc01ff000)\r"); // SCHEDOP_shutdown, SHUTDOWN_crash
  await machine.waitFor(/Domain 0 is restarted: /, COMMAND_MS, "domain 0's restart");
  await machine.waitFor(ADDRESS, COMMAND_MS, "domain 0's address again");
}

/**
 * Starts a machine with a control connection, which is the only one that the tools of this process know.
 * @param more ports of this computer's that lead to it, too
 */
export async function startControlled(
  t: ExecutionContext,
  more = 0,
  options: BootOptions = {},
): Promise<{ machine: Machine; control: Control; ports: number[] }> {
  for (const { name } of listMachines()) removeMachine(name); // the test's before
  const control = await prepareControl(undefined);
  const ports = await freePorts(more);
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    commandLine: control.word,
    ...options,
    modules: [...control.modules, ...(options.modules ?? [])],
    forwards: [
      control.forward,
      ...ports.map((hostPort) => ({ ...control.forward, hostPort })),
      ...(options.forwards ?? []),
    ],
  });
  await machine.waitFor(ADDRESS, COMMAND_MS, "domain 0's address");
  control.record();
  return { machine, control, ports };
}

export interface Said {
  status: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

/** Starts a command as a process of its own; one that does not end is killed, and `said` has its status. */
export function startTool(
  name: "chaos" | "xl",
  words: string[],
  timeout = COMMAND_MS,
): { child: ChildProcess; said: Promise<Said> } {
  const args = ["--import=tsx", fromRoot(`toolstack/cli/${name}.ts`), ...words];
  const child = spawn(process.execPath, args, { cwd: fromRoot("."), timeout });
  let [out, err] = ["", ""];
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (err += bytes.toString()));
  child.stdin.end();
  const said = once(child, "close").then(([status, signal]) => ({ status, signal, out, err }) as Said);
  return { child, said };
}

/** A client with the machine's key. */
export async function goodClient(): Promise<Client> {
  return (await connect(findTarget(undefined, undefined))).client;
}

/** A connection with the machine's key, on which the test itself says what it likes. */
export async function ownConnection(): Promise<TLSSocket> {
  const target = findTarget(undefined, undefined);
  const socket = await secure(target, readKey(target.keyFile));
  socket.on("error", () => {}); // the test looks at what came
  return socket;
}

/** A client that works while others misbehave: it lists, creates, destroys. */
export class Worker {
  rounds = 0;
  private stopped = false;
  private pause: Promise<void> = Promise.resolve();
  private readonly work: Promise<void>;

  constructor(client: Client) {
    this.work = this.run(client);
    this.work.catch(() => {}); // told by `stop`
  }

  private async run(client: Client): Promise<void> {
    const ask: Client["request"] = (...of) => {
      const pending = client.request(...of);
      pending.stream.resume();
      return pending;
    };
    for (;;) {
      await this.pause;
      if (this.stopped) break;
      const params = { kernel: "idle", name: "worker", memory: 4 };
      const { id } = await ask(createRequest, params as never).result;
      const there = await ask(listRequest, {}).result;
      if (!there.some(({ name }) => name === "worker")) throw new Error("the worker's domain is not listed");
      await ask(destroyRequest, { ids: [String(id)] }).result;
      this.rounds++;
    }
    client.close();
  }

  /** Waits until it has done so many rounds more. @throws when it was refused something, or lost its connection */
  async progress(rounds: number): Promise<void> {
    const wanted = this.rounds + rounds;
    while (this.rounds < wanted) {
      await Promise.race([this.work, new Promise((resolve) => setTimeout(resolve, 20))]);
      if (this.stopped) throw new Error("the worker has stopped");
    }
  }

  /** Does something between two of its rounds, when it has no domain. */
  async rest(what: () => Promise<void>): Promise<void> {
    let resume = () => {};
    this.pause = new Promise((resolve) => (resume = resolve));
    try {
      await what();
    } finally {
      resume();
    }
  }

  /** Ends it. @throws as `progress` */
  async stop(): Promise<number> {
    this.stopped = true;
    await this.work;
    return this.rounds;
  }
}

/** What clients may leave behind, as domain 0 and the hypervisor count it. */
export interface Holdings {
  clients: number;
  connections: number;
  tls: { pending: number; accepted: number; sessions: number };
  domains: number;
  images: number;
  consoles: number;
  /** Pages of stable memory that domains' records have. */
  stable: number;
  frames: Frames;
}

const HOLDINGS =
  "(({pending, accepted, sessions}) => ({ clients: control.count, connections: net.count(), tls: { pending, accepted, sessions }, " +
  "domains: domains.all().length, images: images.list().length, stable: stablePages().used, " +
  "consoles: domains.all().filter((d) => d.console?.attached).length }))(control.connections())";

export async function holdings(machine: Machine): Promise<Holdings> {
  return { ...(await evaluate<Omit<Holdings, "frames">>(machine, HOLDINGS)), frames: await frames(machine) };
}

/** Frames of domain 0's engine: its heap never gives one back, so this is the most that it has ever needed. */
export async function engineFrames(machine: Machine): Promise<number> {
  return await evaluate<number>(machine, 'sysctl.performanceCounters().get("frames.engine")[0]');
}

const SETTLED_TRIES = 300;

/** Waits until what clients hold is as `before`; the test fails with the difference when it does not become so. */
export async function expectHoldings(
  t: ExecutionContext,
  machine: Machine,
  before: Holdings,
  after: string,
): Promise<void> {
  let now = await holdings(machine);
  for (let tries = 0; tries < SETTLED_TRIES && JSON.stringify(now) !== JSON.stringify(before); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    now = await holdings(machine);
  }
  t.deepEqual(now, before, after);
}
