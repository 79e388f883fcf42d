/*
 * Names for code addresses. The build links twice: `nm` of the first link becomes build/gen/symbols.S, with the names
 * of TypeScript functions restored; constants follow the text, so the second link moves no function.
 */
#include "shim.h"

#define TRACE_MAXIMUM 40

struct symbol {
  u32 address, name;
};
/* Weak: absent in the first link. */
extern const u32 symbol_count __attribute__((weak));
extern const struct symbol symbol_table[] __attribute__((weak));
extern const char symbol_names[] __attribute__((weak));

void print_symbol(u64 address) {
  u32 low = 0, high = &symbol_count ? symbol_count : 0;
  while (low < high) {
    u32 middle = (low + high) / 2;
    if (symbol_table[middle].address <= address) low = middle + 1;
    else high = middle;
  }
  if (low == 0 || address >= (u64)text_end) {
    print("0x");
    print_hex(address, 0);
    return;
  }
  print(symbol_names + symbol_table[low - 1].name);
  print("+0x");
  print_hex(address - symbol_table[low - 1].address, 0);
}

/* A frame pointer is believed while it lies in the shim's stacks and climbs. */
void print_trace(u64 rbp) {
  for (u32 i = 0; i < TRACE_MAXIMUM; i++) {
    if (rbp < (u64)pages_start || rbp >= (u64)pool - 16 || rbp % 8) return;
    const u64 *frame = (const u64 *)rbp;
    if (frame[1] < (u64)shim_start || frame[1] >= (u64)text_end) return;
    print("  at ");
    print_symbol(frame[1] - 1);
    print("\n");
    if (frame[0] <= rbp) return;
    rbp = frame[0];
  }
  print("  ...\n");
}
