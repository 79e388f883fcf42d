/** What making and destroying a unikernel costs as the first, the hundredth, the five-hundredth and the thousandth guest. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { jsCommand, runCounted } from "../guest.ts";
import { xenToolstackFigures } from "../xen-dom0/toolstack.ts";

/** Which guest it is that is made: so many are there then. */
const ORDINALS = [1, 100, 500, 1000];
/** `idle` ends 1.3 MiB above 0, and memory is given in whole MiB. */
const GUEST_MIB = 2;
const MEMORY_MIB = 4096;
const ROUNDS = 7;
/** Host time: four minutes when nothing else runs. */
const TIMEOUT_MS = 1_800_000;

/**
 * Run in domain 0, for guests with a vif and for guests without. All others run and sleep, their vifs connected. Before each
 * measurement the machine rests, as it does between two commands of a user. An empty measurement is subtracted.
 */
const SCRIPT = `(async () => {
  const IO = 32751, REST_MS = 30;
  const kernel = modules.find((m) => m.name === "idle");
  const command = commands.find((c) => c.name === "create");
  const context = { domains, rawArguments: "", interruption: { raised: false, onRaise() {} } };
  const inside = () => { const c = sysctl.performanceCounters(); return c.get("software.ticks_low")[0] + c.get("software.ticks_high")[0] * 4294967296; };
  const device = () => domctl.domainInfo(IO).cpuTimeNs;
  const measure = async (work) => {
    await sleep(REST_MS);
    const h = inside(), d = device(), t = uptimeNs();
    const result = await work();
    return { result, spent: [uptimeNs() - t, inside() - h, device() - d] };
  };
  const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];
  for (const vif of [true, false]) {
    const make = () => domains.create({ kernel, commandLine: "", memoryMib: ${GUEST_MIB}, vcpus: 1, ...(vif ? { vifs: ["bridge=br0"] } : {}) });
    const end = (domain) => { domains.destroy(domain); return domains.gone(domain); };
    const words = ["--kernel", "idle", "--memory", "${GUEST_MIB}", "--paused", ...(vif ? ["--vif", "bridge=br0"] : [])];
    for (const ordinal of ${JSON.stringify(ORDINALS)}) {
      while (domains.all().length < ordinal - 1) { domains.unpause(await make()); await sleep(0); }
      await sleep(2000);
      const rounds = [];
      for (let i = 0; i < ${ROUNDS}; i++) {
        const none = (await measure(() => 0)).spent;
        const made = await measure(make);
        domains.unpause(made.result);
        const gone = await measure(() => end(made.result));
        const typed = await measure(() => command.run(words, context));
        await end(domains.all().at(-1));
        rounds.push([made, gone, typed].flatMap(({ spent }) => spent.map((n, j) => n - none[j])));
      }
      print(["scaling", vif ? "vif" : "bare", ordinal, ...rounds[0].map((_, j) => median(rounds.map((r) => r[j])))].join(" ") + "\\n");
    }
    for (const domain of domains.all()) await end(domain);
    await sleep(2000);
  }
})()`;

export const row: BenchRow = {
  name: "create-scaling",
  definition: `the guest \`idle\` with ${GUEST_MIB} MiB, the least it can have, and one vif over NoXS on a bridge, built paused from a module; and destroyed, running, with its vif connected, until all its memory is free; as the first to the thousandth guest on a ${MEMORY_MIB} MiB machine, all others running, asleep, their vifs connected; median of ${ROUNDS}. From the toolstack's request to its end, as in the row "domain"; \`create\` is the same as the console's command, from its words to the id printed. Hypervisor: the hypercalls of domain 0; I/O domain: its processor time, its hypercalls included; toolstack: the rest, TypeScript on QuickJS, with the switches between domains. Memory is cleaned when the processor is idle, up to 128 MiB of it ahead of time: that is not in it. Xen's: \`xl create -p\` and \`xl destroy\` of a guest of 16 MiB without devices, alone`,
  measure: async () => {
    const output = await runCounted(`bridge create br0; ${jsCommand(SCRIPT)}`, {
      memoryMib: MEMORY_MIB,
      timeoutMs: TIMEOUT_MS,
    });
    const lines = [...output.matchAll(/^scaling (vif|bare) (\d+) ((?:-?\d+ ?){9})$/gm)];
    if (lines.length !== 2 * ORDINALS.length) throw new Error(`no figures in:\n${output}`);
    const xl = await xenToolstackFigures();
    return lines.flatMap(([, kind, ordinal, numbers]) => {
      const [create, destroy, typed] = [0, 3, 6].map((at) =>
        numbers!
          .trim()
          .split(" ")
          .map(Number)
          .slice(at, at + 3),
      ) as [number[], number[], number[]];
      const which = `guest ${ordinal}, ${kind === "vif" ? "one vif" : "no devices"}`;
      const unit = "instructions" as const;
      const alone = ordinal === "1" && kind === "bare";
      const parts = ([all, inside, device]: number[]): BenchFigure[] => [
        { what: "  of that the hypervisor", value: inside!, unit },
        ...(kind === "vif" ? [{ what: "  of that the I/O domain", value: device!, unit }] : []),
        { what: "  of that the toolstack", value: all! - inside! - device!, unit },
      ];
      return [
        { what: `create ${which}`, value: create[0]!, unit, xen: alone ? xl?.createSmall : undefined },
        ...parts(create),
        { what: `\`create\` ${which}`, value: typed[0]!, unit },
        { what: `destroy ${which}`, value: destroy[0]!, unit, xen: alone ? xl?.destroySmall : undefined },
        ...parts(destroy),
      ];
    });
  },
};
