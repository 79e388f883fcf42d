/** Two guests that wake each other. */
import { benchLines, benchValue, runCounted } from "../guest.ts";
import type { BenchRow } from "../bench.ts";
import { xenFigure } from "../xen.ts";

export const row: BenchRow = {
  name: "events",
  definition:
    "one round trip: send, halt, switch, upcall in the other, and back; two sends, two upcalls, two halts, two switches on one CPU; median of 501",
  measure: async () => {
    const pair = benchLines(
      await runCounted(
        'create --kernel bench --cmdline "role=pong remote=2"; create --kernel bench --cmdline "role=ping remote=1" --wait',
      ),
    );
    const vcpus = benchLines(await runCounted("create --kernel bench --vcpus 2 --cmdline only=vcpu-round-trip --wait"));
    return [
      {
        what: "round trip between two domains",
        value: benchValue(pair, "event-round-trip"),
        unit: "instructions",
        xen: await xenFigure("event-round-trip"),
      },
      {
        what: "round trip between two vCPUs",
        value: benchValue(vcpus, "vcpu-round-trip"),
        unit: "instructions",
        xen: await xenFigure("vcpu-round-trip"),
      },
    ];
  },
};
