/**
 * Virtio network devices (virtio 1.1, 5.1), with the names and numbers of Linux's public header linux/virtio_net.h, against
 * which test/unit/io/drivers checks them. Offsets and sizes in bytes; features are bit numbers.
 */

export const VIRTIO_NET_F_CSUM: u32 = 0;
export const VIRTIO_NET_F_GUEST_CSUM: u32 = 1;
export const VIRTIO_NET_F_MTU: u32 = 3;
export const VIRTIO_NET_F_MAC: u32 = 5;
export const VIRTIO_NET_F_GUEST_TSO4: u32 = 7;
export const VIRTIO_NET_F_GUEST_TSO6: u32 = 8;
export const VIRTIO_NET_F_GUEST_ECN: u32 = 9;
export const VIRTIO_NET_F_HOST_TSO4: u32 = 11;
export const VIRTIO_NET_F_HOST_TSO6: u32 = 12;
export const VIRTIO_NET_F_HOST_ECN: u32 = 13;
export const VIRTIO_NET_F_MRG_RXBUF: u32 = 15;
export const VIRTIO_NET_F_STATUS: u32 = 16;
export const VIRTIO_NET_F_CTRL_VQ: u32 = 17;
export const VIRTIO_NET_F_CTRL_RX: u32 = 18;
export const VIRTIO_NET_F_MQ: u32 = 22;

// C: struct virtio_net_config
export namespace VirtioNetConfig {
  export const mac: u32 = 0; // six bytes
  export const status: u32 = 6;
  export const max_virtqueue_pairs: u32 = 8;
  export const mtu: u32 = 10;
  export const SIZE: u32 = 12; // as far as it is used // C: 12
}
export const VIRTIO_NET_S_LINK_UP: u32 = 1;

// C: struct virtio_net_hdr_v1
export namespace VirtioNetHdr {
  export const flags: u32 = 0;
  export const gso_type: u32 = 1;
  export const hdr_len: u32 = 2;
  export const gso_size: u32 = 4;
  export const csum_start: u32 = 6;
  export const csum_offset: u32 = 8;
  export const num_buffers: u32 = 10;
  export const SIZE: u32 = 12;
}
export const VIRTIO_NET_HDR_F_NEEDS_CSUM: u32 = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID: u32 = 2;
export const VIRTIO_NET_HDR_GSO_NONE: u32 = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4: u32 = 1;
export const VIRTIO_NET_HDR_GSO_TCPV6: u32 = 4;
export const VIRTIO_NET_HDR_GSO_ECN: u32 = 0x80;

// The control queue: class and command, one byte each, data, and an acknowledgement of one byte from the device.
export const VIRTIO_NET_CTRL_RX: u32 = 0;
export const VIRTIO_NET_CTRL_RX_PROMISC: u32 = 0;
export const VIRTIO_NET_CTRL_MQ: u32 = 4;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET: u32 = 0;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX: u32 = 0x8000;
export const VIRTIO_NET_OK: u32 = 0;
export const VIRTIO_NET_ERR: u32 = 1;
