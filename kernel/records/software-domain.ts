/**
 * The record of a software-isolated domain in addition to its Domain record: one heap object each, charged to
 * the domain, reached through Domain.software.
 */
import { Domain, DomainKind } from "./domain";

/** Restarts tolerated within CRASH_WINDOW_NS (software-restart.ts). */
export const RESTARTS_MAX: u32 = 5;

/**
 * What is where in a software-isolated domain's linear memory, which is also its guest-physical: numbers of 4 KiB pages. Each
 * pair is a range [first, end), empty where the domain has none of it. Written once, before the domain starts.
 */
@unmanaged
export class SoftwareLayout {
  callPage: u32;
  sharedInfo: u32;
  /** hvm_start_info, and behind it RAM given zeroed at first touch. */
  startInfo: u32;
  scratchEnd: u32;
  /** Boot modules, read-only. */
  modules: u32;
  modulesEnd: u32;
  /** Where it may map granted frames and, if it is privileged, foreign ones. */
  map: u32;
  mapEnd: u32;
  /** Where it may map shared_info and its grant table. */
  shared: u32;
  sharedEnd: u32;
  /** Zeroed RAM at first touch that its restart leaves as it is. */
  stable: u32;
  stableEnd: u32;
  /** RAM for devices' access: by XENMEM_populate_physmap, which tells it the frames. */
  dma: u32;
  dmaEnd: u32;
  /** Devices' registers. */
  mmio: u32;
  mmioEnd: u32;
  /** Most pages of RAM from 0 up; 1: it has them all from the start, 0: as many as its image, until it asks for more. */
  ramMax: u32;
  ramFixed: u32;
  /** Pages beyond its image that are claimed for it when it starts (kernel/memory/software-memory.ts). */
  room: u32;
  /** Frames promised for allocations on its behalf and for stable memory (kernel/memory/software-memory.ts). */
  overhead: u32;
  stableRoom: u32;
}

@unmanaged
export class SoftwareDomain {
  layout: SoftwareLayout;
  /** Physical address of its call page (abi/software.ts, CallPage). */
  callPagePa: u64;
  /** Number of its linear memory (a space of hw). */
  space: u32;
  /** 1: its code uses the vector registers. */
  usesFpu: u32;
  /** Current size of its RAM from 0 up, in 4 KiB pages. */
  enginePages: u32;
  /** Pages of that RAM that are allocated or claimed: enginePages or more in a domain whose RAM grows (domain 0). */
  enginePagesClaimed: u32;
  /** Times it was restarted. */
  restarts: u32;
  /** System times of the latest RESTARTS_MAX restarts, ns: a ring, indexed by `restarts`. */
  restartTime0: u64;
  restartTime1: u64;
  restartTime2: u64;
  restartTime3: u64;
  restartTime4: u64;
  /** 1 from softwareRestartLater until it is restarted; and the next Domain on its CPU's list (Cpu.restarts). */
  restartWanted: u32;
  nextRestart: usize;
  /** 1: that restart is not counted as a crash. */
  restartForgiven: u32;
  /** Tables of its stable memory's frames, and the number of frames (kernel/memory/stable-memory.ts). */
  stableTables: usize;
  stableFrames: u32;
  /** What it has last written to port 0xCF8 (kernel/devices/ports.ts). */
  configAddress: u32;
  /** Hypercalls handled, continued ones once for each piece; and the TSC ticks that they took. */
  calls: u64;
  callTicks: u64;
  /** Where the shim writes why it left: a SoftwareExit (abi/software.ts), 64 bytes from here. */
  exit0: u64;
  exit1: u64;
  exit2: u64;
  exit3: u64;
  exit4: u64;
  exit5: u64;
  exit6: u64;
  exit7: u64;
}

/** The record of a domain of kind Software. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function softwareOf(d: Domain): SoftwareDomain {
  return changetype<SoftwareDomain>(d.software);
}

/** Address of its SoftwareExit. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function softwareExitOf(s: SoftwareDomain): usize {
  return changetype<usize>(s) + offsetof<SoftwareDomain>("exit0");
}

/** Whether a domain may use devices (kernel/devices/): the I/O domain. */
export function drivesDevices(d: Domain): bool {
  return d.kind == DomainKind.Software && softwareOf(d).layout.mmio < softwareOf(d).layout.mmioEnd;
}
