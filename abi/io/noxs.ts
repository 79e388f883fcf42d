/**
 * NoXS, devices without a store, as LightVM has them: hypercall `devctl`, the device page by which a domain finds its devices,
 * and the control page that each device's backend shares with its frontend. Layouts and numbers are those of LightVM's Xen
 * (xen/devctl.h and xen/io/noxs.h of its branch noxs-4.8.1), so that its guests run unchanged. Little-endian, offsets in
 * bytes, x86-64 C layout for every caller. The rings themselves are Xen's: netif.h, blkif.h.
 */

/** Xen before 4.9 had nothing at this number, later ones have dm_op: docs/decisions/0008-devctl.md says which a domain gets. */
export const __HYPERVISOR_devctl: u32 = 41;
export const XEN_DEVCTL_VERSION: u32 = 1;
export const XEN_DEVCTL_get: u32 = 1;
export const XEN_DEVCTL_dev_add: u32 = 2;
export const XEN_DEVCTL_dev_rem: u32 = 3;
export const XEN_DEVCTL_dev_enum: u32 = 4;

/** Where a hardware guest has its device page: guest-physical, the third of Xen's special pages (memory sharing's). */
export const NOXS_DEVICE_PAGE: u32 = 0xfeffa000;

/** Most devices of a domain. */
export const NOXS_DEV_COUNT_MAX: u32 = 32;
export const noxs_dev_none: u32 = 0;
export const noxs_dev_sysctl: u32 = 1;
export const noxs_dev_vif: u32 = 2;
export const noxs_dev_vbd: u32 = 3;

// C: struct noxs_dev_key
export namespace NoxsDevKey {
  export const type: u32 = 0; // u32 noxs_dev_*
  export const be_id: u32 = 4; // u16 the backend's domain id
  export const fe_id: u32 = 6; // u16 the frontend's
  export const devid: u32 = 8; // u32
  export const SIZE: u32 = 12;
}

// C: struct noxs_dev_page_entry
export namespace NoxsDevPageEntry {
  export const type: u32 = 0; // u32 noxs_dev_*
  export const id: u32 = 4; // u32, unique among the domain's devices of this type
  export const be_id: u32 = 8; // u16 the backend's domain id
  export const grant: u32 = 12; // u32 reference of the control page in the backend's grant table // C: comm.grant
  export const evtchn: u32 = 16; // u32 port of the backend that awaits the frontend // C: comm.evtchn
  export const SIZE: u32 = 20;
}

/** Read-only to the domain. Entries 0 .. dev_count - 1 are in use, the others are zero. */
// C: struct noxs_dev_page
export namespace NoxsDevPage {
  export const version: u32 = 0; // u32 0
  export const dev_count: u32 = 4; // u32
  export const devs: u32 = 8; // NOXS_DEV_COUNT_MAX NoxsDevPageEntry
  export const SIZE: u32 = 648;
}

// C: struct xen_devctl
export namespace Devctl {
  export const version: u32 = 0; // u32 XEN_DEVCTL_VERSION
  export const cmd: u32 = 4; // u32 XEN_DEVCTL_*
  export const domain: u32 = 8; // u16 whose device page
  export const get_mfn: u32 = 16; // u64 out: address of the device page // C: u.get.mfn
  export const dev_add_dev: u32 = 16; // in: NoxsDevPageEntry // C: u.dev_add.dev
  export const dev_rem_dev: u32 = 16; // in: NoxsDevKey // C: u.dev_rem.dev
  export const dev_enum_dev_count: u32 = 16; // u32 out // C: u.dev_enum.dev_count
  export const dev_enum_devs: u32 = 20; // out: NOXS_DEV_COUNT_MAX NoxsDevPageEntry // C: u.dev_enum.devs
  export const SIZE: u32 = 664;
}

// --- Control pages -------------------------------------------------------------------------------------------------------

/**
 * A side asks with `requested` to be told of the other's next change; the other answers with `updated` and an event. Our back ends
 * do so at every change of be_state or of what a device is, asked or not, and so must any back end of LightVM's Mini-OS: its
 * thread that takes the event clears the word after it has woken the one that asks again, and a request is lost between the two.
 */
