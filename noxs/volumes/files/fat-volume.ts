/**
 * FAT volumes: what a boot sector says, checked. FAT12, FAT16 and FAT32; places are in sectors of 512 bytes from the partition's begin,
 * whatever the volume's own sectors are.
 */
import { FILE_BOOT_SECTOR, FILE_NO_VOLUME } from "../../../abi/io/control-block";
import {
  FAT12_CLUSTERS,
  FAT16_CLUSTERS,
  FAT32_CLUSTERS,
  FAT_ACTIVE,
  FAT_NO_MIRROR,
  FAT_SIGNATURE,
  FatBoot,
  FatEntry,
} from "../../../abi/io/fat";

@unmanaged
export class FatVolume {
  bits: u32; // 12, 16 or 32
  fatStart: u64; // of the FAT that is kept up to date
  fatSectors: u64;
  /** First cluster of the root directory; 0: it is at `rootStart`. */
  root: u32;
  rootStart: u64;
  rootSectors: u32;
  dataStart: u64; // of cluster 2
  clusterSectors: u32;
  clusters: u32;
}

// What an entry of the FAT says.
export const FAT_NEXT: u32 = 0; // the number of the next cluster
export const FAT_CHAIN_END: u32 = 1;
export const FAT_NOWHERE: u32 = 2; // free, bad, or a number that no cluster has

/** Whether cluster `c` is one of the volume's. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function isCluster(v: FatVolume, c: u32): bool {
  return c - 2 < v.clusters;
}

/** Where a cluster begins. */
export function clusterStart(v: FatVolume, c: u32): u64 {
  return v.dataStart + <u64>(c - 2) * v.clusterSectors;
}

/** Byte of the FAT that the entry of a cluster begins with. */
export function entryByte(v: FatVolume, c: u32): u64 {
  return v.bits == 32 ? (<u64>c) << 2 : v.bits == 16 ? (<u64>c) << 1 : <u64>(c + (c >> 1));
}

/** The entry of a cluster, whose first byte is at `at`. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function entryValue(v: FatVolume, c: u32, at: usize): u32 {
  if (v.bits == 32) return load<u32>(at) & 0x0fffffff;
  if (v.bits == 16) return load<u16>(at);
  const two = <u32>load<u16>(at);
  return c & 1 ? two >> 4 : two & 0xfff;
}

/** FAT_NEXT, ... of an entry's value. */
export function entryMeans(v: FatVolume, value: u32): u32 {
  if (isCluster(v, value)) return FAT_NEXT;
  const last: u32 = v.bits == 32 ? 0x0fffffff : v.bits == 16 ? 0xffff : 0xfff;
  return value <= last && value >= (last & ~7) ? FAT_CHAIN_END : FAT_NOWHERE;
}

/** Whether a boot sector has the name of a FAT: then it is damaged if it cannot be read, and not something else. */
function saysFat(at: usize): bool {
  const fat: u32 = 0x544146; // "FAT"
  return (load<u32>(at, FatBoot.name16) & 0xffffff) == fat || (load<u32>(at, FatBoot.name32) & 0xffffff) == fat;
}

/**
 * Reads a boot sector.
 * @param at its 512 bytes
 * @param sectors of the partition
 * @param sectorSize the disk's own, in bytes
 * @returns 0, FILE_NO_VOLUME it is none, or FILE_BOOT_SECTOR it contradicts itself
 */
export function fatVolumeRead(at: usize, sectors: u64, sectorSize: u32, v: FatVolume): u32 {
  if (load<u16>(at, FatBoot.signature) != FAT_SIGNATURE) return FILE_NO_VOLUME;
  return layOut(at, sectors, sectorSize, v) ? 0 : saysFat(at) ? FILE_BOOT_SECTOR : FILE_NO_VOLUME;
}

function isPower(n: u32): bool {
  return n != 0 && (n & (n - 1)) == 0;
}

function layOut(at: usize, sectors: u64, sectorSize: u32, v: FatVolume): bool {
  const bytes = <u32>load<u16>(at, FatBoot.sectorBytes);
  // Clusters are then of whole sectors of the disk.
  if (!isPower(bytes) || bytes < sectorSize || bytes > 4096) return false;
  const unit = bytes >> 9;
  const perCluster = <u32>load<u8>(at, FatBoot.clusterSectors);
  const reserved = <u32>load<u16>(at, FatBoot.reserved);
  const fats = <u32>load<u8>(at, FatBoot.fats);
  const media = <u32>load<u8>(at, FatBoot.media);
  if (!isPower(perCluster) || !reserved || !fats || (media != 0xf0 && media < 0xf8)) return false;

  const short16 = <u32>load<u16>(at, FatBoot.fatSectors16);
  const perFat = short16 ? short16 : load<u32>(at, FatBoot.fatSectors32);
  const total16 = <u32>load<u16>(at, FatBoot.sectors16);
  const total = total16 ? total16 : load<u32>(at, FatBoot.sectors32);
  const rootEntries = <u32>load<u16>(at, FatBoot.rootEntries);
  const rootUnits = (rootEntries * FatEntry.SIZE + bytes - 1) / bytes;
  const before = <u64>reserved + <u64>fats * perFat + rootUnits;
  if (!perFat || <u64>total * unit > sectors || before >= total) return false;
  const clusters = <u64>(total - <u32>before) / perCluster;
  if (!clusters || clusters > FAT32_CLUSTERS) return false;

  v.clusters = <u32>clusters;
  v.clusterSectors = perCluster * unit;
  v.fatStart = <u64>reserved * unit;
  v.fatSectors = <u64>perFat * unit;
  v.rootStart = (<u64>reserved + <u64>fats * perFat) * unit;
  v.rootSectors = rootUnits * unit;
  v.dataStart = before * unit;
  v.root = 0;
  if (short16) {
    v.bits = v.clusters < FAT12_CLUSTERS ? 12 : 16;
    if (v.clusters >= FAT16_CLUSTERS || !rootEntries) return false;
  } else {
    // Whatever the number of clusters: as Linux has it, and mkfs.vfat -F 32.
    v.bits = 32;
    v.root = load<u32>(at, FatBoot.rootCluster);
    if (rootEntries || load<u16>(at, FatBoot.version) || !isCluster(v, v.root)) return false;
    const flags = <u32>load<u16>(at, FatBoot.extFlags);
    if (flags & FAT_NO_MIRROR) {
      if ((flags & FAT_ACTIVE) >= fats) return false;
      v.fatStart += <u64>(flags & FAT_ACTIVE) * v.fatSectors;
    }
  }
  // The FAT has an entry for each cluster.
  const last = v.clusters + 1;
  return entryByte(v, last) + (v.bits == 32 ? 4 : 2) <= v.fatSectors << 9;
}
