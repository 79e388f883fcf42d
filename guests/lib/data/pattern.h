/*
 * Bytes by which a test knows its data again: every place has others, and every seed.
 */
#ifndef GUEST_PATTERN_H
#define GUEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* The 8-byte word number `index` of a seed's pattern. */
static inline uint64_t pattern_word(uint64_t seed, uint64_t index) {
  uint64_t z = (index + 1) * 0x9e3779b97f4a7c15 + seed;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/* Bytes at any place of the pattern: the words in little-endian order. */
void pattern_fill(uint64_t seed, uint64_t at, void *bytes, size_t size);
/* Number of leading bytes that are the pattern's. */
size_t pattern_match(uint64_t seed, uint64_t at, const void *bytes, size_t size);

/* CRC-32 of ISO 3309, as gzip and zlib compute it; `crc` is that of the bytes before, 0 at the start. */
uint32_t crc32(uint32_t crc, const void *bytes, size_t size);

#endif
