/**
 * The TLS module: TLS 1.2 server sessions, mbedTLS in a sandbox of its own (guests/sandboxes/tls/), called by domain 0. The interface between
 * the two; guests/sandboxes/tls/tls.h mirrors it. Its linear memory is at DOM0_TLS in domain 0's window; addresses here are its own.
 *
 * Its one entry is `call(operation, a, b, 0, 0, 0)`.
 */

export const TLS_SESSIONS: u32 = 64;
export const TLS_KEYS: u32 = 16;
export const TLS_KEY_BYTES: u32 = 32;
export const TLS_IDENTITY_BYTES: u32 = 64; // at most
export const TLS_SEED_BYTES: u32 = 48; // of the first seed, at least
export const TLS_SEED_MOST: u32 = 256; // of any

/** Linear addresses: the module's own data up to TLS_SHARED, the buffer for calls, the sessions one after another. */
export const TLS_SHARED: u32 = 0x20000;
export const TLS_SHARED_BYTES: u32 = 16384;
/** Must have memory, zeroed, before the module is started. */
export const TLS_OWN_BYTES: u32 = 0x24000;
/** Of a session, which must have memory from TLS_OPEN to TLS_CLOSE. */
export const TLS_SESSION_BYTES: u32 = 14 * 4096;

/** Operations. Each returns TLS_REFUSED where it is not possible as asked, or 0 where nothing else is said. */
export const TLS_BEGIN: u32 = 0; // the first of a new instance
export const TLS_SEED: u32 = 1; // a: bytes of seed in the buffer, which are wiped; the first must be unpredictable
export const TLS_KEY: u32 = 2; // a: bytes of an identity in the buffer, the key's follow, all are wiped; returns the key's number
export const TLS_OPEN: u32 = 3; // a: a session that is not open, b: bytes of heap that it does not get (for tests)
export const TLS_STEP: u32 = 4; // a: session; continues the handshake
export const TLS_READ: u32 = 5; // a: session, b: bytes wanted; returns how many are in the buffer. The state is what it is after them
export const TLS_WRITE: u32 = 6; // a: session, b: bytes in the buffer; returns how many were taken
export const TLS_FINISH: u32 = 7; // a: session; sends close_notify; returns 0 if there is no room for it yet
export const TLS_CLOSE: u32 = 8; // a: session; forgets it

export const TLS_REFUSED: u32 = 0xffffffff;

/** A session, at its start: offsets of u32 fields, and two buffers. */
export namespace TlsSession {
  export const state: u32 = 0; // TLS_HANDSHAKE, ...
  export const error: u32 = 4; // i32, of a session that has failed: mbedTLS's, negative, or TLS_NO_MEMORY, ...
  /** input[start..end) is received and not consumed; domain 0 appends at `end`, which it moves. */
  export const inputStart: u32 = 8;
  export const inputEnd: u32 = 12;
  /** output[start..end) is to be sent; domain 0 moves `start`. */
  export const outputStart: u32 = 16;
  export const outputEnd: u32 = 20;
  export const key: u32 = 24; // the key that the peer named, by its number; TLS_KEYS if it named none that there is
  export const peak: u32 = 28; // bytes of its heap in use at most
  export const wanted: u32 = 32; // bytes that TLS_STEP or TLS_READ lacked to go on, 0 if none: of a record's head, or of the rest of it
  export const input: u32 = 36;
  export const output: u32 = 36 + 16384;
}
export const TLS_INPUT_BYTES: u32 = 16384;
export const TLS_OUTPUT_BYTES: u32 = 12288;

/** A session's state. */
export const TLS_HANDSHAKE: u32 = 1;
export const TLS_ESTABLISHED: u32 = 2;
export const TLS_ENDED: u32 = 3; // the peer has ended it in order
export const TLS_FAILED: u32 = 4;

/** Errors that are not mbedTLS's. */
export const TLS_NO_MEMORY: u32 = 1;
export const TLS_NOT_AUTHENTICATED: u32 = 2; // the peer has another key than the one that it named
export const TLS_RENEGOTIATION: u32 = 3; // it wanted another handshake
