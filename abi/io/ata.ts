/**
 * ATA disks behind PCI IDE controllers: registers and commands of ATA/ATAPI-7 (chapters 6 and 7) and the bus master of "Programming
 * Interface for Bus Master IDE Controller" 1.0; IDENTIFY's and DATA SET MANAGEMENT's newer parts from ACS-3. Offsets are ports from
 * the base.
 */

// Where a channel is when the controller is in compatibility mode: command block, control block, interrupt.
export const ATA_PRIMARY: u32 = 0x1f0;
export const ATA_PRIMARY_CONTROL: u32 = 0x3f6;
export const ATA_PRIMARY_IRQ: u32 = 14;
export const ATA_SECONDARY: u32 = 0x170;
export const ATA_SECONDARY_CONTROL: u32 = 0x376;
export const ATA_SECONDARY_IRQ: u32 = 15;
/** Bits of the PCI programming interface: that channel is not in compatibility mode. */
export const ATA_PRIMARY_NATIVE: u32 = 0x1;
export const ATA_SECONDARY_NATIVE: u32 = 0x4;

/** The command block. */
export namespace Ata {
  export const data: u32 = 0; // 16 bits
  export const error: u32 = 1; // read
  export const features: u32 = 1; // written
  export const count: u32 = 2;
  export const lbaLow: u32 = 3;
  export const lbaMid: u32 = 4;
  export const lbaHigh: u32 = 5;
  export const device: u32 = 6;
  export const status: u32 = 7; // read: ends the interrupt
  export const command: u32 = 7; // written
}

export const ATA_STATUS_ERR: u32 = 0x01;
export const ATA_STATUS_DRQ: u32 = 0x08;
export const ATA_STATUS_DF: u32 = 0x20;
export const ATA_STATUS_BSY: u32 = 0x80;
/** No device drives the bus. */
export const ATA_STATUS_NONE: u32 = 0xff;
export const ATA_DEVICE_LBA: u32 = 0x40;
export const ATA_DEVICE_OBSOLETE: u32 = 0xa0;
export const ATA_DEVICE_SECOND: u32 = 0x10;
// The control block's one register.
export const ATA_CONTROL_NIEN: u32 = 0x02; // no interrupts
export const ATA_CONTROL_SRST: u32 = 0x04;

export const ATA_DATA_SET_MANAGEMENT: u32 = 0x06; // with features bit 0: TRIM
export const ATA_READ_SECTORS: u32 = 0x20;
export const ATA_READ_SECTORS_EXT: u32 = 0x24;
export const ATA_READ_DMA_EXT: u32 = 0x25;
export const ATA_WRITE_SECTORS: u32 = 0x30;
export const ATA_WRITE_SECTORS_EXT: u32 = 0x34;
export const ATA_WRITE_DMA_EXT: u32 = 0x35;
export const ATA_READ_DMA: u32 = 0xc8;
export const ATA_WRITE_DMA: u32 = 0xca;
export const ATA_FLUSH_CACHE: u32 = 0xe7;
export const ATA_FLUSH_CACHE_EXT: u32 = 0xea;
export const ATA_IDENTIFY_DEVICE: u32 = 0xec;

/** IDENTIFY DEVICE: numbers of its 16-bit words. */
export namespace AtaIdentify {
  export const capabilities: u32 = 49; // bit 8 DMA, bit 9 LBA
  export const sectors28: u32 = 60; // two words
  export const commandSets: u32 = 83; // bit 10 48-bit addresses, bit 12 FLUSH CACHE, bit 13 FLUSH CACHE EXT
  export const enabled: u32 = 85; // bit 5 write cache
  export const sectors48: u32 = 100; // four words
  export const sectorSize: u32 = 106; // valid if bits 15-14 are 01: bit 12 not of 512 bytes, bits 3-0 with bit 13 log2 of sectors a physical one
  export const logicalSize: u32 = 117; // two words: 16-bit words of a sector, if bit 12 of sectorSize is set
  export const dataSet: u32 = 169; // bit 0 TRIM
  export const WORDS: u32 = 256;
}

/** The bus master's registers of a channel; the second channel's are 8 behind. */
export namespace AtaBusMaster {
  export const command: u32 = 0; // 8 bits
  export const status: u32 = 2; // 8 bits
  export const table: u32 = 4; // 32 bits: machine address of the descriptors
  export const SIZE: u32 = 8;
}
export const ATA_BM_START: u32 = 0x1;
export const ATA_BM_READ: u32 = 0x8; // the disk is read, memory is written
export const ATA_BM_ACTIVE: u32 = 0x1;
export const ATA_BM_ERROR: u32 = 0x2; // written 1: cleared; so too the next one
export const ATA_BM_INTERRUPT: u32 = 0x4;

/** A physical region descriptor: 32 bits of address, 16 of length (0: 64 KiB), flags; regions do not cross a multiple of 64 KiB. */
export namespace AtaPrd {
  export const address: u32 = 0;
  export const count: u32 = 4;
  export const flags: u32 = 6;
  export const SIZE: u32 = 8;
}
export const ATA_PRD_LAST: u32 = 0x8000;
