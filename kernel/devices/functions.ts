/**
 * The PCI functions that the I/O domain uses. A record is made when it first writes to a function's configuration space; until
 * then it can only read there.
 *
 * Base addresses stay as firmware has set them: the domain finds their sizes as any driver does, by writing all ones and reading
 * back, but only the record is written and read. Of a function that it has let be a bus master, that is taken away before the
 * domain's memory is given to others.
 */
import {
  PCI_BAR,
  PCI_CLASS,
  PCI_COMMAND,
  PCI_COMMAND_INTX_OFF,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_HEADER_TYPE,
  pciExists,
  pciRead,
  pciWrite,
} from "../../arch-x86/host/pci";
import { dmaAttach, dmaDetach } from "../memory/dma-space";
import { Domain } from "../records/domain";

/** Most functions in use at a time. */
const FUNCTIONS: u32 = 64;
/** Six base addresses, and the expansion ROM's. */
export const BARS: u32 = 7;
const ROM_BAR: u32 = 6;
const ROM_REGISTER: u32 = 0x30;
const ALL_ONES: u32 = 0xffffffff;
const CLASS_BRIDGE: u32 = 6;
const HEADER_MULTIFUNCTION: u32 = 0x80;
const BAR_IO: u32 = 1;
const BAR_MEMORY_TYPE: u32 = 6;
const BAR_MEMORY_64: u32 = 4;

@unmanaged
export class PciFunction {
  /** Bus << 8 | device << 3 | function. */
  address: u32;
  used: u32;
  /** Bit n: base address n is being sized: it reads as its mask. */
  sizing: u32;
  /** 1: it was let be a bus master. */
  master: u32;
  /** Messages in use (msi.ts); where its capability is; first and last frame of the MSI-X table, 0 none. */
  messages: u32;
  capability: u32;
  tableFirst: u64;
  tableLast: u64;
  // BARS values and as many masks follow, u32 each.
}

const VALUES_AT: usize = 40;
const MASKS_AT: usize = 68;
const FUNCTION_BYTES: usize = 96;
const functions: usize = memory.data(64 * 96, 8);

// @ts-expect-error: decorator of AssemblyScript
@inline
function functionAt(i: u32): PciFunction {
  return changetype<PciFunction>(functions + <usize>i * FUNCTION_BYTES);
}

/** Record number `i`, if it is in use. @returns null: not in use, or `i` beyond the last */
export function functionNumber(i: u32): PciFunction | null {
  return i < FUNCTIONS && functionAt(i).used ? functionAt(i) : null;
}

export function functionsMost(): u32 {
  return FUNCTIONS;
}

/** The record of a function, null when there is none. */
export function functionFind(address: u32): PciFunction | null {
  for (let i: u32 = 0; i < FUNCTIONS; i++) {
    const f = functionAt(i);
    if (f.used && f.address == address) return f;
  }
  return null;
}

/** As functionFind, making one if need be; null: no such function, a bridge, or all records are in use. */
export function functionMake(address: u32): PciFunction | null {
  const known = functionFind(address);
  if (known != null) return known;
  if (!pciExists(address) || pciRead(address, PCI_CLASS, 1) == CLASS_BRIDGE) return null;
  if ((pciRead(address, PCI_HEADER_TYPE, 1) & ~HEADER_MULTIFUNCTION) != 0) return null;
  for (let i: u32 = 0; i < FUNCTIONS; i++) {
    const f = functionAt(i);
    if (f.used) continue;
    memory.fill(changetype<usize>(f), 0, FUNCTION_BYTES);
    f.address = address;
    f.used = 1;
    readBars(f);
    return f;
  }
  return null;
}

function registerOf(bar: u32): u32 {
  return bar == ROM_BAR ? ROM_REGISTER : PCI_BAR + bar * 4;
}

/** Which base address is at this register of configuration space; BARS for none. */
export function barAt(register: u32): u32 {
  if (register >= PCI_BAR && register < PCI_BAR + ROM_BAR * 4) return (register - PCI_BAR) >> 2;
  return (register & ~3) == ROM_REGISTER ? ROM_BAR : BARS;
}

export function barValue(f: PciFunction, bar: u32): u32 {
  return load<u32>(changetype<usize>(f) + VALUES_AT + ((<usize>bar) << 2));
}

