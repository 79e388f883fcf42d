/**
 * Physical devices: numbers and layouts of xen/physdev.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

// PHYSDEVOP_* sub-operations of __HYPERVISOR_physdev_op.
export const PHYSDEVOP_eoi: u32 = 12;
export const PHYSDEVOP_pirq_eoi_gmfn_v1: u32 = 17;
export const PHYSDEVOP_pirq_eoi_gmfn_v2: u32 = 28;
export const PHYSDEVOP_irq_status_query: u32 = 5;
export const PHYSDEVOP_set_iopl: u32 = 6;
export const PHYSDEVOP_set_iobitmap: u32 = 7;
export const PHYSDEVOP_apic_read: u32 = 8;
export const PHYSDEVOP_apic_write: u32 = 9;
export const PHYSDEVOP_alloc_irq_vector: u32 = 10;
export const PHYSDEVOP_free_irq_vector: u32 = 11;
export const PHYSDEVOP_map_pirq: u32 = 13;
export const PHYSDEVOP_unmap_pirq: u32 = 14;
export const PHYSDEVOP_manage_pci_add: u32 = 15;
export const PHYSDEVOP_manage_pci_remove: u32 = 16;
export const PHYSDEVOP_restore_msi: u32 = 19;
export const PHYSDEVOP_manage_pci_add_ext: u32 = 20;
export const PHYSDEVOP_setup_gsi: u32 = 21;
export const PHYSDEVOP_get_free_pirq: u32 = 23;
export const PHYSDEVOP_pci_mmcfg_reserved: u32 = 24;
export const PHYSDEVOP_pci_device_add: u32 = 25;
export const PHYSDEVOP_pci_device_remove: u32 = 26;
export const PHYSDEVOP_restore_msi_ext: u32 = 27;
export const PHYSDEVOP_prepare_msix: u32 = 30;
export const PHYSDEVOP_release_msix: u32 = 31;
export const PHYSDEVOP_dbgp_op: u32 = 29;
export const PHYSDEVOP_IRQ_UNMASK_NOTIFY: u32 = 4;

// PhysdevMapPirq.type.
export const MAP_PIRQ_TYPE_MSI: u32 = 0x0;
export const MAP_PIRQ_TYPE_GSI: u32 = 0x1;
export const MAP_PIRQ_TYPE_MSI_SEG: u32 = 0x3;
export const MAP_PIRQ_TYPE_MULTI_MSI: u32 = 0x4;
// PhysdevIrqStatusQuery.flags.
export const XENIRQSTAT_needs_eoi: u32 = 1;

// C: struct physdev_eoi
export namespace PhysdevEoi {
  export const irq: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct physdev_irq_status_query
export namespace PhysdevIrqStatusQuery {
  export const irq: u32 = 0;
  export const flags: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct physdev_set_iopl
export namespace PhysdevSetIopl {
  export const iopl: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct physdev_set_iobitmap
export namespace PhysdevSetIobitmap {
  export const bitmap: u32 = 0;
  export const nr_ports: u32 = 8;
  export const SIZE: u32 = 16;
}

// C: struct physdev_map_pirq
export namespace PhysdevMapPirq {
  export const domid: u32 = 0;
  export const type: u32 = 4;
  export const index: u32 = 8;
  export const pirq: u32 = 12;
  export const bus: u32 = 16;
  export const devfn: u32 = 20;
  export const entry_nr: u32 = 24;
  export const table_base: u32 = 32;
  export const SIZE: u32 = 40;
}

// C: struct physdev_unmap_pirq
export namespace PhysdevUnmapPirq {
  export const domid: u32 = 0;
  export const pirq: u32 = 4;
  export const SIZE: u32 = 8;
}
