/**
 * Where things are in the I/O domain's linear memory. Its guest-physical addresses are its linear addresses (gfn = linear >> 12), as
 * domain 0's are. Mirrored by boot/layout.h.
 */

/** Its domain id: the last one that is not reserved, so that guests' ids begin at 1 with it or without. */
export const IO_DOMAIN: u32 = 0x7fef;

/** The module's data and heap begin at 0: RAM, given zeroed on first touch up to here. */
export const IO_RAM_END: u32 = 0x04000000;
export const IO_CALL_PAGE: u32 = 0x10000000;
export const IO_SHARED_INFO: u32 = 0x10001000;
export const IO_START_INFO: u32 = 0x10002000; // hvm_start_info, its command line; RAM on first touch
export const IO_DEVICE_PAGE: u32 = 0x1000f000; // NoXS's device page (noxs.ts), read-only, from devctl's `get` on
export const IO_CONTROL: u32 = 0x10010000; // the control channel with domain 0 (control.ts); RAM on first touch
export const IO_CONTROL_END: u32 = 0x10020000;
export const IO_GRANT_TABLE: u32 = 0x10020000; // its own grant table: XENMAPSPACE_grant_table, 64 frames at most
export const IO_GRANT_TABLE_END: u32 = 0x10060000;
export const IO_DMA: u32 = 0x11000000; // RAM for devices' access: XENMEM_populate_physmap, whose extents it is told the frames of
export const IO_DMA_END: u32 = 0x15000000;
export const IO_MMIO: u32 = 0x18000000; // devices' registers, uncached: XENMAPSPACE_dev_mmio
export const IO_MMIO_END: u32 = 0x20000000;
export const IO_MAP: u32 = 0x20000000; // grant mappings
export const IO_MAP_END: u32 = 0x40000000;
export const IO_STABLE: u32 = 0x40000000; // zeroed RAM on first touch that a restart of the domain leaves as it is
export const IO_STABLE_END: u32 = 0x48000000;
