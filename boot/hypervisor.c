/* The hypervisor module: TypeScript compiled by wasm2c, with the hw imports inlined into it. */
#include "hw.h"

#define WASM_PAGE_FRAMES 16

static void print_utf16(u32 text);

/* AssemblyScript's failed assertions and run-time errors; the strings are UTF-16, their length in bytes at -4. */
NORETURN void Z_envZ_abort(struct Z_env_instance_t *env, u32 message, u32 file, u32 line, u32 column) {
  (void)env;
  print("\nPANIC: ");
  print_utf16(message);
  print(" (");
  print_utf16(file);
  print(":");
  print_dec(line);
  print(":");
  print_dec(column);
  print(")\n");
  print_trace((u64)__builtin_frame_address(0));
  panic_stop();
}

#include "gen/hypervisor.c"

static Z_hypervisor_instance_t hypervisor;

static void print_utf16(u32 text) {
  if (!text) return;
  u32 length = *(u32 *)linear(text - 4ul) / 2;
  for (u32 i = 0; i < length; i++) {
    u16 unit = ((u16 *)linear(text))[i];
    print_char(unit < 0x80 ? (char)unit : '?');
  }
}

u32 hypervisor_first_free_page(void) { return hypervisor.w2c_memory.pages * WASM_PAGE_FRAMES; }

NORETURN void hypervisor_run(void) {
  Z_hypervisor_init_module();
  Z_hypervisor_instantiate(&hypervisor, NULL, NULL);
  Z_hypervisorZ_start(&hypervisor);
  for (;;) Z_hypervisorZ_step(&hypervisor, 0);
}
