/**
 * FAT file systems: Microsoft's "FAT: General Overview of On-Disk Format", version 1.03. Offsets in bytes, little-endian; sectors are of
 * the volume's own size, clusters are numbered from 2.
 */

/** The boot sector, with the BIOS parameter block (BPB). */
export namespace FatBoot {
  export const sectorBytes: u32 = 11; // u16
  export const clusterSectors: u32 = 13; // u8
  export const reserved: u32 = 14; // u16 sectors before the first FAT
  export const fats: u32 = 16; // u8
  export const rootEntries: u32 = 17; // u16; 0: FAT32
  export const sectors16: u32 = 19; // u16; 0: see sectors32
  export const media: u32 = 21; // u8
  export const fatSectors16: u32 = 22; // u16; 0: FAT32
  export const sectors32: u32 = 32;
  export const fatSectors32: u32 = 36; // this and what follows of FAT32 only
  export const extFlags: u32 = 40; // u16 FAT_NO_MIRROR, FAT_ACTIVE
  export const version: u32 = 42; // u16
  export const rootCluster: u32 = 44;
  export const name16: u32 = 54; // 8 characters, of FAT12 and FAT16
  export const name32: u32 = 82; // 8 characters, of FAT32
  export const signature: u32 = 510; // u16
}
export const FAT_SIGNATURE: u32 = 0xaa55;
/** FatBoot.extFlags: only one FAT is kept up to date, number `extFlags & FAT_ACTIVE`. */
export const FAT_NO_MIRROR: u32 = 0x80;
export const FAT_ACTIVE: u32 = 0xf;
/** Clusters of a volume without FatBoot.fatSectors16 = 0: fewer are of FAT12, others of FAT16; and the most there can be. */
export const FAT12_CLUSTERS: u32 = 4085;
export const FAT16_CLUSTERS: u32 = 65525;
export const FAT32_CLUSTERS: u32 = 0x0ffffff5;

/** A directory's entry. */
export namespace FatEntry {
  export const name: u32 = 0; // 8 + 3 characters, padded with spaces; the first one FAT_END, FAT_DELETED: none
  export const attributes: u32 = 11; // u8 FAT_ATTRIBUTE_*
  export const clusterHigh: u32 = 20; // u16, of FAT32 only
  export const clusterLow: u32 = 26; // u16
  export const bytes: u32 = 28;
  export const SIZE: u32 = 32;
}
export const FAT_END: u32 = 0;
export const FAT_DELETED: u32 = 0xe5;
export const FAT_ATTRIBUTE_VOLUME: u32 = 0x08;
export const FAT_ATTRIBUTE_DIRECTORY: u32 = 0x10;
export const FAT_ATTRIBUTES: u32 = 0x3f;
/** Of an entry that holds a part of the long name of the first entry behind it that does not: FatLongEntry. */
export const FAT_ATTRIBUTES_LONG: u32 = 0x0f;
/** Entries of a directory, at most. */
export const FAT_DIRECTORY_ENTRIES: u32 = 65536;

/** A part of a long name; the last part is the first entry. */
export namespace FatLongEntry {
  export const order: u32 = 0; // u8: 1 for the first part; FAT_LONG_LAST: it is the last one
  export const characters0: u32 = 1; // 5 of UTF-16
  export const checksum: u32 = 13; // u8, of the short name
  export const characters5: u32 = 14; // 6
  export const characters11: u32 = 28; // 2
}
export const FAT_LONG_LAST: u32 = 0x40;
export const FAT_LONG_CHARACTERS: u32 = 13;
/** Parts of a name of 255 characters. */
export const FAT_LONG_PARTS: u32 = 20;
