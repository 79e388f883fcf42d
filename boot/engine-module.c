/* See engine-module.h. Compiled with SSE, and the longest file of the build. */
#include <math.h>

#include "shim.h"

/* One SSE4.1 instruction each, where the C library would have a function (rounding modes: SDM 2B ROUNDSD). */
#define ROUND(name, mode)                                                                \
  static inline double sse_##name(double x) {                                            \
    __asm__("roundsd %2, %1, %0" : "=x"(x) : "x"(x), "i"(mode));                         \
    return x;                                                                            \
  }                                                                                      \
  static inline float sse_##name##f(float x) {                                           \
    __asm__("roundss %2, %1, %0" : "=x"(x) : "x"(x), "i"(mode));                         \
    return x;                                                                            \
  }
ROUND(nearbyint, 8 | 0)
ROUND(floor, 8 | 1)
ROUND(ceil, 8 | 2)
ROUND(trunc, 8 | 3)
#define nearbyint sse_nearbyint
#define nearbyintf sse_nearbyintf
#define floor sse_floor
#define floorf sse_floorf
#define ceil sse_ceil
#define ceilf sse_ceilf
#define trunc sse_trunc
#define truncf sse_truncf
#define sqrt __builtin_sqrt
#define sqrtf __builtin_sqrtf
#define fabs __builtin_fabs
#define fabsf __builtin_fabsf
#define copysign __builtin_copysign
#define copysignf __builtin_copysignf

#include "gen/engine.c"

#include "engine-module.h"

#define GROWTH_PAGES 16 /* memory is asked for by the MiB */
#define WASI_BADF 8 /* what Emscripten's libc expects for a stream that has no such operation */
#define WASI_SPIPE 70
#define TM_SIZE 44

static wasm_rt_memory_t memory = {
  .data = (u8 *)ENGINE_BASE,
  .max_pages = ENGINE_PAGES_MAXIMUM,
  .size = LINEAR_BULK_SIZE,
};
Z_engine_instance_t engine;
static bool prepared;

void *engine_at(u32 address) { return (u8 *)ENGINE_BASE + address; }
static inline u8 *at(u32 address) { return (u8 *)ENGINE_BASE + address; }
static inline u32 read_u32(u32 address) { return *(u32 *)at(address); }

/* The snapshot contains what instantiation would write to memory: only table and globals are initialised here. */
void engine_init(u32 pages) {
  if (!prepared) {
    Z_engine_init_module();
    engine.Z_aZ_a = &memory;
    init_tables(&engine);
    prepared = true;
  }
  init_globals(&engine);
  memory.pages = pages;
}

wasm_rt_memory_t *Z_aZ_a(struct Z_a_instance_t *env) {
  (void)env;
  return &memory;
}

/* --- The imports -------------------------------------------------------------------------------------------- */

#define IMPORT(type, name, ...) type engine_import_##name(struct Z_a_instance_t *env __VA_OPT__(, ) __VA_ARGS__)
#define UNUSED(...) (void)env, (void)(__VA_ARGS__)

IMPORT(void, assertFail, u32 condition, u32 file, u32 line, u32 function) {
  UNUSED(file, line, function);
  engine_abort("failed its assertion ", condition ? (const char *)at(condition) : NULL);
}
IMPORT(void, abort) { UNUSED(0); engine_abort("aborted", NULL); }
IMPORT(void, procExit, u32 status) { UNUSED(status); engine_abort("exited", NULL); }

IMPORT(u32, fdWrite, u32 fd, u32 vectors, u32 count, u32 written) {
  u32 total = 0;
  UNUSED(fd);
  for (; count--; vectors += 8) {
    engine_print(at(read_u32(vectors)), read_u32(vectors + 4));
    total += read_u32(vectors + 4);
  }
  *(u32 *)at(written) = total;
  return 0;
}
IMPORT(u32, fdClose, u32 fd) { UNUSED(fd); return WASI_BADF; }
IMPORT(u32, fdSeek, u32 fd, u64 offset, u32 whence, u32 result) {
  UNUSED(fd, offset, whence, result);
  return WASI_SPIPE;
}

