/*
 * Sessions: mbedTLS between two buffers that domain 0 fills and empties. Nothing is remembered of a session that was closed.
 */
#include <string.h>

#include "internal.h"
#include "mbedtls/hmac_drbg.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/ssl.h"
#include "tls.h"

/* Heaps. What a session uses is in its `peak` (test/unit/toolstack/tls/session.test.ts prints it). */
#define SESSION_MEMORY 27648
#define COMMON_MEMORY 1024
/* A record's header and tag; ChaCha20-Poly1305 sends no nonce (RFC 7905). */
#define RECORD_OVERHEAD (5 + 16)

struct session {
  struct tls_session_face face;
  mbedtls_ssl_context ssl;
  struct arena arena;
  /* mbedTLS has answered something that it read. */
  bool answered;
  uint8_t memory[SESSION_MEMORY] __attribute__((aligned(16)));
};
_Static_assert(sizeof(struct session) <= TLS_SESSION_BYTES, "a session has its pages");

struct key {
  uint32_t identity_bytes;
  uint8_t identity[TLS_IDENTITY_BYTES];
  uint8_t key[TLS_KEY_BYTES];
};

/* The end of what the linker places. */
extern uint8_t __heap_base[];

#define shared ((uint8_t *)TLS_SHARED)
static bool is_open[TLS_SESSIONS];
static struct key keys[TLS_KEYS];
static uint32_t key_count;
static bool begun, seeded;
static mbedtls_ssl_config config;
static mbedtls_hmac_drbg_context drbg;
static struct arena common;
static uint8_t common_memory[COMMON_MEMORY] __attribute__((aligned(16)));

/* --- mbedTLS's callbacks ------------------------------------------------------------------------------------- */

static int receive(void *context, unsigned char *into, size_t room) {
  struct tls_session_face *face = &((struct session *)context)->face;
  uint32_t bytes = face->input_end - face->input_start;
  if (bytes == 0) {
    face->wanted = (uint32_t)room;
    return MBEDTLS_ERR_SSL_WANT_READ;
  }
  if (bytes > room)
    bytes = room;
  memcpy(into, face->input + face->input_start, bytes);
  face->input_start += bytes;
  return (int)bytes;
}

static int send(void *context, const unsigned char *from, size_t size) {
  struct tls_session_face *face = &((struct session *)context)->face;
  uint32_t room = TLS_OUTPUT_BYTES - face->output_end;
  ((struct session *)context)->answered = true;
  if (room == 0)
    return MBEDTLS_ERR_SSL_WANT_WRITE;
  if (size > room)
    size = room;
  memcpy(face->output + face->output_end, from, size);
  face->output_end += size;
  return (int)size;
}

/*
 * The key of the identity that the peer named. An unknown one gets a key that nobody knows, so that the peer cannot tell a wrong
 * name from a wrong key.
 */
static int find_key(void *context, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t bytes) {
  uint8_t nobodys[TLS_KEY_BYTES];
  const uint8_t *key = nobodys;
  struct session *session = ssl->p_bio;
  (void)context;
  int error = mbedtls_hmac_drbg_random(&drbg, nobodys, sizeof nobodys);
  if (error)
    return error;
  for (uint32_t i = 0; i < key_count; i++) {
    if (bytes == keys[i].identity_bytes && memcmp(identity, keys[i].identity, bytes) == 0) {
      key = keys[i].key;
      session->face.key = i;
    }
  }
  return mbedtls_ssl_set_hs_psk(ssl, key, TLS_KEY_BYTES);
}

/* --- One session --------------------------------------------------------------------------------------------- */

static void fail(struct session *session, int error) {
  session->face.state = TLS_FAILED;
  session->face.error = error;
}

