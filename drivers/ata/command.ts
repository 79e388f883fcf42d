/**
 * Commands of an IDE channel, one at a time: reads and writes with DMA where the controller reaches the memory, else through the
 * data register, a sector an interrupt.
 */
import {
  Ata,
  ATA_BM_ERROR,
  ATA_BM_INTERRUPT,
  ATA_BM_READ,
  ATA_BM_START,
  ATA_DEVICE_LBA,
  ATA_DEVICE_OBSOLETE,
  ATA_PRD_LAST,
  ATA_READ_DMA,
  ATA_READ_DMA_EXT,
  ATA_READ_SECTORS,
  ATA_READ_SECTORS_EXT,
  ATA_STATUS_BSY,
  ATA_STATUS_DF,
  ATA_STATUS_DRQ,
  ATA_STATUS_ERR,
  ATA_WRITE_DMA,
  ATA_WRITE_DMA_EXT,
  ATA_WRITE_SECTORS,
  ATA_WRITE_SECTORS_EXT,
  AtaBusMaster,
  AtaPrd,
} from "../../abi/io/ata";
import { EIO } from "../../abi/errno";
import { BLOCK_FLUSH, BLOCK_READ, BlockRequest } from "../block";
import { dmaMachine } from "../host/dma";
import { barrier, portIn, portOut, read16, write16, write32 } from "../host/host";
import { segmentAt } from "../segment";
import { ATA_DMA, ATA_NO_DATA, ATA_PIO, AtaChannel, AtaDisk, ataWait, ownerOf, requestOf } from "./channel";

/** How long a device may be busy between a register and the next. */
const READY_NS: u64 = 2_000_000;
const SECTOR: u32 = 512;
const BOUNDARY: u32 = 0x10000;
const PRDS_MAX: u32 = 512;

/** No status: the command goes on. */
export const ATA_CONTINUES: i32 = 1;
/** The device does not do what it must: the channel is to be reset. */
export const ATA_STUCK: i32 = 2;
/** The bus master failed: the same again without it. */
export const ATA_NO_DMA: i32 = 3;

/** Writes the bus master's descriptors for a request; false when its memory is beyond its 32 bits, or too scattered. */
function writeTable(c: AtaChannel, r: BlockRequest): bool {
  let at: u32 = 0;
  for (let i: u32 = 0; i < r.count; i++) {
    const s = segmentAt(r.segments, i);
    if (s.machine + s.bytes > 0x1_0000_0000) return false;
    for (let done: u32 = 0; done < s.bytes; at++) {
      if (at == PRDS_MAX) return false;
      const machine = <u32>s.machine + done;
      const bytes = min(s.bytes - done, BOUNDARY - (machine & (BOUNDARY - 1)));
      done += bytes;
      const last = i + 1 == r.count && done == s.bytes;
      const entry = c.table + <usize>at * AtaPrd.SIZE;
      write32(entry + AtaPrd.address, machine);
      write32(entry + AtaPrd.count, (bytes & 0xffff) | (last ? ATA_PRD_LAST << 16 : 0));
    }
  }
  return dmaMachine(c.table) >> 32 == 0;
}

/** Selects the disk and writes address and count; false when it stays busy. */
function writeAddress(c: AtaChannel, d: AtaDisk, sector: u64, count: u32): bool {
  const low = <u32>sector;
  const top = d.wide ? 0 : (low >> 24) & 15;
  if (ataWait(c, READY_NS) & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) return false;
  portOut(c.base + Ata.device, 1, ATA_DEVICE_OBSOLETE | ATA_DEVICE_LBA | d.second | top);
  if (ataWait(c, READY_NS) & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) return false;
  if (d.wide) {
    portOut(c.base + Ata.count, 1, (count >> 8) & 0xff);
    portOut(c.base + Ata.lbaLow, 1, (low >> 24) & 0xff);
    portOut(c.base + Ata.lbaMid, 1, (<u32>(sector >> 32)) & 0xff);
    portOut(c.base + Ata.lbaHigh, 1, (<u32>(sector >> 40)) & 0xff);
  }
  portOut(c.base + Ata.count, 1, count & 0xff);
  portOut(c.base + Ata.lbaLow, 1, low & 0xff);
  portOut(c.base + Ata.lbaMid, 1, (low >> 8) & 0xff);
  portOut(c.base + Ata.lbaHigh, 1, (low >> 16) & 0xff);
  return true;
}

function commandOf(d: AtaDisk, read: bool, dma: bool): u32 {
  if (dma) {
    if (d.wide) return read ? ATA_READ_DMA_EXT : ATA_WRITE_DMA_EXT;
    return read ? ATA_READ_DMA : ATA_WRITE_DMA;
  }
  if (d.wide) return read ? ATA_READ_SECTORS_EXT : ATA_WRITE_SECTORS_EXT;
  return read ? ATA_READ_SECTORS : ATA_WRITE_SECTORS;
}

