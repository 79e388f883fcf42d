import { systemTime, wallTimeMs } from "../clock.ts";
import { print } from "../console/output.ts";
import { cpuName, virtualisationFeatures } from "../cpu-features.ts";
import { hostCpuPolicy, performanceCounters, physicalInfo } from "../hypercalls/sysctl.ts";
import { xenCapabilities, xenVersion } from "../hypercalls/xen-version.ts";
import { dmaConfinement } from "../machine-features.ts";
import { guestRefusal } from "../refusal.ts";
import { formatBytes } from "../../api/sizes.ts";
import { count } from "../../api/sizes.ts";
import { PAGE_SIZE } from "../window.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { Command } from "./command.ts";
import { namedDomain } from "./life.ts";
import { parseOptions } from "../../api/options.ts";

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

/** How a domain was made, and what it has been given since. */
function describe({ id, name, uuid, policy, request }: GuestDomain): void {
  line("domain", `${id} (${name})`);
  line("UUID", uuid);
  line("when it ends", `poweroff: ${policy.poweroff}, reboot: ${policy.reboot}, crash: ${policy.crash}`);
  if (request === null) {
    line("made", "it is not known how: that was lost when domain 0 was restarted");
    return;
  }
  const { kernel, ramdisk, commandLine, memoryMib, vcpus, vifs = [], vbds = [] } = request;
  line("kernel", `${kernel.name}${ramdisk === undefined ? "" : `, ramdisk ${ramdisk.name}`}`);
  if (commandLine !== "") line("command line", commandLine);
  line("size", `${memoryMib} MiB, ${count(vcpus, "vCPU")}`);
  for (const [number, settings] of vifs.entries()) if (settings !== null) line(`vif ${number}`, settings);
  for (const settings of vbds) line("vbd", settings);
}

export const infoCommand: Command = {
  name: "info",
  usage: "[ID]",
  summary: "show CPU, virtualisation features, memory by owner, uptime; or how a domain was made, and its devices",
  run(words, { domains }) {
    const { rest } = parseOptions(words, {}, words.length > 0 ? ["ID"] : []);
    if (rest.length > 0) {
      describe(namedDomain(rest[0]!, domains));
      return;
    }
    const machine = physicalInfo();
    const policy = hostCpuPolicy();
    const counters = performanceCounters();
    const wall = wallTimeMs();
    const refusal = guestRefusal();
    line("version", `Typevisor, Xen ${xenVersion()} interface`);
    line("CPU", `${cpuName(policy)}, ${machine.cpus} x ${(machine.cpuKhz / 1000).toFixed(0)} MHz`);
    line("virtualisation", virtualisationFeatures(policy) + (refusal === null ? "" : `. ${refusal}`));
    const refused = counters.get("machine.dma_refused")?.[0] ?? 0;
    const dma = dmaConfinement({
      iommu: counters.get("machine.iommu")?.[0] ?? 0,
      dmaConfined: counters.get("machine.dma_confined")?.[0] === 1,
    });
    line("DMA", dma + (refused === 0 ? "" : `; ${refused} accesses of devices were refused: see \`dmesg\``));
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
