/** The I/O domain's simulation finds no violation in the module that boots. */
import test from "ava";
import { runSeeds } from "../run.ts";

/** Seeds in every test run; `npm run simulate -- --io` runs more. */
const SEEDS = Number(process.env.IO_SIMULATION_SEEDS ?? 40);
const ROUNDS = 60;

test.serial(`${SEEDS} seeds of good and hostile frontends: nothing is leaked, lost, or given to others`, async (t) => {
  t.timeout(30 * 60_000);
  t.deepEqual(await runSeeds(1, SEEDS, ROUNDS, () => {}, "io"), []);
});
