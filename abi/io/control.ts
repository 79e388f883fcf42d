/**
 * The control channel between domain 0 and the I/O domain: the IO_CONTROL pages of the I/O domain's memory, which domain 0 maps, and
 * an event channel. Two rings of slots, indices that only grow and are taken modulo the number of slots. Little-endian, offsets
 * in bytes.
 *
 * Each side reads a slot once into memory of its own before it looks at it. Domain 0 has at most one request outstanding whose
 * answer may use the bulk area, which is the I/O domain's until it answers and then domain 0's until its next such request.
 */

/** "TVIO". */
export const IO_CONTROL_MAGIC: u32 = 0x4f495654;
export const IO_CONTROL_VERSION: u32 = 1;

/** The first page. */
export namespace ControlPage {
  export const magic: u32 = 0; // written last by a starting I/O domain
  export const version: u32 = 4;
  export const generation: u32 = 8; // counts the starts of the I/O domain: it has forgotten requests of the one before
  export const port: u32 = 12; // the I/O domain's port; written by domain 0, which then notifies
  export const requestProduced: u32 = 16; // by domain 0
  export const requestConsumed: u32 = 20; // by the I/O domain
  export const responseProduced: u32 = 24; // by the I/O domain
  export const responseConsumed: u32 = 28; // by domain 0
  export const serial: u32 = 64; // by the I/O domain: frame of each serial port's pages (control-serial.ts), u32[SERIAL_PORTS]; 0 none
  export const requests: u32 = 4096; // CONTROL_SLOTS slots
  export const responses: u32 = 20480;
  export const bulk: u32 = 36864;
  export const SIZE: u32 = 65536;
}

export const CONTROL_SLOTS: u32 = 32;
export const CONTROL_SLOT_BYTES: u32 = 512;
export const CONTROL_BULK_BYTES: u32 = 28672;
/** Bytes of a request's or response's payload, at most. */
export const CONTROL_PAYLOAD_BYTES: u32 = 496;

export namespace ControlRequest {
  export const id: u32 = 0; // domain 0's
  export const operation: u32 = 4; // IO_*
  export const length: u32 = 8; // of the payload
  export const payload: u32 = 16;
}

export namespace ControlResponse {
  export const id: u32 = 0; // the request's
  export const status: u32 = 4; // i32: 0, or a negative errno; -ENOSYS for an operation that is not known
  export const length: u32 = 8;
  export const bulkLength: u32 = 12;
  export const payload: u32 = 16;
}

// Operations; payloads: control-net.ts, control-block.ts. Numbers are never used again.
export const IO_PING: u32 = 1; // answered with its payload
export const IO_BRIDGE_CREATE: u32 = 16;
export const IO_BRIDGE_DELETE: u32 = 17;
export const IO_BRIDGE_LIST: u32 = 18;
export const IO_BRIDGE_UPLINK: u32 = 19;
export const IO_BRIDGE_CAPTURE: u32 = 20;
export const IO_BRIDGE_DUMP: u32 = 21;
export const IO_VIF_ADD: u32 = 32;
export const IO_VIF_REMOVE: u32 = 33;
export const IO_VIF_CONNECT: u32 = 34;
export const IO_VIF_DISCONNECT: u32 = 35;
export const IO_VIF_LIST: u32 = 36;
export const IO_VIF_SET_RATE: u32 = 37;
export const IO_NIC_LIST: u32 = 48;
export const IO_DISK_LIST: u32 = 64;
export const IO_VOLUME_LIST: u32 = 65;
export const IO_VOLUME_CREATE: u32 = 66;
export const IO_VOLUME_DELETE: u32 = 67;
export const IO_VOLUME_RESIZE: u32 = 68;
export const IO_VOLUME_SNAPSHOT: u32 = 69;
export const IO_VOLUME_FORMAT: u32 = 70;
export const IO_VOLUME_CHECK: u32 = 71;
export const IO_VBD_ADD: u32 = 80;
export const IO_VBD_REMOVE: u32 = 81;
export const IO_VBD_CONNECT: u32 = 82;
export const IO_VBD_DISCONNECT: u32 = 83;
export const IO_VBD_LIST: u32 = 84;
export const IO_SYSCTL_ADD: u32 = 96;
export const IO_SYSCTL_REMOVE: u32 = 97;
export const IO_SYSCTL_REQUEST: u32 = 98;
