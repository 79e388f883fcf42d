/**
 * Commands of an AHCI disk. Those that are issued the adapter carries out one after the other (no NCQ); a command that fails stops it,
 * and the others are issued again.
 */
import {
  AHCI_FIS_COMMAND,
  AHCI_FIS_H2D,
  AHCI_HEADER_WRITE,
  AhciCommandHeader,
  AhciCommandTable,
  AhciFis,
  AhciPortRegister,
  AhciRegion,
} from "../../abi/io/ahci";
import {
  ATA_DATA_SET_MANAGEMENT,
  ATA_DEVICE_LBA,
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  ATA_WRITE_DMA,
  ATA_WRITE_DMA_EXT,
} from "../../abi/io/ata";
import { BLOCK_DISCARD, BLOCK_FLUSH, BLOCK_READ, BlockRequest } from "../block";
import { dmaMachine } from "../host/dma";
import { write32, write64 } from "../host/host";
import { segmentAt } from "../segment";
import { AHCI_LIST, AHCI_RANGES, AHCI_REGIONS_MAX, AHCI_TABLE_BYTES, AhciDisk, portSet } from "./device";

/** Sectors of one range of a TRIM, and ranges of a block of 512 bytes. */
const RANGE_SECTORS: u32 = 65535;
const RANGES: u32 = 64;
export const AHCI_DISCARD_SECTORS_MAX: u32 = 65535 * 64;

function tableOf(d: AhciDisk, slot: u32): usize {
  return d.tables + <usize>slot * AHCI_TABLE_BYTES;
}

/** Adds a region to a slot's table as number `index`. */
function putRegion(d: AhciDisk, slot: u32, index: u32, machine: u64, bytes: u32): void {
  const at = tableOf(d, slot) + AhciCommandTable.regions + <usize>index * AhciRegion.SIZE;
  write64(at + AhciRegion.address, machine);
  write64(at + AhciRegion.reserved, (<u64>(bytes - 1)) << 32);
}

/** Writes a slot's FIS and header; the regions are there. */
function putCommand(
  d: AhciDisk,
  slot: u32,
  command: u32,
  features: u32,
  sector: u64,
  count: u32,
  regions: u32,
  write: bool,
): void {
  const table = tableOf(d, slot);
  const low = (<u32>sector) & 0xffffff;
  const device = ATA_DEVICE_LBA | (d.wide ? 0 : ((<u32>sector) >> 24) & 15);
  const high: u32 = d.wide ? (<u32>(sector >> 24)) & 0xffffff : 0;
  write32(table + AhciFis.type, AHCI_FIS_H2D | (AHCI_FIS_COMMAND << 8) | (command << 16) | (features << 24));
  write32(table + AhciFis.lba0, low | (device << 24));
  write32(table + AhciFis.lba3, high);
  write32(table + AhciFis.count, count & 0xffff);
  write32(table + 16, 0);
  const header = d.lists + AHCI_LIST + <usize>slot * AhciCommandHeader.SIZE;
  write32(header + AhciCommandHeader.flags, AhciFis.DWORDS | (write ? AHCI_HEADER_WRITE : 0) | (regions << 16));
  write32(header + AhciCommandHeader.bytes, 0);
  write64(header + AhciCommandHeader.table, dmaMachine(table));
}

/** Writes the command of a slot that reads 512 bytes to DMA memory at `linear`: IDENTIFY DEVICE. */
export function ahciPutIdentify(d: AhciDisk, slot: u32, command: u32, linear: usize): void {
  putRegion(d, slot, 0, dmaMachine(linear), 512);
  putCommand(d, slot, command, 0, 0, 0, 1, false);
}

/** Writes the ranges of a TRIM, in units of the disk's sectors; how many. */
function putRanges(d: AhciDisk, slot: u32, sector: u64, count: u32): void {
  const at = d.lists + AHCI_RANGES + <usize>slot * 512;
  for (let i: u32 = 0; i < RANGES; i++) {
    const part = min(count, RANGE_SECTORS);
    write64(at + ((<usize>i) << 3), part == 0 ? 0 : sector | ((<u64>part) << 48));
    sector += part;
    count -= part;
  }
  putRegion(d, slot, 0, dmaMachine(at), 512);
}

/** Writes the command of a flush. */
export function ahciPutFlush(d: AhciDisk, slot: u32): void {
  putCommand(d, slot, d.flushCommand, 0, 0, 0, 0, false);
}

/** Writes a request's command for `slot`. The request was checked by blockSubmit. */
export function ahciPutRequest(d: AhciDisk, slot: u32, r: BlockRequest): void {
  if (r.operation == BLOCK_FLUSH) {
    ahciPutFlush(d, slot);
    return;
  }
  const unit = d.sectorSize >> 9;
  const sector = r.sector / unit;
  const count = r.sectors / unit;
  if (r.operation == BLOCK_DISCARD) {
    putRanges(d, slot, sector, count);
    putCommand(d, slot, ATA_DATA_SET_MANAGEMENT, 1, 0, 1, 1, true);
    return;
  }
  for (let i: u32 = 0; i < min(r.count, AHCI_REGIONS_MAX); i++) {
    const s = segmentAt(r.segments, i);
    putRegion(d, slot, i, s.machine, s.bytes);
  }
  const read = r.operation == BLOCK_READ;
  let command = read ? ATA_READ_DMA : ATA_WRITE_DMA;
  if (d.wide) command = read ? ATA_READ_DMA_EXT : ATA_WRITE_DMA_EXT;
  putCommand(d, slot, command, 0, sector, count, r.count, !read);
}

/** Tells the adapter of slots. */
export function ahciIssue(d: AhciDisk, slots: u32): void {
  if (slots == 0) return;
  d.issued |= slots;
  portSet(d, AhciPortRegister.CI, slots);
}
