/*
 * wasm2c's runtime for all modules (wasm-rt.h of wabt 1.0.32): traps, tables, memories; function types are in
 * runtime-shared.c. Nothing is ever freed: the modules exist until power-off.
 */
#include "shim.h"
#include "software.h"
#include "wasm-rt.h"

#define WASM_PAGE 65536

void wasm_rt_trap(wasm_rt_trap_t code) {
  static const struct {
    const char *text;
    u32 trap;
  } traps[] = {
    [WASM_RT_TRAP_NONE] = {"trap", SOFTWARE_TRAP_FAULT},
    [WASM_RT_TRAP_OOB] = {"access outside linear memory or a table", SOFTWARE_TRAP_MEMORY},
    [WASM_RT_TRAP_INT_OVERFLOW] = {"integer overflow", SOFTWARE_TRAP_ARITHMETIC},
    [WASM_RT_TRAP_DIV_BY_ZERO] = {"integer division by zero", SOFTWARE_TRAP_ARITHMETIC},
    [WASM_RT_TRAP_INVALID_CONVERSION] = {"invalid conversion to an integer", SOFTWARE_TRAP_ARITHMETIC},
    [WASM_RT_TRAP_UNREACHABLE] = {"unreachable code reached", SOFTWARE_TRAP_UNREACHABLE},
    [WASM_RT_TRAP_CALL_INDIRECT] = {"indirect call of the wrong type", SOFTWARE_TRAP_CALL},
    [WASM_RT_TRAP_UNCAUGHT_EXCEPTION] = {"uncaught exception", SOFTWARE_TRAP_FAULT},
    [WASM_RT_TRAP_EXHAUSTION] = {"call stack exhausted", SOFTWARE_TRAP_STACK},
  };
  if (!software_current) panic(traps[code].text);
  print_sandbox();
  print(traps[code].text);
  print("\n");
  print_trace((u64)__builtin_frame_address(0));
  software_trap(traps[code].trap);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, u32 elements, u32 max_elements) {
  u32 pages = (elements * (u32)sizeof(wasm_rt_funcref_t) + PAGE_SIZE - 1) / PAGE_SIZE;
  if (table->data) return; /* a sandbox's new instance takes the place of its last one */
  table->data = pool_take(pages);
  if (!table->data) refuse("the reserve is too small for the function tables (POOL_PAGES in boot/layout.h).");
  table->size = elements;
  table->max_size = max_elements;
}

/* Only the hypervisor module defines a memory of its own; its first pages, with the static data, come from the pool. */
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, u32 initial_pages, u32 max_pages) {
  memory->data = (u8 *)HYPERVISOR_BASE;
  memory->pages = initial_pages;
  memory->max_pages = max_pages;
  memory->size = LINEAR_BULK_SIZE;
  for (u32 page = 0; page < initial_pages * (WASM_PAGE / PAGE_SIZE); page++) {
    void *frame = pool_take(1);
    if (!frame) refuse("the reserve is too small for the hypervisor's static data (POOL_PAGES in boot/layout.h).");
    /* Not hw.spaceMap: that refuses the shim's own pages. */
    space_map_own(page, (u64)frame);
  }
}

/* memory.grow: the hypervisor maps memory itself (hw.spaceMap), the engine requests it by an import, sandboxes never grow. */
u32 wasm_rt_grow_memory(wasm_rt_memory_t *memory, u32 pages) {
  (void)memory;
  (void)pages;
  return UINT32_MAX;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory) { (void)memory; }
void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table) { (void)table; }
bool wasm_rt_is_initialized(void) { return true; }
