/** The simulation finds no violation in the hypervisor, and finds the bugs of a deliberately broken one. */
import test from "ava";
import { mutatedModule } from "./module.ts";
import { MUTATIONS } from "./mutations.ts";
import { runSeeds, trySeed } from "./run.ts";

/** Seeds in every test run; `npm run simulate` runs ten thousand, or as many as it is told. */
const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 2000);
/** And of the modes that `npm run simulate -- --tight` and `-- --busy` run. */
const MODE_SEEDS = 60;
const ROUNDS = 60;
/** A mutation must be found within this many seeds. */
const MUTATION_SEEDS = 60;

test.serial(`${SEEDS} seeds break no invariant`, async (t) => {
  t.timeout(60 * 60_000);
  const failures = await runSeeds(1, SEEDS, ROUNDS);
  t.deepEqual(failures, []);
});

for (const mode of ["tight", "busy"] as const) {
  test.serial(
    `${MODE_SEEDS} seeds on a ${mode} machine: no invariant is broken, domain 0 is answered in time`,
    async (t) => {
      t.timeout(60 * 60_000);
      t.deepEqual(await runSeeds(1, MODE_SEEDS, ROUNDS, () => {}, mode), []);
    },
  );
}

for (const mutation of MUTATIONS) {
  test.serial(`it is noticed when ${mutation.name}`, async (t) => {
    t.timeout(20 * 60_000);
    const module = await mutatedModule(mutation);
    for (let seed = 1; seed <= MUTATION_SEEDS; seed++) {
      const failure = trySeed(module, seed, ROUNDS);
      if (failure) {
        const words = failure.words.split("\n")[0]!.replace(/^Error: /, "");
        t.log(`seed ${failure.seed}, ${failure.rounds} rounds: ${words}`);
        t.pass();
        return;
      }
    }
    t.fail(`${MUTATION_SEEDS} seeds found nothing`);
  });
}
