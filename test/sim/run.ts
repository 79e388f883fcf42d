/**
 * Runs many seeds in two processes.
 *
 *     npm run simulate -- [--tight | --busy | --io] [--seeds N] [--from SEED] [--rounds N]
 *
 * A seed that fails is printed with the words of its violation, run again with fewer rounds until the shortest run that
 * still fails is found, and the command to replay it is shown.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { hypervisorWasm, ioWasm } from "../../scripts/build/assembly.ts";
import { type IoModules, simulateIo } from "./io/simulate-io.ts";
import { hypervisorModule, ioModule } from "./module.ts";
import { type Mode, simulate } from "./simulate.ts";

/** What is simulated: the hypervisor alone, in one of its modes, or the I/O domain on it. */
export type Kind = Mode | "io";

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
  kind: Kind;
}

/** Runs one seed; the failure, if any, with the fewest rounds that show it. */
export function trySeed(
  module: WebAssembly.Module,
  seed: number,
  rounds: number,
  mode: Mode = "plain",
): Failure | null {
  return tryRun((n) => simulate(module, seed, { rounds: n, mode }), seed, rounds);
}

/** The same for the I/O domain's simulation. */
export function tryIoSeed(modules: IoModules, seed: number, rounds: number): Failure | null {
  return tryRun((n) => simulateIo(modules, seed, { rounds: n }), seed, rounds);
}

function tryRun(run: (rounds: number) => void, seed: number, rounds: number): Failure | null {
  const attempt = (n: number): string | null => {
    try {
      run(n);
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
  kind: Kind = "plain",
): Promise<Failure[]> {
  await hypervisorModule();
  if (kind === "io") await ioModule();
  const failures: Failure[] = [];
  const width = Math.min(availableParallelism(), 2);
  let done = 0;
  await Promise.all(
    Array.from({ length: width }, (_, i) => {
      const share: Share = { from: from + i, step: width, count: Math.ceil((count - i) / width), rounds, kind };
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
  const { kind, rounds } = share;
  const io = kind === "io" ? new WebAssembly.Module(readFileSync(ioWasm)) : null;
  for (let i = 0; i < share.count; i++) {
    const seed = share.from + i * share.step;
    const failure =
      kind === "io" ? tryIoSeed({ hypervisor: module, io: io! }, seed, rounds) : trySeed(module, seed, rounds, kind);
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
    .option("--io", "the I/O domain's back ends, with guests that use and attack them")
    .parse();
  const { seeds, from, rounds } = command.opts<{ seeds: number; from: number; rounds: number }>();
  const { tight, busy, io } = command.opts<{ tight?: boolean; busy?: boolean; io?: boolean }>();
  const kind: Kind = io ? "io" : tight ? "tight" : busy ? "busy" : "plain";
  const flag = kind === "plain" ? "" : `--${kind} `;
  const started = Date.now();
  const onProgress = (done: number): void => void process.stderr.write(`\r${done} of ${seeds} seeds`);
  const failures = await runSeeds(from, seeds, rounds, onProgress, kind);
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
