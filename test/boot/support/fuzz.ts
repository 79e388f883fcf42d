/**
 * The fuzzing guest beside two good ones: `timer`, whose timers must be on time, and `pattern`, whose memory must stay as
 * it is. Afterwards nothing of it is left, and domain 0 is the one that was there before.
 */
import type { ExecutionContext } from "ava";
import type { Machine } from "../../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, evaluate, GUEST_MS, type BootOptions, powerOff } from "./boot.ts";
import { expectFrames, framesWarm } from "./frames.ts";

export interface FuzzRun {
  seed: number;
  /** Of the guest's clock. */
  seconds: number;
  vcpus: number;
  /** Excludes nothing, so that it may end itself. */
  wild?: boolean;
}

/** A timer that is later was kept from its CPU by another guest, whatever else this computer does, ms. */
const LATE_MS = 10_000;
/** A machine's time may pass more slowly than ours. */
const SLOWNESS = 8;

/** Starts a guest that ends with its verdict when it is asked to; its number. */
async function start(machine: Machine, kernel: string, options: string): Promise<string> {
  return await machine.createDomain(`--kernel ${kernel} --cmdline 'obey ${options}'`, COMMAND_MS);
}

/** Asks it to end, and gives what it has said last. */
async function finish(machine: Machine, id: string): Promise<string> {
  await machine.command(`shutdown ${id}`, COMMAND_MS);
  return await machine.command(`console ${id}`, COMMAND_MS);
}

/** Boots a machine and runs them all; what the fuzzing guests did goes to the test's log. */
export async function fuzzHarmsOnlyItself(
  t: ExecutionContext,
  kind: NonNullable<BootOptions["kind"]>,
  runs: FuzzRun[],
): Promise<void> {
  const limits = runs.map((run) => GUEST_MS + 1000 * SLOWNESS * run.seconds);
  t.timeout(limits.reduce((sum, limit) => sum + limit, 3 * GUEST_MS));
  const machine = await bootToPrompt(t, { kind });
  await machine.command("js kept = 'the same domain 0'", COMMAND_MS);
  const before = await framesWarm(machine);
  const timer = await start(machine, "timer", `count=1000000000 limit=${LATE_MS}`);
  const pattern = await start(machine, "pattern", "seconds=1000000000");
  let verdicts = 0;
  for (const [i, { seed, seconds, vcpus, wild = false }] of runs.entries()) {
    const options = `seed=${seed} seconds=${seconds}${wild ? " wild" : ""}`;
    const printed = await machine.command(
      `create --kernel fuzz --vcpus ${vcpus} --cmdline '${options}' --wait`,
      limits[i]!,
    );
    t.log(`${kind}, ${options}: ${/\d+ steps, .*/.exec(printed)?.[0]}; ${/has ended: .*/.exec(printed)?.[0]}`);
    // What it does to itself is its own affair, now and then also without being wild; it must not see a fault of ours.
    t.regex(printed, /has ended: (poweroff|crash|reboot|watchdog)/, options);
    t.notRegex(printed, /TYPEVISOR-GUEST: FAIL/, options);
    if (!wild && /TYPEVISOR-GUEST: PASS fuzz[^]*has ended: poweroff/.test(printed)) verdicts++;
  }
  const tame = runs.filter((run) => run.wild !== true).length;
  t.true(verdicts * 2 >= tame, `${verdicts} of ${tame} came to their verdicts`);
  const times = await finish(machine, timer);
  t.regex(times, /TYPEVISOR-GUEST: PASS timer/);
  t.log(`${kind}: timers ${/^worst: .*/m.exec(times)?.[0]}`);
  t.regex(await finish(machine, pattern), /TYPEVISOR-GUEST: PASS pattern/);
  await expectFrames(t, machine, before, "after the fuzzing");
  t.is(await evaluate(machine, "kept"), "the same domain 0");
  t.notRegex(await machine.command("dmesg", COMMAND_MS), /panic|assert|restarted/i);
  t.regex(await machine.command("create --kernel hello --wait", GUEST_MS), /PASS hello/);
  await powerOff(t, machine);
}
