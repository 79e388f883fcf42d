/** Requests about the machine and the hypervisor. */
import * as v from "valibot";
import { word } from "../argument.ts";
import { defineRequest } from "../request.ts";
import { formatBytes } from "../sizes.ts";

export const modulesRequest = defineRequest({
  name: "modules",
  summary: "list the boot modules: kernels and ramdisks for `create`",
  arguments: {},
  result: v.array(v.object({ name: v.string(), bytes: v.pipe(v.number(), v.integer()) })),
  lines: (modules) =>
    modules.length === 0
      ? ["there are no boot modules"]
      : modules.map(({ name, bytes }) => `${name.padEnd(24)} ${formatBytes(bytes).padStart(12)}`),
});

export const dmesgRequest = defineRequest({
  name: "dmesg",
  summary: "show the hypervisor's log",
  arguments: {},
  stream: "output",
});

export const debugKeysRequest = defineRequest({
  name: "debug-keys",
  summary: "let the hypervisor report on itself, in its log",
  details: [
    "KEYS: letters, one report each:",
    "  a  checks the hypervisor's invariants; the command fails if one is broken",
    "  d  vCPUs' registers      e  event channels      g  grant tables",
    "  m  memory by use         q  domains and vCPUs, exits by reason",
    "`xenctx ID` shows more of one domain's vCPUs.",
  ],
  arguments: { keys: word("KEYS", "") },
});

export const ioRestartRequest = defineRequest({
  name: "io-restart",
  summary: "start the I/O domain anew; guests' devices go on",
  details: [
    "It is ended where it is and starts from its image, also when it had crashed too often to be restarted by itself.",
    "Guests' networks and disks pause meanwhile.",
  ],
  arguments: {},
});
