/**
 * Bridges and vifs on the control channel between domain 0 and the I/O domain: payloads of requests and responses
 * (control.ts has the operations) and entries of listings. Offsets and sizes in bytes, little-endian; an IPv4 address is its four
 * bytes in network order, 0 for none; a name is NUL-padded.
 */

/** Bytes of a bridge's name. */
export const BRIDGE_NAME_BYTES: u32 = 16;

/** How a vif's frontend is told of its device. */
export const VIF_MODEL_NOXS: u32 = 1; // by a control page of the I/O domain
export const VIF_MODEL_XENBUS: u32 = 2; // by domain 0, which makes it known here with VIF_CONNECT

// Flags of a vif.
/** It may send from any MAC address; addresses are learned, and it gets frames to unknown ones. */
export const VIF_ANY_MAC: u32 = 1;
/** It may send from any IPv4 address, and any kind of frame, although it has an address configured. */
export const VIF_ANY_ADDRESS: u32 = 2;

// Flags of a bridge.
/** Answers DHCP requests of vifs that have an IPv4 address configured. */
export const BRIDGE_DHCP: u32 = 1;
/** Answers ARP requests for addresses of its vifs. */
export const BRIDGE_ARP_PROXY: u32 = 2;

/** BridgeUplink.nic: no card. */
export const NIC_NONE: u32 = 0xffffffff;

// What a frontend can do: bits 0 to 9 as in NoXS's control page (frontend features).
export const VIF_FE_RX_NOTIFY: u32 = 0x1;
export const VIF_FE_PERSISTENT: u32 = 0x2;
export const VIF_FE_SG: u32 = 0x4;
export const VIF_FE_GSO_TCPV4: u32 = 0x8;
export const VIF_FE_GSO_TCPV4_PREFIX: u32 = 0x10;
export const VIF_FE_GSO_TCPV6: u32 = 0x20;
export const VIF_FE_GSO_TCPV6_PREFIX: u32 = 0x40;
export const VIF_FE_NO_CSUM_OFFLOAD: u32 = 0x80;
export const VIF_FE_IPV6_CSUM_OFFLOAD: u32 = 0x100;
export const VIF_FE_CTRL_RING: u32 = 0x200;
/** request-multicast-control: only multicast addresses that it has asked for. */
export const VIF_FE_MULTICAST_CONTROL: u32 = 0x10000;

/** Most queues of a vif. */
export const VIF_QUEUES_MAX: u32 = 8;

/** State of a vif in a listing. */
export const VIF_WAITING: u32 = 0; // its frontend has not connected
export const VIF_CONNECTED: u32 = 1;
export const VIF_FAILED: u32 = 2; // its frontend has broken the protocol: VifEntry.failure
export const VIF_GOING: u32 = 3; // removed, but the guest still maps its control page

// Why a frontend was disconnected.
export const VIF_FAIL_NONE: u32 = 0;
export const VIF_FAIL_INDEX: u32 = 1; // a producer index that is not possible
export const VIF_FAIL_SLOTS: u32 = 2; // a frame whose slots are not there, or too many
export const VIF_FAIL_EXTRA: u32 = 3; // extra info that is missing or of an unknown type
export const VIF_FAIL_BOUNDS: u32 = 4; // a slot that leaves its page
export const VIF_FAIL_GSO: u32 = 5; // segmentation of size 0, or of an unknown type
export const VIF_FAIL_MAP: u32 = 6; // a ring that cannot be mapped
export const VIF_FAIL_PORT: u32 = 7; // an event channel that cannot be bound
export const VIF_FAIL_CONFIG: u32 = 8; // no queue, too many, or no receive by copying
export const VIF_FAIL_MEMORY: u32 = 9; // no room for its queues
export const VIF_FAIL_GONE: u32 = 10; // the guest is gone

