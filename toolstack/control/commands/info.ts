import { infoRequest } from "../../api/requests/machine.ts";
import { VERSION } from "../../api/version.ts";
import { systemTime, wallTimeMs } from "../clock.ts";
import { cpuName, virtualisationFeatures } from "../cpu-features.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { Domains } from "../domains/domains.ts";
import { hostCpuPolicy, performanceCounters, physicalInfo, schedulerInfo } from "../hypercalls/sysctl.ts";
import { xenCapabilities, xenVersion } from "../hypercalls/xen-version.ts";
import { dmaConfinement } from "../machine-features.ts";
import { network } from "../net/network.ts";
import { formatIpv4 } from "../../api/devices/addresses.ts";
import { guestRefusal } from "../refusal.ts";
import { describeEntropy } from "../tls/entropy.ts";
import { PAGE_SIZE } from "../window.ts";
import { handler } from "./handler.ts";
import { namedDomain } from "./life.ts";
import { requestCommand } from "./request-command.ts";

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

/** How a domain was made, and what it has been given since. */
function describe({ id, name, uuid, policy, request, next: update }: GuestDomain) {
  const made = request && {
    kernel: request.kernel.name,
    ramdisk: request.ramdisk?.name ?? null,
    cmdline: request.commandLine,
    memoryMib: request.memoryMib,
    vcpus: request.vcpus,
    vifs: request.vifs ?? [],
    vbds: request.vbds ?? [],
  };
  const next = update && { kernel: update.kernel.name, memoryMib: update.memoryMib, vcpus: update.vcpus };
  const { poweroff: onPoweroff, reboot: onReboot, crash: onCrash } = policy;
  return { id, name, uuid, onPoweroff, onReboot, onCrash, made, next };
}

function gatewayText(): string | null {
  const { gateway } = network.neighbourhood;
  return network.own === null || gateway.every((byte) => byte === 0) ? null : formatIpv4(gateway);
}

function describeMachine(domains: Domains) {
  const machine = physicalInfo();
  const policy = hostCpuPolicy();
  const counters = performanceCounters();
  const wall = wallTimeMs();
  const scheduler = schedulerInfo();
  return {
    version: VERSION,
    xen: xenVersion(),
    cpu: cpuName(policy),
    cpus: machine.cpus,
    cpuKhz: machine.cpuKhz,
    virtualisation: virtualisationFeatures(policy),
    refusal: guestRefusal(),
    dma: dmaConfinement({
      iommu: counters.get("machine.iommu")?.[0] ?? 0,
      dmaConfined: counters.get("machine.dma_confined")?.[0] === 1,
    }),
    scheduler: scheduler.name,
    rateLimitUs: scheduler.rateLimitUs,
    dmaRefused: counters.get("machine.dma_refused")?.[0] ?? 0,
    guestTypes: xenCapabilities(),
    domains: domains.list().length,
    network: network.describe(),
    gateway: gatewayText(),
    random: describeEntropy(),
    uptimeNs: systemTime(),
    time: wall === 0 ? null : new Date(wall).toISOString(),
    memoryBytes: machine.totalPages * PAGE_SIZE,
    freeBytes: machine.freePages * PAGE_SIZE,
    frames: OWNERS.flatMap(([counter, owner]) => {
      const frames = counters.get(counter)?.[0];
      return frames === undefined ? [] : [{ owner, bytes: frames * PAGE_SIZE }];
    }),
  };
}

export const infoCommand = requestCommand(
  handler(infoRequest, ({ id }, { domains }) =>
    id === undefined ? describeMachine(domains) : describe(namedDomain(id, domains)),
  ),
);
