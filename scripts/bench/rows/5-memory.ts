/** Memory: everything that is not a guest, and the overhead of one more empty domain beyond its RAM. */
import { runCounted } from "../guest.ts";
import type { BenchFigure, BenchRow } from "../bench.ts";

/** Domains made for the per-domain figure. */
const DOMAINS = 8;

const SCRIPT = `(async () => {
  const frames = () => Object.fromEntries([...sysctl.performanceCounters()].filter(([k]) => k.startsWith("frames.")).map(([k, v]) => [k.slice(7), v[0]]));
  const kernel = modules.find((m) => m.name === "hello");
  const before = frames();
  const made = [];
  for (let i = 0; i < ${DOMAINS}; i++) made.push(await domains.create({ kernel, commandLine: "", memoryMib: 4, vcpus: 1 }));
  const after = frames();
  print("frames " + JSON.stringify({ before, after }) + "\\n");
})()`;

type Frames = Record<string, number>;

export const row: BenchRow = {
  name: "memory",
  definition: `from the hypervisor's frame accounting on a 512 MiB machine, before any guest; per domain: ${DOMAINS} paused domains of 4 MiB, all frames beyond their own 4 MiB`,
  measure: async () => {
    const output = await runCounted(`js ${SCRIPT.replace(/\n\s*/g, " ")}`);
    const found = /^frames (\{.*\})$/m.exec(output);
    if (found === null) throw new Error(`no figures in:\n${output}`);
    const { before, after } = JSON.parse(found[1]!) as { before: Frames; after: Frames };
    const kib = (frames: number): number => frames * 4;
    const ours = ["shim", "frametable", "heap", "tables", "control", "shared", "engine"];
    const sum = ours.reduce((total, use) => total + (before[use] ?? 0), 0);
    const parts = Object.entries(before).filter(([use]) => use !== "total");
    const all = parts.reduce((total, [, frames]) => total + frames, 0);
    if (all !== before.total) throw new Error(`the parts are ${all} frames, the machine has ${before.total}`);
    const grown = before.free! - after.free! - DOMAINS * 1024;
    const figures: BenchFigure[] = [
      { what: "everything that is not a guest", value: kib(sum), unit: "KiB" },
      ...ours.map((use) => ({ what: `  ${use}`, value: kib(before[use] ?? 0), unit: "KiB" as const })),
      { what: "per empty domain, beyond its RAM", value: kib(grown / DOMAINS), unit: "KiB" },
    ];
    return figures;
  },
};
