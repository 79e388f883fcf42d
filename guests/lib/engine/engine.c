/*
 * The program, its turns, and what the engine's module asks of its host (boot/engine-module.h). Everything of the engine runs on its
 * own stack, with interrupts off; the guest sleeps on the one it began with.
 */
#include "engine.h"

#include "../guest.h"
#include "linear.h"

#include "engine-module.h"

#define LINEAR_BASE 0x2000000000ull /* ENGINE_BASE of boot/layout.h, checked in engine_open() */
#define STACK_PAGES 128
#define FUNCTION_TABLE_PAGES(bytes) (((bytes) + 4095) / 4096)
/* Pages that the heap leaves to the rest of the guest: page tables, stack and rings, and a share for the network's buffers. */
#define RESERVE 80
/* Pages below the image that pages_take gives as well, last: 159, less what the domain builder has put there. */
#define LOW_PAGES 150
#define RESERVE_SHARE(pages) ((pages) / 5 < 300 ? (pages) / 5 : 300)

/* Behind the image; lib/engine/program.lds. */
extern struct program program_start[];

void call_on_stack(void (*function)(void), void *top);

struct engine_call_page *const engine_calls = (void *)(LINEAR_BASE + PROGRAM_CALL_PAGE);
uint8_t *const engine_transfer = (void *)(LINEAR_BASE + PROGRAM_TRANSFER);
static const struct program *program = program_start;

void engine_crash(const char *format, ...) {
  va_list arguments;
  interrupts_off();
  print("\n%s: ", guest_name);
  va_start(arguments, format);
  print_list(format, arguments);
  va_end(arguments);
  print("\n");
  guest_shut_down(SHUTDOWN_crash);
}

uint64_t engine_pages_left(void) {
  uint64_t all = memory_bytes() >> 12, used = ((uint64_t)image_end + image_appended) >> 12;
  uint64_t taken = used - LOW_PAGES + linear_frames + RESERVE + RESERVE_SHARE(all);
  return all > taken ? all - taken : 0;
}

static void check_program(void) {
  uint64_t heap = (uint64_t)program->heap_pages * sizeof(uint32_t);
  if (program->magic != PROGRAM_MAGIC)
    guest_fail("there is no program in this image: make one with `chaos build`");
  if (program->size % PROGRAM_PAGE || program->table + heap > program->size ||
      (uint64_t)program->files + program->files_size > program->size || program->files_size > PROGRAM_FILES_MOST ||
      program->memory_pages > ENGINE_PAGES_MAXIMUM ||
      program->heap_pages > program->memory_pages * (ENGINE_PAGE / PROGRAM_PAGE) || program->files % PROGRAM_PAGE || program->table % PROGRAM_PAGE)
    guest_fail("the program in this image is damaged");
}

/*
 * Pages (ENGINE_PAGE) that linear memory may have: what the snapshot covers, of which some pages are zero and get a frame when they are
 * touched, and what else there are frames for.
 */
static uint32_t memory_most;

static void limit_memory(void) {
  const uint32_t *table = (const void *)((uint64_t)program + program->table);
  uint64_t covered = (uint64_t)program->memory_pages * (ENGINE_PAGE / PROGRAM_PAGE), zero = covered - program->heap_pages;
  for (uint32_t i = 0; i < program->heap_pages; i++)
    zero += table[i] == 0;
  /* Most of these are the engine's own stack, of which it may use a small part. */
  zero = zero < STACK_PAGES ? zero : STACK_PAGES;
  uint64_t left = engine_pages_left();
  uint64_t most = (covered + (left > zero ? left - zero : 0)) / (ENGINE_PAGE / PROGRAM_PAGE);
  memory_most = most < ENGINE_PAGES_MAXIMUM ? most : ENGINE_PAGES_MAXIMUM;
}

/* On the engine's stack. */
static void start(void) {
  engine_init(program->memory_pages);
  if (engine_at(0) != (void *)LINEAR_BASE || engine.w2c_g0 != program->stack_pointer)
    guest_fail("the program was made for another engine");
  *(u32 *)engine_at(program->runtime + engine_rejection_tracker) = engine.w2c_T0.size - 1;
}

void engine_open(void) {
  check_program();
  image_appended = program->size;
  limit_memory();
  linear_open(LINEAR_BASE, program);
  linear_set_size((uint64_t)program->memory_pages * ENGINE_PAGE);
  call_on_stack(start, linear_stack_top());
}

static void turn(void) { engine_call(program->runtime, program->context, program->turn, program->scratch); }

void engine_turn(void) { call_on_stack(turn, linear_stack_top()); }

/* --- What the module asks for -------------------------------------------------------------------------------- */

void engine_abort(const char *what, const char *text) { engine_crash("the engine %s%s", what, text ? text : ""); }

void engine_print(const void *text, u32 length) { console_text(text, length); }

/* The program catches what its callbacks throw and tells it better: this is what it cannot tell, such as a lack of memory. */
void engine_uncaught(const char *text) {
  console_text("uncaught ", 9);
  console_text(text, text_length(text));
  engine_crash("the program ended by an exception that it could not report");
}

bool engine_grow(u32 pages) {
  if (pages > memory_most)
    return false;
  linear_set_size((uint64_t)pages * ENGINE_PAGE);
  return true;
}

