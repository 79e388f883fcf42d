/**
 * A machine loses its power, again and again, on one disk: the emulator is killed (SIGKILL) at a random moment while two guests write
 * logs, and domain 0 makes snapshots of their volumes, volumes from those, resizes and deletes them. The next machine must find a
 * store without a problem, the volumes that were made, in each log every record that was flushed, and in each sector behind it
 * something that was written there or nothing; and what is in a snapshot must stay as it was.
 *
 * The emulator's disk is a file, opened with cache=writeback: what it has answered is in this computer's page cache, which
 * outlives it. A disk that loses its cache is another matter: test/unit/io/block/crash-run.ts.
 */
import type { ExecutionContext } from "ava";
import { setTimeout as delay } from "node:timers/promises";
import { AwaitError, Machine, plainText, PROMPT } from "../../../scripts/machine.ts";
import { guestsFolder } from "../../../scripts/paths.ts";
import path from "node:path";
import { Random } from "../../unit/io/block/random.ts";
import { BOOT_MS, COMMAND_MS, GUEST_MS, powerOff } from "./boot.ts";
import { diskFile } from "./disk-file.ts";
import { Volumes, type Operation } from "./lost-power-model.ts";

const MIB = 1 << 20;
const DISK_MIB = 96;
export const LOG_BYTES = 2 * MIB;
const FLUSH_EVERY = 8;
/** Operations of a life: more than there is time for. */
const OPERATIONS = 24;
/** When the power goes, ms from when domain 0 is told the operations; and, of some lives, from the emulator's start. */
const WRITING_MS = { least: 0, most: 3000 };
const STARTING_MS = { least: 100, most: 6000 };
const STARTING_OF = 6;
/** Of a long run it is told how far it is. */
const TELL_EVERY = 20;
/** Of one log, before the other's first. */
const FLUSHES_MOST = 10_000;

const LOGS = [
  { name: "log0", model: "noxs", seed: 1 },
  { name: "log1", model: "xenbus", seed: 2 },
] as const;

export interface PowerOptions {
  lives: number;
  seed: number;
}

async function start(file: string, running: Set<Machine>): Promise<Machine> {
  const machine = await Machine.start({
    kind: "qemu-svm",
    cpus: 1,
    memoryMib: 128,
    commandLine: "",
    disks: [{ file }],
    modules: [{ name: "blktest", file: path.join(guestsFolder, "blktest.elf") }],
  });
  running.add(machine);
  machine.once("end", () => running.delete(machine));
  return machine;
}

/** A life of the machine, from its start to its end. */
class Life {
  /** Where in the output the work begins; 0: it has not. */
  from = 0;

  constructor(
    private readonly t: ExecutionContext,
    private readonly machine: Machine,
    private readonly model: Volumes,
  ) {}

  private async command(line: string): Promise<string> {
    return await this.machine.command(line, COMMAND_MS);
  }

  /** Runs blktest on a volume to its end. */
  private async blktest(volume: string, cmdline: string): Promise<string> {
    const disk = `target=${volume},vdev=xvda,access=r`;
    const line = `create --kernel blktest --memory 8 --vbd ${disk} --cmdline '${cmdline}' --wait`;
    const printed = await this.machine.command(line, GUEST_MS);
    if (!printed.includes("TYPEVISOR-GUEST: PASS blktest")) throw new Error(`${volume}: ${cmdline}\n${printed}`);
    return printed;
  }

  private async sum(volume: string, bytes: number): Promise<{ crc: string; behind: string }> {
    const printed = await this.blktest(volume, `mode=sum front=${bytes / 512}`);
    const [, crc, behind] = /blktest sum \d+ sectors ([0-9a-f]{8}), behind them (\w+)/.exec(printed) ?? [];
    if (crc === undefined) throw new Error(`${volume}: no checksum in ${printed}`);
    return { crc, behind: behind! };
  }

  /** The store is without a problem, and everything in it is what it was, or what it was to become. */
  async check(): Promise<void> {
    const { t, model } = this;
    await this.machine.waitFor(`\n${PROMPT}`, BOOT_MS, "the first prompt");
    t.regex(await this.command("volume check 0"), /disk 0: no problem/);
    const printed = await this.command("volume list --json");
    const line = printed.split("\n").findLast((text) => text.startsWith("["));
    if (line === undefined) throw new Error(`volume list gave no list but: ${printed}`);
    model.found(JSON.parse(line));
    for (const { name, seed } of LOGS) {
      const { flushed } = model.log(name);
      await this.blktest(name, `mode=log-check seed=${seed} sectors=${LOG_BYTES / 512} flushed=${flushed}`);
    }
    for (const volume of model.copies()) {
      const seed = LOGS.find(({ name }) => name === volume.log)?.seed;
      if (volume.snapshot) await this.blktest(volume.name, `mode=log-check seed=${seed} flushed=${volume.flushed}`);
      const { crc, behind } = await this.sum(volume.name, volume.kept);
      volume.crc ??= volume.from === null ? crc : (await this.sum(volume.from, volume.kept)).crc;
      t.is(crc, volume.crc, `${volume.name}: its first ${volume.kept} bytes`);
      t.is(behind, "zeroes", `${volume.name}: what is behind them`);
    }
    model.checked();
  }

