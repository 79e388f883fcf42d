/*
 * Domain 0's engine: QuickJS compiled by wasm2c, its imports, and the loop around the control plane's turn(). All of this
 * runs inside the sandbox, on the domain's stack, interruptible; this is the only file compiled with SSE.
 *
 * The module's names are minified; build/gen/engine-exports.h maps readable ones to them (scripts/build/engine-
 * names.ts).
 */
#include <math.h>

#include "software.h"

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
#include "gen/engine-exports.h"
#include "gen/snapshot-meta.h"

#define WASM_PAGE 65536
#define GROWTH_PAGES 16 /* memory is asked for by the MiB */
#define LINEAR_PAGES_MAXIMUM 0xc000 /* below DOM0_WINDOW */
#define WASI_BADF 8 /* what Emscripten's libc expects for a stream that has no such operation */
#define WASI_SPIPE 70
#define TM_SIZE 44

extern const u32 snapshot[];

static wasm_rt_memory_t memory = {
  .data = (u8 *)ENGINE_BASE,
  .max_pages = LINEAR_PAGES_MAXIMUM,
  .size = LINEAR_BULK_SIZE,
};
static Z_engine_instance_t engine;
static bool prepared;

static inline u8 *at(u32 address) { return (u8 *)ENGINE_BASE + address; }
static inline u32 read_u32(u32 address) { return *(u32 *)at(address); }

/* The snapshot contains what instantiation would write to memory: only table and globals are initialised here. */
void engine_reset(void) {
  if (!prepared) {
    Z_engine_init_module();
    engine.Z_aZ_a = &memory;
    init_tables(&engine);
    prepared = true;
  }
  init_globals(&engine);
  sandboxes_reset();
  memory.pages = snapshot[1] / (WASM_PAGE / PAGE_SIZE);
}

wasm_rt_memory_t *Z_aZ_a(struct Z_a_instance_t *env) {
  (void)env;
  return &memory;
}

/* --- Time: the shared info page's wall clock (xen.h: struct shared_info) ----------------------------------- */

struct wallclock {
  volatile u32 version;
  u32 seconds, nanoseconds, seconds_high;
};
#define SHARED_INFO_WALLCLOCK 0xc00

static f64 date_now_ms(void) {
  const struct wallclock *wall = (const struct wallclock *)at(DOM0_SHARED_INFO + SHARED_INFO_WALLCLOCK);
  u32 version;
  u64 ns;
  do {
    version = wall->version;
    __asm__ volatile("" : : : "memory");
    ns = (wall->seconds | (u64)wall->seconds_high << 32) * 1000000000 + wall->nanoseconds;
    __asm__ volatile("" : : : "memory");
  } while (version & 1 || wall->version != version);
  return (f64)((ns + software_time(DOM0_SHARED_INFO)) / 1000000);
}

/* --- The imports -------------------------------------------------------------------------------------------- */

#define IMPORT(type, name, ...) type engine_import_##name(struct Z_a_instance_t *env __VA_OPT__(, ) __VA_ARGS__)
#define UNUSED(...) (void)env, (void)(__VA_ARGS__)

static NORETURN void abort_engine(const char *what, u32 text) {
  print_sandbox();
  print("the engine ");
  print(what);
  if (text) print((const char *)at(text));
  print("\n");
  print_trace((u64)__builtin_frame_address(0));
  software_trap(SOFTWARE_TRAP_ABORT);
}

IMPORT(void, assertFail, u32 condition, u32 file, u32 line, u32 function) {
  UNUSED(file, line, function);
  abort_engine("failed its assertion ", condition);
}
IMPORT(void, abort) { UNUSED(0); abort_engine("aborted", 0); }
IMPORT(void, procExit, u32 status) { UNUSED(status); abort_engine("exited", 0); }

