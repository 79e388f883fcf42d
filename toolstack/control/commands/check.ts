import { print } from "../console/output.ts";
import { hostCpuPolicy, performanceCounters, physicalInfo } from "../hypercalls/sysctl.ts";
import { hypervisorBelow, machineFeatures, type Feature, type Use } from "../machine-features.ts";
import { guestRefusal } from "../refusal.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "../../api/options.ts";

const USES: Use[] = ["required", "used", "unused"];

function line({ name, use, offered, detail, note }: Feature): string {
  const what = offered && detail !== undefined ? `${name}: ${detail}` : name;
  const meaning = (use === "unused" || !offered) && note !== "" ? ` (${note})` : "";
  return `${use.padEnd(10)}${(offered ? "yes" : "no").padEnd(5)}${what}${meaning}\n`;
}

export const checkCommand: Command = {
  name: "check",
  usage: "",
  summary: "say what this machine offers and lacks",
  details: [
    "required  without it no guest runs: the command then fails",
    "used      made use of where it is there; in brackets what its lack means",
    "unused    Typevisor makes no use of it yet; in brackets what it does instead, or what it would be for",
  ],
  run(words) {
    parseOptions(words, {});
    const policy = hostCpuPolicy();
    const counters = performanceCounters();
    const refusal = guestRefusal();
    const features = machineFeatures({
      policy,
      physical: physicalInfo(),
      cpusFound: counters.get("machine.cpus")?.[0] ?? 0,
      iommu: counters.get("machine.iommu")?.[0] ?? 0,
      dmaConfined: counters.get("machine.dma_confined")?.[0] === 1,
      refusal,
    });
    for (const use of USES) for (const feature of features) if (feature.use === use) print(line(feature));
    if (hypervisorBelow(policy))
      print("Typevisor itself runs in a virtual machine: what it offers is the hypervisor's choice.\n");
    if (refusal !== null) throw new CommandError(refusal);
    const lacking = features.filter(({ use, offered }) => use === "used" && !offered).map(({ name }) => name);
    print(`Guests can run here.${lacking.length === 0 ? "" : ` They would run better with: ${lacking.join(", ")}.`}\n`);
  },
};
