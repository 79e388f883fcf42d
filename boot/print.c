/* Polled text output on the first serial port: the shim's own messages, reports of faults, and hw.serialWrite. */
#include "shim.h"

#define LSR (COM1 + 5)
#define LSR_TRANSMIT_EMPTY 0x20
/* Port reads to wait for the UART; without one the port reads all ones, which means "empty". */
#define PATIENCE 1000000

static void send(u8 byte) {
  for (u32 i = 0; i < PATIENCE && !(in8(LSR) & LSR_TRANSMIT_EMPTY); i++) __asm__ volatile("pause");
  out8(COM1, byte);
}

void print_char(char c) {
  if (c == '\n') send('\r');
  send((u8)c);
}

void print_bytes(const u8 *text, u64 length) {
  while (length--) print_char((char)*text++);
}

void print(const char *text) {
  while (*text) print_char(*text++);
}

void print_dec(u64 value) {
  if (value >= 10) print_dec(value / 10);
  print_char((char)('0' + value % 10));
}

void print_hex(u64 value, u32 digits) {
  for (int shift = 60; shift >= 0; shift -= 4)
    if (value >> shift || (u32)shift < 4 * digits || shift == 0) print_char("0123456789abcdef"[(value >> shift) & 15]);
}