/* Standard output and error go to the serial port. */
IMPORT(u32, fdWrite, u32 fd, u32 vectors, u32 count, u32 written) {
  u32 total = 0;
  UNUSED(fd);
  for (; count--; vectors += 8) {
    print_bytes(at(read_u32(vectors)), read_u32(vectors + 4));
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
/* Runaway turns are the hypervisor's to stop: it preempts, and has a watchdog. */
IMPORT(u32, shouldInterrupt, u32 runtime) { UNUSED(runtime); return 0; }
IMPORT(u32, setTimer, u32 which, f64 ms) { UNUSED(which, ms); return 0; }
IMPORT(void, keepaliveClear) { UNUSED(0); }

/* The heap is to have `bytes` bytes: the hypervisor decides. */
IMPORT(u32, resizeHeap, u32 bytes) {
  UNUSED(0);
  u32 pages = (u32)(((u64)bytes + GROWTH_PAGES * WASM_PAGE - 1) / (GROWTH_PAGES * WASM_PAGE)) * GROWTH_PAGES;
  if (pages > LINEAR_PAGES_MAXIMUM) return 0;
  software_info()->pages = pages;
  software_info()->result = 0;
  software_call(SOFTWARE_EXIT_GROW);
  if (!software_info()->result) return 0;
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
IMPORT(f64, dateNow) { UNUSED(0); return date_now_ms(); }

/* The engine has no TextEncoder, and its charCodeAt takes a thousand instructions a character. */
static void encode_text(u32 context, u32 value, struct call_page *call) {
  u32 text = QTS_GetString(&engine, context, value), length = 0;
  while (*at(text + length)) length++;
  memcpy(at(call->text_address), at(text), length < call->text_room ? length : call->text_room);
  call->text_length = length;
  QTS_FreeCString(&engine, context, text);
}

#define RANDOM_RDRAND 1 /* abi/software.ts */
#define RANDOM_RDSEED 2
#define RANDOM_ATTEMPTS 100 /* RDSEED may be exhausted for a while: SDM 1, 7.3.17 */

/* An attempt; RDSEED and RDRAND clear CF where they have no number. */
#define RANDOM(instruction, value)                                                       \
  ({                                                                                     \
    bool given;                                                                          \
    __asm__ volatile(#instruction " %0" : "=r"(value), "=@ccc"(given));                  \
    given;                                                                               \
  })

/* A random number of the processor's, by RDSEED where there is that (CPUID.7.EBX[18]), otherwise RDRAND (CPUID.1.ECX[30]). */
static void random_number(struct call_page *call) {
  u32 features[4], extended[4], attempts = RANDOM_ATTEMPTS, low, high;
  u64 value = 0;
  read_cpuid(1, 0, features);
  read_cpuid(7, 0, extended);
  call->random_source = 0;
  for (; !call->random_source && extended[1] & 1u << 18 && attempts; attempts--) {
    if (RANDOM(rdseed, value)) call->random_source = RANDOM_RDSEED;
    else __asm__ volatile("pause");
  }
  for (attempts = 10; !call->random_source && features[2] & 1u << 30 && attempts; attempts--)
    if (RANDOM(rdrand, value)) call->random_source = RANDOM_RDRAND;
  call->random = value;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  call->random_tsc = low | (u64)high << 32;
}

/* Host functions by number (abi/software.ts); 0 is `undefined`. */
IMPORT(u32, hostCall, u32 context, u32 this, u32 argc, u32 argv, u32 function) {
  UNUSED(this);
  struct call_page *call = (struct call_page *)at(DOM0_CALL_PAGE);
  if (function == HOST_CALL_HYPERCALL) software_call(SOFTWARE_EXIT_HYPERCALL);
  if (function == HOST_CALL_EXCHANGE) {
    u32 found = call->exchange_expected;
    __atomic_compare_exchange_n((u32 *)at(call->exchange_address & -4u), &found, call->exchange_value, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    call->exchange_value = found;
  }
  if (function == HOST_CALL_ENCODE && argc) encode_text(context, argv, call);
  if (function == HOST_CALL_SANDBOX) sandbox_call(call);
  if (function == HOST_CALL_RANDOM) random_number(call);
  return 0;
}
IMPORT(void, freeHostRef, u32 runtime, u32 reference) { UNUSED(runtime, reference); }

/* --- The loop ----------------------------------------------------------------------------------------------- */

/*
 * Prints an uncaught exception with its stack, and frees it. QTS_Dump gives JSON of name, message and stack.
 */
static void print_exception(u32 exception) {
  u32 text = QTS_Dump(&engine, SNAPSHOT_CONTEXT, exception);
  print("domain 0: uncaught ");
  for (const char *c = (const char *)at(text); *c; c++) {
    /* the stack's line ends are escaped in the JSON */
    if (c[0] == '\\' && c[1] == 'n') {
      print_char('\n');
      c++;
    } else {
      print_char(*c);
    }
  }
  print("\n");
  QTS_FreeCString(&engine, SNAPSHOT_CONTEXT, text);
  QTS_FreeValuePointer(&engine, SNAPSHOT_CONTEXT, exception);
}

/*
 * Runs promise jobs until none is left. The result is a job's exception, otherwise a number.
 */
static void run_jobs(void) {
  while (QTS_IsJobPending(&engine, SNAPSHOT_RUNTIME)) {
    u32 result = QTS_ExecutePendingJob(&engine, SNAPSHOT_RUNTIME, (u32)-1, SNAPSHOT_SCRATCH);
    u32 type = QTS_Typeof(&engine, SNAPSHOT_CONTEXT, result);
    bool executed = !memcmp(at(type), "number", 7);
    engine_free(&engine, type);
    if (executed) QTS_FreeValuePointer(&engine, SNAPSHOT_CONTEXT, result);
    else print_exception(result);
  }
}

void engine_main(void) {
  for (;;) {
    u32 undefined = QTS_GetUndefined(&engine);
    u32 result = QTS_Call(&engine, SNAPSHOT_CONTEXT, SNAPSHOT_TURN, undefined, 0, 0);
    u32 exception = QTS_ResolveException(&engine, SNAPSHOT_CONTEXT, result);
    QTS_FreeValuePointer(&engine, SNAPSHOT_CONTEXT, result);
    if (exception) print_exception(exception);
    run_jobs();
    software_call(SOFTWARE_EXIT_TURN_END);
  }
}
