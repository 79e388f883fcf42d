/** What the words of IDENTIFY DEVICE say of a disk, checked: for IDE and for AHCI. */
import { ATA_FLUSH_CACHE, ATA_FLUSH_CACHE_EXT, AtaIdentify } from "../../abi/io/ata";
import { BLOCK_HAS_CACHE, BlockDevice, blockSectorSizeValid } from "../block";

const SECTORS_28: u64 = 0x0fffffff;
const SECTORS_48: u64 = 0xffff_ffff_ffff;
const PHYSICAL_EXPONENT_MAX: u32 = 7;

/** The words: a driver copies them here. */
export const ataWords: usize = memory.data(512);

/** Of the disk last looked at, besides what ataDescribe writes into its record. */
export let ataWide: bool = false; // 48-bit addresses
export let ataFlush: u32 = 0; // its command to flush, 0: none
export let ataDma: bool = false;
export let ataTrim: bool = false;

function word(index: u32): u32 {
  return load<u16>(ataWords + ((<usize>index) << 1));
}

/** Bytes of a sector; 0 when that makes no sense. */
function sectorBytes(): u32 {
  const size = word(AtaIdentify.sectorSize);
  if (size >> 14 != 1 || !(size & 0x1000)) return 512;
  const halves = word(AtaIdentify.logicalSize) | (word(AtaIdentify.logicalSize + 1) << 16);
  return halves <= 2048 && blockSectorSizeValid(halves * 2) ? halves * 2 : 0;
}

/** Sectors of the disk's own; 0 when what it says makes no sense. */
function sectorCount(): u64 {
  if (ataWide) {
    const sectors = load<u64>(ataWords + AtaIdentify.sectors48 * 2);
    return sectors <= SECTORS_48 ? sectors : 0;
  }
  const sectors = (<u64>word(AtaIdentify.sectors28)) | ((<u64>word(AtaIdentify.sectors28 + 1)) << 16);
  return sectors <= SECTORS_28 ? sectors : 0;
}

/**
 * Fills in `sectors`, `sectorSize`, `physicalSectorSize` and BLOCK_HAS_CACHE of a disk, from `ataWords`.
 * @returns false when it cannot be used: no LBA, no sectors, sectors of a strange size
 */
export function ataDescribe(d: BlockDevice): bool {
  const sets = word(AtaIdentify.commandSets);
  // A word that is all ones or zeroes is not valid: bits 15 and 14 are 01.
  const valid = sets >> 14 == 1;
  ataWide = valid && (sets & 0x400) != 0;
  ataFlush = 0;
  if (valid && sets & 0x1000) ataFlush = ATA_FLUSH_CACHE;
  if (ataWide && sets & 0x2000) ataFlush = ATA_FLUSH_CACHE_EXT;
  ataDma = (word(AtaIdentify.capabilities) & 0x100) != 0;
  ataTrim = ataWide && (word(AtaIdentify.dataSet) & 1) != 0;
  const bytes = sectorBytes();
  const count = sectorCount();
  if (!(word(AtaIdentify.capabilities) & 0x200) || bytes == 0 || count == 0) return false;
  const size = word(AtaIdentify.sectorSize);
  const exponent: u32 = size >> 14 == 1 && size & 0x2000 ? size & 15 : 0;
  d.sectors = count * (bytes >> 9);
  d.sectorSize = bytes;
  d.physicalSectorSize = bytes << min(exponent, PHYSICAL_EXPONENT_MAX);
  d.features = ataFlush != 0 && word(AtaIdentify.enabled) & 0x20 ? BLOCK_HAS_CACHE : 0;
  return true;
}
