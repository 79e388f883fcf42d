/** Requests about the machine and the hypervisor. */
import * as v from "valibot";
import { naming, optionalWord, switchOption, word } from "../argument.ts";
import { defineRequest } from "../request.ts";
import { count, formatBytes } from "../sizes.ts";

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
  arguments: { clear: switchOption("and empty it") },
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

export const jsRequest = defineRequest({
  name: "js",
  summary: "evaluate JavaScript in the live control plane and print the value",
  details: [
    "An expression or statements; what `let`, `const`, `class` and `function` declare is there for later ones, `_` is the",
    "latest value. A command's name behind a `;` begins the next command. Promises are awaited (Ctrl-C stops waiting).",
    "Globals: domains, modules, hypercall, memory, sysctl, domctl, abi, console, print, sleep, setTimeout, setInterval,",
    "uptimeNs, inspect, commands, control, images, openTls. `js memory.load32(0xc0001000)`, `js domains.list()`.",
  ],
  arguments: { script: word("SCRIPT", "") },
  result: v.object({ shown: v.string() }),
  waits: { for: "a promise", cancelled: "it goes on, and its value is lost" },
  lines: ({ shown }) => [shown],
});

const frames = v.object({ owner: v.string(), bytes: v.number() });

const machineInfo = v.object({
  version: v.string(),
  xen: v.string(),
  cpu: v.string(),
  cpus: v.number(),
  cpuKhz: v.number(),
  virtualisation: v.string(),
  /** Why no guest can run. */
  refusal: v.nullable(v.string()),
  dma: v.string(),
  dmaRefused: v.number(),
  /** The scheduler's name in xl, and the least time that a vCPU runs before another may take its CPU, us. */
  scheduler: v.string(),
  rateLimitUs: v.number(),
  guestTypes: v.string(),
  domains: v.number(),
  /** Domain 0's address, or why it has none. */
  network: v.string(),
  /** Its gateway; null: none, or no address. */
  gateway: v.nullable(v.string()),
  /** Where random numbers come from. */
  random: v.string(),
  uptimeNs: v.number(),
  /** ISO 8601; null where the machine has no clock. */
  time: v.nullable(v.string()),
  memoryBytes: v.number(),
  freeBytes: v.number(),
  frames: v.array(frames),
});

const domainInfo = v.object({
  id: v.number(),
  name: v.string(),
  uuid: v.string(),
  onPoweroff: v.string(),
  onReboot: v.string(),
  onCrash: v.string(),
  /** How it was made; null when that was lost in a restart of domain 0. */
  made: v.nullable(
    v.object({
      kernel: v.string(),
      ramdisk: v.nullable(v.string()),
      cmdline: v.string(),
      memoryMib: v.number(),
      vcpus: v.number(),
      vifs: v.array(v.nullable(v.string())),
      vbds: v.array(v.string()),
    }),
  ),
  /** How it is made when it is restarted, where `config-update` has said that. */
  next: v.nullable(v.object({ kernel: v.string(), memoryMib: v.number(), vcpus: v.number() })),
});

/** "3 d 04:05:06". */
function formatUptime(ns: number): string {
  const seconds = Math.floor(ns / 1e9);
  const two = (n: number) => String(n).padStart(2, "0");
  const days = Math.floor(seconds / 86400);
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days === 0 ? clock : `${days} d ${clock}`;
}

const line = (what: string, value: string) => `${what.padEnd(16)}${value}`;

function* machineLines(info: v.InferOutput<typeof machineInfo>): Generator<string> {
  yield line("version", `Typevisor, Xen ${info.xen} interface`);
  yield line("CPU", `${info.cpu}, ${info.cpus} x ${(info.cpuKhz / 1000).toFixed(0)} MHz`);
  yield line("virtualisation", info.virtualisation + (info.refusal === null ? "" : `. ${info.refusal}`));
  const refused = info.dmaRefused;
  yield line("DMA", info.dma + (refused === 0 ? "" : `; ${refused} accesses of devices were refused: see \`dmesg\``));
  yield line("guest types", info.guestTypes || "none");
  yield line("domains", String(info.domains));
  yield line("network", info.network);
  yield line("random numbers", info.random);
  yield line("uptime", formatUptime(info.uptimeNs));
  if (info.time !== null) yield line("time", info.time);
  yield line("memory", `${formatBytes(info.memoryBytes)}, ${formatBytes(info.freeBytes)} free`);
  for (const { owner, bytes } of info.frames) yield `  ${owner.padEnd(30)}${formatBytes(bytes).padStart(12)}`;
}

function* domainLines(info: v.InferOutput<typeof domainInfo>): Generator<string> {
  const { id, name, uuid, onPoweroff, onReboot, onCrash, made, next } = info;
  yield line("domain", `${id} (${name})`);
  yield line("UUID", uuid);
  if (next !== null) {
    yield line("restarted as", `${next.kernel}, ${next.memoryMib} MiB, ${count(next.vcpus, "vCPU")}, by config-update`);
  }
  yield line("when it ends", `poweroff: ${onPoweroff}, reboot: ${onReboot}, crash: ${onCrash}`);
  if (made === null) {
    yield line("made", "it is not known how: that was lost when domain 0 was restarted");
    return;
  }
  yield line("kernel", `${made.kernel}${made.ramdisk === null ? "" : `, ramdisk ${made.ramdisk}`}`);
  if (made.cmdline !== "") yield line("command line", made.cmdline);
  yield line("size", `${made.memoryMib} MiB, ${count(made.vcpus, "vCPU")}`);
  for (const [number, settings] of made.vifs.entries()) if (settings !== null) yield line(`vif ${number}`, settings);
  for (const settings of made.vbds) yield line("vbd", settings);
}

export const infoRequest = defineRequest({
  name: "info",
  summary: "show CPU, virtualisation features, memory by owner, uptime; or how a domain was made, and its devices",
  arguments: { id: naming("domain", optionalWord("ID", "")) },
  result: v.union([machineInfo, domainInfo]),
  lines: (info) => ("uuid" in info ? domainLines(info) : machineLines(info)),
});
