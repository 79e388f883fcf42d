/** The records of an AHCI adapter and its disks, and access to their registers. */
import { Ahci, AhciPortRegister } from "../../abi/io/ahci";
import { BlockDevice } from "../block";
import { read32, systemTime, write32 } from "../host/host";
import { say, sayDec, sayEnd } from "../host/log";
import { Timer } from "../host/timer";
import { PciDevice, pciSay } from "../pci/device";
import { Pollable } from "../poll";
import { Recovery } from "../recovery";

// AhciDisk.mode
export const AHCI_WORKING: u32 = 0;
export const AHCI_RESETTING: u32 = 1; // the link was reset, the disk has not come back yet
export const AHCI_OVER: u32 = 2;

@unmanaged
export class AhciAdapter {
  pci: usize; // PciDevice
  registers: usize; // linear address
  slots: u32; // commands of a port
  polled: u32; // it has no interrupt
  disks: usize; // u32[AHCI_PORTS_MAX]: AhciDisk, 0 for none
  pollTimer: usize; // Timer
}

/** What is entered in poll.ts for a disk. */
@unmanaged
export class AhciWork extends Pollable {
  disk: usize; // AhciDisk
}

@unmanaged
export class AhciDisk extends BlockDevice {
  adapter: usize; // AhciAdapter
  port: usize; // linear address of its registers
  work: usize; // AhciWork
  lists: usize; // DMA memory: command list, received FISes, ranges of TRIM
  tables: usize; // DMA memory: AHCI_TABLE_BYTES for each slot
  requests: usize; // u32[AHCI_SLOTS_MAX]: BlockRequest of each slot
  stamps: usize; // u32[AHCI_SLOTS_MAX]: `clock` when it was issued
  slots: u32;
  used: u32; // a bit for each slot that has a request
  issued: u32; // those that the adapter was told of
  causes: u32; // interrupt causes that were seen and not dealt with
  mode: u32; // AHCI_*
  clock: u32; // seconds
  resetAt: u32; // clock when the link was reset
  wide: u32; // 48-bit addresses
  flushCommand: u32; // 0: none
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
}

/** Most regions of a command, and bytes of its table. */
export const AHCI_REGIONS_MAX: u32 = 128;
export const AHCI_TABLE_BYTES: u32 = 0x80 + 128 * 16;
// Offsets in `lists`.
export const AHCI_LIST: u32 = 0;
export const AHCI_FISES: u32 = 1024;
export const AHCI_RANGES: u32 = 4096; // 512 bytes for each slot
export const AHCI_LISTS_PAGES: u32 = 5;

export function adapterOf(d: AhciDisk): AhciAdapter {
  return changetype<AhciAdapter>(d.adapter);
}

export function pciOf(a: AhciAdapter): PciDevice {
  return changetype<PciDevice>(a.pci);
}

export function diskAt(a: AhciAdapter, port: u32): usize {
  return load<u32>(a.disks + ((<usize>port) << 2));
}

export function workOf(d: AhciDisk): AhciWork {
  return changetype<AhciWork>(d.work);
}

export function recoveryOf(d: AhciDisk): Recovery {
  return changetype<Recovery>(d.recovery);
}

export function watchdogOf(d: AhciDisk): Timer {
  return changetype<Timer>(d.watchdog);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function portGet(d: AhciDisk, register: u32): u32 {
  return read32(d.port + register);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function portSet(d: AhciDisk, register: u32, value: u32): void {
  write32(d.port + register, value);
}

/** Where a port's registers are. */
export function portAddress(a: AhciAdapter, port: u32): usize {
  return a.registers + Ahci.PORTS + <usize>port * Ahci.PORT_SIZE;
}

/** Waits until bits of a port's register are clear; false when they are not after `ns`. */
export function portAwaitClear(d: AhciDisk, register: u32, bits: u32, ns: u64): bool {
  const end = systemTime() + ns;
  let clear = (portGet(d, register) & bits) == 0;
  while (!clear && systemTime() < end) clear = (portGet(d, register) & bits) == 0;
  return clear;
}

/** The status of the device: ATA_STATUS_*. */
export function taskFile(d: AhciDisk): u32 {
  return portGet(d, AhciPortRegister.TFD) & 0xff;
}

export function ahciSay(d: AhciDisk, words: string): void {
  say("ahci ");
  pciSay(pciOf(adapterOf(d)));
  say(" port ");
  sayDec(d.unit);
  say(": ");
  say(words);
  sayEnd();
}
