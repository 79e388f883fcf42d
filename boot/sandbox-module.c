/*
 * One sandbox's module, compiled by wasm2c. The build compiles this file once for each sandbox, with its name (MODULE), the C
 * that wasm2c made of it (MODULE_SOURCE), and its linear memory (MODULE_BASE, MODULE_SIZE).
 */
#include "sandbox.h"

#define JOIN_TOKENS(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_TOKENS(a, b, c)
#define Z(name) JOIN(Z_, MODULE, name)

/* Imports. Each module's memory has the same name. */
#define Z_envZ_memory JOIN(MODULE, _, memory)
struct Z_env_instance_t;
static inline void Z_envZ_barrier(struct Z_env_instance_t *env) {
  (void)env;
  __asm__ volatile("mfence" : : : "memory");
}

/* The processor's random numbers; 0 where it has none. */
#define CPUID_RDRAND (1u << 30) /* leaf 1, ECX */
#define RDRAND_TRIES 16
static inline u64 Z_envZ_random(struct Z_env_instance_t *env) {
  (void)env;
  u32 id[4];
  u64 value = 0;
  u8 ok = 0;
  read_cpuid(1, 0, id);
  for (u32 i = 0; id[2] & CPUID_RDRAND && !ok && i < RDRAND_TRIES; i++)
    __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
  return ok ? value : 0;
}

#include MODULE_SOURCE

static wasm_rt_memory_t memory = {
  .data = (u8 *)MODULE_BASE,
  .pages = MODULE_SIZE >> 16,
  .max_pages = MODULE_SIZE >> 16,
  .size = MODULE_SIZE,
};
static Z(_instance_t) instance;

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env) {
  (void)env;
  return &memory;
}

void JOIN(MODULE, _sandbox, _start)(void) {
  static bool initialised;
  if (!initialised) Z(_init_module)();
  initialised = true;
  Z(_instantiate)(&instance, NULL);
}

u32 JOIN(MODULE, _sandbox, _call)(const u32 *a) { return Z(Z_call)(&instance, a[0], a[1], a[2], a[3], a[4], a[5]); }
