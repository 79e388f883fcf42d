/**
 * The boot data of a PVH guest in one piece: hvm_start_info (version 1), memory map, module list, command line, ACPI
 * tables. EBX points to its first byte at the guest's start.
 */
import { HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_HVM_START_MAGIC_VALUE } from "../../../abi/hvm.ts";
import { acpiSize, acpiTables } from "./acpi.ts";
import { BOOT_DATA_START, type GuestLayout } from "./layout.ts";

/** Ranges that a memory map may have. */
const MEMMAP_MAX = 5;

const MEMMAP_AT = 64;
const MODLIST_AT = MEMMAP_AT + MEMMAP_MAX * HvmMemmapTableEntry.SIZE;
const ACPI_AT = (MODLIST_AT + HvmModlistEntry.SIZE + 15) & ~15;

function commandLineAt(vcpus: number): number {
  return ACPI_AT + acpiSize(vcpus);
}

/** Bytes of boot data for a command line of `commandLine.length` bytes. */
export function bootDataSize(vcpus: number, commandLine: Uint8Array): number {
  return commandLineAt(vcpus) + commandLine.length + 1;
}

/** Makes the boot data for the place that the layout gives it. */
export function makeBootData(
  layout: GuestLayout,
  vcpus: number,
  commandLine: Uint8Array,
  ramdiskSize: number,
): Uint8Array {
  const base = layout.bootData;
  const bytes = new Uint8Array((bootDataSize(vcpus, commandLine) + 3) & ~3);
  // Addresses and sizes are given as their low words where they are below 4 GiB.
  const words = new Uint32Array(bytes.buffer);
  words[HvmStartInfo.magic / 4] = XEN_HVM_START_MAGIC_VALUE;
  words[HvmStartInfo.version / 4] = 1;
  words[HvmStartInfo.cmdline_paddr / 4] = base + commandLineAt(vcpus);
  words[HvmStartInfo.rsdp_paddr / 4] = base + ACPI_AT;
  words[HvmStartInfo.memmap_paddr / 4] = base + MEMMAP_AT;
  words[HvmStartInfo.memmap_entries / 4] = layout.memoryMap.length;
  let at = MEMMAP_AT / 4;
  for (const { start, size, type } of layout.memoryMap) {
    words[at + HvmMemmapTableEntry.addr / 4] = start;
    words[at + HvmMemmapTableEntry.addr / 4 + 1] = start / 0x100000000;
    words[at + HvmMemmapTableEntry.size / 4] = size;
    words[at + HvmMemmapTableEntry.size / 4 + 1] = size / 0x100000000;
    words[at + HvmMemmapTableEntry.type / 4] = type;
    at += HvmMemmapTableEntry.SIZE / 4;
  }
  if (ramdiskSize > 0) {
    words[HvmStartInfo.nr_modules / 4] = 1;
    words[HvmStartInfo.modlist_paddr / 4] = base + MODLIST_AT;
    words[(MODLIST_AT + HvmModlistEntry.paddr) / 4] = layout.ramdisk;
    words[(MODLIST_AT + HvmModlistEntry.size) / 4] = ramdiskSize;
  }
  bytes.set(acpiTables(base + ACPI_AT, vcpus), ACPI_AT);
  bytes.set(commandLine, commandLineAt(vcpus));
  return bytes;
}

/** Makes the tables of the commonest guest now, that is, when domain 0's image is built. */
export function prepareBootData(): void {
  acpiTables(BOOT_DATA_START + ACPI_AT, 1);
}
