/** Typevisor's own accounting of the machine's frames, for comparing before and after. */
import type { ExecutionContext } from "ava";
import type { Machine } from "../../../scripts/machine.ts";
import { COMMAND_MS, evaluate } from "./boot.ts";

/** Frames (4 KiB) by what they are used for, as `info` shows them; `total` is their sum. */
export type Frames = Record<string, number>;

/**
 * Reads the accounting. What domain 0's engine has touched it keeps: those frames are counted as free, so that nothing
 * else can hide behind them.
 */
export async function frames(machine: Machine): Promise<Frames> {
  const counters = await evaluate<Frames>(
    machine,
    'Object.fromEntries([...sysctl.performanceCounters()].filter(([k]) => k.startsWith("frames.")).map(([k, v]) => [k.slice(7), v[0]]))',
  );
  const { engine, free, ...others } = counters;
  return { ...others, "free or domain 0's": free + engine };
}

/** Touches each 2 MiB of the boot modules: domain 0's page tables for them are not told from guests'. */
const TOUCH_MODULES =
  "js modules.forEach(({ address, size }) => { for (let at = 0; at < size; at += 2 << 20) memory.load8(address + at); " +
  "if (size > 0) memory.load8(address + size - 1) })";

/** The accounting after a first guest: page tables and heap pages for domain 0's own window stay from then on. */
export async function framesWarm(machine: Machine, kernel = "hello"): Promise<Frames> {
  await machine.command(`create --kernel ${kernel} --wait`, COMMAND_MS);
  await machine.command(TOUCH_MODULES, COMMAND_MS);
  return await frames(machine);
}

/** Everything is back: the accounting is as `before`, and adds up to the machine's total. */
export async function expectFrames(
  t: ExecutionContext,
  machine: Machine,
  before: Frames,
  after: string,
): Promise<void> {
  const now = await frames(machine);
  t.deepEqual(now, before, `frames ${after}`);
  const { total, ...parts } = now;
  t.is(
    Object.values(parts).reduce((sum, part) => sum + part, 0),
    total,
    "the parts add up to the machine's memory",
  );
}