export function barMask(f: PciFunction, bar: u32): u32 {
  return load<u32>(changetype<usize>(f) + MASKS_AT + ((<usize>bar) << 2));
}

/** Notes the base addresses and their masks, while the function decodes nothing. */
function readBars(f: PciFunction): void {
  const command = pciRead(f.address, PCI_COMMAND, 2);
  pciWrite(f.address, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
  for (let bar: u32 = 0; bar < BARS; bar++) {
    const register = registerOf(bar);
    const value = pciRead(f.address, register, 4);
    pciWrite(f.address, register, 4, bar == ROM_BAR ? ALL_ONES & ~1 : ALL_ONES);
    store<u32>(changetype<usize>(f) + MASKS_AT + ((<usize>bar) << 2), pciRead(f.address, register, 4));
    pciWrite(f.address, register, 4, value);
    store<u32>(changetype<usize>(f) + VALUES_AT + ((<usize>bar) << 2), value);
  }
  pciWrite(f.address, PCI_COMMAND, 2, command);
}

/** Physical address of a memory base address; 0 for one that is none. */
export function barMemory(f: PciFunction, bar: u32): u64 {
  if (bar >= ROM_BAR) return 0;
  const value = barValue(f, bar);
  if (value & BAR_IO) return 0;
  const high: u64 = (value & BAR_MEMORY_TYPE) == BAR_MEMORY_64 && bar + 1 < ROM_BAR ? barValue(f, bar + 1) : 0;
  return (high << 32) | (value & ~15);
}

/** Whether [port, port + size) lies in one of the port ranges of a function in use. */
export function functionHasPorts(port: u32, size: u32): bool {
  for (let i: u32 = 0; i < FUNCTIONS; i++) {
    const f = functionAt(i);
    if (!f.used) continue;
    for (let bar: u32 = 0; bar < ROM_BAR; bar++) {
      const value = barValue(f, bar);
      if (!(value & BAR_IO) || (bar && isUpperHalf(f, bar))) continue;
      // A function may implement only the lower 16 bits.
      const bytes = (~((barMask(f, bar) & ~3) | 0xffff0000) + 1) & 0xffff;
      const base = value & ~3;
      if (bytes && port >= base && port + size <= base + bytes) return true;
    }
  }
  return false;
}

/** Whether base address `bar` is the upper half of the one before. */
function isUpperHalf(f: PciFunction, bar: u32): bool {
  const below = barValue(f, bar - 1);
  return !(below & BAR_IO) && (below & BAR_MEMORY_TYPE) == BAR_MEMORY_64;
}

/** Whether a frame holds the MSI-X table of a function that uses it: only the hypervisor writes there. */
export function functionHasTable(mfn: u64): bool {
  for (let i: u32 = 0; i < FUNCTIONS; i++) {
    const f = functionAt(i);
    if (f.used && f.tableFirst && mfn >= f.tableFirst && mfn <= f.tableLast) return true;
  }
  return false;
}

/**
 * Writes the command register's bits that the domain may set. Before a function may be a bus master its requesters are attached to the
 * domain's page tables, where there is an IOMMU; it is no bus master if there is no memory for that.
 */
export function functionCommand(d: Domain, f: PciFunction, command: u32): void {
  if (command & PCI_COMMAND_MASTER && !f.master) {
    if (dmaAttach(d, f.address)) f.master = 1;
    else command &= ~PCI_COMMAND_MASTER;
  }
  pciWrite(f.address, PCI_COMMAND, 2, command);
}

/**
 * Ends all DMA and forgets all functions: the domain is restarted. Their messages have been ended before (pirqsRelease). What a
 * function has begun is completed when the read returns (PCI 3.0, 3.2.5).
 */
export function functionsRelease(): void {
  for (let i: u32 = 0; i < FUNCTIONS; i++) {
    const f = functionAt(i);
    if (!f.used) continue;
    if (f.master) {
      const command = pciRead(f.address, PCI_COMMAND, 2);
      pciWrite(f.address, PCI_COMMAND, 2, (command | PCI_COMMAND_INTX_OFF) & ~PCI_COMMAND_MASTER);
      pciRead(f.address, PCI_COMMAND, 2);
      dmaDetach(f.address);
    }
    f.used = 0;
  }
}
