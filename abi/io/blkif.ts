/**
 * Block interfaces: numbers and layouts of xen/io/blkif.h (Xen 4.17). Requests have two layouts, which a frontend chooses between by
 * its protocol: that of 64-bit code, and that of 32-bit x86 code, where 64-bit fields are aligned to 4 bytes. Offsets and sizes in bytes.
 */

export const BLKIF_OP_READ: u32 = 0;
export const BLKIF_OP_WRITE: u32 = 1;
export const BLKIF_OP_WRITE_BARRIER: u32 = 2;
export const BLKIF_OP_FLUSH_DISKCACHE: u32 = 3;
export const BLKIF_OP_DISCARD: u32 = 5;
export const BLKIF_OP_INDIRECT: u32 = 6;

export const BLKIF_MAX_SEGMENTS_PER_REQUEST: u32 = 11;
export const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST: u32 = 8;
export const BLKIF_DISCARD_SECURE: u32 = 1;

// BLKIF_RSP_*: status of a response.
export const BLKIF_RSP_EOPNOTSUPP: i32 = -2;
export const BLKIF_RSP_ERROR: i32 = -1;
export const BLKIF_RSP_OKAY: i32 = 0;

export const VDISK_CDROM: u32 = 1;
export const VDISK_REMOVABLE: u32 = 2;
export const VDISK_READONLY: u32 = 4;

/** A sector, in segments and requests, whatever the disk's own are. */
export const BLKIF_SECTOR_BYTES: u32 = 512; // C: 512
/** Segments in a page of an indirect request. */
export const BLKIF_SEGMENTS_PER_PAGE: u32 = 512; // C: 4096 / sizeof(struct blkif_request_segment)

// C: struct blkif_request_segment
export namespace BlkifSegment {
  export const gref: u32 = 0;
  export const first_sect: u32 = 4; // u8, first sector of the page
  export const last_sect: u32 = 5; // u8, last one, inclusive
  export const SIZE: u32 = 8;
}

/** Bytes of a slot of the ring: a request. */
export const BLKIF_SLOT: u32 = 112; // C: sizeof(union blkif_sring_entry)

// C: struct blkif_request
export namespace BlkifRequest {
  export const operation: u32 = 0; // u8
  export const nr_segments: u32 = 1; // u8
  export const handle: u32 = 2; // u16
  export const id: u32 = 8; // u64
  export const sector_number: u32 = 16; // u64
  export const seg: u32 = 24;
  export const SIZE: u32 = 112;
}

// C: struct blkif_request_discard
export namespace BlkifRequestDiscard {
  export const flag: u32 = 1; // u8
  export const id: u32 = 8;
  export const sector_number: u32 = 16;
  export const nr_sectors: u32 = 24; // u64
}

// C: struct blkif_request_indirect
export namespace BlkifRequestIndirect {
  export const indirect_op: u32 = 1; // u8
  export const nr_segments: u32 = 2; // u16
  export const id: u32 = 8;
  export const sector_number: u32 = 16;
  export const handle: u32 = 24;
  export const indirect_grefs: u32 = 28; // u32 each
}

// C: struct blkif_response
export namespace BlkifResponse {
  export const id: u32 = 0; // u64
  export const operation: u32 = 8; // u8
  export const status: u32 = 10; // i16
  export const SIZE: u32 = 16;
}

// The same for 32-bit x86 code, where a compiler for it has them; responses have their fields at the same places.
export const BLKIF_SLOT_32: u32 = 108; // C: 108
export namespace BlkifRequest32 {
  export const id: u32 = 4;
  export const sector_number: u32 = 12;
  export const seg: u32 = 20;
}
export namespace BlkifRequestDiscard32 {
  export const nr_sectors: u32 = 20;
}
export namespace BlkifRequestIndirect32 {
  export const indirect_grefs: u32 = 24;
}