static bool would_wait(int result) {
  return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* Begins an operation of `session`: its memory is current, and its buffers have all their room at the end. */
static void enter(struct session *session) {
  struct tls_session_face *face = &session->face;
  arena_current = &session->arena;
  face->wanted = 0;
  if (face->input_start > 0) {
    face->input_end -= face->input_start;
    memmove(face->input, face->input + face->input_start, face->input_end);
    face->input_start = 0;
  }
  if (face->output_start > 0) {
    face->output_end -= face->output_start;
    memmove(face->output, face->output + face->output_start, face->output_end);
    face->output_start = 0;
  }
}

/*
 * Ends an operation. mbedTLS 2.28.3 goes on after some allocations that failed, with a Finished message that proves nothing
 * (CVE-2025-27810): here each of them ends the session, and what it would have sent is not sent.
 */
static void leave(struct session *session) {
  struct tls_session_face *face = &session->face;
  face->peak = session->arena.peak;
  if (session->arena.exhausted) {
    fail(session, TLS_NO_MEMORY);
    face->output_end = face->output_start;
  }
  if (face->input_start == face->input_end)
    face->input_start = face->input_end = 0;
}

static void handshake(struct session *session) {
  int result = mbedtls_ssl_handshake(&session->ssl);
  if (result == 0) {
    session->face.state = TLS_ESTABLISHED;
  } else if (result == MBEDTLS_ERR_SSL_INVALID_MAC) {
    // The first thing that the peer has encrypted cannot be decrypted: it has another key.
    fail(session, TLS_NOT_AUTHENTICATED);
  } else if (!would_wait(result)) {
    fail(session, result);
  }
}

/*
 * Bytes of plaintext, now in `shared`; the state is what it is after them. The only thing that mbedTLS answers here without an error
 * is an attempt to renegotiate.
 */
static uint32_t read(struct session *session, uint32_t wanted) {
  uint32_t bytes = 0;
  session->answered = false;
  while (session->face.state == TLS_ESTABLISHED && bytes < wanted) {
    int result = mbedtls_ssl_read(&session->ssl, shared + bytes, wanted - bytes);
    if (result > 0)
      bytes += (uint32_t)result;
    else if (result == 0 || result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
      session->face.state = TLS_ENDED;
    else if (!would_wait(result))
      fail(session, result);
    else if (!session->answered)
      break;
    if (session->answered && session->face.state == TLS_ESTABLISHED)
      fail(session, TLS_RENEGOTIATION);
  }
  return bytes;
}

/* Bytes of `shared` that were taken: whole records, each only if there is room for all of it. */
static uint32_t write(struct session *session, uint32_t size) {
  struct tls_session_face *face = &session->face;
  uint32_t bytes = 0;
  while (face->state == TLS_ESTABLISHED && bytes < size) {
    uint32_t part = size - bytes;
    if (part > MBEDTLS_SSL_OUT_CONTENT_LEN)
      part = MBEDTLS_SSL_OUT_CONTENT_LEN;
    if (TLS_OUTPUT_BYTES - face->output_end < part + RECORD_OVERHEAD)
      break;
    int result = mbedtls_ssl_write(&session->ssl, shared + bytes, part);
    if (result > 0)
      bytes += (uint32_t)result;
    else
      fail(session, result);
  }
  return bytes;
}

static void open(struct session *session, uint32_t withheld) {
  memset(session, 0, sizeof *session);
  session->face.state = TLS_HANDSHAKE;
  session->face.key = TLS_KEYS;
  arena_begin(&session->arena, session->memory, sizeof session->memory - (withheld & ~15u));
  arena_current = &session->arena;
  mbedtls_ssl_init(&session->ssl);
  int error = mbedtls_ssl_setup(&session->ssl, &config);
  if (error)
    fail(session, error);
  mbedtls_ssl_set_bio(&session->ssl, session, send, receive, NULL);
}

/* --- The module ---------------------------------------------------------------------------------------------- */

static uint32_t begin(void) {
  static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_NONE};
  if (begun || (uint32_t)__heap_base > TLS_SHARED)
    return TLS_REFUSED;
  arena_begin(&common, common_memory, COMMON_MEMORY);
  arena_current = &common;
  mbedtls_hmac_drbg_init(&drbg);
  mbedtls_ssl_config_init(&config);
  if (mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT))
    return TLS_REFUSED;
  mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_curves(&config, curves);
  mbedtls_ssl_conf_rng(&config, mbedtls_hmac_drbg_random, &drbg);
  mbedtls_ssl_conf_psk_cb(&config, find_key, NULL);
  begun = true;
  return 0;
}

