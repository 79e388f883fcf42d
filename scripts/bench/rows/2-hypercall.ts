/** The cost of an exit and entry to a guest. */
import { benchLines, benchValue, runCounted } from "../guest.ts";
import type { BenchRow } from "../bench.ts";
import { xenFigure } from "../xen.ts";

/** Xen's dom0 reads ports without an exit, so that row has no figure of Xen's. */
const NOT_ON_XEN = new Set(["port-read"]);

const LINES: [string, string][] = [
  ["null-hypercall", "xen_version(XENVER_version)"],
  ["cpuid", "CPUID"],
  ["port-read", "IN from an absent port"],
  ["task-priority", "CR8 raised, read and lowered"],
  ["yield", "sched_op(SCHEDOP_yield), alone"],
  ["multicall-8", "multicall of eight null hypercalls"],
  ["event-send", "EVTCHNOP_send to itself, masked"],
  ["event-upcall", "the same with the upcall delivered and taken"],
  ["set-timer", "VCPUOP_set_singleshot_timer"],
  ["balloon-page", "one page given back and taken again"],
  ["copy-page", "GNTTABOP_copy of 4 KiB"],
];

export const row: BenchRow = {
  name: "hypercall",
  definition:
    "instructions between two RDTSC of one guest around the operation, median of many, hypervisor and guest together",
  measure: async () => {
    const lines = benchLines(await runCounted("create --kernel bench --wait"));
    return Promise.all(
      LINES.map(async ([name, what]) => ({
        what,
        value: benchValue(lines, name),
        unit: "instructions" as const,
        xen: NOT_ON_XEN.has(name) ? undefined : await xenFigure(name),
      })),
    );
  },
};
