/**
 * A PCI function that was found: what its header says, and its capabilities. Records are made by enumeration and live as long as
 * the module.
 */
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_LIST_ID,
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_VENDOR_ID,
} from "../../abi/io/pci";
import { say, sayHex } from "../host/log";
import { pciRead8, pciRead16, pciRead32, pciWrite16 } from "./config";

export const PCI_BARS: u32 = 6;

export const PCI_BAR_NONE: u32 = 0;
export const PCI_BAR_IO: u32 = 1;
export const PCI_BAR_MEMORY: u32 = 2;

/** A base address register; a 64-bit one is at its first register's number. */
@unmanaged
export class PciBar {
  base: u64; // machine address or port; 0: not assigned by the firmware
  size: u64;
  kind: u32; // PCI_BAR_*
}

/** Vectors that a device is given at most. */
export const PCI_VECTORS_MAX: u32 = 8;

@unmanaged
export class PciDevice {
  next: usize; // PciDevice, in the order of addresses
  address: u32; // bus << 8 | device << 3 | function
  vendor: u16;
  device: u16;
  subsystemVendor: u16;
  subsystem: u16;
  classCode: u32; // base class << 16 | subclass << 8 | programming interface
  interruptPin: u8; // 1 to 4: INTA to INTD; 0: none
  interruptLine: u8;
  claimed: u8; // a driver has it
  interruptKind: u8; // PCI_INTERRUPT_*
  bars: usize; // PciBar[PCI_BARS], from pciBarsRead
  vectors: u32; // how many interrupts it was given
  ports: usize; // u32[PCI_VECTORS_MAX]: the event channel of each
  pirqs: usize; // u32[PCI_VECTORS_MAX]
}

/** Base address register `index` (0 to 5). */
export function pciBar(d: PciDevice, index: u32): PciBar {
  return changetype<PciBar>(d.bars + <usize>index * offsetof<PciBar>());
}

/** Whether the function still answers: one that was removed reads as all ones. */
export function pciPresent(d: PciDevice): bool {
  return pciRead16(d.address, PCI_VENDOR_ID) == <u32>d.vendor;
}

/** Capabilities start behind the header, are aligned to 4, and there is no room for more of them than this. */
const CAPABILITY_FIRST: u32 = 0x40;
const CAPABILITIES_MAX: u32 = 48;

/**
 * Finds a capability.
 * @param after offset of the one behind which to look; 0 to look from the start
 * @returns its offset, 0 when there is none; a list that loops or leaves its room ends there
 */
export function pciCapability(d: PciDevice, id: u32, after: u32): u32 {
  if (!(pciRead16(d.address, PCI_STATUS) & PCI_STATUS_CAP_LIST)) return 0;
  let offset = pciRead8(d.address, after == 0 ? PCI_CAPABILITY_LIST : after + PCI_CAP_LIST_NEXT) & 0xfc;
  for (let i: u32 = 0; i < CAPABILITIES_MAX && offset >= CAPABILITY_FIRST; i++) {
    const found = pciRead8(d.address, offset + PCI_CAP_LIST_ID);
    if (found == 0xff) return 0;
    if (found == id) return offset;
    offset = pciRead8(d.address, offset + PCI_CAP_LIST_NEXT) & 0xfc;
  }
  return 0;
}

/** Changes PCI_COMMAND: clears `clear`, sets `set`. */
function command(d: PciDevice, clear: u32, set: u32): void {
  const value = pciRead16(d.address, PCI_COMMAND);
  pciWrite16(d.address, PCI_COMMAND, (value & ~clear) | set);
}

/** Lets the device decode its memory and port BARs. */
export function pciDecodeEnable(d: PciDevice): void {
  command(d, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
}

/** Lets the device access memory, and send MSIs. */
export function pciMasterEnable(d: PciDevice): void {
  command(d, 0, PCI_COMMAND_MASTER);
}

/** Forbids the device to access memory: what it was told to do before no longer matters. */
export function pciMasterDisable(d: PciDevice): void {
  command(d, PCI_COMMAND_MASTER, 0);
}

/** Whether the device can be reset by itself (PCI Express Base 3.0, 6.6.2). */
export function pciHasFunctionReset(d: PciDevice): bool {
  const express = pciCapability(d, PCI_CAP_ID_EXP, 0);
  return express != 0 && (pciRead32(d.address, express + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR) != 0;
}

/** Appends an address to the log line: bus:device.function. */
export function pciSayAddress(address: u32): void {
  sayHex(address >> 8);
  say(":");
  sayHex((address >> 3) & 31);
  say(".");
  sayHex(address & 7);
}

/** Appends the function's address to the log line. */
export function pciSay(d: PciDevice): void {
  pciSayAddress(d.address);
}
