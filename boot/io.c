/*
 * The I/O domain: its module (noxs/, drivers/) compiled by wasm2c, the imports that drivers/host/host.ts documents, and the
 * loop around its turn(). All of this runs inside the sandbox, on the domain's stack, interruptible.
 */
#include "software.h"

struct Z_io_instance_t;

#define IO_CALL_PAGE 0x10000000 /* abi/io/layout.ts */
#define IO_SHARED_INFO 0x10001000
#define IO_RAM_WASM_PAGES 0x400

static inline void *at(u32 address) { return (u8 *)IO_BASE + address; }

#define IO(type, name, ...) static inline type Z_ioZ_##name(struct Z_io_instance_t *io __VA_OPT__(, ) __VA_ARGS__)
#define IO_ACCESS(bits, type)                                                                              \
  IO(type, read##bits, u32 ptr) { (void)io; return *(volatile u##bits *)at(ptr); }                         \
  IO(void, write##bits, u32 ptr, type value) { (void)io; *(volatile u##bits *)at(ptr) = (u##bits)value; }
IO_ACCESS(8, u32)
IO_ACCESS(16, u32)
IO_ACCESS(32, u32)
IO_ACCESS(64, u64)

IO(void, barrier) { (void)io; __asm__ volatile("mfence" : : : "memory"); }
IO(u32, compareExchange32, u32 ptr, u32 expected, u32 value) {
  (void)io;
  __atomic_compare_exchange_n((u32 *)at(ptr & -4u), &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
IO(u32, fetchOr32, u32 ptr, u32 bits) {
  (void)io;
  return __atomic_fetch_or((u32 *)at(ptr & -4u), bits, __ATOMIC_SEQ_CST);
}
IO(u32, fetchAnd32, u32 ptr, u32 bits) {
  (void)io;
  return __atomic_fetch_and((u32 *)at(ptr & -4u), bits, __ATOMIC_SEQ_CST);
}
IO(u64, systemTime) { (void)io; return software_time(IO_SHARED_INFO); }

IO(u64, hypercall, u32 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4) {
  (void)io;
  volatile struct call_page *call = at(IO_CALL_PAGE);
  call->op = op;
  call->args[0] = a0;
  call->args[1] = a1;
  call->args[2] = a2;
  call->args[3] = a3;
  call->args[4] = a4;
  software_call(SOFTWARE_EXIT_HYPERCALL);
  return call->result;
}

/* An interrupt in between changes only the exit record's `vector`. */
static u32 port_access(u32 port, u32 size, u32 write, u32 value) {
  software_info()->port = (port & 0xffff) | (size & 0xff) << SOFTWARE_PORT_SIZE_SHIFT | write;
  software_info()->result = value;
  software_call(SOFTWARE_EXIT_PORT);
  return (u32)software_info()->result;
}
IO(u32, portIn, u32 port, u32 size) { (void)io; return port_access(port, size, 0, UINT32_MAX); }
IO(void, portOut, u32 port, u32 size, u32 value) { (void)io; port_access(port, size, SOFTWARE_PORT_WRITE, value); }

/* The codec imports a memory by the same name. */
#define Z_envZ_memory io_memory
#include "gen/noxs.c"

static wasm_rt_memory_t memory = {
  .data = (u8 *)IO_BASE,
  .pages = IO_RAM_WASM_PAGES,
  .max_pages = IO_RAM_WASM_PAGES,
  .size = LINEAR_BULK_SIZE,
};
static Z_noxs_instance_t noxs;

wasm_rt_memory_t *io_memory(struct Z_env_instance_t *env) {
  (void)env;
  return &memory;
}

/* The image holds the data segments: only table and globals are initialised here. */
void io_reset(void) {
  if (!noxs.Z_envZ_memory) {
    Z_noxs_init_module();
    noxs.Z_envZ_memory = &memory;
    init_tables(&noxs);
  }
  init_globals(&noxs);
}

void io_main(void) {
  Z_noxsZ_start(&noxs);
  for (;;) {
    Z_noxsZ_turn(&noxs);
    software_call(SOFTWARE_EXIT_TURN_END);
  }
}
