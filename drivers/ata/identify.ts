/** What an ATA disk says it is: IDENTIFY DEVICE, read once by PIO, then checked. */
import {
  Ata,
  ATA_DEVICE_OBSOLETE,
  ATA_FLUSH_CACHE,
  ATA_FLUSH_CACHE_EXT,
  ATA_IDENTIFY_DEVICE,
  ATA_STATUS_BSY,
  ATA_STATUS_DF,
  ATA_STATUS_DRQ,
  ATA_STATUS_ERR,
  ATA_STATUS_NONE,
  AtaIdentify,
} from "../../abi/io/ata";
import { BLOCK_HAS_CACHE, BLOCK_SEGMENTS_MAX } from "../block";
import { portIn, portOut } from "../host/host";
import { AtaDisk, ataStatus, ataWait, channelOf } from "./channel";

/** How long a disk may take to say what it is, while the module does nothing else: at its start, once. */
const ANSWER_NS: u64 = 500_000_000;
/** Sectors of a request: what 28-bit commands can say, as 0. */
const SECTORS_MAX: u32 = 256;
const SECTORS_28: u64 = 0x0fffffff;
const SECTORS_48: u64 = 0xffff_ffff_ffff;
const PHYSICAL_EXPONENT_MAX: u32 = 7;

const words: usize = memory.data(512);

function word(index: u32): u32 {
  return load<u16>(words + ((<usize>index) << 1));
}

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
    store<u16>(words + ((<usize>i) << 1), <u16>portIn(c.base + Ata.data, 2));
  }
  return true;
}

/**
 * Finds out about a disk and fills in its record.
 * @returns 0; 1 there is none; 2 there is one that cannot be used: no LBA, no sectors, sectors of other than 512 bytes
 */
export function ataIdentify(d: AtaDisk): u32 {
  if (!read(d)) return 1;
  if (!(word(AtaIdentify.capabilities) & 0x200)) return 2;
  const sets = word(AtaIdentify.commandSets);
  // A word that is all ones or zeroes is not valid; bits 15 and 14 are 01.
  const valid = sets >> 14 == 1;
  d.wide = valid && sets & 0x400 ? 1 : 0;
  d.flushCommand = 0;
  if (valid && sets & 0x1000) d.flushCommand = ATA_FLUSH_CACHE;
  if (d.wide && sets & 0x2000) d.flushCommand = ATA_FLUSH_CACHE_EXT;
  const narrow = (<u64>word(AtaIdentify.sectors28)) | ((<u64>word(AtaIdentify.sectors28 + 1)) << 16);
  let sectors = narrow;
  if (d.wide) {
    sectors = load<u64>(words + AtaIdentify.sectors48 * 2);
    if (sectors > SECTORS_48) return 2;
  } else if (narrow > SECTORS_28) {
    return 2;
  }
  const size = word(AtaIdentify.sectorSize);
  const known = size >> 14 == 1;
  if (sectors == 0 || (known && size & 0x1000)) return 2;
  const exponent = known && size & 0x2000 ? size & 15 : 0;
  d.sectors = sectors;
  d.sectorSize = 512;
  d.physicalSectorSize = 512 << min(exponent, PHYSICAL_EXPONENT_MAX);
  d.features = d.flushCommand != 0 && word(AtaIdentify.enabled) & 0x20 ? BLOCK_HAS_CACHE : 0;
  d.dma = word(AtaIdentify.capabilities) & 0x100 && channelOf(d).busMaster != 0 ? 1 : 0;
  d.segmentsMax = BLOCK_SEGMENTS_MAX;
  d.segmentBytesMax = SECTORS_MAX * 512 < 65536 ? SECTORS_MAX * 512 : 65536;
  d.sectorsMax = SECTORS_MAX;
  return 0;
}