u64 engine_wall_ms(void) {
  uint32_t nanoseconds;
  uint64_t seconds = clock_wall_seconds(&nanoseconds);
  return seconds * 1000 + nanoseconds / 1000000;
}

/* Not clean UTF-8, or with a NUL in it: the program decodes such by itself. */
static bool clean_text(const uint8_t *text, uint32_t length) {
  for (uint32_t at = 0; at < length;) {
    uint8_t first = text[at];
    if (first < 0x80) {
      if (first == 0)
        return false;
      at++;
      continue;
    }
    unsigned more = first >= 0xc2 && first < 0xe0 ? 1 : (first & 0xf0) == 0xe0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
    if (more == 0 || at + more >= length)
      return false;
    uint8_t second = text[at + 1];
    uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (second < least || second > most)
      return false;
    for (unsigned i = 2; i <= more; i++)
      if ((text[at + i] & 0xc0) != 0x80)
        return false;
    at += more + 1;
  }
  return true;
}

/* UTF-8 in the transfer buffer as a string, whose end is marked there; undefined when it is not clean. */
static u32 decode(u32 context, uint32_t length) {
  if (length >= PROGRAM_TRANSFER_SIZE || !clean_text(engine_transfer, length))
    return 0;
  engine_transfer[length] = 0;
  return QTS_NewString(&engine, context, PROGRAM_TRANSFER);
}

/* A string as UTF-8 into the transfer buffer, as much as has room; the result is its whole length. */
static void encode(u32 context, u32 value) {
  u32 text = QTS_GetString(&engine, context, value);
  if (!text) {
    engine_calls->result = -1;
    return;
  }
  uint32_t length = text_length(engine_at(text));
  memcpy(engine_transfer, engine_at(text), length < PROGRAM_TRANSFER_SIZE ? length : PROGRAM_TRANSFER_SIZE);
  engine_calls->result = (int32_t)length;
  QTS_FreeCString(&engine, context, text);
}

/* --- Rejected promises that nobody handles ------------------------------------------------------------------- */

/* As many as are told of; further ones are not. */
#define REJECTIONS 32

static struct {
  uint64_t promise;
  u32 reason; /* a value of its own; 0: the entry is free */
} rejections[REJECTIONS];

/*
 * The engine's hook: a promise without a handler was rejected, or one of those has got a handler after all. quickjs-emscripten does
 * not export what sets it, so it is put into the engine's table of functions and its runtime (engine_rejection_tracker: its place
 * there, which the build reads off the engine's code).
 */
static void track_rejection(void *module, u32 context, u64 promise, u64 reason, u32 handled, u32 opaque) {
  (void)module;
  (void)opaque;
  for (unsigned i = 0; i < REJECTIONS; i++) {
    if (handled && rejections[i].reason && rejections[i].promise == promise) {
      QTS_FreeValuePointer(&engine, context, rejections[i].reason);
      rejections[i].reason = 0;
      return;
    }
    if (!handled && !rejections[i].reason) {
      u32 value = program->scratch + PROGRAM_SCRATCH / 2;
      *(u64 *)engine_at(value) = reason;
      rejections[i].promise = promise;
      rejections[i].reason = QTS_DupValuePointer(&engine, context, value);
      return;
    }
  }
}

/* The reason of one of them, which is the caller's now; result: whether there is one. */
static u32 take_rejection(void) {
  engine_calls->result = 0;
  for (unsigned i = 0; i < REJECTIONS; i++)
    if (rejections[i].reason) {
      u32 reason = rejections[i].reason;
      rejections[i].reason = 0;
      engine_calls->result = 1;
      return reason;
    }
  return 0;
}

bool engine_has_rejections(void) {
  for (unsigned i = 0; i < REJECTIONS; i++)
    if (rejections[i].reason)
      return true;
  return false;
}

/*
 * With an argument: encode it. Without: what gives a value (operations 0 and 19), or an operation of the guest's, by the call
 * page.
 */
u32 engine_host_call(u32 context, u32 argc, u32 argv, u32 function) {
  (void)function;
  if (argc)
    encode(context, argv);
  else if (engine_calls->operation == ENGINE_DECODE)
    return decode(context, engine_calls->arguments[0]);
  else if (engine_calls->operation == ENGINE_TAKE_REJECTION)
    return take_rejection();
  else
    engine_operation();
  return 0;
}

/* --- wasm2c's runtime ---------------------------------------------------------------------------------------- */

void panic(const char *text) { engine_crash("%s", text); }

void wasm_rt_trap(wasm_rt_trap_t code) { engine_crash("WebAssembly trap %u", code); }

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *functions, uint32_t elements, uint32_t most) {
  functions->data = pages_take(FUNCTION_TABLE_PAGES((elements + 1) * sizeof(wasm_rt_funcref_t)));
  functions->size = elements + 1;
  functions->max_size = most;
  /* Behind the engine's own functions. */
  functions->data[elements].func_type =
      wasm_rt_register_func_type(5, 0, WASM_RT_I32, WASM_RT_I64, WASM_RT_I64, WASM_RT_I32, WASM_RT_I32);
  functions->data[elements].func = (wasm_rt_function_ptr_t)track_rejection;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *functions) { (void)functions; }
