/* The part of the C library's <string.h> that there is (../bytes.c). */
#ifndef SANDBOX_STRING_H
#define SANDBOX_STRING_H

#include "../../lib/bytes.h"

int strncmp(const char *a, const char *b, size_t most);

#endif
