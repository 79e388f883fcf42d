/**
 * NVM Express controllers: registers, commands and data structures of the NVM Express Base Specification 1.4 (chapters 3 to 6).
 * Offsets in bytes; registers are in memory BAR 0.
 */

/** The programming interface of class 0108 that means NVM Express. */
export const NVME_INTERFACE: u32 = 2;

export namespace Nvme {
  export const CAP: u32 = 0x00; // u64
  export const INTMS: u32 = 0x0c; // ones disable vectors of a pin or MSI
  export const INTMC: u32 = 0x10; // ones enable them
  export const CC: u32 = 0x14;
  export const CSTS: u32 = 0x1c;
  export const AQA: u32 = 0x24; // sizes of the admin queues less one: submission in bits 0-11, completion in 16-27
  export const ASQ: u32 = 0x28; // u64
  export const ACQ: u32 = 0x30; // u64
  export const DOORBELLS: u32 = 0x1000;
}
// CAP
export const NVME_CAP_MQES_MASK: u32 = 0xffff; // entries of a queue at most, less one
export const NVME_CAP_TO_SHIFT: u32 = 24; // eight bits: time to become ready, 500 ms
export const NVME_CAP_DSTRD_SHIFT: u32 = 32; // four bits: doorbells are 4 << this apart
export const NVME_CAP_CSS_NVM_SHIFT: u32 = 37; // one bit: the NVM command set
export const NVME_CAP_MPSMIN_SHIFT: u32 = 48; // four bits: smallest page, 4096 << this

export const NVME_CC_EN: u32 = 0x1;
/** Queue entries of 64 and 16 bytes, pages of 4 KiB, the NVM command set. */
export const NVME_CC_SIZES: u32 = (6 << 16) | (4 << 20);
export const NVME_CSTS_RDY: u32 = 0x1;
export const NVME_CSTS_CFS: u32 = 0x2; // fatal error

/** A submission queue entry. */
export namespace NvmeCommand {
  export const opcode: u32 = 0; // u8; u16 command id at 2
  export const nsid: u32 = 4;
  export const prp1: u32 = 24; // u64
  export const prp2: u32 = 32; // u64
  export const cdw10: u32 = 40;
  export const cdw11: u32 = 44;
  export const cdw12: u32 = 48;
  export const SIZE: u32 = 64;
}

/** A completion queue entry. */
export namespace NvmeCompletion {
  export const result: u32 = 0;
  export const queue: u32 = 8; // u16 head, u16 queue
  export const status: u32 = 12; // u16 command id, bit 16 the phase, status above
  export const SIZE: u32 = 16;
}
export const NVME_COMPLETION_PHASE: u32 = 0x10000;
export const NVME_COMPLETION_STATUS_SHIFT: u32 = 17;

// Admin commands.
export const NVME_CREATE_SQ: u32 = 0x01;
export const NVME_CREATE_CQ: u32 = 0x05;
export const NVME_IDENTIFY: u32 = 0x06;
export const NVME_QUEUE_CONTIGUOUS: u32 = 0x1;
export const NVME_QUEUE_INTERRUPTS: u32 = 0x2;
// NVM commands.
export const NVME_FLUSH: u32 = 0x00;
export const NVME_WRITE: u32 = 0x01;
export const NVME_READ: u32 = 0x02;
export const NVME_WRITE_ZEROES: u32 = 0x08;
export const NVME_DATASET_MANAGEMENT: u32 = 0x09;
export const NVME_RW_FUA: u32 = 0x40000000;
export const NVME_WRITE_ZEROES_DEALLOCATE: u32 = 0x02000000;
export const NVME_DSM_DEALLOCATE: u32 = 0x4;

// What IDENTIFY asks for, in cdw10.
export const NVME_IDENTIFY_NAMESPACE: u32 = 0;
export const NVME_IDENTIFY_CONTROLLER: u32 = 1;

export namespace NvmeIdentifyController {
  export const mdts: u32 = 77; // u8: most bytes of a command, smallest page << this; 0: no limit
  export const sqes: u32 = 512; // u8: log2 of the least entry in bits 0-3, of the largest in 4-7
  export const cqes: u32 = 513; // u8
  export const nn: u32 = 516; // u32: namespaces
  export const oncs: u32 = 520; // u16: bit 2 dataset management, bit 3 write zeroes
  export const vwc: u32 = 525; // u8: bit 0 a volatile write cache
  export const SIZE: u32 = 4096;
}

export namespace NvmeIdentifyNamespace {
  export const nsze: u32 = 0; // u64: blocks
  export const flbas: u32 = 26; // u8: the format in use in bits 0-3
  export const lbaf: u32 = 128; // u32 each: metadata bytes in bits 0-15, log2 of a block's bytes in 16-23
  export const nsattr: u32 = 99; // u8: bit 0 write-protected
}

/** A range of dataset management. */
export namespace NvmeRange {
  export const attributes: u32 = 0;
  export const blocks: u32 = 4;
  export const lba: u32 = 8; // u64
  export const SIZE: u32 = 16;
}
