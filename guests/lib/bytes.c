/*
 * Bytes and text. gcc calls the functions with the C library's names by itself, and lwIP uses them.
 */
#include "bytes.h"

int text_equal(const char *a, const char *b) {
  while (*a && *a == *b)
    a++, b++;
  return *a == *b;
}

size_t text_length(const char *text) {
  size_t length = 0;
  while (text[length])
    length++;
  return length;
}

bool text_number(const char *text, uint64_t *number) {
  unsigned base = 10;
  uint64_t result = 0;
  if (text[0] == '0' && text[1] == 'x') {
    base = 16;
    text += 2;
  }
  if (!*text)
    return false;
  for (; *text; text++) {
    unsigned digit = *text >= 'a' ? *text - 'a' + 10u : *text - '0' + 0u;
    if (digit >= base || result > (~0ull - digit) / base)
      return false;
    result = result * base + digit;
  }
  *number = result;
  return true;
}

size_t strlen(const char *text) { return text_length(text); }

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *left = a, *right = b;
  for (size_t i = 0; i < size; i++)
    if (left[i] != right[i])
      return left[i] - right[i];
  return 0;
}

/* Words first: an emulator counts and executes every step of a string instruction. */
void *memcpy(void *to, const void *from, size_t size) {
  void *start = to;
  size_t words = size / 8, rest = size % 8;
  __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(rest) : : "memory");
  return start;
}

void *memmove(void *to, const void *from, size_t size) {
  if ((uintptr_t)to - (uintptr_t)from >= size)
    return memcpy(to, from, size);
  uint8_t *left = to;
  const uint8_t *right = from;
  while (size-- > 0)
    left[size] = right[size];
  return to;
}

void *memset(void *to, int value, size_t size) {
  void *start = to;
  size_t words = size / 8, rest = size % 8;
  uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
  __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(pattern) : "memory");
  return start;
}
