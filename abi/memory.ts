/**
 * Memory operations: numbers and layouts of xen/memory.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

// XENMEM_* sub-operations of __HYPERVISOR_memory_op; bits 6 and up of the command count extents already done.
export const XENMEM_increase_reservation: u32 = 0;
export const XENMEM_decrease_reservation: u32 = 1;
export const XENMEM_populate_physmap: u32 = 6;
export const XENMEM_exchange: u32 = 11;
export const XENMEM_maximum_ram_page: u32 = 2;
export const XENMEM_current_reservation: u32 = 3;
export const XENMEM_maximum_reservation: u32 = 4;
export const XENMEM_maximum_gpfn: u32 = 14;
export const XENMEM_machphys_mfn_list: u32 = 5;
export const XENMEM_machphys_compat_mfn_list: u32 = 25;
export const XENMEM_machphys_mapping: u32 = 12;
export const XENMEM_add_to_physmap: u32 = 7;
export const XENMEM_add_to_physmap_batch: u32 = 23;
export const XENMEM_remove_from_physmap: u32 = 15;
export const XENMEM_memory_map: u32 = 9;
export const XENMEM_machine_memory_map: u32 = 10;
export const XENMEM_set_memory_map: u32 = 13;
export const XENMEM_set_pod_target: u32 = 16;
export const XENMEM_get_pod_target: u32 = 17;
export const XENMEM_get_sharing_freed_pages: u32 = 18;
export const XENMEM_get_sharing_shared_pages: u32 = 19;
export const XENMEM_paging_op: u32 = 20;
export const XENMEM_access_op: u32 = 21;
export const XENMEM_sharing_op: u32 = 22;
export const XENMEM_claim_pages: u32 = 24;
export const XENMEM_reserved_device_memory_map: u32 = 27;
export const XENMEM_acquire_resource: u32 = 28;
export const XENMEM_get_vnumainfo: u32 = 26;

// XENMEMF_*: bits of MemoryReservation.mem_flags.
export const XENMEMF_populate_on_demand: u32 = 0x10000;
export const XENMEMF_exact_node_request: u32 = 0x20000;
export const XENMEMF_vnode: u32 = 0x40000;

/** All regions, whatever device: the one flag of XENMEM_reserved_device_memory_map. */
export const XENMEM_RDM_ALL: u32 = 1;

// XENMAPSPACE_*: what XENMEM_add_to_physmap maps.
export const XENMAPSPACE_shared_info: u32 = 0;
export const XENMAPSPACE_grant_table: u32 = 1;
export const XENMAPSPACE_gmfn: u32 = 2;
export const XENMAPSPACE_gmfn_range: u32 = 3;
export const XENMAPSPACE_gmfn_foreign: u32 = 4;
export const XENMAPSPACE_dev_mmio: u32 = 5;
export const XENMAPIDX_grant_table_status: u32 = 0x80000000;

// Resources of XENMEM_acquire_resource.
export const XENMEM_resource_ioreq_server: u32 = 0;
export const XENMEM_resource_grant_table: u32 = 1;
export const XENMEM_resource_vmtrace_buf: u32 = 2;
export const XENMEM_resource_grant_table_id_shared: u32 = 0;
export const XENMEM_resource_grant_table_id_status: u32 = 1;

// C: struct xen_memory_reservation
export namespace MemoryReservation {
  export const extent_start: u32 = 0;
  export const nr_extents: u32 = 8;
  export const extent_order: u32 = 16;
  export const mem_flags: u32 = 20;
  export const domid: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct xen_memory_exchange
export namespace MemoryExchange {
  export const in_: u32 = 0; // C: in
  export const out: u32 = 32;
  export const nr_exchanged: u32 = 64;
  export const SIZE: u32 = 72;
}

// C: struct xen_memory_domain
export namespace MemoryDomain {
  export const domid: u32 = 0;
  export const SIZE: u32 = 2;
}

// C: struct xen_machphys_mfn_list
export namespace MachphysMfnList {
  export const max_extents: u32 = 0;
  export const extent_start: u32 = 8;
  export const nr_extents: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_machphys_mapping
export namespace MachphysMapping {
  export const v_start: u32 = 0;
  export const v_end: u32 = 8;
  export const max_mfn: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_add_to_physmap
export namespace AddToPhysmap {
  export const domid: u32 = 0;
  export const size: u32 = 2;
  export const space: u32 = 4;
  export const idx: u32 = 8;
  export const gpfn: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_add_to_physmap_batch
export namespace AddToPhysmapBatch {
  export const domid: u32 = 0;
  export const space: u32 = 2;
  export const size: u32 = 4;
  export const u_foreign_domid: u32 = 6; // C: u.foreign_domid
  export const u_res0: u32 = 6; // C: u.res0
  export const idxs: u32 = 8;
  export const gpfns: u32 = 16;
  export const errs: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct xen_remove_from_physmap
export namespace RemoveFromPhysmap {
  export const domid: u32 = 0;
  export const gpfn: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_memory_map
export namespace MemoryMap {
  export const nr_entries: u32 = 0;
  export const buffer: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct xen_foreign_memory_map
export namespace ForeignMemoryMap {
  export const domid: u32 = 0;
  export const map_nr_entries: u32 = 8; // C: map.nr_entries
  export const map_buffer: u32 = 16; // C: map.buffer
  export const SIZE: u32 = 24;
}

// C: struct xen_pod_target
export namespace PodTarget {
  export const target_pages: u32 = 0;
  export const tot_pages: u32 = 8;
  export const pod_cache_pages: u32 = 16;
  export const pod_entries: u32 = 24;
  export const domid: u32 = 32;
  export const SIZE: u32 = 40;
}

// C: struct xen_mem_acquire_resource
export namespace MemAcquireResource {
  export const domid: u32 = 0;
  export const type: u32 = 2;
  export const id: u32 = 4;
  export const nr_frames: u32 = 8;
  export const pad: u32 = 12;
  export const frame: u32 = 16;
  export const frame_list: u32 = 24;
  export const SIZE: u32 = 32;
}

// C: struct xen_reserved_device_memory_map
export namespace ReservedDeviceMemoryMap {
  export const flags: u32 = 0;
  export const nr_entries: u32 = 4;
  export const buffer: u32 = 8;
  export const dev: u32 = 16;
  export const SIZE: u32 = 24;
}

// C: struct xen_vnuma_topology_info
export namespace VnumaTopologyInfo {
  export const domid: u32 = 0;
  export const pad: u32 = 2;
  export const nr_vnodes: u32 = 4;
  export const nr_vcpus: u32 = 8;
  export const nr_vmemranges: u32 = 12;
  export const vdistance: u32 = 16;
  export const vcpu_to_vnode: u32 = 24;
  export const vmemrange: u32 = 32;
  export const SIZE: u32 = 40;
}

// C: struct xen_mem_access_op
export namespace MemAccessOp {
  export const domid: u32 = 2;
  export const SIZE: u32 = 32;
}
