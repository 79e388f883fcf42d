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

// --- Vbds ----------------------------------------------------------------------------------------------------------------

/** How a vbd's frontend is told of its device. */
export const VBD_MODEL_NOXS: u32 = 1; // by a control page of the I/O domain
export const VBD_MODEL_XENBUS: u32 = 2; // by domain 0, which makes it known here with VBD_CONNECT

/** VbdAdd.flags: it may be written. */
export const VBD_WRITABLE: u32 = 1;

/** Rings of a vbd, pages of a ring as a power of two, segments of an indirect request: at most. */
export const VBD_RINGS_MAX: u32 = 4;
export const VBD_RING_ORDER_MAX: u32 = 4;
export const VBD_SEGMENTS_MAX: u32 = 256;

/**
 * Bytes of a target: `volume:NAME` (a snapshot too), `ram:BYTES`, `module:NAME`, `part:LABEL`, `file:[LABEL/]PATH`. What is before the first
 * slash of the last one is a label if a partition has it; with a slash at its begin it is all path.
 */
export const VBD_TARGET_BYTES: u32 = 128;

/**
 * VBD_ADD. Adding one that is there already, with the same properties, answers as the first time. -EINVAL a target that is not one,
 * -ENOENT it is not there, -EBUSY it is in use, -EROFS it cannot be written, -EEXIST the domain has another vbd of this number,
 * -ENOSPC too many vbds, -ENOMEM no memory for `ram:`, -EIO. Where a target `file:` was refused, the answer has a VbdRefusal.
 */
export namespace VbdAdd {
  export const domid: u32 = 0;
  export const vdev: u32 = 4; // Xen's number of it, such as 51712 for xvda
  export const model: u32 = 8; // VBD_MODEL_*
  export const flags: u32 = 12; // VBD_WRITABLE
  export const target: u32 = 16;
  export const SIZE: u32 = 144;
}

/** Why a target `file:` cannot be had, and what was found on which partition. */
export namespace VbdRefusal {
  export const reason: u32 = 0; // FILE_*
  export const volumes: u32 = 4; // FAT volumes that were searched
  export const disk: u32 = 8; // its number
  export const partition: u32 = 12; // its number in the table, from 1 on; 0: it is about no single one
  export const bytes: u32 = 16; // of the file
  export const unit: u32 = 20; // bytes of a sector of the disk
  export const label: u32 = 24; // 36 bytes, NUL-padded
  export const SIZE: u32 = 60;
}
// VbdRefusal.reason, with the status.
export const FILE_NO_VOLUME: u32 = 1; // -ENOENT: no partition, or not the one of this label, holds a FAT volume
export const FILE_ABSENT: u32 = 2; // -ENOENT
export const FILE_NOT_DIRECTORY: u32 = 3; // -ENOTDIR: something before the last name of the path
export const FILE_IS_DIRECTORY: u32 = 4; // -EISDIR
export const FILE_EMPTY: u32 = 5; // -EINVAL
export const FILE_ODD_SIZE: u32 = 6; // -EINVAL: no multiple of the disk's sectors
export const FILE_BOOT_SECTOR: u32 = 7; // -EBADMSG: it says that it is FAT, and contradicts itself
export const FILE_BAD_DIRECTORY: u32 = 8; // -EBADMSG: a directory's clusters lead nowhere, or do not end
export const FILE_CHAIN_BROKEN: u32 = 9; // -EBADMSG: the file's lead to one that is free, bad or not there
export const FILE_CHAIN_SHORT: u32 = 10; // -EBADMSG: they are fewer than its size needs
export const FILE_CHAIN_LONG: u32 = 11; // -EBADMSG: they are more
export const FILE_CHAIN_CYCLE: u32 = 12; // -EBADMSG: they lead back to one of themselves
export const FILE_CROSS_LINKED: u32 = 13; // -EBADMSG: something else has some of them too
export const FILE_FRAGMENTS: u32 = 14; // -E2BIG: they are in too many places
export const FILE_NO_ROOM: u32 = 15; // -ENFILE: too many files, or places of all of them together
export const FILE_PARTITION_BUSY: u32 = 16; // -EBUSY: `part:` is written, or the disk's table is being changed
export const FILE_READ: u32 = 17; // -EIO
/** What the disk is, for the backend's nodes of the store; of a vbd of model NoXS also what goes into the guest's device page. */
export namespace VbdProperties {
  export const grant: u32 = 0;
  export const port: u32 = 4;
  export const sectors: u32 = 8; // u64, of 512 bytes
  export const sectorSize: u32 = 16;
  export const physicalSectorSize: u32 = 20;
  export const discardGranularity: u32 = 24; // bytes; 0: it cannot discard
  export const flags: u32 = 28; // VBD_WRITABLE
  export const SIZE: u32 = 32;
}

