/** ACPI's IVRS table (AMD IOMMU 3.08, 5.2): the IOMMUs of AMD's machines. */
import { acpiLength } from "../host/acpi";
import { pciRead } from "../host/pci";
import * as hw from "../hw";
import { IommuUnit, unitAdd, unitAt, unitCount, UNITS_MAX } from "./unit";
import { checksumBad, RegistersOk } from "./table";

const BLOCKS_AT: u64 = 48;
/** Blocks that describe a unit: one kind, and its two successors, of which a table may have several for the same unit. */
const IVHD: u32 = 0x10;
const IVHD_11: u32 = 0x11;
const IVHD_40: u32 = 0x40;
const IVHD_BYTES: u32 = 24;
const IVHD_FLAGS: u64 = 1;
const IVHD_DEVICE: u64 = 4;
const IVHD_CAPABILITY: u64 = 6;
const IVHD_REGISTERS: u64 = 8;
const IVHD_SEGMENT: u64 = 16;

/** Of its PCI capability: absent entries are cached, too. */
const CAPABILITY_CACHES_ABSENT: u32 = 1 << 26;
/** IommuUnit.control: not a bit of the register. */
export const CACHES_ABSENT: u32 = 1 << 31;
const HT_TUNNEL: u32 = 1 << 1;
const PASS_POSTED: u32 = 3 << 8;
const ISOCHRONOUS: u32 = 1 << 11;

/**
 * Adds the units that the table describes.
 * @param ok whether there may be registers at a physical address
 * @returns "" or why the table is refused; units that were added are to be forgotten then
 */
export function ivrsRead(table: u64, ok: RegistersOk): string {
  const length: u64 = acpiLength(table);
  if (length < BLOCKS_AT) return "its IVRS table is too short";
  if (checksumBad(table, length)) return "the checksum of its IVRS table is wrong";
  let at = table + BLOCKS_AT;
  while (at < table + length) {
    const left = table + length - at;
    const bytes: u64 = left < 4 ? 0 : hw.load16(at + 2);
    if (bytes < 4 || bytes > left) return "a block of its IVRS table reaches beyond the table";
    const type = hw.load8(at);
    if (type == IVHD || type == IVHD_11 || type == IVHD_40) {
      if (bytes < IVHD_BYTES) return "a unit in its IVRS table is too short";
      const registers = hw.load64(at + IVHD_REGISTERS);
      // Its registers are 16 KiB, or more.
      if ((registers & 0x3fff) != 0 || !ok(registers) || !ok(registers + 0x2000))
        return "its IVRS table places a unit where no registers can be";
      if (!known(registers)) {
        if (unitCount() == UNITS_MAX) return "its IVRS table has more units than Typevisor knows of";
        describe(unitAdd(registers, hw.load16(at + IVHD_SEGMENT)), at);
      }
    }
    at += bytes;
  }
  return unitCount() ? "" : "its IVRS table has no unit";
}

function known(registers: u64): bool {
  for (let i: u32 = 0; i < unitCount(); i++) if (unitAt(i).registers == registers) return true;
  return false;
}

function describe(u: IommuUnit, block: u64): void {
  const flags = hw.load8(block + IVHD_FLAGS);
  if (flags & 1) u.control |= HT_TUNNEL;
  u.control |= ((flags >> 1) << 8) & PASS_POSTED;
  if (flags & 8) u.control |= ISOCHRONOUS;
  // Of another segment nothing can be read here: take the worse.
  const capability = hw.load16(block + IVHD_CAPABILITY);
  const caches: u32 = u.segment
    ? CAPABILITY_CACHES_ABSENT
    : pciRead(hw.load16(block + IVHD_DEVICE), capability & 0xfc, 4);
  if (caches & CAPABILITY_CACHES_ABSENT) u.control |= CACHES_ABSENT;
}
