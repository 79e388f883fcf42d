/** The I/O domain's simulation finds no violation in the module that boots, and finds the mistakes of one that was broken on purpose. */
import test from "ava";
import { hypervisorModule } from "../module.ts";
import { runSeeds } from "../run.ts";
import { BLOCK_MUTATIONS, NET_MUTATIONS, UPLINK_MUTATIONS } from "./mutations.ts";
import { mutantModule } from "./mutant-module.ts";
import { simulateIo } from "./simulate-io.ts";

/** Seeds in every test run; `npm run simulate -- --io` runs more. */
const SEEDS = Number(process.env.IO_SIMULATION_SEEDS ?? 30);
const ROUNDS = 60;
/** A mutation must be found within this many seeds. */
const MUTATION_SEEDS = 16;
const MUTATIONS = [...NET_MUTATIONS, ...UPLINK_MUTATIONS, ...BLOCK_MUTATIONS];

test.serial(`${SEEDS} seeds of good and hostile frontends: nothing is leaked, lost, or given to others`, async (t) => {
  t.timeout(30 * 60_000);
  t.deepEqual(await runSeeds(1, SEEDS, ROUNDS, () => {}, "io"), []);
});

let broken: WebAssembly.Module | undefined;

/** What the first seed to find mistake number `mutant` says of it, or null. */
async function found(mutant: number, seeds: number): Promise<string | null> {
  // What fails to start is no mistake that was found.
  const io = (broken ??= await mutantModule(MUTATIONS));
  const modules = { hypervisor: await hypervisorModule(), io, mutant };
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      simulateIo(modules, seed, { rounds: ROUNDS });
    } catch (error) {
      return `seed ${seed}: ${(error as Error).message.split("\n")[0]!.slice(0, 160)}`;
    }
  }
  return null;
}

test.serial("the test build with all mutations and none of them chosen breaks nothing", async (t) => {
  t.timeout(20 * 60_000);
  t.is(await found(0, 2), null);
});

MUTATIONS.forEach(({ name }, i) => {
  test.serial(`it is noticed when ${name}`, async (t) => {
    t.timeout(20 * 60_000);
    const words = await found(i + 1, MUTATION_SEEDS);
    if (words === null) t.fail(`${MUTATION_SEEDS} seeds found nothing`);
    else {
      t.log(words);
      t.pass();
    }
  });
});
