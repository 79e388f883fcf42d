/** Creating and destroying a domain: the whole, and the hypervisor's part of it. */
import { jsCommand, runCounted } from "../guest.ts";
import type { BenchRow } from "../bench.ts";
import { xenFigure } from "../xen.ts";
import { COMPARED_MACHINE } from "../xen-dom0/machine.ts";
import { xenToolstackFigures } from "../xen-dom0/toolstack.ts";

/**
 * Run in domain 0. The empty measurement is taken first and subtracted; the first round warms up and does not count.
 * Prints one line: total and hypervisor part of create, then of destroy.
 */
const SCRIPT = `(async () => {
  const spent = () => { const c = sysctl.performanceCounters(); return c.get("software.ticks_low")[0] + c.get("software.ticks_high")[0] * 4294967296; };
  const measure = async (work) => { const h = spent(), t = uptimeNs(); const result = await work(); return { total: uptimeNs() - t, inside: spent() - h, result }; };
  const kernel = modules.find((m) => m.name === "hello");
  const rounds = [];
  for (let i = 0; i < 6; i++) {
    const none = await measure(() => 0);
    const made = await measure(() => domains.create({ kernel, commandLine: "", memoryMib: 16, vcpus: 1 }));
    const gone = await measure(() => { domains.destroy(made.result); return domains.gone(made.result); });
    rounds.push([made.total - none.total, made.inside - none.inside, gone.total - none.total, gone.inside - none.inside]);
  }
  const median = (n) => rounds.slice(1).map((r) => r[n]).sort((a, b) => a - b)[2];
  print("figures " + [0, 1, 2, 3].map(median).join(" ") + "\\n");
})()`;

export const row: BenchRow = {
  name: "domain",
  definition:
    "a 16 MiB PVH guest with one vCPU, built paused from a module, and destroyed until its memory is back; the hypervisor's part is its hypercalls, the toolstack's part the rest (TypeScript on QuickJS); median of 5. Xen's hypervisor part: all hypercalls that build and destroy such a domain, by the guest `bench` in the place of domain 0; its totals: `xl create -p` and `xl destroy` of the same guest in a Linux domain 0, in the same machine, from the shell's command to its end; median of 3",
  measure: async () => {
    const output = await runCounted(jsCommand(SCRIPT), COMPARED_MACHINE);
    const found = /^figures (\d+) (\d+) (\d+) (\d+)$/m.exec(output);
    if (found === null) throw new Error(`no figures in:\n${output}`);
    const [create, createInside, destroy, destroyInside] = found.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
    ];
    const unit = "instructions" as const;
    const xl = await xenToolstackFigures();
    return [
      { what: "create, all", value: create, unit, xen: xl?.createSmall },
      { what: "create, hypervisor's part", value: createInside, unit, xen: await xenFigure("child-create-hypercalls") },
      { what: "create, toolstack's part", value: create - createInside, unit },
      { what: "destroy, all", value: destroy, unit, xen: xl?.destroySmall },
      {
        what: "destroy, hypervisor's part",
        value: destroyInside,
        unit,
        xen: await xenFigure("child-destroy-hypercalls"),
      },
      { what: "destroy, toolstack's part", value: destroy - destroyInside, unit },
    ];
  },
};
