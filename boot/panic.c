/* Fatal errors: unsuitable machines at boot, and broken invariants. */
#include "shim.h"

void refuse(const char *text) {
  print("\nTypevisor cannot start: ");
  print(text);
  print("\n");
  panic_stop();
}

/* QEMU's isa-debug-exit turns the value v into exit status 2v + 1. */
#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_PANIC 1

void panic_stop(void) {
  static bool stopping;
  /* A script waits for the machine's end; a person reads the report. A fault on the way just stops. */
  if (!stopping && (command_line_has("exec=") || command_line_has("panic=off"))) {
    stopping = true;
    out8(DEBUG_EXIT_PORT, DEBUG_EXIT_PANIC);
    machine_off(0);
  }
  if (!stopping) print("The machine is stopped.\n");
  stopping = true;
  for (;;) __asm__ volatile("cli; hlt");
}

void panic(const char *text) { panic_bytes((const u8 *)text, strlen(text)); }

void panic_bytes(const u8 *text, u64 length) {
  print("\nPANIC: ");
  print_bytes(text, length);
  print("\n");
  print_trace((u64)__builtin_frame_address(0));
  panic_stop();
}

void panic_physical(u64 pa) {
  print("\nPANIC: the hypervisor asked for physical address 0x");
  print_hex(pa, 0);
  print(", which is not RAM it may touch\n");
  print_trace((u64)__builtin_frame_address(0));
  panic_stop();
}
