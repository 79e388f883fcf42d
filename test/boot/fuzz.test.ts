/** A guest that fuzzes its local APIC, MSRs, CPUID and ports for seconds; `npm run fuzz` does it for minutes. */
import test from "ava";
import { MACHINES } from "./support/boot.ts";
import { fuzzHarmsOnlyItself } from "./support/fuzz.ts";

for (const kind of MACHINES) {
  test.serial(`a guest that fuzzes its local APIC, MSRs, CPUID and ports on ${kind} hurts only itself`, (t) =>
    fuzzHarmsOnlyItself(t, kind, [
      { seed: 1, seconds: 2, vcpus: 1 },
      { seed: 2, seconds: 2, vcpus: 2 },
      { seed: 3, seconds: 2, vcpus: 4 },
      { seed: 4, seconds: 2, vcpus: 4, wild: true },
    ]),
  );
}
