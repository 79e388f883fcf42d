/** Benchmarks under instruction counting: one machine, console commands, and their output. */
import { progress } from "../build/task.ts";
import { execution, waitForOutcome } from "../exec.ts";
import { Machine, plainText } from "../machine.ts";
import { type BootModule, withOwnGuests } from "../modules.ts";

/** Host time: the longest takes a minute when nothing else runs, twenty on a computer that is busy otherwise. */
const TIMEOUT_MS = 1_200_000;

/** Option of guests that measure: in so many ms the toolstack has done all that it does for a new domain with a device. */
export const SETTLE = "settle=300";

/** The machine to measure in, if not the default. */
export interface CountedMachine {
  /** Boot modules; our own guests if not given. */
  modules?: BootModule[];
  cpuModel?: string;
  memoryMib?: number;
  /** Host time after which it is given up; for a minute's work on a computer that does nothing else if not given. */
  timeoutMs?: number;
  /** QEMU's options for cards and disks. */
  devices?: string[];
}

/**
 * Runs console commands in QEMU with `-icount shift=0,sleep=off` (a TSC tick is an instruction, a nanosecond of system
 * time is one too). What time the machine idles is skipped and counts.
 * @returns what the machine printed, with plain line ends
 * @throws Error with the tail of the output when a command failed
 */
export async function runCounted(commands: string, options: CountedMachine = {}): Promise<string> {
  const exec = execution(commands);
  const machine = await Machine.start({
    kind: "qemu-svm",
    cpus: 1,
    memoryMib: options.memoryMib ?? 512,
    cpuModel: options.cpuModel,
    commandLine: exec.words,
    modules: options.modules ?? withOwnGuests([]),
    icount: true,
    devices: options.devices,
  });
  try {
    const outcome = await waitForOutcome(machine, exec.id, options.timeoutMs ?? TIMEOUT_MS);
    if (outcome.failed > 0) throw new Error(`a benchmark's command failed${machine.tail()}`);
    return plainText(machine.output);
  } finally {
    await machine.stop();
  }
}

/** A script for the console command `js`, on one line. Only its indentation may be lost: no comments to the line's end. */
export function jsCommand(script: string): string {
  return `js ${script.replace(/\n\s*/g, " ")}`;
}

/** The guest `bench`'s lines `bench NAME value unit`, by name. */
export function benchLines(output: string): Map<string, number> {
  return new Map([...output.matchAll(/^bench (\S+) (\d+) \S+$/gm)].map((m) => [m[1]!, Number(m[2])]));
}

/** A line that must be there, or an error naming it. */
export function benchValue(lines: Map<string, number>, name: string): number {
  const value = lines.get(name);
  if (value === undefined) throw new Error(`the guest "bench" did not print ${name}`);
  return value;
}

/**
 * The cost of each run that gave one, by the run's name; the others are named, with what was wrong.
 * @param cost of one run; throws an error in words where there is none
 */
export function costsOf<Run extends { name: string }>(runs: Run[], cost: (run: Run) => number): Map<string, number> {
  const costs = new Map<string, number>();
  for (const run of runs) {
    try {
      costs.set(run.name, cost(run));
    } catch (error) {
      progress((error as Error).message);
    }
  }
  return costs;
}

/** What was printed behind each of the command `echo run NAME`, by the name, in lines. */
export function linesOfRuns(output: string): Map<string, string[]> {
  const parts = output.split(/^run (\S+)$/m).slice(1);
  const said = new Map<string, string[]>();
  for (let i = 0; i + 1 < parts.length; i += 2) said.set(parts[i]!, parts[i + 1]!.split("\n"));
  return said;
}
