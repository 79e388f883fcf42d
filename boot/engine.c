/*
 * Domain 0's engine: what it provides to the engine's module, and the loop around the control plane's turn(). All of this runs
 * inside the sandbox, on the domain's stack, interruptible.
 */
#include "software.h"

#include "engine-module.h"
#include "gen/snapshot-meta.h"

extern const u32 snapshot[];

void engine_reset(void) {
  sandboxes_reset();
  engine_init(snapshot[1] / (ENGINE_PAGE / PAGE_SIZE));
}

/* --- Time: the shared info page's wall clock (xen.h: struct shared_info) ----------------------------------- */

struct wallclock {
  volatile u32 version;
  u32 seconds, nanoseconds, seconds_high;
};
#define SHARED_INFO_WALLCLOCK 0xc00

u64 engine_wall_ms(void) {
  const struct wallclock *wall = engine_at(DOM0_SHARED_INFO + SHARED_INFO_WALLCLOCK);
  u32 version;
  u64 ns;
  do {
    version = wall->version;
    __asm__ volatile("" : : : "memory");
    ns = (wall->seconds | (u64)wall->seconds_high << 32) * 1000000000 + wall->nanoseconds;
    __asm__ volatile("" : : : "memory");
  } while (version & 1 || wall->version != version);
  return (ns + software_time(DOM0_SHARED_INFO)) / 1000000;
}

/* --- What the engine asks for ------------------------------------------------------------------------------- */

void engine_abort(const char *what, const char *text) {
  print_sandbox();
  print("the engine ");
  print(what);
  if (text) print(text);
  print("\n");
  print_trace((u64)__builtin_frame_address(0));
  software_trap(SOFTWARE_TRAP_ABORT);
}

/* Goes to the serial port. */
void engine_print(const void *text, u32 length) { print_bytes(text, length); }

/* The hypervisor decides. */
bool engine_grow(u32 pages) {
  software_info()->pages = pages;
  software_info()->result = 0;
  software_call(SOFTWARE_EXIT_GROW);
  return software_info()->result;
}

/* The engine has no TextEncoder, and its charCodeAt takes a thousand instructions a character. */
static void encode_text(u32 context, u32 value, struct call_page *call) {
  u32 text = QTS_GetString(&engine, context, value);
  u32 length = (u32)strlen(engine_at(text));
  memcpy(engine_at(call->text_address), engine_at(text), length < call->text_room ? length : call->text_room);
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

/* Host functions by number (abi/software.ts). */
u32 engine_host_call(u32 context, u32 argc, u32 argv, u32 function) {
  struct call_page *call = engine_at(DOM0_CALL_PAGE);
  if (function == HOST_CALL_HYPERCALL) software_call(SOFTWARE_EXIT_HYPERCALL);
  if (function == HOST_CALL_EXCHANGE) {
    u32 found = call->exchange_expected;
    __atomic_compare_exchange_n((u32 *)engine_at(call->exchange_address & -4u), &found, call->exchange_value, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    call->exchange_value = found;
  }
  if (function == HOST_CALL_ENCODE && argc) encode_text(context, argv, call);
  if (function == HOST_CALL_SANDBOX) sandbox_call(call);
  if (function == HOST_CALL_RANDOM) random_number(call);
  return 0;
}

void engine_uncaught(const char *text) {
  print("domain 0: uncaught ");
  for (const char *c = text; *c; c++) {
    /* the stack's line ends are escaped in the JSON */
    if (c[0] == '\\' && c[1] == 'n') {
      print_char('\n');
      c++;
    } else {
      print_char(*c);
    }
  }
  print("\n");
}

void engine_main(void) {
  for (;;) {
    engine_call(SNAPSHOT_RUNTIME, SNAPSHOT_CONTEXT, SNAPSHOT_TURN, SNAPSHOT_SCRATCH);
    software_call(SOFTWARE_EXIT_TURN_END);
  }
}
