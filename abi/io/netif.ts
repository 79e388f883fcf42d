/**
 * Network interfaces: numbers and layouts of xen/io/netif.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes.
 */

/** Slots that a back end must accept for one frame. */
export const XEN_NETIF_NR_SLOTS_MIN: u32 = 18;
export const XEN_NETIF_MAX_TX_SIZE: u32 = 0xffff;

/** Slots of a ring of one page. */
export const NET_TX_RING_SIZE: u32 = 256; // C: __CONST_RING_SIZE(netif_tx, 4096)
export const NET_RX_RING_SIZE: u32 = 256; // C: __CONST_RING_SIZE(netif_rx, 4096)
export const NET_CTRL_RING_SIZE: u32 = 128; // C: __CONST_RING_SIZE(xen_netif_ctrl, 4096)
/** Bytes of a slot. */
export const NET_TX_SLOT: u32 = 12; // C: sizeof(union netif_tx_sring_entry)
export const NET_RX_SLOT: u32 = 8; // C: sizeof(union netif_rx_sring_entry)
export const NET_CTRL_SLOT: u32 = 16; // C: sizeof(union xen_netif_ctrl_sring_entry)

// NETTXF_*: flags of a transmit request.
export const NETTXF_csum_blank: u32 = 1;
export const NETTXF_data_validated: u32 = 2;
export const NETTXF_more_data: u32 = 4;
export const NETTXF_extra_info: u32 = 8;

// NETRXF_*: flags of a receive response.
export const NETRXF_data_validated: u32 = 1;
export const NETRXF_csum_blank: u32 = 2;
export const NETRXF_more_data: u32 = 4;
export const NETRXF_extra_info: u32 = 8;
export const NETRXF_gso_prefix: u32 = 16;

// XEN_NETIF_EXTRA_*: extra info in the slots after the first.
export const XEN_NETIF_EXTRA_TYPE_NONE: u32 = 0;
export const XEN_NETIF_EXTRA_TYPE_GSO: u32 = 1;
export const XEN_NETIF_EXTRA_TYPE_MCAST_ADD: u32 = 2;
export const XEN_NETIF_EXTRA_TYPE_MCAST_DEL: u32 = 3;
export const XEN_NETIF_EXTRA_TYPE_HASH: u32 = 4;
export const XEN_NETIF_EXTRA_TYPE_MAX: u32 = 5;
export const XEN_NETIF_EXTRA_FLAG_MORE: u32 = 1;

export const XEN_NETIF_GSO_TYPE_NONE: u32 = 0;
export const XEN_NETIF_GSO_TYPE_TCPV4: u32 = 1;
export const XEN_NETIF_GSO_TYPE_TCPV6: u32 = 2;

// NETIF_RSP_*: status of a response.
export const NETIF_RSP_DROPPED: i32 = -2;
export const NETIF_RSP_ERROR: i32 = -1;
export const NETIF_RSP_OKAY: i32 = 0;
export const NETIF_RSP_NULL: i32 = 1;

// XEN_NETIF_CTRL_TYPE_*: requests of the control ring.
export const XEN_NETIF_CTRL_TYPE_INVALID: u32 = 0;
export const XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS: u32 = 1;
export const XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS: u32 = 2;
export const XEN_NETIF_CTRL_TYPE_SET_HASH_KEY: u32 = 3;
export const XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE: u32 = 4;
export const XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE: u32 = 5;
export const XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING: u32 = 6;
export const XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM: u32 = 7;
export const XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE: u32 = 8;
export const XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING: u32 = 9;
export const XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING: u32 = 10;

export const XEN_NETIF_CTRL_STATUS_SUCCESS: u32 = 0;
export const XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED: u32 = 1;
export const XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER: u32 = 2;
export const XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW: u32 = 3;

export const XEN_NETIF_CTRL_HASH_ALGORITHM_NONE: u32 = 0;
export const XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ: u32 = 1;
export const XEN_NETIF_CTRL_HASH_TYPE_IPV4: u32 = 1;
export const XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP: u32 = 2;
export const XEN_NETIF_CTRL_HASH_TYPE_IPV6: u32 = 4;
export const XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP: u32 = 8;

// C: struct netif_tx_request
export namespace NetifTxRequest {
  export const gref: u32 = 0;
  export const offset: u32 = 4;
  export const flags: u32 = 6;
  export const id: u32 = 8;
  export const size: u32 = 10;
  export const SIZE: u32 = 12;
}

// C: struct netif_tx_response
export namespace NetifTxResponse {
  export const id: u32 = 0;
  export const status: u32 = 2;
  export const SIZE: u32 = 4;
}

// C: struct netif_rx_request
export namespace NetifRxRequest {
  export const id: u32 = 0;
  export const gref: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct netif_rx_response
export namespace NetifRxResponse {
  export const id: u32 = 0;
  export const offset: u32 = 2;
  export const flags: u32 = 4;
  export const status: u32 = 6;
  export const SIZE: u32 = 8;
}

// C: struct netif_extra_info
export namespace NetifExtraInfo {
  export const type: u32 = 0;
  export const flags: u32 = 1;
  export const gso_size: u32 = 2; // C: u.gso.size
  export const gso_type: u32 = 4; // C: u.gso.type
  export const gso_features: u32 = 6; // C: u.gso.features
  export const mcast_addr: u32 = 2; // C: u.mcast.addr
  export const hash_type: u32 = 2; // C: u.hash.type
  export const hash_algorithm: u32 = 3; // C: u.hash.algorithm
  export const hash_value: u32 = 4; // C: u.hash.value
  export const SIZE: u32 = 8;
}

// C: struct xen_netif_ctrl_request
export namespace NetifCtrlRequest {
  export const id: u32 = 0;
  export const type: u32 = 2;
  export const data0: u32 = 4; // C: data[0]
  export const data1: u32 = 8; // C: data[1]
  export const data2: u32 = 12; // C: data[2]
  export const SIZE: u32 = 16;
}

// C: struct xen_netif_ctrl_response
export namespace NetifCtrlResponse {
  export const id: u32 = 0;
  export const type: u32 = 2;
  export const status: u32 = 4;
  export const data: u32 = 8;
  export const SIZE: u32 = 12;
}
