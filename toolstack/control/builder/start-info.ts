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
  const bytes = new Uint8Array(bootDataSize(vcpus, commandLine));
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  const u64 = (at: number, value: number) => {
    view.setUint32(at, value >>> 0, true);
    view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
  };

  u32(HvmStartInfo.magic, XEN_HVM_START_MAGIC_VALUE);
  u32(HvmStartInfo.version, 1);
  u64(HvmStartInfo.cmdline_paddr, base + commandLineAt(vcpus));
  u64(HvmStartInfo.rsdp_paddr, base + ACPI_AT);
  u64(HvmStartInfo.memmap_paddr, base + MEMMAP_AT);
  u32(HvmStartInfo.memmap_entries, layout.memoryMap.length);
  layout.memoryMap.forEach((range, i) => {
    const at = MEMMAP_AT + i * HvmMemmapTableEntry.SIZE;
    u64(at + HvmMemmapTableEntry.addr, range.start);
    u64(at + HvmMemmapTableEntry.size, range.size);
    u32(at + HvmMemmapTableEntry.type, range.type);
  });
  if (ramdiskSize > 0) {
    u32(HvmStartInfo.nr_modules, 1);
    u64(HvmStartInfo.modlist_paddr, base + MODLIST_AT);
    u64(MODLIST_AT + HvmModlistEntry.paddr, layout.ramdisk);
    u64(MODLIST_AT + HvmModlistEntry.size, ramdiskSize);
  }
  bytes.set(acpiTables(base + ACPI_AT, vcpus), ACPI_AT);
  bytes.set(commandLine, commandLineAt(vcpus));
  return bytes;
}

/** Makes the tables of the commonest guest now, that is, when domain 0's image is built. */
export function prepareBootData(): void {
  acpiTables(BOOT_DATA_START + ACPI_AT, 1);
}
