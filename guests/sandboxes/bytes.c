/* What compiler and libraries call by the C library's names. WebAssembly's own instructions copy and fill. */
#include "include/string.h"

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

int strncmp(const char *a, const char *b, size_t most) {
  for (size_t i = 0; i < most; i++)
    if (a[i] != b[i] || !a[i])
      return (uint8_t)a[i] - (uint8_t)b[i];
  return 0;
}
