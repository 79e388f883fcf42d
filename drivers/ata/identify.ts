/** What is on an IDE channel: IDENTIFY DEVICE, read once through the data register. */
import {
  Ata,
  ATA_DEVICE_OBSOLETE,
  ATA_IDENTIFY_DEVICE,
  ATA_STATUS_BSY,
  ATA_STATUS_DF,
  ATA_STATUS_DRQ,
  ATA_STATUS_ERR,
  ATA_STATUS_NONE,
  AtaIdentify,
} from "../../abi/io/ata";
import { BLOCK_SEGMENT_BYTES_MAX, BLOCK_SEGMENTS_MAX } from "../block";
import { portIn, portOut } from "../host/host";
import { AtaDisk, ataStatus, ataWait, channelOf } from "./channel";
import { ataDescribe, ataDma, ataFlush, ataWide, ataWords } from "./identify-data";

/** How long a disk may take to say what it is, while the module does nothing else: at its start, once. */
const ANSWER_NS: u64 = 500_000_000;
/** Sectors of a request: what 28-bit commands can say, as 0. */
const SECTORS_MAX: u32 = 256;

/** Reads the words; false when there is no ATA disk. */
function read(d: AtaDisk): bool {
  const c = channelOf(d);
  if (ataStatus(c) == ATA_STATUS_NONE) return false;
  portOut(c.base + Ata.device, 1, ATA_DEVICE_OBSOLETE | d.second);
  if (ataWait(c, ANSWER_NS) & ATA_STATUS_BSY) return false;
  portOut(c.base + Ata.count, 1, 0);
  portOut(c.base + Ata.lbaLow, 1, 0);
  portOut(c.base + Ata.lbaMid, 1, 0);
  portOut(c.base + Ata.lbaHigh, 1, 0);
  portOut(c.base + Ata.command, 1, ATA_IDENTIFY_DEVICE);
  const status = ataWait(c, ANSWER_NS);
  if (status == 0 || status & (ATA_STATUS_BSY | ATA_STATUS_ERR | ATA_STATUS_DF)) return false;
  // Other than a disk it is if these are not zero: ATAPI, SATA bridges, and what is not ATA at all.
  if (portIn(c.base + Ata.lbaMid, 1) != 0 || portIn(c.base + Ata.lbaHigh, 1) != 0) return false;
  if (!(status & ATA_STATUS_DRQ)) return false;
  for (let i: u32 = 0; i < AtaIdentify.WORDS; i++) {
    store<u16>(ataWords + ((<usize>i) << 1), <u16>portIn(c.base + Ata.data, 2));
  }
  return true;
}

/**
 * Finds out about a disk and fills in its record.
 * @returns 0; 1 there is none; 2 there is one that cannot be used: no LBA, no sectors, sectors of other than 512 bytes
 */
export function ataIdentify(d: AtaDisk): u32 {
  if (!read(d)) return 1;
  if (!ataDescribe(d) || d.sectorSize != 512) return 2;
  d.wide = ataWide ? 1 : 0;
  d.flushCommand = ataFlush;
  d.dma = ataDma && channelOf(d).busMaster != 0 ? 1 : 0;
  d.segmentsMax = BLOCK_SEGMENTS_MAX;
  d.segmentBytesMax = BLOCK_SEGMENT_BYTES_MAX;
  d.sectorsMax = SECTORS_MAX;
  return 0;
}
