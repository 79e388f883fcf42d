/* The C library's stdlib.h, as far as mbedTLS uses it: ../../arena.c. */
#ifndef TLS_STDLIB_H
#define TLS_STDLIB_H

#include <stddef.h>

void *calloc(size_t count, size_t size);
void free(void *block);

#endif
