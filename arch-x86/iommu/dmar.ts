/** ACPI's DMAR table (VT-d 4.1, 8): the remapping hardware units of Intel's machines. */
import { acpiLength } from "../host/acpi";
import * as hw from "../hw";
import { unitAdd, UNITS_MAX } from "./unit";
import { checksumBad, RegistersOk } from "./table";

const UNITS_AT: u64 = 48;
const TYPE_DRHD: u32 = 0;
const DRHD_BYTES: u32 = 16;
const DRHD_SEGMENT: u64 = 6;
const DRHD_REGISTERS: u64 = 8;

/**
 * Adds the units that the table describes.
 * @param ok whether there may be registers at a physical address
 * @returns "" or why the table is refused; units that were added are to be forgotten then
 */
export function dmarRead(table: u64, ok: RegistersOk): string {
  const length: u64 = acpiLength(table);
  if (length < UNITS_AT) return "its DMAR table is too short";
  if (checksumBad(table, length)) return "the checksum of its DMAR table is wrong";
  let found: u32 = 0;
  let at = table + UNITS_AT;
  while (at < table + length) {
    const left = table + length - at;
    const bytes: u64 = left < 4 ? 0 : hw.load16(at + 2);
    if (bytes < 4 || bytes > left) return "a structure of its DMAR table reaches beyond the table";
    if (hw.load16(at) == TYPE_DRHD) {
      if (bytes < DRHD_BYTES) return "a unit in its DMAR table is too short";
      const registers = hw.load64(at + DRHD_REGISTERS);
      if ((registers & 0xfff) != 0 || !ok(registers)) return "its DMAR table places a unit where no registers can be";
      if (found == UNITS_MAX) return "its DMAR table has more units than Typevisor knows of";
      unitAdd(registers, hw.load16(at + DRHD_SEGMENT));
      found++;
    }
    at += bytes;
  }
  return found ? "" : "its DMAR table has no unit";
}
