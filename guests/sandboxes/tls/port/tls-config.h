/*
 * What is compiled of mbedTLS: a TLS 1.2 server with one cipher suite, ECDHE-PSK with ChaCha20-Poly1305. No certificates, no
 * resumption, no renegotiation, no TLS 1.0 or 1.1, no DTLS, no compression, no clock, no files. What is not here cannot be
 * negotiated: its code is not in the module.
 */
#ifndef TLS_CONFIG_H
#define TLS_CONFIG_H

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_PROTO_TLS1_2
/* RFC 7627: the session's keys depend on the whole handshake. */
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
/* A client with a wrong key is told: bad_record_mac. */
#define MBEDTLS_SSL_ALL_ALERT_MESSAGES
#define MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256

#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_HMAC_DRBG_C

#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECDH_C
/* X25519 by Everest: verified code in constant time, several times faster here than mbedTLS's own. */
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED

/* A record of the largest size that RFC 5246 allows comes in: clients send such. Those that go out are smaller. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 4096
#define MBEDTLS_PSK_MAX_LEN 32

#include "mbedtls/check_config.h"

#endif
