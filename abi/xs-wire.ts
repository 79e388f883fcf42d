/** The xenstore's wire protocol and the ring page a guest shares with it: xen/io/xs_wire.h. */

/** Message types: enum xsd_sockmsg_type. */
export const XS_CONTROL: u32 = 0;
export const XS_DIRECTORY: u32 = 1;
export const XS_READ: u32 = 2;
export const XS_GET_PERMS: u32 = 3;
export const XS_WATCH: u32 = 4;
export const XS_UNWATCH: u32 = 5;
export const XS_TRANSACTION_START: u32 = 6;
export const XS_TRANSACTION_END: u32 = 7;
export const XS_INTRODUCE: u32 = 8;
export const XS_RELEASE: u32 = 9;
export const XS_GET_DOMAIN_PATH: u32 = 10;
export const XS_WRITE: u32 = 11;
export const XS_MKDIR: u32 = 12;
export const XS_RM: u32 = 13;
export const XS_SET_PERMS: u32 = 14;
export const XS_WATCH_EVENT: u32 = 15;
export const XS_ERROR: u32 = 16;
export const XS_IS_DOMAIN_INTRODUCED: u32 = 17;
export const XS_RESUME: u32 = 18;
export const XS_SET_TARGET: u32 = 19;
export const XS_RESET_WATCHES: u32 = 21;
export const XS_DIRECTORY_PART: u32 = 22;
export const XS_TYPE_COUNT: u32 = 23;

/** Header of every message; `len` bytes of payload follow. */
// C: struct xsd_sockmsg
export namespace XsdSockmsg {
  export const type_: u32 = 0; // C: type
  export const req_id: u32 = 4;
  export const tx_id: u32 = 8;
  export const len: u32 = 12;
  export const SIZE: u32 = 16;
}

/** Bytes of each of the page's two rings: indexes run freely and are masked at use. */
export const XENSTORE_RING_SIZE: u32 = 1024;

// C: struct xenstore_domain_interface
export namespace XenstoreDomainInterface {
  export const req: u32 = 0;
  export const rsp: u32 = 1024;
  export const req_cons: u32 = 2048;
  export const req_prod: u32 = 2052;
  export const rsp_cons: u32 = 2056;
  export const rsp_prod: u32 = 2060;
  export const server_features: u32 = 2064;
  export const connection: u32 = 2068;
  export const error: u32 = 2072;
  export const SIZE: u32 = 2076;
}

export const XENSTORE_PAYLOAD_MAX: u32 = 4096;
export const XENSTORE_ABS_PATH_MAX: u32 = 3072;
export const XENSTORE_REL_PATH_MAX: u32 = 2048;

/** server_features. */
export const XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
export const XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;

/** connection. */
export const XENSTORE_CONNECTED: u32 = 0;
export const XENSTORE_RECONNECT: u32 = 1;

/** error. */
export const XENSTORE_ERROR_NONE: u32 = 0;
export const XENSTORE_ERROR_COMM: u32 = 1;
export const XENSTORE_ERROR_RINGIDX: u32 = 2;
export const XENSTORE_ERROR_PROTO: u32 = 3;
