/*
 * The Internet checksum (RFC 1071): words are added as they lie in memory, eight bytes at a time; the sum's byte order is then
 * that of memory, too.
 */
#include "internal.h"

#include "../bytes.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) unaligned64;
typedef uint32_t __attribute__((may_alias, aligned(1))) unaligned32;
typedef uint16_t __attribute__((may_alias, aligned(1))) unaligned16;

uint16_t net_checksum(const void *data, int length) {
  const uint8_t *at = data;
  unsigned __int128 wide = 0;
  for (; length >= 8; length -= 8, at += 8)
    wide += *(const unaligned64 *)at;
  if (length & 4) {
    wide += *(const unaligned32 *)at;
    at += 4;
  }
  if (length & 2) {
    wide += *(const unaligned16 *)at;
    at += 2;
  }
  if (length & 1)
    wide += *at;
  /* 2^16 is 1 in this arithmetic, so is 2^64. */
  uint64_t sum = (uint64_t)wide + (uint64_t)(wide >> 64);
  sum += sum < (uint64_t)wide;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}
