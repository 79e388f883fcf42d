#include <stdint.h>

/* What the compiler turns a multiplication of 128 bits into (libgcc's name). The upper halves are zero in all that calls it. */
unsigned __int128 __multi3(unsigned __int128 a, unsigned __int128 b) {
  uint64_t a0 = (uint32_t)a, a1 = (uint64_t)a >> 32, b0 = (uint32_t)b, b1 = (uint64_t)b >> 32;
  uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
  uint64_t high = a1 * b1 + (middle >> 32) + (other >> 32);
  high += (uint64_t)(a >> 64) * (uint64_t)b + (uint64_t)a * (uint64_t)(b >> 64);
  return (unsigned __int128)high << 64 | (other << 32 | (uint32_t)low);
}
