/**
 * Serial ports for domain 0's control service: what the I/O domain and domain 0 share of each. Pages of the I/O domain's memory that
 * domain 0 maps; their first frame's number is in ControlPage.serial (control.ts), whose event channel notifies both sides.
 *
 * Two rings of bytes, indices that only grow and are taken modulo SERIAL_RING_BYTES. Little-endian, offsets in bytes. Each side
 * believes nothing of the other's fields, and reads each once.
 */

/** Ports at most. */
export const SERIAL_PORTS: u32 = 4;
/** The names that ports have for the outside: this one, or this one, a dot and a digit. */
export const SERIAL_LABEL: string = "org.typevisor.control";

export namespace SerialPage {
  /**
   * By the I/O domain: odd while the host's end is open, changed whenever it was opened or closed. Everything that was received before the
   * change is in the ring before it.
   */
  export const connection: u32 = 0;
  export const rxProduced: u32 = 4; // by the I/O domain
  export const txConsumed: u32 = 8; // by the I/O domain
  export const rxWaits: u32 = 12; // by the I/O domain: 1 when it wants to be notified of room for more
  export const rxConsumed: u32 = 64; // by domain 0
  export const txProduced: u32 = 68; // by domain 0
  export const txWaits: u32 = 72; // by domain 0: 1 when it wants to be notified of room for more
  export const wanted: u32 = 76; // by domain 0: 1 while its end is open
  export const rx: u32 = 4096; // from outside
  export const tx: u32 = 36864; // to the outside
  export const SIZE: u32 = 69632;
}
export const SERIAL_RING_BYTES: u32 = 32768;
