/**
 * Virtio 1.1: what all devices have in common, on PCI (chapters 2 to 4, and 6 for the feature bits).
 *
 * Names and numbers are those of Linux's public headers linux/virtio_config.h, virtio_ring.h and virtio_pci.h, against which
 * test/unit/io/drivers checks them. A field whose C name is a path or another carries it in a trailing comment. Offsets
 * and sizes in bytes; features are bit numbers.
 */

/** PCI vendor of all virtio devices; a device's id is 0x1040 + its virtio id, or 0x1000 and up for a transitional one. */
export const VIRTIO_PCI_VENDOR: u32 = 0x1af4; // C: 0x1af4
export const VIRTIO_PCI_MODERN_ID: u32 = 0x1040; // C: 0x1040
export const VIRTIO_PCI_TRANSITIONAL_NET: u32 = 0x1000; // C: 0x1000
export const VIRTIO_PCI_TRANSITIONAL_BLK: u32 = 0x1001; // C: 0x1001
export const VIRTIO_PCI_TRANSITIONAL_CONSOLE: u32 = 0x1003; // C: 0x1003
export const VIRTIO_ID_NET: u32 = 1;
export const VIRTIO_ID_BLOCK: u32 = 2;
export const VIRTIO_ID_CONSOLE: u32 = 3;

// Device status.
export const VIRTIO_CONFIG_S_ACKNOWLEDGE: u32 = 1;
export const VIRTIO_CONFIG_S_DRIVER: u32 = 2;
export const VIRTIO_CONFIG_S_DRIVER_OK: u32 = 4;
export const VIRTIO_CONFIG_S_FEATURES_OK: u32 = 8;
export const VIRTIO_CONFIG_S_NEEDS_RESET: u32 = 0x40;
export const VIRTIO_CONFIG_S_FAILED: u32 = 0x80;

// Features of every device.
export const VIRTIO_RING_F_INDIRECT_DESC: u32 = 28;
export const VIRTIO_RING_F_EVENT_IDX: u32 = 29;
export const VIRTIO_F_VERSION_1: u32 = 32;
export const VIRTIO_F_ACCESS_PLATFORM: u32 = 33;
export const VIRTIO_F_RING_PACKED: u32 = 34;
export const VIRTIO_F_ORDER_PLATFORM: u32 = 36;

// --- PCI transport -----------------------------------------------------------------------------------------------------

// virtio_pci_cap.cfg_type
export const VIRTIO_PCI_CAP_COMMON_CFG: u32 = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG: u32 = 2;
export const VIRTIO_PCI_CAP_ISR_CFG: u32 = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG: u32 = 4;

// C: struct virtio_pci_notify_cap
export namespace VirtioPciCap {
  export const cap_len: u32 = 2; // C: cap.cap_len
  export const cfg_type: u32 = 3; // C: cap.cfg_type
  export const bar: u32 = 4; // C: cap.bar
  export const offset: u32 = 8; // C: cap.offset
  export const length: u32 = 12; // C: cap.length
  export const notify_off_multiplier: u32 = 16; // in a notify capability only
  export const SIZE: u32 = 20;
}
/** A capability without that last field. */
export const VIRTIO_PCI_CAP_BYTES: u32 = 16; // C: sizeof(struct virtio_pci_cap)

// C: struct virtio_pci_common_cfg
export namespace VirtioPciCommonCfg {
  export const device_feature_select: u32 = 0;
  export const device_feature: u32 = 4;
  export const driver_feature_select: u32 = 8; // C: guest_feature_select
  export const driver_feature: u32 = 12; // C: guest_feature
  export const msix_config: u32 = 16;
  export const num_queues: u32 = 18;
  export const device_status: u32 = 20;
  export const config_generation: u32 = 21;
  export const queue_select: u32 = 22;
  export const queue_size: u32 = 24;
  export const queue_msix_vector: u32 = 26;
  export const queue_enable: u32 = 28;
  export const queue_notify_off: u32 = 30;
  export const queue_desc: u32 = 32; // C: queue_desc_lo
  export const queue_driver: u32 = 40; // C: queue_avail_lo
  export const queue_device: u32 = 48; // C: queue_used_lo
  export const SIZE: u32 = 56;
}

export const VIRTIO_MSI_NO_VECTOR: u32 = 0xffff;
/** The ISR byte: bit 0 a queue, bit 1 the configuration; reading it clears it. */
export const VIRTIO_PCI_ISR_QUEUE: u32 = 1; // C: 1
export const VIRTIO_PCI_ISR_CONFIG: u32 = 2;

// --- Split virtqueues --------------------------------------------------------------------------------------------------

// Flags of a descriptor; in packed queues too.
export const VRING_DESC_F_NEXT: u32 = 1;
export const VRING_DESC_F_WRITE: u32 = 2;
export const VRING_DESC_F_INDIRECT: u32 = 4;

export const VRING_AVAIL_F_NO_INTERRUPT: u32 = 1;
export const VRING_USED_F_NO_NOTIFY: u32 = 1;

// C: struct vring_desc
export namespace VringDesc {
  export const addr: u32 = 0;
  export const len: u32 = 8;
  export const flags: u32 = 12;
  export const next: u32 = 14;
  export const SIZE: u32 = 16;
}

// C: struct vring_avail
export namespace VringAvail {
  export const flags: u32 = 0;
  export const idx: u32 = 2;
  export const ring: u32 = 4; // u16 each; after the last one used_event, u16
}

// C: struct vring_used
export namespace VringUsed {
  export const flags: u32 = 0;
  export const idx: u32 = 2;
  export const ring: u32 = 4; // VringUsedElem each; after the last one avail_event, u16
}

// C: struct vring_used_elem
export namespace VringUsedElem {
  export const id: u32 = 0;
  export const len: u32 = 4;
  export const SIZE: u32 = 8;
}

// --- Packed virtqueues -------------------------------------------------------------------------------------------------

// Bit numbers in a descriptor's flags.
export const VRING_PACKED_DESC_F_AVAIL: u32 = 7;
export const VRING_PACKED_DESC_F_USED: u32 = 15;

export const VRING_PACKED_EVENT_FLAG_ENABLE: u32 = 0;
export const VRING_PACKED_EVENT_FLAG_DISABLE: u32 = 1;
export const VRING_PACKED_EVENT_FLAG_DESC: u32 = 2;
/** Bit number of the wrap counter in off_wrap. */
export const VRING_PACKED_EVENT_F_WRAP_CTR: u32 = 15;

// C: struct vring_packed_desc
export namespace VringPackedDesc {
  export const addr: u32 = 0;
  export const len: u32 = 8;
  export const id: u32 = 12;
  export const flags: u32 = 14;
  export const SIZE: u32 = 16;
}

// C: struct vring_packed_desc_event
export namespace VringPackedDescEvent {
  export const off_wrap: u32 = 0;
  export const flags: u32 = 2;
  export const SIZE: u32 = 4;
}
