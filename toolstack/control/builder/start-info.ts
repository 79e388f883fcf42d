/**
 * The start information of a PVH guest in one piece: hvm_start_info (version 1), memory map, module list, command line.
 * EBX points to its first byte at the guest's start.
 */
import { HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_HVM_START_MAGIC_VALUE } from "../../../abi/hvm.ts";
import type { GuestLayout } from "./layout.ts";

/** Ranges that a memory map may have. */
const MEMMAP_MAX = 4;

const MEMMAP_AT = 64;
const MODLIST_AT = MEMMAP_AT + MEMMAP_MAX * HvmMemmapTableEntry.SIZE;
const COMMAND_LINE_AT = MODLIST_AT + HvmModlistEntry.SIZE;

/** Bytes of start information for a command line of `commandLine.length` bytes. */
export function startInfoSize(commandLine: Uint8Array): number {
  return COMMAND_LINE_AT + commandLine.length + 1;
}

/** Builds the start information for the address that the layout assigns to it. */
export function makeStartInfo(layout: GuestLayout, commandLine: Uint8Array, ramdiskSize: number): Uint8Array {
  const base = layout.startInfo;
  const bytes = new Uint8Array((startInfoSize(commandLine) + 3) & ~3);
  // Addresses and sizes are given as their low words where they are below 4 GiB.
  const words = new Uint32Array(bytes.buffer);
  words[HvmStartInfo.magic / 4] = XEN_HVM_START_MAGIC_VALUE;
  words[HvmStartInfo.version / 4] = 1;
  words[HvmStartInfo.cmdline_paddr / 4] = base + COMMAND_LINE_AT;
  words[HvmStartInfo.rsdp_paddr / 4] = layout.acpi;
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
  bytes.set(commandLine, COMMAND_LINE_AT);
  return bytes;
}
