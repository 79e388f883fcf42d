/*
 * Bytes and text: the few functions of the C library that guests, their compiler and lwIP need.
 */
#ifndef GUEST_BYTES_H
#define GUEST_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int text_equal(const char *a, const char *b);
size_t text_length(const char *text);
/* The number that the whole text is, decimal or hexadecimal after 0x; false when it is none, or too large. */
bool text_number(const char *text, uint64_t *number);
size_t strlen(const char *text);
int memcmp(const void *a, const void *b, size_t size);
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

#endif
