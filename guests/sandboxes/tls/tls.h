/*
 * The TLS module: server sessions in one WebAssembly instance. Bytes in, bytes out: it imports no function. Mirrors abi/tls.ts, where
 * every operation is described.
 */
#ifndef TLS_H
#define TLS_H

#include <stdint.h>

#define TLS_SESSIONS 64
#define TLS_KEYS 16
#define TLS_KEY_BYTES 32
#define TLS_IDENTITY_BYTES 64
#define TLS_SEED_BYTES 48
#define TLS_SEED_MOST 256
#define TLS_INPUT_BYTES 16384
#define TLS_OUTPUT_BYTES 12288

/* Linear addresses: the module's own data, the buffer for calls, the sessions. */
#define TLS_SHARED 0x20000
#define TLS_SHARED_BYTES 16384
#define TLS_OWN_BYTES (TLS_SHARED + TLS_SHARED_BYTES)
#define TLS_SESSION_BYTES (14 * 4096)

/* Operations. */
#define TLS_BEGIN 0
#define TLS_SEED 1
#define TLS_KEY 2
#define TLS_OPEN 3
#define TLS_STEP 4
#define TLS_READ 5
#define TLS_WRITE 6
#define TLS_FINISH 7
#define TLS_CLOSE 8

/* A session's state. */
#define TLS_HANDSHAKE 1
#define TLS_ESTABLISHED 2
#define TLS_ENDED 3
#define TLS_FAILED 4

/* Why it has failed: mbedTLS's error, which is negative, or one of these. */
#define TLS_NO_MEMORY 1
#define TLS_NOT_AUTHENTICATED 2
#define TLS_RENEGOTIATION 3

/* Result of an operation that is not possible as asked. */
#define TLS_REFUSED 0xffffffff

/* What domain 0 sees of a session, at its start. Offsets: TlsSession in abi/tls.ts. */
struct tls_session_face {
  uint32_t state;
  int32_t error;
  /* input[start..end) is received and not consumed; domain 0 appends at `end`, which it moves. */
  uint32_t input_start, input_end;
  /* output[start..end) is to be sent; domain 0 moves `start`. */
  uint32_t output_start, output_end;
  /* The key that the peer named, by its number; TLS_KEYS if it named none that there is. */
  uint32_t key;
  /* Bytes of its heap in use at most since it was opened. */
  uint32_t peak;
  /* Bytes that the last operation lacked to go on: of a record's head, or of the rest of it. */
  uint32_t wanted;
  uint8_t input[TLS_INPUT_BYTES];
  uint8_t output[TLS_OUTPUT_BYTES];
};

#endif