// Reasons for dropping a frame: index into Counters.drops. Of the sender's vif:
export const DROP_MALFORMED: u32 = 0; // shorter than its headers, or slots longer than the frame
export const DROP_SLOTS: u32 = 1; // more slots than XEN_NETIF_NR_SLOTS_MIN
export const DROP_COPY: u32 = 2; // a grant that cannot be used
export const DROP_SOURCE_MAC: u32 = 3; // a forged source MAC address
export const DROP_SOURCE_ADDRESS: u32 = 4; // a forged source IPv4 address
export const DROP_PROTOCOL: u32 = 5; // a kind of frame that a vif with an IPv4 address may not send
export const DROP_DHCP_SERVER: u32 = 6; // DHCP as a server
export const DROP_NO_DESTINATION: u32 = 7; // addressed to nobody on the bridge
export const DROP_GSO: u32 = 8; // segmentation that does not fit the frame
export const DROP_CHECKSUM: u32 = 9; // the checksum is missing, and the protocol is not known
export const DROP_MEMORY: u32 = 10; // no room in the back end
export const DROP_UPLINK: u32 = 11; // the card is down or does not keep up
// Of the receiver's vif:
export const DROP_NO_FRONTEND: u32 = 12; // not connected
export const DROP_RX_FULL: u32 = 13; // the frontend posts too few buffers
export const DROP_RX_SIZE: u32 = 14; // longer than it can receive
export const DROP_RX_COPY: u32 = 15; // a buffer that cannot be written
export const DROP_MULTICAST: u32 = 16; // a multicast address it has not asked for
export const DROP_REASONS: u32 = 20;

export namespace Counters {
  export const tx_frames: u32 = 0; // from the vif (of a bridge: in)
  export const tx_bytes: u32 = 8;
  export const rx_frames: u32 = 16; // to the vif (of a bridge: out)
  export const rx_bytes: u32 = 24;
  export const drops: u32 = 32; // u64 for each reason
  export const SIZE: u32 = 192;
}

/** BRIDGE_CREATE. */
export namespace BridgeCreate {
  export const name: u32 = 0;
  export const flags: u32 = 16;
  export const prefix: u32 = 20; // length of the network's prefix
  export const gateway: u32 = 24;
  export const server: u32 = 28; // the DHCP server's own address; 0: the gateway's
  export const dns0: u32 = 32;
  export const dns1: u32 = 36;
  export const lease: u32 = 40; // seconds
  export const SIZE: u32 = 44;
}

/** BRIDGE_DELETE, and the start of every request about one bridge. */
export namespace BridgeName {
  export const name: u32 = 0;
  export const SIZE: u32 = 16;
}

/** BRIDGE_UPLINK. */
export namespace BridgeUplink {
  export const name: u32 = 0;
  export const nic: u32 = 16; // index in NIC_LIST, or NIC_NONE
  export const SIZE: u32 = 20;
}

/**
 * BRIDGE_CAPTURE: starts a capture, or ends it (0 bytes). Response: the position in front of its first frame. A capture that nobody
 * reads for CAPTURE_UNREAD_SECONDS ends by itself.
 */
export namespace BridgeCapture {
  export const name: u32 = 0;
  export const bytes: u32 = 16; // of each frame, at most
  export const SIZE: u32 = 20;
}
export namespace BridgeCaptureResponse {
  export const position: u32 = 0; // u64
  export const SIZE: u32 = 8;
}
export const CAPTURE_UNREAD_SECONDS: u32 = 10;

/**
 * BRIDGE_DUMP: what was captured. Request: `name`, and a position. Response: CaptureRecords in the bulk area, their bytes, the
 * position after them, and how much of each frame still is captured: 0 when the capture has ended, as it does when the I/O domain
 * is restarted.
 */
export namespace BridgeDump {
  export const name: u32 = 0;
  export const position: u32 = 16; // u64
  export const SIZE: u32 = 24;
}
export namespace BridgeDumpResponse {
  export const position: u32 = 0; // u64
  export const bytes: u32 = 8;
  export const capture: u32 = 12; // bytes of each frame
  export const SIZE: u32 = 16;
}
/** One frame of a capture; its bytes follow, padded to 8. */
export namespace CaptureRecord {
  export const time: u32 = 0; // system time, ns
  export const length: u32 = 8; // of the frame
  export const captured: u32 = 12; // bytes here
  export const number: u32 = 16; // from 1, in the order of all of the capture: those that are missing were overwritten
  export const SIZE: u32 = 24;
}

/** Request of BRIDGE_LIST and VIF_LIST; the entries are in the bulk area. */
export namespace ListRequest {
  export const cursor: u32 = 0; // 0, then the response's
  export const SIZE: u32 = 4;
}
export namespace ListResponse {
  export const cursor: u32 = 0; // 0: that was all
  export const count: u32 = 4;
  export const SIZE: u32 = 8;
}

