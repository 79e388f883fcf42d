import { systemTime, wallTimeMs } from "../clock.ts";
import { print } from "../console/output.ts";
import { cpuName, virtualisationFeatures } from "../cpu-features.ts";
import { hostCpuPolicy, performanceCounters, physicalInfo } from "../hypercalls/sysctl.ts";
import { xenCapabilities, xenVersion } from "../hypercalls/xen-version.ts";
import { guestRefusal } from "../refusal.ts";
import { formatBytes } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

/** The hypervisor's frame counters and what they stand for. */
const OWNERS: [string, string][] = [
  ["frames.guest", "guests"],
  ["frames.tables", "guests' page tables"],
  ["frames.control", "vCPU control blocks"],
  ["frames.shared", "shared with guests"],
  ["frames.heap", "hypervisor heap"],
  ["frames.engine", "domain 0"],
  ["frames.modules", "boot modules"],
  ["frames.frametable", "frame table"],
  ["frames.shim", "Typevisor's image and tables"],
  ["frames.reserved", "reserved"],
  ["frames.free", "free"],
];

/** "3 d 04:05:06". */
export function formatUptime(ns: number): string {
  const seconds = Math.floor(ns / 1e9);
  const two = (n: number) => String(n).padStart(2, "0");
  const days = Math.floor(seconds / 86400);
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days === 0 ? clock : `${days} d ${clock}`;
}

function line(what: string, value: string): void {
  print(`${what.padEnd(16)}${value}\n`);
}

export const infoCommand: Command = {
  name: "info",
  usage: "",
  summary: "show CPU, virtualisation features, memory by owner, uptime",
  run(words, { domains }) {
    parseOptions(words, {});
    const machine = physicalInfo();
    const policy = hostCpuPolicy();
    const counters = performanceCounters();
    const wall = wallTimeMs();
    const refusal = guestRefusal();
    line("version", `Typevisor, Xen ${xenVersion()} interface`);
    line("CPU", `${cpuName(policy)}, ${machine.cpus} x ${(machine.cpuKhz / 1000).toFixed(0)} MHz`);
    line("virtualisation", virtualisationFeatures(policy) + (refusal === null ? "" : `. ${refusal}`));
    line("guest types", xenCapabilities() || "none");
    line("domains", String(domains.list().length));
    line("uptime", formatUptime(systemTime()));
    if (wall !== 0) line("time", new Date(wall).toISOString());
    line(
      "memory",
      `${formatBytes(machine.totalPages * PAGE_SIZE)}, ${formatBytes(machine.freePages * PAGE_SIZE)} free`,
    );
    for (const [counter, owner] of OWNERS) {
      const frames = counters.get(counter)?.[0];
      if (frames !== undefined) print(`  ${owner.padEnd(30)}${formatBytes(frames * PAGE_SIZE).padStart(12)}\n`);
    }
  },
};
