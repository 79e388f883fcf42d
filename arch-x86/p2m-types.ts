/**
 * P2M entry types, kept in software-available bits of EPT/NPT entries. arch-x86/p2m.ts CONTRACT:
 *
 *  @unmanaged class P2m { rootPa: u64; tablePages: u32; format: u32 (0 EPT, 1 NPT); maxGfn: u64 }
 *  p2mInit(p: P2m): i32                                   allocate the root; 0 or -ENOMEM
 *  p2mMap(p, gfn: u64, mfn: u64, type: u32, order: u32): i32   order 0 (4 KiB), 9 (2 MiB), 18; 0, -EEXIST, -ENOMEM; changes nothing on failure
 *  p2mUnmap(p, gfn): u64                                  returns the old entry in P2mEntry form, 0 if none; splits superpages
 *  p2mLookup(p, gfn): u64                                 P2mEntry: bits 12..51 frame of exactly this gfn, bits 0..7 type; 0 if none
 *  p2mSetType(p, gfn, type): i32
 *  p2mNext(p, gfn): u64                                   first mapped gfn >= gfn, or ~0: for walks and teardown
 *  p2mFree(p): void                                       frees every table frame (leaves are the caller's)
 *
 * After unmapping or weakening, the caller flushes every vCPU (hvmFlush) before the frame changes hands.
 */
export const P2M_NONE: u32 = 0;
export const P2M_RAM: u32 = 1; // read, write, execute; owned by the domain
export const P2M_RAM_RO: u32 = 2;
export const P2M_FOREIGN: u32 = 3; // another domain's frame, read-write (XENMAPSPACE_gmfn_foreign)
export const P2M_GRANT_RW: u32 = 4;
export const P2M_GRANT_RO: u32 = 5;
export const P2M_SHARED: u32 = 6; // frames of Xen's own: shared_info, grant table, status
export const P2M_MODULE: u32 = 7; // boot modules in domain 0's window, read-only

export const P2M_MFN_MASK: u64 = 0x000ffffffffff000;
export const P2M_TYPE_MASK: u64 = 0xff;
