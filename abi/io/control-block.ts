/**
 * Disks, volumes and vbds on the control channel between domain 0 and the I/O domain: payloads of requests and responses (control.ts
 * has the operations) and entries of listings. Offsets and sizes in bytes, little-endian; a name is NUL-padded.
 */

/** Bytes of a volume's name, of which 63 are used. */
export const NAME_BYTES: u32 = 64;

// --- Volumes -------------------------------------------------------------------------------------------------------------

/** VolumeCreate.disk: the first disk with a store. */
export const DISK_ANY: u32 = 0xffffffff;

/** VOLUME_CREATE. -EEXIST, -EINVAL a name or size that cannot be, -ENOENT no store, -ENOSPC, -E2BIG. */
export namespace VolumeCreate {
  export const name: u32 = 0;
  export const sectors: u32 = 64; // u64, a multiple of 8
  export const disk: u32 = 72; // number of the disk in DISK_LIST, or DISK_ANY
  export const SIZE: u32 = 80;
}

/** VOLUME_DELETE of a volume or snapshot. -EBUSY it is in use, -ENOTEMPTY volumes were made from it. */
export namespace VolumeName {
  export const name: u32 = 0;
  export const SIZE: u32 = 64;
}

/** VOLUME_RESIZE. Of a volume that is in use: to a larger size only (-EBUSY). */
export namespace VolumeResize {
  export const name: u32 = 0;
  export const sectors: u32 = 64; // u64, a multiple of 8
  export const SIZE: u32 = 72;
}

/** VOLUME_SNAPSHOT. Of a volume: takes a snapshot. Of a snapshot: makes a volume from it, which can be written. */
export namespace VolumeSnapshot {
  export const name: u32 = 0;
  export const snapshot: u32 = 64; // the new one's name
  export const SIZE: u32 = 128;
}

/**
 * VOLUME_FORMAT. Makes an empty store: in the disk's partition of our type, or, where it has none, in a new one in its largest free
 * space; a disk without partitions, and with nothing in its first sectors, gets a GPT first.
 */
export namespace VolumeFormat {
  export const disk: u32 = 0; // number of the disk in DISK_LIST
  /** FORMAT_*: what may be lost. */
  export const flags: u32 = 4;
  export const uuid: u32 = 8; // 16 random bytes: the store's, and of which the partition's is made
  export const SIZE: u32 = 24;
}
/** A store that is there already is made anew; without this it is -EEXIST. */
export const FORMAT_STORE: u32 = 1;
/** What is on a disk without partitions is lost; without this it is -EEXIST unless its first sectors are zero. */
export const FORMAT_DISK: u32 = 2;

/** VOLUME_CHECK: of the store on a disk. What is wrong is said on the console. While it runs, nothing that needs new space is written. */
export namespace VolumeCheck {
  export const disk: u32 = 0;
  export const SIZE: u32 = 4;
}
export namespace VolumeCheckResponse {
  export const problems: u32 = 0;
  export const volumes: u32 = 4; // checked, snapshots included
  export const chunks: u32 = 8; // in use
  export const blocks: u32 = 12; // of metadata, in use
  export const SIZE: u32 = 16;
}

/** Request of every listing; the entries are in the bulk area. */
export namespace BlockListRequest {
  export const cursor: u32 = 0; // 0, then the response's
  export const SIZE: u32 = 4;
}
export namespace BlockListResponse {
  export const cursor: u32 = 0; // 0: that was all
  export const count: u32 = 4;
  export const SIZE: u32 = 8;
}

/** Of VOLUME_LIST. */
export namespace VolumeEntry {
  export const name: u32 = 0; // empty: it is being deleted
  export const sectors: u32 = 64; // u64
  export const mapped: u32 = 72; // u64, sectors that have space on the disk, its own or shared
  export const flags: u32 = 80; // VOLUME_* of volume-format.ts
  export const id: u32 = 84;
  export const disk: u32 = 88;
  export const previous: u32 = 92; // id + 1 of the snapshot before it, or that it was made from; 0 none
  export const clones: u32 = 96; // volumes made from it
  export const readers: u32 = 100; // vbds that have it
  export const writers: u32 = 104;
  export const SIZE: u32 = 112;
}

// --- Disks ---------------------------------------------------------------------------------------------------------------

// DiskEntry.store
export const DISK_NO_STORE: u32 = 0;
export const DISK_STORE: u32 = 1;
export const DISK_STORE_BAD: u32 = 2; // there is one that cannot be used: DiskEntry.reason

// DiskEntry.flags
export const DISK_READ_ONLY: u32 = 1;
export const DISK_GONE: u32 = 2;
/** Its first partition table is damaged, and the second one is used. */
export const DISK_GPT_SECOND: u32 = 4;

/** Of DISK_LIST. */
export namespace DiskEntry {
  export const disk: u32 = 0; // its number
  export const flags: u32 = 4; // DISK_*
  export const sectors: u32 = 8; // u64
  export const sectorSize: u32 = 16;
  export const store: u32 = 20; // DISK_NO_STORE, ...
  export const reason: u32 = 24; // i32
  export const partitions: u32 = 28; // 0: no partition table
  export const storeSectors: u32 = 32; // u64, for volumes' data
  export const freeSectors: u32 = 40; // u64 of them
  export const metadataBlocks: u32 = 48;
  export const freeBlocks: u32 = 52;
  export const volumes: u32 = 56;
  export const jobs: u32 = 60; // deletions in progress
  export const driver: u32 = 64; // 16 bytes
  export const reads: u32 = 80; // u64 requests
  export const writes: u32 = 88;
  export const errors: u32 = 96;
  export const resets: u32 = 104; // u32
  export const SIZE: u32 = 112;
}
