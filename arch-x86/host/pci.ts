/**
 * PCI configuration space by ports 0xCF8 and 0xCFC (PCI 3.0, 3.2.2.3.2): the first 256 bytes of every function of segment 0.
 * A function is named by its address: bus << 8 | device << 3 | function.
 */
import { in16, in32, in8, out16, out32, out8 } from "../hw";

const ADDRESS: u32 = 0xcf8;
const DATA: u32 = 0xcfc;
const ENABLE: u32 = 1 << 31;

export const PCI_VENDOR: u32 = 0;
export const PCI_COMMAND: u32 = 4;
export const PCI_CLASS: u32 = 0xb;
export const PCI_HEADER_TYPE: u32 = 0xe;
export const PCI_BAR: u32 = 0x10;
export const PCI_CAPABILITIES: u32 = 0x34;
export const PCI_COMMAND_IO: u32 = 1 << 0;
export const PCI_COMMAND_MEMORY: u32 = 1 << 1;
export const PCI_COMMAND_MASTER: u32 = 1 << 2;
export const PCI_COMMAND_INTX_OFF: u32 = 1 << 10;
const STATUS: u32 = 6;
const STATUS_CAPABILITIES: u32 = 1 << 4;
/** Capabilities have 4 bytes at least and lie above the header: no list has more. */
const CAPABILITIES_MAX: u32 = 48;

/** Reads 1, 2 or 4 bytes of configuration space, naturally aligned; all ones where there is no such function. */
export function pciRead(address: u32, register: u32, size: u32): u32 {
  out32(ADDRESS, ENABLE | ((address & 0xffff) << 8) | (register & 0xfc));
  const port = DATA + (register & 3);
  return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

/** Writes 1, 2 or 4 bytes of configuration space, naturally aligned. */
export function pciWrite(address: u32, register: u32, size: u32, value: u32): void {
  out32(ADDRESS, ENABLE | ((address & 0xffff) << 8) | (register & 0xfc));
  const port = DATA + (register & 3);
  if (size == 1) out8(port, value);
  else if (size == 2) out16(port, value);
  else out32(port, value);
}

/** Whether there is such a function. */
export function pciExists(address: u32): bool {
  return pciRead(address, PCI_VENDOR, 2) != 0xffff;
}

/** Where the first capability with this id is (PCI 3.0, 6.7); 0: there is none. */
export function pciCapability(address: u32, id: u32): u32 {
  if ((pciRead(address, STATUS, 2) & STATUS_CAPABILITIES) == 0) return 0;
  let at = pciRead(address, PCI_CAPABILITIES, 1) & 0xfc;
  for (let n: u32 = 0; at >= 0x40 && n < CAPABILITIES_MAX; n++) {
    if (pciRead(address, at, 1) == id) return at;
    at = pciRead(address, at + 1, 1) & 0xfc;
  }
  return 0;
}