/* No environment variables. */
IMPORT(u32, environGet, u32 pointers, u32 strings) { UNUSED(pointers, strings); return 0; }
IMPORT(u32, environSizesGet, u32 count, u32 size) {
  UNUSED(0);
  *(u32 *)at(count) = *(u32 *)at(size) = 0;
  return 0;
}

/* The bundle is one script: there is no module to load (a null pointer is an error to the engine). */
IMPORT(u32, normalizeModule, u32 runtime, u32 context, u32 base, u32 name) {
  UNUSED(runtime, context, base, name);
  return 0;
}
IMPORT(u32, loadModuleSource, u32 runtime, u32 context, u32 name) { UNUSED(runtime, context, name); return 0; }
/* Runaway turns are the hypervisor's to stop: it preempts, and domain 0 has a watchdog. */
IMPORT(u32, shouldInterrupt, u32 runtime) { UNUSED(runtime); return 0; }
IMPORT(u32, setTimer, u32 which, f64 ms) { UNUSED(which, ms); return 0; }
IMPORT(void, keepaliveClear) { UNUSED(0); }

/* The heap is to have `bytes` bytes. */
IMPORT(u32, resizeHeap, u32 bytes) {
  UNUSED(0);
  u32 pages = (u32)(((u64)bytes + GROWTH_PAGES * ENGINE_PAGE - 1) / (GROWTH_PAGES * ENGINE_PAGE)) * GROWTH_PAGES;
  if (pages > ENGINE_PAGES_MAXIMUM || !engine_grow(pages)) return 0;
  memory.pages = pages;
  return 1;
}

/* UTC. */
IMPORT(void, localTime, u64 time, u32 tm) { UNUSED(time); memset(at(tm), 0, TM_SIZE); }
IMPORT(void, tzSet, u32 timezone, u32 daylight, u32 standard_name, u32 daylight_name) {
  UNUSED(0);
  *(u32 *)at(timezone) = *(u32 *)at(daylight) = 0;
  memcpy(at(standard_name), "UTC", 4);
  memcpy(at(daylight_name), "UTC", 4);
}
IMPORT(f64, dateNow) { UNUSED(0); return (f64)engine_wall_ms(); }

IMPORT(u32, hostCall, u32 context, u32 this, u32 argc, u32 argv, u32 function) {
  UNUSED(this);
  return engine_host_call(context, argc, argv, function);
}
IMPORT(void, freeHostRef, u32 runtime, u32 reference) { UNUSED(runtime, reference); }

/* --- Running ------------------------------------------------------------------------------------------------ */

/* Hands on an uncaught exception, and frees it. */
static void report(u32 context, u32 exception) {
  u32 text = QTS_Dump(&engine, context, exception);
  engine_uncaught((const char *)at(text));
  QTS_FreeCString(&engine, context, text);
  QTS_FreeValuePointer(&engine, context, exception);
}

/* A job's result is its exception, otherwise a number. */
static void run_jobs(u32 runtime, u32 context, u32 scratch) {
  while (QTS_IsJobPending(&engine, runtime)) {
    u32 result = QTS_ExecutePendingJob(&engine, runtime, (u32)-1, scratch);
    u32 type = QTS_Typeof(&engine, context, result);
    bool executed = !memcmp(at(type), "number", 7);
    engine_free(&engine, type);
    if (executed) QTS_FreeValuePointer(&engine, context, result);
    else report(context, result);
  }
}

void engine_call(u32 runtime, u32 context, u32 function, u32 scratch) {
  u32 undefined = QTS_GetUndefined(&engine);
  u32 result = QTS_Call(&engine, context, function, undefined, 0, 0);
  u32 exception = QTS_ResolveException(&engine, context, result);
  QTS_FreeValuePointer(&engine, context, result);
  if (exception) report(context, exception);
  run_jobs(runtime, context, scratch);
}
