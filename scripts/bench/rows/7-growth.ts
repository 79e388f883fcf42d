/** What making, ending and listing domains costs beside many others, and what each takes of domain 0's memory. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { jsCommand, runCounted } from "../guest.ts";

/** Numbers of guests at which it is measured. */
const COUNTS = [1, 250, 1000];
const GUEST_MIB = 2;
const MEMORY_MIB = 4096;

/**
 * Run in domain 0. At each count of guests the last one is destroyed and made again five times; medians. Between two guests
 * domain 0 goes through its loop, as between two commands.
 */
const SCRIPT = `(async () => {
  const kernel = modules.find((m) => m.name === "hello");
  const make = () => domains.create({ kernel, commandLine: "", memoryMib: ${GUEST_MIB}, vcpus: 1 });
  const engine = () => sysctl.performanceCounters().get("frames.engine")[0];
  const measure = async (work) => { const t = uptimeNs(); const result = await work(); return { time: uptimeNs() - t, result }; };
  const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];
  const made = [await make(), await make()];
  const before = engine();
  for (const count of ${JSON.stringify(COUNTS)}) {
    while (made.length > count) { const last = made.pop(); domains.destroy(last); await domains.gone(last); }
    while (made.length < count) { made.push(await make()); await sleep(0); }
    const creates = [], destroys = [], lists = [];
    for (let i = 0; i < 5; i++) {
      const last = made.pop();
      destroys.push((await measure(() => { domains.destroy(last); return domains.gone(last); })).time);
      await sleep(0);
      const { time, result } = await measure(make);
      made.push(result);
      creates.push(time);
      await sleep(0);
      lists.push((await measure(() => domains.list())).time);
      await sleep(0);
    }
    print("growth " + [count, median(creates), median(destroys), median(lists)].join(" ") + "\\n");
  }
  print("engine " + (engine() - before) / (made.length - 2) + "\\n");
})()`;

export const row: BenchRow = {
  name: "growth",
  definition: `with N paused guests of ${GUEST_MIB} MiB on a ${MEMORY_MIB} MiB machine: the last of them made (toolstack and hypervisor), destroyed until its memory is back, and all domains listed by the toolstack, median of 5; and how much more memory domain 0 has for each guest, what it keeps for a restart included`,
  measure: async () => {
    const output = await runCounted(jsCommand(SCRIPT), { memoryMib: MEMORY_MIB });
    const rows = [...output.matchAll(/^growth (\d+) (\d+) (\d+) (\d+)$/gm)].map((m) => m.slice(1).map(Number));
    const engine = /^engine ([\d.]+)$/m.exec(output);
    if (rows.length !== COUNTS.length || engine === null) throw new Error(`no figures in:\n${output}`);
    const unit = "instructions" as const;
    const figures: BenchFigure[] = rows.flatMap(([count, create, destroy, list]) => [
      { what: `create beside ${count! - 1} others`, value: create!, unit },
      { what: `destroy it`, value: destroy!, unit },
      { what: `list ${count} guests`, value: list!, unit },
    ]);
    return [...figures, { what: "domain 0's memory for each guest", value: Number(engine[1]) * 4, unit: "KiB" }];
  },
};
