/**
 * Runs many seeds in two processes.
 *
 *     npm run simulate -- [--tight | --busy] [--seeds N] [--from SEED] [--rounds N]
 *
 * A seed that fails is printed with the words of its violation, run again with fewer rounds until the shortest run that
 * still fails is found, and the command to replay it is shown.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { hypervisorWasm } from "../../scripts/build/assembly.ts";
import { hypervisorModule } from "./module.ts";
import { type Mode, simulate } from "./simulate.ts";

export interface Failure {
  seed: number;
  rounds: number;
  words: string;
}

/** What one process is to do; given as its only argument. */
interface Share {
  from: number;
  step: number;
  count: number;
  rounds: number;
  mode: Mode;
}

/** Runs one seed; the failure, if any, with the fewest rounds that show it. */
export function trySeed(
  module: WebAssembly.Module,
  seed: number,
  rounds: number,
  mode: Mode = "plain",
): Failure | null {
  const attempt = (n: number): string | null => {
    try {
      simulate(module, seed, { rounds: n, mode });
      return null;
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  };
  let words = attempt(rounds);
  if (words === null) return null;
  // A run is a prefix of a longer one up to its clean-up, so bisection finds a short one.
  let good = -1;
  let bad = rounds;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const shorter = attempt(middle);
    if (shorter === null) good = middle;
    else {
      bad = middle;
      words = shorter;
    }
  }
  return { seed, rounds: bad, words };
}

/** Runs seeds `from` .. `from + count - 1` on build/hypervisor.wasm, spread over the cores. Ends early after ten failures. */
export async function runSeeds(
  from: number,
  count: number,
  rounds: number,
  onProgress: (done: number) => void = () => {},
  mode: Mode = "plain",
): Promise<Failure[]> {
  await hypervisorModule();
  const failures: Failure[] = [];
  const width = Math.min(availableParallelism(), 2);
  let done = 0;
  await Promise.all(
    Array.from({ length: width }, (_, i) => {
      const share: Share = { from: from + i, step: width, count: Math.ceil((count - i) / width), rounds, mode };
      // Loaders do not reach worker threads, so the shares are processes.
      const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(share)], { execArgv: ["--import=tsx"] });
      return new Promise<void>((resolve, reject) => {
        child.on("message", (message: { done: number } | { failure: Failure }) => {
          if ("done" in message) onProgress((done += message.done));
          else if (failures.push(message.failure) >= 10) child.kill();
        });
        child.on("error", reject);
        child.on("exit", (code) => {
          if (code === 0 || failures.length >= 10) resolve();
          else reject(new Error(`a simulating process ended with status ${code}`));
        });
      });
    }),
  );
  return failures.sort((a, b) => a.seed - b.seed);
}

function work(share: Share): void {
  const module = new WebAssembly.Module(readFileSync(hypervisorWasm));
  for (let i = 0; i < share.count; i++) {
    const failure = trySeed(module, share.from + i * share.step, share.rounds, share.mode);
    if (failure) process.send!({ failure });
    if (i % 50 === 49 || i === share.count - 1) process.send!({ done: (i % 50) + 1 });
  }
  process.disconnect();
}

async function main(): Promise<void> {
  const command = new Command("simulate")
    .description("run the hypervisor in the simulated machine, one run a seed")
    .option("--seeds <n>", "how many seeds", Number, 10_000)
    .option("--from <seed>", "the first seed", Number, 1)
    .option("--rounds <n>", "rounds a run", Number, 60)
    .option("--tight", "a machine that is always nearly full")
    .option("--busy", "many guests with many vCPUs that spin")
    .parse();
  const { seeds, from, rounds } = command.opts<{ seeds: number; from: number; rounds: number }>();
  const { tight, busy } = command.opts<{ tight?: boolean; busy?: boolean }>();
  const mode: Mode = tight ? "tight" : busy ? "busy" : "plain";
  const flag = mode === "plain" ? "" : `--${mode} `;
  const started = Date.now();
  const onProgress = (done: number): void => void process.stderr.write(`\r${done} of ${seeds} seeds`);
  const failures = await runSeeds(from, seeds, rounds, onProgress, mode);
  process.stderr.write("\n");
  for (const f of failures) {
    console.log(`seed ${f.seed} fails within ${f.rounds} rounds: ${f.words}`);
    console.log(`  replay: npm run simulate -- ${flag}--from ${f.seed} --seeds 1 --rounds ${f.rounds}`);
  }
  console.log(`${seeds} seeds in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  console.log(`${seeds - failures.length} passed, ${failures.length} failed`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.send) work(JSON.parse(process.argv[2]!) as Share);
  else await main();
}
