/** Boot: from the shim's first instruction until domain 0 takes commands, and until a guest's first instruction. */
import { benchLines, benchValue, runCounted } from "../guest.ts";
import type { BenchRow } from "../bench.ts";

export const row: BenchRow = {
  name: "boot",
  definition:
    "from the shim's first instruction (QEMU -kernel, one CPU, 512 MiB) until domain 0 executes the first console command, with no modules; and until the first instruction of a guest that this command creates, with our guests as modules",
  measure: async () => {
    // System time starts at the shim's first instruction, and a nanosecond is an instruction here.
    const prompt = /^(\d+)$/m.exec(await runCounted("js uptimeNs()", { modules: [] }));
    if (prompt === null) throw new Error("no uptime was printed");
    const first = benchLines(await runCounted('create --kernel bench --cmdline "only=first-instruction" --wait'));
    return [
      { what: "to the prompt", value: Number(prompt[1]), unit: "instructions" },
      { what: "to a guest's first instruction", value: benchValue(first, "first-instruction"), unit: "instructions" },
    ];
  },
};
