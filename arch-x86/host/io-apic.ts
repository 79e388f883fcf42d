/**
 * I/O APICs (Intel 82093AA): interrupt lines by their number in ACPI, the global system interrupt (GSI). A line is used only from
 * ioApicRoute on; the hypervisor itself uses none.
 */
import { acpiMadtEntry, MADT_IO_APIC, MADT_OVERRIDE } from "./acpi";
import { load16, load32, load8, mmioRead32, mmioWrite32 } from "../hw";

const APICS_MAX: u32 = 8;
/** ISA's interrupts: edge triggered, active high, unless an override says otherwise; PCI's others: level, low. */
const ISA_LINES: u32 = 16;

// Registers: an index at 0, the data at 16.
const INDEX: u64 = 0;
const DATA: u64 = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;

// A redirection entry, low word; the destination is in the top byte of the high word.
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

// Flags of an override: polarity and trigger mode, 0 as the bus has it, 1 high or edge, 3 low or level.
const POLARITY: u32 = 3;
const POLARITY_LOW: u32 = 3;
const TRIGGER: u32 = 12;
const TRIGGER_LEVEL: u32 = 12;

@unmanaged
class IoApic {
  pa: u64;
  firstGsi: u32;
  lines: u32;
}
const apics: usize = memory.data(8 * 16, 8);
let count: u32 = 0;
let root: u64 = 0;

function apicAt(i: u32): IoApic {
  return changetype<IoApic>(apics + <usize>i * offsetof<IoApic>());
}

/** Finds the I/O APICs. Once. @param rsdp physical address of ACPI's root pointer, 0 for none: there is no I/O APIC then */
export function ioApicInit(rsdp: u64): void {
  root = rsdp;
  for (let i: u32 = 0; i < APICS_MAX; i++) {
    const entry = acpiMadtEntry(rsdp, MADT_IO_APIC, i);
    if (!entry) return;
    const a = apicAt(count);
    a.pa = load32(entry + 4);
    a.firstGsi = load32(entry + 8);
    const version = readRegister(a.pa, VERSION);
    if (version == 0xffffffff) continue;
    a.lines = ((version >> 16) & 0xff) + 1;
    count++;
  }
}

/** Physical address of I/O APIC number `i`; 0 beyond the last. */
export function ioApicAddress(i: u32): u64 {
  return i < count ? apicAt(i).pa : 0;
}

function readRegister(pa: u64, register: u32): u32 {
  mmioWrite32(pa + INDEX, register);
  return mmioRead32(pa + DATA);
}

function writeRegister(pa: u64, register: u32, value: u32): void {
  mmioWrite32(pa + INDEX, register);
  mmioWrite32(pa + DATA, value);
}

function apicOf(gsi: u32): IoApic | null {
  for (let i: u32 = 0; i < count; i++) {
    const a = apicAt(i);
    if (gsi >= a.firstGsi && gsi - a.firstGsi < a.lines) return a;
  }
  return null;
}

/** Whether there is such a line. */
export function ioApicHasLine(gsi: u32): bool {
  return apicOf(gsi) != null;
}

/** LEVEL and ACTIVE_LOW of a line. */
function modeOf(gsi: u32): u32 {
  for (let i: u32 = 0, entry: u64 = 1; entry != 0; i++) {
    entry = acpiMadtEntry(root, MADT_OVERRIDE, i);
    if (!entry) continue;
    if (load32(entry + 4) != gsi || load8(entry + 2) != 0) continue;
    const flags = load16(entry + 8);
    return ((flags & POLARITY) == POLARITY_LOW ? ACTIVE_LOW : 0) | ((flags & TRIGGER) == TRIGGER_LEVEL ? LEVEL : 0);
  }
  return gsi < ISA_LINES ? 0 : LEVEL | ACTIVE_LOW;
}

/** Whether a line is level triggered: it interrupts as long as its device has a reason to. */
export function ioApicIsLevel(gsi: u32): bool {
  return (modeOf(gsi) & LEVEL) != 0;
}

/** Has a line, which exists, interrupt the CPU with that local APIC id by `vector`. It is masked. */
export function ioApicRoute(gsi: u32, vector: u32, apicId: u32): void {
  const a = apicOf(gsi)!;
  const register = REDIRECTION + 2 * (gsi - a.firstGsi);
  writeRegister(a.pa, register, MASKED);
  writeRegister(a.pa, register + 1, apicId << 24);
  writeRegister(a.pa, register, MASKED | modeOf(gsi) | vector);
}

/** Masks a line that was routed, or lets it interrupt. */
export function ioApicMask(gsi: u32, masked: bool): void {
  const a = apicOf(gsi)!;
  const register = REDIRECTION + 2 * (gsi - a.firstGsi);
  const entry = readRegister(a.pa, register);
  writeRegister(a.pa, register, masked ? entry | MASKED : entry & ~MASKED);
}
