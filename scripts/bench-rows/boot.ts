/** Boot: from the shim's first instruction until domain 0 takes commands. */
import type { BenchRow } from "../bench.ts";
import { execWord, waitForOutcome } from "../exec.ts";
import { Machine, plainText } from "../machine.ts";

const TIMEOUT_MS = 120_000;

export const row: BenchRow = {
  name: "boot",
  definition:
    "instructions from the shim's first one until domain 0 executes the first console command (QEMU -kernel, one CPU, 512 MiB, no modules)",
  measure: async () => {
    const machine = await Machine.start({
      kind: "qemu-svm",
      cpus: 1,
      memoryMib: 512,
      commandLine: execWord("js uptimeNs()"),
      modules: [],
      icount: true,
    });
    try {
      const outcome = await waitForOutcome(machine, TIMEOUT_MS);
      const answer = /^(\d+)$/m.exec(plainText(machine.output));
      if (outcome.failed > 0 || answer === null) throw new Error(`no uptime was printed${machine.tail()}`);
      // System time starts at the shim's first instruction, and a nanosecond is an instruction here.
      return [{ what: "to the prompt", value: Number(answer[1]), unit: "instructions" }];
    } finally {
      await machine.stop();
    }
  },
};
