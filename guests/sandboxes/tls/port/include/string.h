/* The C library's string.h, as far as mbedTLS uses it: ../../../bytes.c. */
#ifndef TLS_STRING_H
#define TLS_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
char *strstr(const char *text, const char *part);
char *strchr(const char *text, int c);
char *strncpy(char *to, const char *from, size_t size);

#endif
