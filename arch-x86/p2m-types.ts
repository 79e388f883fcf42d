/**
 * Type of a gfn's mapping, kept in bits of its EPT or NPT entry that the processor ignores: p2m.ts. Functions pass
 * entries as bits 12..51 frame, bits 0..7 type.
 */
export const P2M_NONE: u32 = 0;
export const P2M_RAM: u32 = 1; // read, write, execute; owned by the domain
export const P2M_RAM_RO: u32 = 2;
export const P2M_FOREIGN: u32 = 3; // another domain's frame, read-write (XENMAPSPACE_gmfn_foreign)
export const P2M_GRANT_RW: u32 = 4;
export const P2M_GRANT_RO: u32 = 5;
export const P2M_SHARED: u32 = 6; // frames of Xen's own: shared_info, grant table, status
export const P2M_MODULE: u32 = 7; // boot modules in domain 0's window, read-only
export const P2M_MMIO: u32 = 8; // devices' registers, uncached; software-isolated domains only
export const P2M_MMIO_RO: u32 = 9;
export const P2M_SHARED_RO: u32 = 10; // a frame of Xen's own that the domain only reads: its device page
export const P2M_TYPE_LAST: u32 = 10;

export const P2M_MFN_MASK: u64 = 0x000ffffffffff000;
export const P2M_TYPE_MASK: u64 = 0xff;