/** VBD_REMOVE, VBD_DISCONNECT, and the start of every request about one vbd. */
export namespace VbdKey {
  export const domid: u32 = 0;
  export const vdev: u32 = 4;
  export const SIZE: u32 = 8;
}

// VbdConnect.protocol: layout of the requests.
export const VBD_PROTOCOL_X86_64: u32 = 0;
export const VBD_PROTOCOL_X86_32: u32 = 1;
/** VbdConnect.features: the frontend uses the same grants again and again. */
export const VBD_FE_PERSISTENT: u32 = 1;

/**
 * VBD_CONNECT: what a xenbus frontend has written. For each ring follow its port and the grants of its 2^order pages, u32 each. Answered
 * with VbdProperties. -ENOENT, -EISCONN, -EINVAL, -EIO a ring that cannot be mapped, or a port that cannot be bound.
 */
export namespace VbdConnect {
  export const domid: u32 = 0;
  export const vdev: u32 = 4;
  export const rings: u32 = 8;
  export const order: u32 = 12;
  export const protocol: u32 = 16;
  export const features: u32 = 20;
  export const SIZE: u32 = 24;
}

// VbdEntry.state
export const VBD_WAITING: u32 = 0; // its frontend has not connected
export const VBD_CONNECTED: u32 = 1;
export const VBD_FAILED: u32 = 2; // its frontend has broken the protocol: VbdEntry.failure
export const VBD_GOING: u32 = 3; // removed, but requests are in progress, or the guest still maps its control page
export const VBD_LOST: u32 = 4; // its target cannot be opened any more since the I/O domain was restarted: requests fail

// VbdEntry.failure: why a frontend was disconnected.
export const VBD_FAIL_NONE: u32 = 0;
export const VBD_FAIL_INDEX: u32 = 1; // a producer index that is not possible
export const VBD_FAIL_MAP: u32 = 2; // a ring that cannot be mapped
export const VBD_FAIL_PORT: u32 = 3; // an event channel that cannot be bound
export const VBD_FAIL_CONFIG: u32 = 4; // no ring, too many, or too large ones, or another protocol
export const VBD_FAIL_MEMORY: u32 = 5; // no room for its rings

export namespace VbdEntry {
  export const domid: u32 = 0;
  export const vdev: u32 = 4;
  export const model: u32 = 8;
  export const flags: u32 = 12;
  export const state: u32 = 16;
  export const failure: u32 = 20; // of the last frontend that was disconnected
  export const rings: u32 = 24;
  export const order: u32 = 28;
  export const protocol: u32 = 32;
  export const features: u32 = 36;
  export const properties: u32 = 40; // VbdProperties
  export const target: u32 = 72;
  export const reads: u32 = 200; // u64, requests
  export const writes: u32 = 208;
  export const flushes: u32 = 216;
  export const discards: u32 = 224;
  export const readBytes: u32 = 232;
  export const writtenBytes: u32 = 240;
  export const errors: u32 = 248; // requests answered with an error of the disk
  export const refused: u32 = 256; // requests that were not possible
  export const SIZE: u32 = 264;
}

// --- Boot modules --------------------------------------------------------------------------------------------------------

/** Operations of the control channel, in its numbering (control.ts). */
export const IO_MODULE_ADD: u32 = 88;
export const IO_MODULE_REMOVE: u32 = 89;

/**
 * MODULE_ADD: domain 0 makes a boot module known, of whose pages the I/O domain gets read-only grants: `module:NAME` is then a target.
 * The grants are in pages that domain 0 grants too, each of which leads to the next (ModulePage); all of them stay granted until
 * MODULE_REMOVE is answered. -EEXIST, -EINVAL no multiple of 512 bytes, or too large, -ENOSPC too many modules.
 */
export namespace ModuleAdd {
  export const name: u32 = 0; // NAME_BYTES
  export const bytes: u32 = 64; // u64
  export const pages: u32 = 72; // grant of the first ModulePage
  export const SIZE: u32 = 76;
}
export namespace ModulePage {
  export const next: u32 = 0; // grant of the next one; 0 this is the last one
  export const count: u32 = 4;
  export const grants: u32 = 8; // u32 each
  export const SIZE: u32 = 4096;
}
export const MODULE_PAGE_GRANTS: u32 = 1022;

/** MODULE_REMOVE. -ENOENT, -EBUSY a vbd has it. */
export namespace ModuleName {
  export const name: u32 = 0;
  export const SIZE: u32 = 64;
}
