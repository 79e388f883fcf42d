/**
 * Virtio block devices (virtio 1.1, 5.2), with the names and numbers of Linux's public header linux/virtio_blk.h, against
 * which test/unit/io/drivers checks them. Offsets and sizes in bytes, sectors of 512 bytes; features are bit numbers.
 */

export const VIRTIO_BLK_F_SIZE_MAX: u32 = 1;
export const VIRTIO_BLK_F_SEG_MAX: u32 = 2;
export const VIRTIO_BLK_F_RO: u32 = 5;
export const VIRTIO_BLK_F_BLK_SIZE: u32 = 6;
export const VIRTIO_BLK_F_FLUSH: u32 = 9;
export const VIRTIO_BLK_F_TOPOLOGY: u32 = 10;
export const VIRTIO_BLK_F_MQ: u32 = 12;
export const VIRTIO_BLK_F_DISCARD: u32 = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES: u32 = 14;

// C: struct virtio_blk_config
export namespace VirtioBlkConfig {
  export const capacity: u32 = 0;
  export const size_max: u32 = 8;
  export const seg_max: u32 = 12;
  export const blk_size: u32 = 20;
  export const physical_block_exp: u32 = 24;
  export const num_queues: u32 = 34;
  export const max_discard_sectors: u32 = 36;
  export const max_discard_seg: u32 = 40;
  export const discard_sector_alignment: u32 = 44;
  export const max_write_zeroes_sectors: u32 = 48;
  export const max_write_zeroes_seg: u32 = 52;
  export const write_zeroes_may_unmap: u32 = 56;
  export const SIZE: u32 = 60; // as far as it is used // C: 60
}

// C: struct virtio_blk_outhdr
export namespace VirtioBlkOuthdr {
  export const type: u32 = 0;
  export const ioprio: u32 = 4;
  export const sector: u32 = 8;
  export const SIZE: u32 = 16;
}
export const VIRTIO_BLK_T_IN: u32 = 0;
export const VIRTIO_BLK_T_OUT: u32 = 1;
export const VIRTIO_BLK_T_FLUSH: u32 = 4;
export const VIRTIO_BLK_T_DISCARD: u32 = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES: u32 = 13;

// C: struct virtio_blk_discard_write_zeroes
export namespace VirtioBlkDiscardWriteZeroes {
  export const sector: u32 = 0;
  export const num_sectors: u32 = 8;
  export const flags: u32 = 12;
  export const SIZE: u32 = 16;
}
export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP: u32 = 1;

// The status byte that the device writes last.
export const VIRTIO_BLK_S_OK: u32 = 0;
export const VIRTIO_BLK_S_IOERR: u32 = 1;
export const VIRTIO_BLK_S_UNSUPP: u32 = 2;