export const noxs_watch_none: u32 = 0;
export const noxs_watch_requested: u32 = 1;
export const noxs_watch_updated: u32 = 2;

/** At the start of every control page. States are Xen's XenbusState* (xen/io/xenbus.h). */
// C: struct noxs_ctrl_hdr
export namespace NoxsCtrlHdr {
  export const devid: u32 = 0; // i32
  export const be_state: u32 = 4; // i32
  export const fe_state: u32 = 8; // i32
  export const fe_watch_state: u32 = 12; // u32 noxs_watch_*: the frontend's request
  export const be_watch_state: u32 = 16; // u32 noxs_watch_*: the backend's
  export const SIZE: u32 = 20;
}

/** Bits of NoxsSysctlCtrlPage.fe_feat and .status: what the frontend can do, what it is asked to. */
export const NOXS_SYSCTL_FE_poweroff: u32 = 1;
export const NOXS_SYSCTL_FE_reboot: u32 = 2;
export const NOXS_SYSCTL_FE_suspend: u32 = 4;
export const NOXS_SYSCTL_FE_platform_multiprocessor_suspend: u32 = 8;
export const NOXS_SYSCTL_poweroff: u32 = 1;
export const NOXS_SYSCTL_reboot: u32 = 2;
export const NOXS_SYSCTL_suspend: u32 = 4;
export const NOXS_SYSCTL_crash: u32 = 8;
export const NOXS_SYSCTL_watchdog: u32 = 16;

// C: struct noxs_sysctl_ctrl_page
export namespace NoxsSysctlCtrlPage {
  export const hdr: u32 = 0; // NoxsCtrlHdr
  export const fe_feat: u32 = 20; // u8 NOXS_SYSCTL_FE_*
  export const status: u32 = 21; // u8 NOXS_SYSCTL_*
  export const SIZE: u32 = 24;
}

/** Bits of NoxsVifCtrlPage.be_feat. */
export const NOXS_VIF_BE_rx_notify: u32 = 0x1;
export const NOXS_VIF_BE_sg: u32 = 0x2;
export const NOXS_VIF_BE_gso_tcpv4: u32 = 0x4;
export const NOXS_VIF_BE_gso_tcpv4_prefix: u32 = 0x8;
export const NOXS_VIF_BE_gso_tcpv6: u32 = 0x10;
export const NOXS_VIF_BE_gso_tcpv6_prefix: u32 = 0x20;
export const NOXS_VIF_BE_no_csum_offload: u32 = 0x40;
export const NOXS_VIF_BE_ipv6_csum_offload: u32 = 0x80;
export const NOXS_VIF_BE_rx_copy: u32 = 0x100;
export const NOXS_VIF_BE_rx_flip: u32 = 0x200;
export const NOXS_VIF_BE_multicast_control: u32 = 0x400;
export const NOXS_VIF_BE_dynamic_multicast_control: u32 = 0x800;
export const NOXS_VIF_BE_split_event_channels: u32 = 0x1000;
export const NOXS_VIF_BE_ctrl_ring: u32 = 0x2000;
export const NOXS_VIF_BE_netmap: u32 = 0x4000;
/** Bits of NoxsVifCtrlPage.fe_feat. */
export const NOXS_VIF_FE_rx_notify: u32 = 0x1;
export const NOXS_VIF_FE_persistent: u32 = 0x2;
export const NOXS_VIF_FE_sg: u32 = 0x4;
export const NOXS_VIF_FE_gso_tcpv4: u32 = 0x8;
export const NOXS_VIF_FE_gso_tcpv4_prefix: u32 = 0x10;
export const NOXS_VIF_FE_gso_tcpv6: u32 = 0x20;
export const NOXS_VIF_FE_gso_tcpv6_prefix: u32 = 0x40;
export const NOXS_VIF_FE_no_csum_offload: u32 = 0x80;
export const NOXS_VIF_FE_ipv6_csum_offload: u32 = 0x100;
export const NOXS_VIF_FE_ctrl_ring: u32 = 0x200;

