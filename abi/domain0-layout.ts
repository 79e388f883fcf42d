/** Where things are in domain 0's linear memory. Mirrored by boot/software.h and boot/layout.h. */

/**
 * Linear layout of domain 0's space. Domain 0's guest-physical addresses are its linear addresses: gfn = linear >> 12,
 * so XENMEM_add_to_physmap and GNTTABOP_map_grant_ref map straight into its window.
 */
export const DOM0_WINDOW: u32 = 0xc0000000; // one ArrayBuffer covers [DOM0_WINDOW, DOM0_WINDOW_END)
export const DOM0_CALL_PAGE: u32 = 0xc0000000;
export const DOM0_SHARED_INFO: u32 = 0xc0001000;
export const DOM0_START_INFO: u32 = 0xc0002000; // hvm_start_info, its module list, strings; up to 0xc000f000
export const DOM0_DEVICE_PAGE: u32 = 0xc000f000; // NoXS's device page (io/noxs.ts), read-only, from devctl's `get` on
export const DOM0_SCRATCH: u32 = 0xc0010000; // RAM, given zeroed on first touch; hypercall buffers
export const DOM0_SCRATCH_END: u32 = 0xc0200000;
export const DOM0_MODULES: u32 = 0xc1000000; // boot modules, read-only, each page-aligned, addresses in hvm_start_info
export const DOM0_MAP: u32 = 0xd0000000; // free for foreign and grant mappings; toolstack/control allocates from it
export const DOM0_MAP_END: u32 = 0xd4000000;
/**
 * From here to DOM0_STABLE_END: zeroed RAM on first touch that a restart of domain 0 leaves as it is, and that
 * XENMEM_decrease_reservation gives back.
 */
export const DOM0_IMAGES: u32 = 0xd4000000; // kernels and other images that were uploaded
export const DOM0_IMAGES_END: u32 = 0xda000000;
export const DOM0_CONTROL_PAGES: u32 = 0xda000000; // control pages of NoXS devices that domain 0 is the back end of, and whose they are
export const DOM0_STABLE: u32 = 0xdc000000; // records; no other domain maps anything of them but what domain 0 grants
export const DOM0_STABLE_END: u32 = 0xe0000000;
/**
 * From here to the window's end: linear memories of sandboxes in the sandbox (SANDBOX_*, abi/software.ts). Domain 0 gives them
 * RAM (XENMEM_populate_physmap) for as long as they are in use. The codec's is the window's end; the others have
 * DOM0_SANDBOX_BYTES each, in the order of their numbers.
 */
export const DOM0_SANDBOXES: u32 = 0xe0000000;
export const DOM0_SANDBOX_BYTES: u32 = 0x1000000;
export const DOM0_NET: u32 = 0xe0000000;
export const DOM0_TLS: u32 = 0xe1000000;
export const DOM0_CODEC: u32 = 0xe2000000;
export const DOM0_WINDOW_END: u32 = 0xfff00000;
