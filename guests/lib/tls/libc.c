/*
 * The C library's functions that mbedTLS and the compiler need. Copying and filling are single WebAssembly instructions, into
 * which the compiler turns calls of these names too.
 */
#include <stdint.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int value, size_t size) { return __builtin_memset(to, value, size); }

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *left = a, *right = b;
  for (size_t i = 0; i < size; i++)
    if (left[i] != right[i])
      return left[i] - right[i];
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length])
    length++;
  return length;
}

/* What the compiler turns a multiplication of 128 bits into (libgcc's name). The upper halves are zero in all that calls it. */
unsigned __int128 __multi3(unsigned __int128 a, unsigned __int128 b) {
  uint64_t a0 = (uint32_t)a, a1 = (uint64_t)a >> 32, b0 = (uint32_t)b, b1 = (uint64_t)b >> 32;
  uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
  uint64_t high = a1 * b1 + (middle >> 32) + (other >> 32);
  high += (uint64_t)(a >> 64) * (uint64_t)b + (uint64_t)a * (uint64_t)(b >> 64);
  return (unsigned __int128)high << 64 | (other << 32 | (uint32_t)low);
}
