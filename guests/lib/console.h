/*
 * Text to the operator: the domain's Xen console ring where it has one, else CONSOLEIO_write.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

/* Finds the ring through HVM_PARAM_CONSOLE_PFN and HVM_PARAM_CONSOLE_EVTCHN. */
void console_init(void);
/* Text goes out line by line: what has no newline yet waits. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_list(const char *format, va_list arguments);
/* Text as it is, of any length. */
void console_text(const char *text, size_t length);
/* Knows %s %c %d %u %x %p, the modifier l, field width with 0 or - padding, and %%. Returns the length written, cut to size. */
size_t format_text(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_list(char *buffer, size_t size, const char *format, va_list arguments);
/* The ring's event channel, 0 without a ring; and another port in its place, for who closed it. */
unsigned console_port(void);
void console_use_port(unsigned port);
/* From now on only CONSOLEIO_write: for guests that destroy their own ring or event channels. */
void console_forget_ring(void);
/* Waits until the back end has taken everything from the ring (at most about a second). */
void console_flush(void);

#endif
