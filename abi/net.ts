/**
 * Domain 0's TCP/IP: a sandbox of its own (guests/sandboxes/net, lwIP), called by domain 0. The interface between the two; mirrored by
 * guests/sandboxes/net/mailbox.h. Its linear memory is at DOM0_NET (abi/domain0-layout.ts); addresses below are within it.
 *
 * A call's arguments: operation, system time in ns (low and high word), and up to three more. All that is not a call's result is in
 * the mailbox, whose address NET_INIT returns.
 */

/** RAM that its memory must have: NetMailbox and everything else of the module's. Whole pages. */
export const NET_MEMORY_BYTES: u32 = 0x540000;

/** Most streams at a time, and bytes received that each may hold; a power of two. */
export const NET_STREAMS: u32 = 64;
export const NET_RECEIVE_BYTES: u32 = 32768;
/** Bytes that one NET_WRITE takes at most. */
export const NET_STAGING_BYTES: u32 = 16384;
/** Pages shared with the back end: two rings, buffers to send, buffers to receive. */
export const NET_TX_BUFFERS: u32 = 64;
export const NET_RX_BUFFERS: u32 = 128;
export const NET_SHARED_PAGES: u32 = 194;

// Operations.
/** In a new instance. Returns the mailbox's address. */
export const NET_INIT: u32 = 0;
/** Makes the interface, with mailbox.mac, .firstRef, .seed. */
export const NET_OPEN: u32 = 1;
/** Address, mask, gateway, each as its four bytes lie in memory; all 0: by DHCP. */
export const NET_CONFIGURE: u32 = 2;
/** The rings as they are before the first frame: the back end is another. */
export const NET_RECONNECT: u32 = 3;
/**
 * Takes what arrived and runs timers. Returns 1 when it is to be called again at once, 0: at mailbox.deadline, or after an event. While a
 * stream lacks several frames of what is wanted of it, an event comes for several.
 */
export const NET_POLL: u32 = 4;
/** Port. Returns 1, or 0 when it cannot listen there. */
export const NET_LISTEN: u32 = 5;
/** Port. Connections stay. */
export const NET_UNLISTEN: u32 = 6;
/** Stream, bytes: so many more of the received ones were taken. */
export const NET_CONSUMED: u32 = 7;
/** Stream, bytes at mailbox.staging. Returns how many of them are sent. */
export const NET_WRITE: u32 = 8;
/** Stream: sends what was accepted, then ends it in order. The stream is free afterwards. */
export const NET_CLOSE: u32 = 9;
/** Stream: resets it. The stream is free afterwards. */
export const NET_ABORT: u32 = 10;

/** Address as its four bytes lie in memory, port: begins to connect. Returns the stream's number and 1, or 0 when there is no room. */
export const NET_CONNECT: u32 = 11;
/** Stream: sends what was accepted, then tells the peer that nothing more comes. What it sends can still be read. */
export const NET_END: u32 = 12;

export namespace NetMailbox {
  // Out, once: where other things are.
  export const shared: u32 = 0; // NET_SHARED_PAGES pages for the back end: TX ring, RX ring, TX buffers, RX buffers
  export const staging: u32 = 4; // NET_STAGING_BYTES
  export const received: u32 = 8; // NET_RECEIVE_BYTES for each stream
  // In, for NET_OPEN.
  export const firstRef: u32 = 12; // grant reference of the first shared page; the others follow
  export const mac: u32 = 16; // 6 bytes
  export const seed: u32 = 24; // 64 bytes that nobody can predict, if the machine has such
  // Out.
  export const notify: u32 = 88; // not 0: the back end is to be notified; the caller writes 0
  export const address: u32 = 92; // 0: none yet
  export const mask: u32 = 96;
  export const gateway: u32 = 100;
  export const deadline: u32 = 104; // u64, system time in ns at which NET_POLL is to be called; 0: none
  export const changed: u32 = 112; // two words with a bit for each stream that has changed; the caller clears them
  export const streams: u32 = 120; // NET_STREAMS NetStream
  export const SIZE: u32 = 2424;
}

/** States of a stream. */
export const STREAM_FREE: u32 = 0;
export const STREAM_OPEN: u32 = 1;
export const STREAM_CLOSED: u32 = 2; // by the peer, in order; what it had sent can be read, and something be sent still
export const STREAM_RESET: u32 = 3; // by the peer, or timed out, or dropped for another
export const STREAM_CONNECTING: u32 = 4; // of NET_CONNECT: open, refused or reset some time
export const STREAM_REFUSED: u32 = 5; // nobody listens there

export namespace NetStream {
  export const state: u32 = 0; // STREAM_*
  export const generation: u32 = 4; // another for each connection: an untrusted one may be dropped for another at any time
  export const address: u32 = 8; // the peer's
  export const port: u32 = 12; // the peer's in the low half, ours in the high half
  export const produced: u32 = 16; // bytes received, modulo 2^32
  export const consumed: u32 = 20; // bytes taken of them
  export const room: u32 = 24; // bytes that NET_WRITE would take
  export const trusted: u32 = 28; // in: not 0 when the stream is not to be dropped for another
  export const wanted: u32 = 32; // in: while the stream is open and has fewer bytes that were not taken, they are no change
  export const SIZE: u32 = 36;
}
