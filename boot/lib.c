/*
 * The C library functions that gcc and the generated code need: copying, filling, comparing.
 *
 * Short blocks are moved by words in a loop: `rep movs` costs some 30 cycles before its first byte. Compiled with
 * -fno-tree-loop-distribute-patterns, or gcc would turn these loops into calls of themselves.
 */
#include "shim.h"

#define STRING_INSTRUCTION_MINIMUM 256

typedef u64 __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *to, const void *from, size_t length) {
  u8 *d = to;
  const u8 *s = from;
  if (length >= STRING_INSTRUCTION_MINIMUM) {
    size_t words = length / 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
    length %= 8;
  }
  for (; length >= 8; length -= 8, d += 8, s += 8) *(word *)d = *(const word *)s;
  while (length--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t length) {
  if ((u64)to - (u64)from >= length) return memcpy(to, from, length);
  u8 *d = (u8 *)to + length;
  const u8 *s = (const u8 *)from + length;
  for (; length >= 8; length -= 8) {
    d -= 8;
    s -= 8;
    *(word *)d = *(const word *)s;
  }
  while (length--) *--d = *--s;
  return to;
}

void *memset(void *to, int value, size_t length) {
  u8 *d = to;
  u64 pattern = (u8)value * 0x0101010101010101;
  if (length >= STRING_INSTRUCTION_MINIMUM) {
    size_t words = length / 8;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    length %= 8;
  }
  for (; length >= 8; length -= 8, d += 8) *(word *)d = pattern;
  while (length--) *d++ = (u8)value;
  return to;
}

int memcmp(const void *a, const void *b, size_t length) {
  const u8 *p = a, *q = b;
  for (; length; length--, p++, q++)
    if (*p != *q) return *p - *q;
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

void copy_string(char *to, const char *from, size_t size) {
  size_t length = strlen(from);
  if (length >= size) length = size - 1;
  memcpy(to, from, length);
  to[length] = 0;
}