export namespace BridgeEntry {
  export const name: u32 = 0;
  export const flags: u32 = 16;
  export const prefix: u32 = 20;
  export const gateway: u32 = 24;
  export const server: u32 = 28;
  export const dns0: u32 = 32;
  export const dns1: u32 = 36;
  export const lease: u32 = 40;
  export const nic: u32 = 44;
  export const vifs: u32 = 48;
  export const learned: u32 = 52; // MAC addresses
  export const capture: u32 = 56; // bytes of each frame, 0: no capture
  export const counters: u32 = 64;
  export const SIZE: u32 = 256; // counters + Counters.SIZE
}

/** VIF_ADD. Adding a vif that is there already, with the same properties, answers as the first time. */
export namespace VifAdd {
  export const domid: u32 = 0;
  export const devid: u32 = 4;
  export const model: u32 = 8;
  export const flags: u32 = 12;
  export const mac: u32 = 16; // 6 bytes
  export const ipv4: u32 = 24;
  export const burst: u32 = 28; // bytes that may be sent at once; 0: a twentieth of a second's
  export const rate: u32 = 32; // u64, bytes a second; 0: no limit
  export const bridge: u32 = 40;
  export const SIZE: u32 = 56;
}
/** For a vif of model NoXS: what goes into the guest's device page. */
export namespace VifAddResponse {
  export const grant: u32 = 0;
  export const port: u32 = 4;
  export const SIZE: u32 = 8;
}

/** VIF_REMOVE, VIF_DISCONNECT, and the start of every request about one vif. */
export namespace VifKey {
  export const domid: u32 = 0;
  export const devid: u32 = 4;
  export const SIZE: u32 = 8;
}

/** VIF_SET_RATE. */
export namespace VifSetRate {
  export const domid: u32 = 0;
  export const devid: u32 = 4;
  export const rate: u32 = 8; // u64
  export const burst: u32 = 16;
  export const SIZE: u32 = 24;
}

/** VIF_CONNECT: what a xenbus frontend has written; `queues` elements of VifConnectQueue follow. */
export namespace VifConnect {
  export const domid: u32 = 0;
  export const devid: u32 = 4;
  export const queues: u32 = 8;
  export const features: u32 = 12; // VIF_FE_*
  export const ctrl_ref: u32 = 16; // with VIF_FE_CTRL_RING
  export const ctrl_port: u32 = 20;
  export const SIZE: u32 = 24;
}
export namespace VifConnectQueue {
  export const tx_ref: u32 = 0;
  export const rx_ref: u32 = 4;
  export const tx_port: u32 = 8;
  export const rx_port: u32 = 12; // the same as tx_port: one event channel for both
  export const SIZE: u32 = 16;
}

export namespace VifEntry {
  export const domid: u32 = 0;
  export const devid: u32 = 4;
  export const model: u32 = 8;
  export const flags: u32 = 12;
  export const mac: u32 = 16;
  export const ipv4: u32 = 24;
  export const burst: u32 = 28;
  export const rate: u32 = 32; // u64
  export const bridge: u32 = 40;
  export const state: u32 = 56;
  export const failure: u32 = 60; // VIF_FAIL_* of the last frontend that was disconnected
  export const queues: u32 = 64;
  export const features: u32 = 68;
  export const grant: u32 = 72; // as in VifAddResponse
  export const port: u32 = 76;
  export const counters: u32 = 80;
  export const SIZE: u32 = 272; // counters + Counters.SIZE
}

/** NIC_LIST: the cards there are; a card's index is its place in the list. */
export namespace NicEntry {
  export const driver: u32 = 0; // name, NUL-padded, 16 bytes
  export const address: u32 = 16; // PCI: bus << 8 | devfn
  export const features: u32 = 20; // NETWORK_* of drivers/network.ts
  export const mac: u32 = 24; // 6 bytes
  export const mtu: u32 = 32;
  export const link: u32 = 36; // 1: up
  export const state: u32 = 40; // 0 not in use, 1 in use, 2 it does not answer
  export const bridge: u32 = 44; // name, 16 bytes of NUL: none
  export const received: u32 = 64; // u64 frames
  export const received_bytes: u32 = 72;
  export const receive_errors: u32 = 80;
  export const sent: u32 = 88;
  export const sent_bytes: u32 = 96;
  export const send_errors: u32 = 104;
  export const resets: u32 = 112; // u32
  export const SIZE: u32 = 120;
}
