/*
 * What lwIP asks of its compiler and its platform.
 */
#ifndef ARCH_CC_H
#define ARCH_CC_H

#include <stddef.h>
#include <stdint.h>
#ifndef __wasm__
#include <sys/types.h>
#endif

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1 /* ssize_t is in sys/types.h */

/* Copies of a few bytes, whose number the compiler knows. */
#define SMEMCPY(to, from, size) __builtin_memcpy(to, from, size)

uint32_t net_random(void);
#define LWIP_RAND() net_random()

uint16_t net_checksum(const void *data, int length);

void net_assert(const char *message, const char *file, int line) __attribute__((noreturn));
#define LWIP_PLATFORM_ASSERT(message) net_assert(message, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(message)

#endif