  /** Guests write, and from when `begins` is called domain 0 does the operations, until the power goes. */
  async work(operations: readonly Operation[], begins: () => void): Promise<void> {
    const { machine } = this;
    this.from = machine.output.length;
    const list = JSON.stringify(operations.map(({ call, words }) => [call, ...words]));
    await this.command(
      `js all = async () => { const v = domains.devices.volumes; let i = 0; for (const [call, ...words] of ${list}) { ` +
        `print("begins " + i + "\\n"); try { await v[call](...words); print("did " + i + "\\n"); } ` +
        `catch (error) { print("refused " + i + " " + error.message + "\\n"); } i++; } }`,
    );
    // A log's lines are shown as it writes them, each by itself.
    await this.command(
      `js show = (name) => { let text = ""; domains.find(name).console.attach({ show(bytes) { ` +
        `text += String.fromCharCode(...bytes); const lines = text.split("\\n"); ` +
        `text = lines.pop(); for (const line of lines) print(name + " " + line.trim() + "\\n"); } }); }`,
    );
    for (const { name, model, seed } of LOGS) {
      const cmdline = `mode=log seed=${seed} flush=${FLUSH_EVERY} sectors=${LOG_BYTES / 512} from=${this.model.log(name).flushed + 1}`;
      const disk = `--vbd target=${name},vdev=xvda --${model}`;
      const guest = `--kernel blktest --memory 8 ${disk} --name ${name} --cmdline '${cmdline}'`;
      await this.command(`create ${guest}; js show("${name}")`);
    }
    for (const { name } of LOGS) await this.saidBy(name);
    begins();
    await this.command("js await all()");
    // It was quicker: the guests go on.
    await machine.waitForEnd(GUEST_MS);
  }

  /** Waits until a log has flushed something. */
  private async saidBy(name: string): Promise<void> {
    const { machine } = this;
    const flushed = new RegExp(`${name} blktest flushed \\d+,`);
    const since = this.from;
    for (let waits = 0; !flushed.test(machine.output.slice(since)); waits++) {
      await machine.waitFor(/blktest flushed \d+, [^\n]*\n/, GUEST_MS, `the first flush of ${name}`);
      if (waits > FLUSHES_MOST) throw new Error(`${name} flushes nothing${machine.tail()}`);
    }
  }
}

/** Formats a disk, and starts and kills machines on it. */
export async function powerIsLost(t: ExecutionContext, { lives, seed }: PowerOptions): Promise<void> {
  t.timeout((lives + 4) * 60_000 + GUEST_MS);
  t.log(`seed ${seed}`);
  const random = new Random(seed);
  const file = diskFile(t, DISK_MIB * MIB);
  const running = new Set<Machine>();
  t.teardown(async () => {
    for (const machine of running) await machine.stop();
  });
  const model = new Volumes(
    random,
    LOGS.map(({ name }) => name),
    LOG_BYTES,
  );
  const counts = { starting: 0, operations: 0, refused: 0, uncertain: 0, flushes: 0, copies: 0 };

  const first = await start(file, running);
  await first.waitFor(`\n${PROMPT}`, BOOT_MS, "the first prompt");
  const made = LOGS.map(({ name }) => `volume create ${name} ${LOG_BYTES / MIB}M`).join("; ");
  t.is((await first.command(`volume format 0; ${made}`, COMMAND_MS)).trim(), "");
  await powerOff(t, first);

  for (let life = 0; life < lives; life++) {
    const machine = await start(file, running);
    const run = new Life(t, machine, model);
    const operations = model.draw(OPERATIONS);
    const early = random.below(STARTING_OF) === 0;
    const span = early ? STARTING_MS : WRITING_MS;
    const moment = span.least + random.below(span.most - span.least);
    let ended = false;
    const lose = async () => {
      await delay(moment);
      ended = true;
      process.kill(machine.pid!, "SIGKILL");
    };
    let losing: Promise<void> | undefined;
    try {
      if (early) losing = lose();
      await run.check();
      counts.copies += [...model.copies()].length;
      await run.work(operations, () => (losing ??= lose()));
    } catch (error) {
      // The end of the machine ends what waited for it.
      if (!(error instanceof AwaitError) || !ended) {
        await losing;
        throw new Error(`life ${life}, ${moment} ms, seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    await losing;
    await machine.waitForEnd(COMMAND_MS);
    t.is(machine.end!.signal, "SIGKILL", `life ${life}: ${machine.tail()}`);
    if (run.from === 0) counts.starting++;
    else {
      const { did, refused, uncertain, flushes } = model.said(operations, plainText(machine.output.slice(run.from)));
      counts.operations += did;
      counts.refused += refused;
      counts.uncertain += uncertain;
      counts.flushes += flushes;
    }
    if ((life + 1) % TELL_EVERY === 0) console.log(`seed ${seed}: ${life + 1} of ${lives}, ${JSON.stringify(counts)}`);
  }
  const last = await start(file, running);
  await new Life(t, last, model).check();
  t.regex(await last.command("debug-keys a", COMMAND_MS), /0 violations/);
  await powerOff(t, last);
  t.true(counts.flushes > 0 && counts.operations > 0, JSON.stringify(counts));
  t.log(
    `power was lost ${lives} times, ${counts.starting} of them before guests wrote: ${counts.flushes} flushes and ` +
      `${counts.operations} operations were answered, ${counts.uncertain} operations not; ${counts.refused} were refused; ` +
      `contents of ${counts.copies} snapshots and their copies compared; nothing is lost`,
  );
}
