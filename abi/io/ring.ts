/**
 * Shared rings: the header of xen/io/ring.h's DEFINE_RING_TYPES (Xen 4.17), the same for every kind of ring; slots follow it.
 * Producer and consumer indices run freely through 32 bits; a slot is an index modulo the number of slots, a power of two.
 */

/** Bytes before the first slot. */
export const SRING_HEADER: u32 = 64; // C: offsetof(struct netif_tx_sring, ring)

// C: struct netif_tx_sring
export namespace Sring {
  export const req_prod: u32 = 0;
  export const req_event: u32 = 4;
  export const rsp_prod: u32 = 8;
  export const rsp_event: u32 = 12;
  export const ring: u32 = 64;
}