/** Bytes of NoxsVifCtrlPage.mac and .bridge. */
export const NOXS_VIF_MAC_BYTES: u32 = 6;
export const NOXS_VIF_BRIDGE_BYTES: u32 = 16;

// C: struct noxs_vif_ctrl_page
export namespace NoxsVifCtrlPage {
  export const hdr: u32 = 0; // NoxsCtrlHdr
  export const vifid: u32 = 20; // i32
  export const be_feat: u32 = 24; // u16 NOXS_VIF_BE_*
  export const multi_queue_max_queues: u32 = 28; // i32 the backend's
  export const multi_queue_num_queues: u32 = 32; // i32 the frontend's
  export const tx_ring_ref: u32 = 36; // u32 grants of the frontend
  export const rx_ring_ref: u32 = 40; // u32
  export const event_channel_tx: u32 = 44; // u32 ports of the frontend; equal where it has one for both
  export const event_channel_rx: u32 = 48; // u32
  export const request_rx_copy: u32 = 52; // u32
  export const fe_feat: u32 = 56; // u16 NOXS_VIF_FE_*
  export const ctrl_ring_ref: u32 = 60; // u32
  export const event_channel_ctrl: u32 = 64; // u32
  export const mac: u32 = 68; // NOXS_VIF_MAC_BYTES
  export const ip: u32 = 76; // u32 IPv4, network order
  export const bridge: u32 = 80; // NOXS_VIF_BRIDGE_BYTES, NUL-terminated
  export const SIZE: u32 = 96;
}

/** Bits of the byte NoxsVbdCtrlPage.be_flags. */
export const NOXS_VBD_BE_persistent: u32 = 1;
export const NOXS_VBD_BE_barrier: u32 = 2;
export const NOXS_VBD_BE_flush_cache: u32 = 4;
export const NOXS_VBD_BE_discard: u32 = 8;
/** Bit of NoxsVbdCtrlPage.fe_feat. */
export const NOXS_VBD_FE_persistent: u32 = 1;

export const noxs_vbd_type_none: u32 = 0;
export const noxs_vbd_type_phy: u32 = 1;
export const noxs_vbd_type_file: u32 = 2;
export const noxs_vbd_mode_none: u32 = 0;
export const noxs_vbd_mode_rdonly: u32 = 1;
export const noxs_vbd_mode_rdwr: u32 = 2;

/** Bytes of NoxsVbdCtrlPage.protocol. */
export const NOXS_VBD_PROTOCOL_BYTES: u32 = 64;

// C: struct noxs_vbd_ctrl_page
export namespace NoxsVbdCtrlPage {
  export const hdr: u32 = 0; // NoxsCtrlHdr
  export const be_max_indirect_segments: u32 = 20; // u16 // C: be_feat.max_indirect_segments
  export const be_flags: u32 = 22; // u8 NOXS_VBD_BE_* // C: be_feat.flags
  export const major: u32 = 24; // u32
  export const minor: u32 = 28; // u32
  export const type: u32 = 32; // u32 noxs_vbd_type_*
  export const mode: u32 = 36; // u32 noxs_vbd_mode_*
  export const info: u32 = 40; // u32 VDISK_* of xen/io/blkif.h
  export const sectors: u32 = 48; // u64
  export const sector_size: u32 = 56; // u64
  export const sector_size_physical: u32 = 64; // u64
  export const discard_enable: u32 = 72; // i32
  export const discard_granularity: u32 = 76; // i32
  export const discard_alignment: u32 = 80; // i32
  export const discard_secure: u32 = 84; // i32
  export const fe_feat: u32 = 88; // u8 NOXS_VBD_FE_persistent
  export const protocol: u32 = 89; // NOXS_VBD_PROTOCOL_BYTES, NUL-terminated: "x86_64-abi"
  export const max_rings: u32 = 156; // i32 the backend's
  export const max_ring_page_order: u32 = 160; // i32
  export const num_rings: u32 = 164; // i32 the frontend's
  export const ring_page_order: u32 = 168; // i32
  /** For each ring its port, then its 2^ring_page_order grants: u32 each. */
  export const rings_start_addr: u32 = 172;
  export const SIZE: u32 = 176;
}
