/**
 * The GUID partition table: UEFI specification 2.10, chapter 5. Offsets in bytes, little-endian; an LBA counts sectors of the disk's own
 * size. The table is there twice: header in LBA 1 and entries after it, entries and then the header at the disk's end.
 */

/** "EFI PART" */
export const GPT_SIGNATURE_0: u32 = 0x20494645;
export const GPT_SIGNATURE_1: u32 = 0x54524150;
export const GPT_REVISION: u32 = 0x00010000;

export namespace GptHeader {
  export const signature: u32 = 0; // u64
  export const revision: u32 = 8;
  export const headerSize: u32 = 12; // from 92 up to the sector's size
  export const headerChecksum: u32 = 16; // CRC32 of the header with 0 here
  export const myLba: u32 = 24; // u64
  export const alternateLba: u32 = 32; // u64 the other header's
  export const firstUsable: u32 = 40; // u64
  export const lastUsable: u32 = 48; // u64
  export const diskGuid: u32 = 56; // 16 bytes
  export const entriesLba: u32 = 72; // u64
  export const entries: u32 = 80;
  export const entrySize: u32 = 84; // 128 * 2^n
  export const entriesChecksum: u32 = 88; // CRC32 of all entries
  export const SIZE: u32 = 92;
}

export namespace GptEntry {
  export const type: u32 = 0; // 16 bytes, all zero: not in use
  export const guid: u32 = 16; // 16 bytes
  export const firstLba: u32 = 32; // u64
  export const lastLba: u32 = 40; // u64, inclusive
  export const attributes: u32 = 48; // u64
  export const name: u32 = 56; // 36 characters of UTF-16, NUL-padded
  export const SIZE: u32 = 128;
}
export const GPT_NAME_CHARACTERS: u32 = 36;

/** Of a table that is made: 128 entries. */
export const GPT_ENTRIES: u32 = 128;

/** The protective MBR: one partition of type EE over the whole disk. */
export namespace Mbr {
  export const partition: u32 = 446;
  export const signature: u32 = 510; // u16
}
export const MBR_SIGNATURE: u32 = 0xaa55;
export const MBR_TYPE_GPT: u32 = 0xee;