/** Flushes the channel's disk's cache. ATA_CONTINUES or ATA_STUCK. */
export function ataBeginFlush(c: AtaChannel): i32 {
  const d = ownerOf(c);
  c.state = ATA_NO_DATA;
  if (!writeAddress(c, d, 0, 0)) return ATA_STUCK;
  portOut(c.base + Ata.command, 1, d.flushCommand);
  return ATA_CONTINUES;
}

/** Begins the channel's request, a read or a write. ATA_CONTINUES or ATA_STUCK. */
export function ataBegin(c: AtaChannel): i32 {
  const d = ownerOf(c);
  const r = requestOf(c);
  if (r.operation == BLOCK_FLUSH) return ataBeginFlush(c);
  const read = r.operation == BLOCK_READ;
  const dma = d.dma != 0 && writeTable(c, r);
  c.state = dma ? ATA_DMA : ATA_PIO;
  if (!writeAddress(c, d, r.sector, r.sectors)) return ATA_STUCK;
  if (dma) {
    const direction = read ? ATA_BM_READ : 0;
    // The descriptors are in memory before the controller reads them.
    barrier();
    portOut(c.busMaster + AtaBusMaster.table, 4, <u32>dmaMachine(c.table));
    portOut(c.busMaster + AtaBusMaster.command, 1, direction);
    portOut(c.busMaster + AtaBusMaster.status, 1, ATA_BM_ERROR | ATA_BM_INTERRUPT);
    portOut(c.base + Ata.command, 1, commandOf(d, read, true));
    portOut(c.busMaster + AtaBusMaster.command, 1, direction | ATA_BM_START);
    return ATA_CONTINUES;
  }
  c.segment = 0;
  c.offset = 0;
  c.sectorsLeft = r.sectors;
  portOut(c.base + Ata.command, 1, commandOf(d, read, false));
  if (read) return ATA_CONTINUES;
  // The first sector is asked for without an interrupt.
  const status = ataWait(c, READY_NS);
  if (status & ATA_STATUS_BSY) return ATA_STUCK;
  if (status & (ATA_STATUS_ERR | ATA_STATUS_DF)) return -EIO;
  if (!(status & ATA_STATUS_DRQ)) return ATA_STUCK;
  transferSector(c, r, false);
  return ATA_CONTINUES;
}

/** Moves one sector through the data register. */
function transferSector(c: AtaChannel, r: BlockRequest, read: bool): void {
  const s = segmentAt(r.segments, c.segment);
  const at = s.linear + c.offset;
  for (let i: u32 = 0; i < SECTOR; i += 2) {
    if (read) write16(at + i, portIn(c.base + Ata.data, 2));
    else portOut(c.base + Ata.data, 2, read16(at + i));
  }
  c.offset += SECTOR;
  c.sectorsLeft--;
  if (c.offset < s.bytes) return;
  c.offset = 0;
  c.segment++;
}

/**
 * Looks how the command in progress is getting on: after an interrupt, or when it is polled.
 * @returns 0 it is done; -EIO it failed; ATA_CONTINUES; ATA_STUCK; ATA_NO_DMA
 */
export function ataProgress(c: AtaChannel): i32 {
  if (c.state == ATA_DMA) return progressDma(c);
  const status = ataWait(c, 0);
  if (status & ATA_STATUS_BSY) return ATA_CONTINUES;
  if (status & (ATA_STATUS_ERR | ATA_STATUS_DF)) return -EIO;
  if (c.state == ATA_NO_DATA) return 0;
  const r = requestOf(c);
  const read = r.operation == BLOCK_READ;
  if (status & ATA_STATUS_DRQ) {
    if (c.sectorsLeft == 0) return ATA_STUCK; // it wants more data than there is
    transferSector(c, r, read);
    return read && c.sectorsLeft == 0 ? 0 : ATA_CONTINUES;
  }
  // Of a write the end, once everything was taken; before that nothing must come between.
  if (c.sectorsLeft != 0) return ATA_CONTINUES;
  return 0;
}

function progressDma(c: AtaChannel): i32 {
  const master = portIn(c.busMaster + AtaBusMaster.status, 1);
  if (!(master & (ATA_BM_INTERRUPT | ATA_BM_ERROR))) return ATA_CONTINUES;
  portOut(c.busMaster + AtaBusMaster.command, 1, 0);
  const status = ataWait(c, READY_NS);
  portOut(c.busMaster + AtaBusMaster.status, 1, ATA_BM_ERROR | ATA_BM_INTERRUPT);
  if (status & ATA_STATUS_BSY) return ATA_STUCK;
  if (status & (ATA_STATUS_ERR | ATA_STATUS_DF)) return -EIO;
  return master & ATA_BM_ERROR || status & ATA_STATUS_DRQ ? ATA_NO_DMA : 0;
}

/** Stops the bus master, whatever it does. */
export function ataStop(c: AtaChannel): void {
  if (c.busMaster) portOut(c.busMaster + AtaBusMaster.command, 1, 0);
}
