import { debugKeys } from "../hypercalls/sysctl.ts";
import { CommandError } from "./command-error.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

const KEYS_MAX = 64;

export const debugKeysCommand: Command = {
  name: "debug-keys",
  usage: "KEYS",
  summary: "let the hypervisor report on itself, in its log",
  details: [
    "KEYS: letters, one report each:",
    "  a  checks the hypervisor's invariants; the command fails if one is broken",
    "  d  vCPUs' registers      e  event channels      g  grant tables",
    "  m  memory by use         q  domains and vCPUs, exits by reason",
    "`xenctx ID` shows more of one domain's vCPUs.",
  ],
  run(words) {
    const keys = parseOptions(words, {}, ["KEYS"]).rest[0]!;
    if (!/^[a-zA-Z0-9*]+$/.test(keys) || keys.length > KEYS_MAX) {
      throw new CommandError(`"${keys}" is not 1 to ${KEYS_MAX} letters or digits`);
    }
    debugKeys(keys);
  },
};
