/** ELF notes by which a guest's image specifies how it is to be started: xen/elfnote.h. Note name "Xen". */

/** Virtual address of the PV entry point: its presence without PHYS32_ENTRY marks a kernel for PV only. */
export const XEN_ELFNOTE_ENTRY: u32 = 1;
/** Physical address of the 32-bit PVH entry point. */
export const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
