/**
 * A PVH guest's physical memory layout. It follows Xen's toolstack, since guests rely on the first megabyte containing nothing
 * but RAM.
 *
 *   0           RAM, up to 3 GiB; kernels are linked to run at 1 MiB or above. Behind the kernel the ramdisk, behind that
 *               the start information with the command line, the memory map and the list of modules
 *   3 GiB       hole: the local APIC, ACPI tables, and Xen's special pages up to 0xff000000
 *   4 GiB       the rest of the RAM
 *
 * On Xen the ACPI tables are at 0xfc000000. Here they end where the special pages begin, so that one nested page table covers
 * all of them, which matters for small guests. Guests find the tables only through the start information.
 */
import { XEN_HVM_MEMMAP_TYPE_ACPI, XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED } from "../../../abi/hvm.ts";
import type { MemoryRange } from "../hypercalls/memory.ts";
import { formatBytes } from "../../api/sizes.ts";
import { hex } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import type { PvhKernel, Segment } from "./elf.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** End of RAM below the hole, and its continuation. */
export const LOW_RAM_END = 3 * GIB;
const HIGH_RAM_START = 4 * GIB;
/**
 * Xen's special pages, X86_HVM_END_SPECIAL_REGION and below: eight, of which two are used (libxenguest, xg_dom_x86.c), and a third
 * by the hypervisor for NoXS's device page (abi/io/noxs.ts).
 */
export const SPECIAL_START = 0xfeff8000;
export const SPECIAL_END = 0xff000000;
const STORE_PAGE = SPECIAL_START + 4 * PAGE_SIZE;
const CONSOLE_PAGE = SPECIAL_START + 7 * PAGE_SIZE;
const RINGS = 2;

/** What guests of every kind have. Addresses are guest-physical, in bytes. */
export interface MemoryPlan {
  /** RAM from 0, and RAM from 4 GiB. */
  lowRam: number;
  highRam: number;
  ramdisk: number;
  consolePage: number;
  storePage: number;
  /** Frame numbers of the pages beyond the RAM that must be populated. */
  extraGfns: number[];
  memoryMap: MemoryRange[];
}

/** The plan by which a PVH guest is built. */
export interface GuestLayout extends MemoryPlan {
  /** hvm_start_info and what it points to, in RAM. */
  startInfo: number;
  acpi: number;
}

/** Where the ACPI tables begin that take `size` bytes. */
export function acpiPlace(size: number): number {
  return SPECIAL_START - Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}

/** Bytes of memory that a guest whose ACPI tables take `acpiSize` bytes has beyond its RAM. */
export function beyondRam(acpiSize: number): number {
  return SPECIAL_START - acpiPlace(acpiSize) + RINGS * PAGE_SIZE;
}

/**
 * Plans a guest's memory.
 * @param memorySize bytes of RAM the guest gets, a multiple of 1 MiB
 * @param startInfoSize bytes that `startInfo` must hold
 * @param acpiSize bytes that `acpi` must hold
 * @throws BuildError when kernel, ramdisk and start information do not fit
 */
export function planGuest(
  name: string,
  kernel: PvhKernel,
  ramdiskSize: number,
  memorySize: number,
  startInfoSize: number,
  acpiSize: number,
): GuestLayout {
  const lowRam = Math.min(memorySize, LOW_RAM_END);
  const highRam = memorySize - lowRam;
  // A kernel may end below 1 MiB; there are no PC devices in that range.
  const ramdisk = Math.max(kernelEnd(name, kernel.segments, lowRam, memorySize), MIB);
  const startInfo = ramdisk + wholePages(ramdiskSize);
  if (startInfo + startInfoSize > lowRam) {
    throw new BuildError(
      ramdiskSize > 0
        ? `${name}: kernel and ramdisk (${formatBytes(ramdiskSize)}) do not fit into ${formatBytes(lowRam)} of memory`
        : `${name}: the image leaves no room for the start information in ${formatBytes(lowRam)} of memory`,
    );
  }
  const acpi = acpiPlace(acpiSize);
  const extraGfns = [STORE_PAGE / PAGE_SIZE, CONSOLE_PAGE / PAGE_SIZE];
  for (let page = acpi; page < SPECIAL_START; page += PAGE_SIZE) extraGfns.push(page / PAGE_SIZE);
  return {
    lowRam,
    highRam,
    ramdisk,
    startInfo,
    acpi,
    consolePage: CONSOLE_PAGE,
    storePage: STORE_PAGE,
    extraGfns,
    memoryMap: memoryMap(lowRam, highRam, acpi),
  };
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

/** Throws unless every segment lies in RAM; returns the end of the last one's page. */
export function kernelEnd(name: string, segments: Segment[], lowRam: number, memorySize: number): number {
  const last = segments[segments.length - 1]!;
  const end = last.address + last.memorySize;
  if (end <= lowRam) return wholePages(end);
  if (end <= memorySize || end > HIGH_RAM_START) {
    throw new BuildError(
      `${name}: the segment at ${hex(last.address)} lies outside the memory below ${formatBytes(LOW_RAM_END)}`,
    );
  }
  throw new BuildError(
    `${name}: the image is larger than the guest's memory: it needs memory up to ${hex(end)} (${formatBytes(end)}), ` +
      `the guest has ${formatBytes(memorySize)}`,
  );
}

/** In ascending order: Linux's PVH entry does not sort it. */
function memoryMap(lowRam: number, highRam: number, acpi: number): MemoryRange[] {
  const map: MemoryRange[] = [
    { start: 0, size: lowRam, type: XEN_HVM_MEMMAP_TYPE_RAM },
    { start: acpi, size: SPECIAL_START - acpi, type: XEN_HVM_MEMMAP_TYPE_ACPI },
    { start: SPECIAL_START, size: SPECIAL_END - SPECIAL_START, type: XEN_HVM_MEMMAP_TYPE_RESERVED },
  ];
  if (highRam > 0) map.push({ start: HIGH_RAM_START, size: highRam, type: XEN_HVM_MEMMAP_TYPE_RAM });
  return map;
}
