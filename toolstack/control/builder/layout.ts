/**
 * Where everything goes in a PVH guest's physical memory.
 *
 *   0          RAM
 *   0xa0000    reserved, but RAM too: start information, command line and ACPI tables from 0xe0000 (where firmware of a
 *              PC has its tables), the xenstore ring's page and the console page in the last two frames
 *   0x100000   RAM, up to 3 GiB; kernels are linked to run here, the ramdisk follows the kernel as on Xen
 *   3 GiB      hole (local APIC, special pages when the kernel itself wants the places above)
 *   4 GiB      the rest of the RAM
 *
 * With the special pages inside the first megabyte a small guest needs no page tables beyond its RAM's.
 */
import { XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED } from "../../../abi/hvm.ts";
import type { MemoryRange } from "../hypercalls/memory.ts";
import { formatBytes, hex } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import type { Kernel, Segment } from "./elf.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

const LEGACY_START = 0xa0000;
const LEGACY_END = 0x100000;
export const BOOT_DATA_START = 0xe0000;
const STORE_PAGE = 0xfe000;
const CONSOLE_PAGE = 0xff000;
/** Special pages: these two. */
const SPECIAL_PAGES = 2;
/** End of RAM below the hole, and where it goes on. */
const LOW_RAM_END = 3 * GIB;
const HIGH_RAM_START = 4 * GIB;
/** Special pages of guests whose kernel takes the first megabyte: below the range that Xen uses. */
const HIGH_SPECIAL_START = 0xfeff8000;

/** The plan by which a guest is built. Addresses are guest-physical, in bytes. */
export interface GuestLayout {
  /** RAM from 0, and RAM from 4 GiB. */
  lowRam: number;
  highRam: number;
  ramdisk: number;
  /** Start information and ACPI tables. */
  bootData: number;
  consolePage: number;
  storePage: number;
  /** Memory beyond the RAM that must be populated: a range in the hole, or nothing. */
  extraStart: number;
  extraSize: number;
  memoryMap: MemoryRange[];
}

/**
 * Plans a guest's memory.
 * @param memorySize bytes of RAM the guest gets, a multiple of 1 MiB
 * @param bootDataSize bytes that `bootData` must hold
 * @throws BuildError when kernel and ramdisk do not fit
 */
export function planGuest(
  name: string,
  kernel: Kernel,
  ramdiskSize: number,
  memorySize: number,
  bootDataSize: number,
): GuestLayout {
  const lowRam = Math.min(memorySize, LOW_RAM_END);
  const { segments } = kernel;
  const kernelEnd = checkFits(name, segments, lowRam, memorySize);

  const bootPages = Math.ceil(bootDataSize / PAGE_SIZE);
  const lowFree = !segments.some((s) => s.address < LEGACY_END && s.address + s.memorySize > BOOT_DATA_START);
  const low = lowFree && BOOT_DATA_START + bootPages * PAGE_SIZE <= STORE_PAGE;
  const extraStart = HIGH_SPECIAL_START - bootPages * PAGE_SIZE;

  let ramdisk = 0;
  if (ramdiskSize > 0) {
    ramdisk = Math.max(Math.ceil(kernelEnd / PAGE_SIZE) * PAGE_SIZE, LEGACY_END);
    if (ramdisk + ramdiskSize > lowRam) {
      throw new BuildError(
        `${name}: kernel and ramdisk (${formatBytes(ramdiskSize)}) do not fit into ${formatBytes(lowRam)} of memory`,
      );
    }
  }
  return {
    lowRam,
    highRam: memorySize - lowRam,
    ramdisk,
    bootData: low ? BOOT_DATA_START : extraStart,
    consolePage: low ? CONSOLE_PAGE : HIGH_SPECIAL_START,
    storePage: low ? STORE_PAGE : HIGH_SPECIAL_START + PAGE_SIZE,
    extraStart,
    extraSize: low ? 0 : (bootPages + SPECIAL_PAGES) * PAGE_SIZE,
    memoryMap: memoryMap(lowRam, memorySize - lowRam, low ? 0 : bootPages + SPECIAL_PAGES, extraStart),
  };
}

/** Throws unless every segment lies in RAM; returns the end of the last one. */
function checkFits(name: string, segments: Segment[], lowRam: number, memorySize: number): number {
  const last = segments[segments.length - 1]!;
  const end = last.address + last.memorySize;
  if (end <= lowRam) return end;
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

function memoryMap(lowRam: number, highRam: number, extraPages: number, extraStart: number): MemoryRange[] {
  const map: MemoryRange[] = [
    { start: 0, size: LEGACY_START, type: XEN_HVM_MEMMAP_TYPE_RAM },
    { start: LEGACY_START, size: LEGACY_END - LEGACY_START, type: XEN_HVM_MEMMAP_TYPE_RESERVED },
  ];
  if (lowRam > LEGACY_END) {
    map.push({ start: LEGACY_END, size: lowRam - LEGACY_END, type: XEN_HVM_MEMMAP_TYPE_RAM });
  }
  if (extraPages > 0) {
    map.push({ start: extraStart, size: extraPages * PAGE_SIZE, type: XEN_HVM_MEMMAP_TYPE_RESERVED });
  }
  if (highRam > 0) map.push({ start: HIGH_RAM_START, size: highRam, type: XEN_HVM_MEMMAP_TYPE_RAM });
  return map;
}
