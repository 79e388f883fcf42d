#include "pattern.h"

#include <stdbool.h>

static uint8_t byte_at(uint64_t seed, uint64_t at) { return pattern_word(seed, at / 8) >> at % 8 * 8; }

void pattern_fill(uint64_t seed, uint64_t at, void *bytes, size_t size) {
  uint8_t *to = bytes;
  for (; size > 0 && at % 8; size--)
    *to++ = byte_at(seed, at++);
  for (; size >= 8; size -= 8, at += 8, to += 8) {
    uint64_t word = pattern_word(seed, at / 8);
    __builtin_memcpy(to, &word, 8);
  }
  for (; size > 0; size--)
    *to++ = byte_at(seed, at++);
}

size_t pattern_match(uint64_t seed, uint64_t at, const void *bytes, size_t size) {
  const uint8_t *from = bytes;
  size_t done = 0;
  while (done < size) {
    uint64_t word;
    if ((at + done) % 8 == 0 && size - done >= 8) {
      __builtin_memcpy(&word, from + done, 8);
      if (word == pattern_word(seed, (at + done) / 8)) {
        done += 8;
        continue;
      }
    }
    if (from[done] != byte_at(seed, at + done))
      return done;
    done++;
  }
  return done;
}

uint32_t crc32(uint32_t crc, const void *bytes, size_t size) {
  static uint32_t table[256];
  static bool ready;
  const uint8_t *at = bytes;
  for (uint32_t i = 0; !ready && i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++)
      value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
    table[i] = value;
  }
  ready = true;
  crc = ~crc;
  while (size-- > 0)
    crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
  return ~crc;
}