/* HMAC_DRBG (NIST SP 800-90A): the first seed is its entropy and nonce, a later one additional input. */
static uint32_t seed(uint32_t bytes) {
  if (!begun || bytes > TLS_SEED_MOST || bytes < (seeded ? 1 : TLS_SEED_BYTES))
    return TLS_REFUSED;
  arena_current = &common;
  const mbedtls_md_info_t *hash = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
  int error = seeded ? mbedtls_hmac_drbg_update_ret(&drbg, shared, bytes)
                     : mbedtls_hmac_drbg_seed_buf(&drbg, hash, shared, bytes);
  mbedtls_platform_zeroize(shared, bytes);
  if (error)
    return TLS_REFUSED;
  seeded = true;
  return 0;
}

static uint32_t add_key(uint32_t identity_bytes) {
  if (key_count == TLS_KEYS || identity_bytes == 0 || identity_bytes > TLS_IDENTITY_BYTES)
    return TLS_REFUSED;
  struct key *key = &keys[key_count];
  key->identity_bytes = identity_bytes;
  memcpy(key->identity, shared, identity_bytes);
  memcpy(key->key, shared + identity_bytes, TLS_KEY_BYTES);
  mbedtls_platform_zeroize(shared, identity_bytes + TLS_KEY_BYTES);
  return key_count++;
}

/* What domain 0 may have written into a session. */
static bool is_sound(const struct tls_session_face *face) {
  return face->input_start <= face->input_end && face->input_end <= TLS_INPUT_BYTES &&
         face->output_start <= face->output_end && face->output_end <= TLS_OUTPUT_BYTES;
}

__attribute__((export_name("call"))) uint32_t tls_call(uint32_t operation, uint32_t a, uint32_t b, uint32_t unused0,
                                                        uint32_t unused1, uint32_t unused2) {
  (void)unused0, (void)unused1, (void)unused2;
  switch (operation) {
    case TLS_BEGIN:
      return begin();
    case TLS_SEED:
      return seed(a);
    case TLS_KEY:
      return add_key(a);
  }
  if (!seeded || a >= TLS_SESSIONS || is_open[a] == (operation == TLS_OPEN))
    return TLS_REFUSED;
  /* Only those that are open have memory. */
  struct session *session = (struct session *)(TLS_OWN_BYTES + a * TLS_SESSION_BYTES);
  if (operation == TLS_OPEN) {
    if (b > sizeof session->memory - 16)
      return TLS_REFUSED;
    open(session, b);
    is_open[a] = true;
    return 0;
  }
  if (operation == TLS_CLOSE) {
    mbedtls_platform_zeroize(session, sizeof *session);
    is_open[a] = false;
    return 0;
  }

  struct tls_session_face *face = &session->face;
  if (!is_sound(face) || b > TLS_SHARED_BYTES)
    return TLS_REFUSED;
  uint32_t result = 0;
  enter(session);
  if (operation == TLS_STEP && face->state == TLS_HANDSHAKE)
    handshake(session);
  else if (operation == TLS_READ)
    result = read(session, b);
  else if (operation == TLS_WRITE)
    result = write(session, b);
  else if (operation == TLS_FINISH)
    result = face->state == TLS_FAILED || mbedtls_ssl_close_notify(&session->ssl) == 0;
  leave(session);
  return session->arena.exhausted ? 0 : result;
}
