/**
 * `npm run fuzz`: the fuzzing guest for a minute of its time with each of some seeds, on both machines. In the environment:
 * FUZZ_SECONDS (60), FUZZ_SEEDS (1,2,3).
 */
import test from "ava";
import { MACHINES } from "../boot/support/boot.ts";
import { fuzzHarmsOnlyItself } from "../boot/support/fuzz.ts";

const seconds = Number(process.env["FUZZ_SECONDS"] ?? 60);
const seeds = (process.env["FUZZ_SEEDS"] ?? "1,2,3").split(",").map(Number);

for (const kind of MACHINES) {
  test.serial(`${seconds} s of fuzzing on ${kind}, seeds ${seeds.join(", ")}`, (t) =>
    fuzzHarmsOnlyItself(
      t,
      kind,
      seeds.map((seed, i) => ({ seed, seconds, vcpus: [4, 2, 1][i % 3]! })),
    ),
  );
}
