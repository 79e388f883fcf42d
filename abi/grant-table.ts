/**
 * Grant tables: numbers and layouts of xen/grant_table.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

// GNTTABOP_* sub-operations of __HYPERVISOR_grant_table_op.
export const GNTTABOP_map_grant_ref: u32 = 0;
export const GNTTABOP_unmap_grant_ref: u32 = 1;
export const GNTTABOP_setup_table: u32 = 2;
export const GNTTABOP_dump_table: u32 = 3;
export const GNTTABOP_transfer: u32 = 4;
export const GNTTABOP_copy: u32 = 5;
export const GNTTABOP_query_size: u32 = 6;
export const GNTTABOP_unmap_and_replace: u32 = 7;
export const GNTTABOP_set_version: u32 = 8;
export const GNTTABOP_get_status_frames: u32 = 9;
export const GNTTABOP_get_version: u32 = 10;
export const GNTTABOP_swap_grant_ref: u32 = 11;
export const GNTTABOP_cache_flush: u32 = 12;

// Entries that the domain builder fills in for the guest.
export const GNTTAB_NR_RESERVED_ENTRIES: u32 = 8;
export const GNTTAB_RESERVED_CONSOLE: u32 = 0;
export const GNTTAB_RESERVED_XENSTORE: u32 = 1;

// GTF_*: flags of a grant entry.
export const GTF_invalid: u32 = 0;
export const GTF_permit_access: u32 = 1;
export const GTF_accept_transfer: u32 = 2;
export const GTF_transitive: u32 = 3;
export const GTF_type_mask: u32 = 3;
export const GTF_readonly: u32 = 4;
export const GTF_reading: u32 = 8;
export const GTF_writing: u32 = 16;
export const GTF_PWT: u32 = 32;
export const GTF_PCD: u32 = 64;
export const GTF_PAT: u32 = 128;
export const GTF_sub_page: u32 = 256;
export const GTF_transfer_committed: u32 = 4;
export const GTF_transfer_completed: u32 = 8;

// GNTMAP_*: flags of GNTTABOP_map_grant_ref.
export const GNTMAP_device_map: u32 = 1;
export const GNTMAP_host_map: u32 = 2;
export const GNTMAP_readonly: u32 = 4;
export const GNTMAP_application_map: u32 = 8;
export const GNTMAP_contains_pte: u32 = 16;

// GNTCOPY_*: flags of GNTTABOP_copy.
export const GNTCOPY_source_gref: u32 = 1;
export const GNTCOPY_dest_gref: u32 = 2;

// GNTTAB_CACHE_*: operations of GNTTABOP_cache_flush.
export const GNTTAB_CACHE_CLEAN: u32 = 1;
export const GNTTAB_CACHE_INVAL: u32 = 2;
export const GNTTAB_CACHE_SOURCE_GREF: u32 = 0x80000000;

// GNTST_*: status of each element, negative for errors.
export const GNTST_okay: i32 = 0;
export const GNTST_general_error: i32 = -1;
export const GNTST_bad_domain: i32 = -2;
export const GNTST_bad_gntref: i32 = -3;
export const GNTST_bad_handle: i32 = -4;
export const GNTST_bad_virt_addr: i32 = -5;
export const GNTST_bad_dev_addr: i32 = -6;
export const GNTST_no_device_space: i32 = -7;
export const GNTST_permission_denied: i32 = -8;
export const GNTST_bad_page: i32 = -9;
export const GNTST_bad_copy_arg: i32 = -10;
export const GNTST_address_too_big: i32 = -11;
export const GNTST_eagain: i32 = -12;
export const GNTST_no_space: i32 = -13;

// C: struct grant_entry_v1
export namespace GrantEntryV1 {
  export const flags: u32 = 0;
  export const domid: u32 = 2;
  export const frame: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct gnttab_map_grant_ref
export namespace GnttabMapGrantRef {
  export const host_addr: u32 = 0;
  export const flags: u32 = 8;
  export const ref: u32 = 12;
  export const dom: u32 = 16;
  export const status: u32 = 18;
  export const handle: u32 = 20;
  export const dev_bus_addr: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct gnttab_unmap_grant_ref
export namespace GnttabUnmapGrantRef {
  export const host_addr: u32 = 0;
  export const dev_bus_addr: u32 = 8;
  export const handle: u32 = 16;
  export const status: u32 = 20;
  export const SIZE: u32 = 24;
}

// C: struct gnttab_setup_table
export namespace GnttabSetupTable {
  export const dom: u32 = 0;
  export const nr_frames: u32 = 4;
  export const status: u32 = 8;
  export const frame_list: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct gnttab_dump_table
export namespace GnttabDumpTable {
  export const dom: u32 = 0;
  export const status: u32 = 2;
  export const SIZE: u32 = 4;
}

// C: struct gnttab_transfer
export namespace GnttabTransfer {
  export const mfn: u32 = 0;
  export const domid: u32 = 8;
  export const ref: u32 = 12;
  export const status: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct gnttab_copy
export namespace GnttabCopy {
  export const source_u_ref: u32 = 0; // C: source.u.ref
  export const source_u_gmfn: u32 = 0; // C: source.u.gmfn
  export const source_domid: u32 = 8; // C: source.domid
  export const source_offset: u32 = 10; // C: source.offset
  export const dest_u_ref: u32 = 16; // C: dest.u.ref
  export const dest_u_gmfn: u32 = 16; // C: dest.u.gmfn
  export const dest_domid: u32 = 24; // C: dest.domid
  export const dest_offset: u32 = 26; // C: dest.offset
  export const len: u32 = 32;
  export const flags: u32 = 34;
  export const status: u32 = 36;
  export const SIZE: u32 = 40;
}

// C: struct gnttab_query_size
export namespace GnttabQuerySize {
  export const dom: u32 = 0;
  export const nr_frames: u32 = 4;
  export const max_nr_frames: u32 = 8;
  export const status: u32 = 12;
  export const SIZE: u32 = 16;
}

// C: struct gnttab_unmap_and_replace
export namespace GnttabUnmapAndReplace {
  export const host_addr: u32 = 0;
  export const new_addr: u32 = 8;
  export const handle: u32 = 16;
  export const status: u32 = 20;
  export const SIZE: u32 = 24;
}

// C: struct gnttab_set_version
export namespace GnttabSetVersion {
  export const version: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct gnttab_get_status_frames
export namespace GnttabGetStatusFrames {
  export const nr_frames: u32 = 0;
  export const dom: u32 = 4;
  export const status: u32 = 6;
  export const frame_list: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct gnttab_get_version
export namespace GnttabGetVersion {
  export const dom: u32 = 0;
  export const pad: u32 = 2;
  export const version: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct gnttab_swap_grant_ref
export namespace GnttabSwapGrantRef {
  export const ref_a: u32 = 0;
  export const ref_b: u32 = 4;
  export const status: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct gnttab_cache_flush
export namespace GnttabCacheFlush {
  export const a_dev_bus_addr: u32 = 0; // C: a.dev_bus_addr
  export const a_ref: u32 = 0; // C: a.ref
  export const offset: u32 = 8;
  export const length: u32 = 10;
  export const op: u32 = 12;
  export const SIZE: u32 = 16;
}
