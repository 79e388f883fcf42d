import { print, printBytes, atLineStart } from "../console/output.ts";
import { readHypervisorLog } from "../hypercalls/sysctl.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

export const dmesgCommand: Command = {
  name: "dmesg",
  usage: "",
  summary: "show the hypervisor's log",
  run(words) {
    parseOptions(words, {});
    readHypervisorLog(printBytes);
    if (!atLineStart()) print("\n");
  },
};
