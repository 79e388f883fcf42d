/** ELF notes by which a guest's image specifies how it is to be started: xen/elfnote.h. Note name "Xen". */

/** Virtual address of the PV entry point: its presence without PHYS32_ENTRY marks a kernel for PV only. */
export const XEN_ELFNOTE_ENTRY: u32 = 1;
/** Virtual address of the page that becomes the hypercall page. */
export const XEN_ELFNOTE_HYPERCALL_PAGE: u32 = 2;
/** Virtual address at which guest-physical 0 is mapped at the start. */
export const XEN_ELFNOTE_VIRT_BASE: u32 = 3;
/** What to subtract from the image's physical addresses to get guest-physical ones. */
export const XEN_ELFNOTE_PADDR_OFFSET: u32 = 4;
export const XEN_ELFNOTE_XEN_VERSION: u32 = 5; // text, "xen-3.0"
export const XEN_ELFNOTE_GUEST_OS: u32 = 6; // text
export const XEN_ELFNOTE_LOADER: u32 = 8; // text, "generic"
export const XEN_ELFNOTE_FEATURES: u32 = 10; // text: names separated by '|', a required one behind '!'
export const XEN_ELFNOTE_SUPPORTED_FEATURES: u32 = 17; // u32: bits XENFEAT_*
/** Physical address of the 32-bit PVH entry point. */
export const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
