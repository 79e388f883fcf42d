/* Of wasm2c's runtime, what guests with an engine link, too (guests/lib/engine/): function types, counting bits. */
#include <stdarg.h>

#include "shim.h"
#include "wasm-rt.h"

#define FUNCTION_TYPES_MAXIMUM 256
/* A signature is packed into a u64, three bits a type, with the number of parameters on top. */
#define SIGNATURE_TYPES_MAXIMUM 20

static u64 signatures[FUNCTION_TYPES_MAXIMUM];
static u32 signature_count;

u32 wasm_rt_register_func_type(u32 params, u32 results, ...) {
  u64 signature = params;
  va_list types;
  if (params + results > SIGNATURE_TYPES_MAXIMUM) panic("a WebAssembly function type has more than 20 values");
  va_start(types, results);
  for (u32 i = 0; i < params + results; i++) signature = signature << 3 | (va_arg(types, wasm_rt_type_t) + 1u);
  va_end(types);
  for (u32 i = 0; i < signature_count; i++)
    if (signatures[i] == signature) return i + 1;
  if (signature_count == FUNCTION_TYPES_MAXIMUM) panic("more than 256 WebAssembly function types");
  signatures[signature_count++] = signature;
  return signature_count;
}

/* What __builtin_popcount becomes on a processor without POPCNT (libgcc's name). */
int __popcountdi2(u64 x) {
  x -= (x >> 1) & 0x5555555555555555;
  x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return (int)((x * 0x0101010101010101) >> 56);
}
