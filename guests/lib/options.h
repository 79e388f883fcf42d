/*
 * The command line: words of the form name or name=value.
 */
#ifndef GUEST_OPTIONS_H
#define GUEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* Keeps a copy of the text, so that it survives whatever the guest does to the memory it came in. */
void options_init(const char *text);
bool option_present(const char *name);
/* The value, valid until the next call, or null. */
const char *option_text(const char *name);
/* Decimal, or hexadecimal after 0x. */
uint64_t option_number(const char *name, uint64_t otherwise);

#endif
