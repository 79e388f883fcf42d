/** Base address registers: where a device's registers are, how large they are, and their mapping into the module's memory. */
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_IO_MASK_LOW,
  PCI_BASE_ADDRESS_MEM_MASK_LOW,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_MEM_TYPE_MASK,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
} from "../../abi/io/pci";
import { heapAllocate } from "../host/heap";
import { mmioMap } from "../host/mmio";
import { pciRead16, pciRead32, pciWrite16, pciWrite32 } from "./config";
import { PCI_BAR_IO, PCI_BAR_MEMORY, PCI_BAR_NONE, PCI_BARS, PciBar, pciBar, PciDevice } from "./device";

/** Writes all ones to a register of the device and reads which bits stuck; the register is as it was afterwards. */
function probe(address: u32, register: u32): u32 {
  const value = pciRead32(address, register);
  pciWrite32(address, register, 0xffffffff);
  const bits = pciRead32(address, register);
  pciWrite32(address, register, value);
  return bits;
}

/** The size that the writable bits of a BAR mean; 0 when they are not those of a power of two. */
function sizeOf(bits: u64): u64 {
  const size = ~bits + 1;
  return size != 0 && (size & (size - 1)) == 0 ? size : 0;
}

/** Reads one BAR into `bar`; returns how many registers it takes. */
function readBar(d: PciDevice, index: u32, bar: PciBar): u32 {
  const register = PCI_BASE_ADDRESS_0 + index * 4;
  const low = pciRead32(d.address, register);
  const bits = probe(d.address, register);
  bar.kind = PCI_BAR_NONE;
  bar.base = 0;
  bar.size = 0;
  if (bits == 0 || bits == 0xffffffff) return 1;
  if (low & PCI_BASE_ADDRESS_SPACE_IO) {
    // A device may leave the upper half of a port BAR unimplemented.
    const mask = (bits & PCI_BASE_ADDRESS_IO_MASK_LOW) | 0xffff0000;
    bar.size = sizeOf(0xffffffff00000000 | (<u64>mask));
    bar.base = low & PCI_BASE_ADDRESS_IO_MASK_LOW;
    if (bar.size == 0 || bar.size > 256 || bar.base + bar.size > 0x10000 || (bar.base & (bar.size - 1)) != 0) return 1;
    bar.kind = PCI_BAR_IO;
    return 1;
  }
  const wide = (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
  if (wide && index == PCI_BARS - 1) return 1;
  const high = wide ? pciRead32(d.address, register + 4) : 0;
  const highBits = wide ? probe(d.address, register + 4) : 0xffffffff;
  bar.size = sizeOf(((<u64>highBits) << 32) | (bits & PCI_BASE_ADDRESS_MEM_MASK_LOW));
  bar.base = ((<u64>high) << 32) | (low & PCI_BASE_ADDRESS_MEM_MASK_LOW);
  if (bar.size != 0 && (bar.base & (bar.size - 1)) == 0) bar.kind = PCI_BAR_MEMORY;
  return wide ? 2 : 1;
}

/**
 * Reads all BARs of a device that a driver is about to use; it decodes none of them meanwhile. One that makes no sense (its size
 * no power of two, its base not aligned to it) is PCI_BAR_NONE.
 * @returns false when out of memory
 */
export function pciBarsRead(d: PciDevice): bool {
  if (!d.bars) d.bars = heapAllocate(PCI_BARS * offsetof<PciBar>());
  if (!d.bars) return false;
  const saved = pciRead16(d.address, PCI_COMMAND);
  pciWrite16(d.address, PCI_COMMAND, saved & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
  for (let i: u32 = 0; i < PCI_BARS;) {
    const used = readBar(d, i, pciBar(d, i));
    if (used == 2) pciBar(d, i + 1).kind = PCI_BAR_NONE;
    i += used;
  }
  pciWrite16(d.address, PCI_COMMAND, saved);
  return true;
}

/**
 * Maps `bytes` bytes at `offset` of memory BAR `index`.
 * @returns their linear address; 0 when that is not within an assigned memory BAR or cannot be mapped
 */
export function pciBarMap(d: PciDevice, index: u32, offset: u32, bytes: u32): usize {
  if (index >= PCI_BARS || !d.bars) return 0;
  const bar = pciBar(d, index);
  if (bar.kind != PCI_BAR_MEMORY || bar.base == 0 || bytes == 0 || <u64>offset + bytes > bar.size) return 0;
  return mmioMap(bar.base + offset, bytes);
}

/** The first port of port BAR `index`; 0 when it is none, is not assigned or has fewer than `ports` ports. */
export function pciBarPorts(d: PciDevice, index: u32, ports: u32): u32 {
  if (index >= PCI_BARS || !d.bars) return 0;
  const bar = pciBar(d, index);
  return bar.kind == PCI_BAR_IO && bar.size >= <u64>ports ? <u32>bar.base : 0;
}
