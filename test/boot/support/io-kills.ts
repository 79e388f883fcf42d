/**
 * The I/O domain is killed again and again while guests use networks and disks. Each checks what it gets: blktest that every write that
 * was answered is there, its log that every flush is; nettest every byte that passes. How long they waited they tell by Xen's system
 * time, which is this computer's: what else it does counts. With `icount` it is the number of instructions executed, each a ns; that is
 * slow, and without the guests that use the CPU as much as they can.
 */
import type { ExecutionContext } from "ava";
import type { Machine } from "../../../scripts/machine.ts";
import { Random } from "../../unit/io/block/random.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, evaluate, GUEST_MS, powerOff, type BootOptions } from "./boot.ts";
import { diskFile } from "./disk-file.ts";

const MIB = 1 << 20;

/** SHUTDOWN_*: what it is killed as. A crash counts as one, of which there may be few in a minute; the other is `io-restart`. */
const AS_CRASH = 3;
const AS_ASKED = 1;
const CRASHES_MOST = 4;
/** Between two kills, ms of the machine. */
const BETWEEN_MS = { least: 10, most: 60 };
const HASTY = 5;
/** A second of such a machine may take half a minute. */
const ICOUNT_TIMES = 5;
/** Kills by one command. */
const BATCH = 10;
const VOLUMES = new Map([
  ["log", "4M"],
  ["mix", "4M"],
  ["reads", "1M"],
]);

interface Load {
  name: string;
  options: string;
  /** It uses the CPU as much as it can. */
  heavy: boolean;
}

export const MODELS = ["noxs", "xenbus"] as const;
export type Model = (typeof MODELS)[number];

/** Guests, in the order in which they are created: those that the figures are of do little, the others all they can. */
function loads(model: Model): Load[] {
  const disk = (what: string, line: string) =>
    `--kernel blktest --memory 8 --${model} --vbd target=${what},vdev=xvda --cmdline '${line}' --name ${what}`;
  const net = (name: string, last: number, line: string) =>
    `--kernel nettest --memory 8 --${model} --vif bridge=inner,ip=10.1.0.${last} --cmdline 'ip=10.1.0.${last} ${line}' --name ${name}`;
  return [
    { name: "server", options: net("server", 2, ""), heavy: true },
    { name: "answerer", options: net("answerer", 3, ""), heavy: false },
    { name: "data", options: net("data", 4, "peer=10.1.0.2 bytes=60000 repeat"), heavy: true },
    { name: "pulse", options: net("pulse", 5, "peer=10.1.0.3 test=pulse repeat"), heavy: false },
    { name: "log", options: disk("log", "mode=log flush=64"), heavy: false },
    { name: "mix", options: disk("mix", "seed=1 repeat"), heavy: true },
    { name: "reads", options: disk("reads", "mode=pulse"), heavy: false },
  ];
}

/** What a guest says last when it is asked to end. */
async function verdict(machine: Machine, name: string, limitMs: number): Promise<string> {
  await machine.command(`shutdown ${name}`, limitMs);
  return await machine.command(`console ${name}`, COMMAND_MS);
}

interface Kill {
  /** After so long, from when it answers again, or, hasty, from the kill before: then it may be at its start. */
  ms: number;
  as: number;
}

/** Kills it. The times are those of the machine, and drawn before, so that a seed tells them. */
async function kill(machine: Machine, kills: readonly Kill[], limitMs: number, hasty = false): Promise<void> {
  const list = JSON.stringify(kills.map(({ ms, as }) => [ms, as]));
  const call = "hypercall(29, 4, (memory.store32(0xc01ff000, 32751), memory.store32(0xc01ff004, how), 0xc01ff000))";
  const back = hasty ? "" : " await io.ping();";
  const script = `(async () => { for (const [ms, how] of ${list}) { await sleep(ms); ${call};${back} } return "killed"; })()`;
  const printed = await machine.command(`js ${script}`, limitMs);
  if (!printed.includes('"killed"')) throw new Error(`the I/O domain was not killed: ${printed}`);
}

/** The number behind each pattern in what was said. */
function told(text: string, pattern: RegExp): number[] {
  const match = [...text.matchAll(pattern)].at(-1);
  if (match === undefined) throw new Error(`nobody said ${pattern}, but:\n${text}`);
  return match.slice(1).map(Number);
}

const ms = (us: number) => `${(us / 1000).toFixed(1)} ms`;

