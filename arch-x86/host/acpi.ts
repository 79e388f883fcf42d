/**
 * ACPI's static tables (ACPI 6.5, 5.2), as far as this hypervisor uses them. Firmware is trusted only
 * within bounds: an implausible table is ignored.
 */
import { load32, load64, load8 } from "../hw";

const RSDP_REVISION: u64 = 15;
const RSDP_RSDT: u64 = 16;
const RSDP_XSDT: u64 = 24;
const SDT_LENGTH: u64 = 4;
const SDT_ENTRIES: u64 = 36;
/** Longer than any table of interest. */
const LENGTH_MAX: u32 = 1 << 20;

export const ACPI_FADT: u32 = 0x50434146; // "FACP"
const ACPI_MADT: u32 = 0x43495041; // "APIC"
export const ACPI_DMAR: u32 = 0x52414d44; // "DMAR": Intel's IOMMUs
export const ACPI_IVRS: u32 = 0x53525649; // "IVRS": AMD's
export const ACPI_HPET: u32 = 0x54455048; // "HPET"
export const ACPI_MCFG: u32 = 0x4746434d; // "MCFG": PCI configuration space in memory

// Entries of the MADT (5.2.12).
const MADT_ENTRIES: u64 = 44;
const MADT_LOCAL_APIC: u32 = 0;
const MADT_LOCAL_X2APIC: u32 = 9;
const LOCAL_APIC_FLAGS: u64 = 4;
const LOCAL_X2APIC_FLAGS: u64 = 8;
const FLAG_ENABLED: u32 = 1;

export const IOMMU_NONE: u32 = 0;
export const IOMMU_INTEL: u32 = 1;
export const IOMMU_AMD: u32 = 2;

/** Bytes of a table, its header included; 0 for an implausible length. */
export function acpiLength(table: u64): u32 {
  return lengthOf(table);
}

function lengthOf(table: u64): u32 {
  const length = load32(table + SDT_LENGTH);
  return length <= LENGTH_MAX ? length : 0;
}

/**
 * Physical address of the first table with this signature, 0 for none.
 * @param rsdp of ACPI's root pointer, 0 for none
 */
export function acpiTable(rsdp: u64, signature: u32): u64 {
  if (rsdp == 0) return 0;
  const wide = load8(rsdp + RSDP_REVISION) >= 2 && load64(rsdp + RSDP_XSDT) != 0;
  const root = wide ? load64(rsdp + RSDP_XSDT) : <u64>load32(rsdp + RSDP_RSDT);
  if (root == 0) return 0;
  const step: u64 = wide ? 8 : 4;
  const end = root + lengthOf(root);
  for (let entry = root + SDT_ENTRIES; entry + step <= end; entry += step) {
    // Entries of the wide table are aligned to 4 bytes only.
    const high: u64 = wide ? load32(entry + 4) : 0;
    const table = (high << 32) | load32(entry);
    if (table != 0 && load32(table) == signature) return table;
  }
  return 0;
}

/** Usable processors according to the firmware: 0 if unknown. */
export function acpiCpus(rsdp: u64): u32 {
  const madt = acpiTable(rsdp, ACPI_MADT);
  if (madt == 0) return 0;
  const end = madt + lengthOf(madt);
  let count: u32 = 0;
  for (let entry = madt + MADT_ENTRIES; entry + 2 <= end;) {
    const type = load8(entry);
    const length = load8(entry + 1);
    if (length < 2 || entry + length > end) break;
    const flags: u64 = type == MADT_LOCAL_APIC ? LOCAL_APIC_FLAGS : LOCAL_X2APIC_FLAGS;
    if ((type == MADT_LOCAL_APIC || type == MADT_LOCAL_X2APIC) && flags + 4 <= length) {
      if ((load32(entry + flags) & FLAG_ENABLED) != 0) count++;
    }
    entry += length;
  }
  return count;
}

/** Which kind of IOMMU the firmware describes: IOMMU_*. */
export function acpiIommu(rsdp: u64): u32 {
  if (acpiTable(rsdp, ACPI_DMAR) != 0) return IOMMU_INTEL;
  return acpiTable(rsdp, ACPI_IVRS) != 0 ? IOMMU_AMD : IOMMU_NONE;
}

/** I/O APICs and exceptions from the rule that ISA's interrupt n is GSI n (5.2.12.3, 5.2.12.5). */
export const MADT_IO_APIC: u32 = 1;
export const MADT_OVERRIDE: u32 = 2;
const MADT_IO_APIC_BYTES: u32 = 12;
const MADT_OVERRIDE_BYTES: u32 = 10;

/** Physical address of the MADT's entry number `index` of `type`, one of these two; 0 when there are not so many. */
export function acpiMadtEntry(rsdp: u64, type: u32, index: u32): u64 {
  const madt = acpiTable(rsdp, ACPI_MADT);
  if (madt == 0) return 0;
  const end = madt + lengthOf(madt);
  const least = type == MADT_IO_APIC ? MADT_IO_APIC_BYTES : MADT_OVERRIDE_BYTES;
  for (let entry = madt + MADT_ENTRIES; entry + 2 <= end;) {
    const length = load8(entry + 1);
    if (length < 2 || entry + length > end) break;
    if (load8(entry) == type && length >= least && index-- == 0) return entry;
    entry += length;
  }
  return 0;
}