/** Boots a machine with those guests, and does it to them. */
export async function killsAreSurvived(
  t: ExecutionContext,
  model: Model,
  kills: number,
  seed: number,
  options: BootOptions = {},
): Promise<void> {
  const limitMs = options.icount ? ICOUNT_TIMES * GUEST_MS : GUEST_MS;
  t.timeout(limitMs * 4 + kills * 30_000);
  t.log(`seed ${seed}`);
  const random = new Random(seed);
  const machine = await bootToPrompt(t, {
    memoryMib: 256,
    disks: [{ file: diskFile(t, 128 * MIB) }],
    ...options,
  });
  const command = (line: string) => machine.command(line, limitMs);
  await command("volume format 0; bridge create inner");
  for (const [name, size] of VOLUMES) await command(`volume create ${name} ${size}`);
  const all = loads(model).filter(({ heavy }) => !heavy || !options.icount);
  const there = (name: string) => all.some((load) => load.name === name);
  for (const { options: words } of all) await machine.createDomain(words, COMMAND_MS);
  await consoleSays(machine, "reads", /blktest: reading/, limitMs);
  await consoleSays(machine, "log", /blktest flushed \d+/, limitMs);
  if (there("mix")) await consoleSays(machine, "mix", /blktest: wrote/, limitMs);
  if (there("data")) await consoleSays(machine, "data", /nettest echo \d+ bytes/, limitMs);

  const crashes = new Set(Array.from({ length: CRASHES_MOST }, () => random.below(kills)));
  for (let done = 0; done < kills; done += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, kills - done) }, (_, i) => ({
      ms: BETWEEN_MS.least + random.below(BETWEEN_MS.most - BETWEEN_MS.least),
      as: crashes.has(done + i) ? AS_CRASH : AS_ASKED,
    }));
    await kill(machine, batch, limitMs);
  }
  t.is(await evaluate<number>(machine, "io.generation"), 1 + kills, "it was started anew by each kill");

  // All of them are still at it, and finish what they are at.
  const rows = JSON.parse((await command("vbd list --json")).trim().split("\n").at(-1)!) as Record<string, unknown>[];
  t.is(rows.length, [...VOLUMES.keys()].filter(there).length);
  t.true(
    rows.every(({ state, errors }) => state === "connected" && errors === 0),
    JSON.stringify(rows),
  );
  if (there("data")) await consoleSays(machine, "data", /nettest sink \d+ bytes/, limitMs);
  const said = new Map<string, string>();
  const finish = async (name: string) => {
    said.set(name, await verdict(machine, name, limitMs));
    t.regex(said.get(name)!, /TYPEVISOR-GUEST: PASS/, said.get(name));
  };
  for (const name of ["reads", "pulse"]) await finish(name);
  // The figures are taken. The others bear a few kills that come while it starts.
  await kill(
    machine,
    Array.from({ length: HASTY }, () => ({ ms: random.below(BETWEEN_MS.least), as: AS_ASKED })),
    limitMs,
    true,
  );
  for (const name of ["log", "mix", "data", "answerer", "server"].filter(there)) await finish(name);
  const waits = /waited (\d+) us at most/g;
  const longest = (name: string) => ms(told(said.get(name)!, waits)[0]!);
  const flush = (name: string) => ms(told(said.get(name)!, /(\d+) us for a flush/g)[0]!);
  const heavy = () =>
    `, those of the busiest guest ${longest("mix")}, a flush of its ${flush("mix")}, TCP ${longest("data")}; ` +
    `${told(said.get("data")!, /nettest did (\d+) tests/g)[0]} transfers right`;
  const [sent, answered] = told(said.get("pulse")!, /nettest pulse (\d+) datagrams (\d+) answered/g);
  t.log(
    `${model}, ${kills} kills, by ${options.icount ? "instructions, each 1 ns" : "this computer's time"}: ` +
      `the longest pause for a reader ${longest("reads")}, of datagrams ${longest("pulse")}; ` +
      `a writer's requests waited ${longest("log")}, a flush ${flush("log")}${there("mix") ? heavy() : ""}; ` +
      `${answered} of ${sent} datagrams answered`,
  );
  const [flushed] = told(said.get("log")!, /flushed (\d+), waited /g);
  const check = `--kernel blktest --memory 8 --vbd target=log,vdev=xvda --cmdline 'mode=log-check flushed=${flushed}'`;
  const checked = await machine.command(`create ${check} --wait`, GUEST_MS);
  t.regex(checked, /TYPEVISOR-GUEST: PASS blktest/, checked);
  t.regex(await command("volume check 0"), new RegExp(`no problem; ${VOLUMES.size} volumes`));
  t.regex(await command("debug-keys a"), /0 violations/);
  await powerOff(t, machine);
}
