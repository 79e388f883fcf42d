/*
 * The TLS module of the image as a process: plays a recording to it, again and again.
 *
 *   replay RECORDING HANDSHAKES MEGABYTES
 *
 * RECORDING: u32 bytes of the handshake, u32 bytes of it all; 48 bytes of seed; 32 of the key, whose identity is "operator"; what the client
 * sent. Prints one line: a hash of all that was answered, the CPU time in ns of HANDSHAKES handshakes, of decrypting the rest, of encrypting
 * MEGABYTES.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "../tls.h"

/* Where the image has it (boot/layout.h), and its guard. */
#define SANDBOX_BASE(number) (0x4000000000 + (number) * 0x400000000)
#define BASE ((uint8_t *)SANDBOX_BASE(1))
#define GUARDED 0x200000000
#define MEMORY_BYTES 0x1000000

#include "gen/tls.c"

struct recording {
  uint32_t handshake, size;
  uint8_t seed[TLS_SEED_BYTES], key[TLS_KEY_BYTES], bytes[];
};

static wasm_rt_memory_t memory = {.data = BASE, .pages = MEMORY_BYTES >> 16, .max_pages = MEMORY_BYTES >> 16, .size = MEMORY_BYTES};
static Z_tls_instance_t instance;

static void fail(const char *what) {
  fprintf(stderr, "replay: %s\n", what);
  exit(1);
}

/* --- wasm2c's runtime ---------------------------------------------------------------------------------------- */

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env) {
  (void)env;
  return &memory;
}

void wasm_rt_trap(wasm_rt_trap_t code) {
  (void)code;
  fail("the module has trapped");
  abort();
}

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...) {
  static uint64_t signatures[100];
  static uint32_t count;
  uint64_t signature = params;
  va_list types;
  va_start(types, results);
  for (uint32_t i = 0; i < params + results; i++)
    signature = signature << 3 | (va_arg(types, wasm_rt_type_t) + 1u);
  va_end(types);
  for (uint32_t i = 0; i < count; i++)
    if (signatures[i] == signature)
      return i + 1;
  if (count == 100)
    fail("too many function types");
  signatures[count++] = signature;
  return count;
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements, uint32_t max_elements) {
  table->data = calloc(elements, sizeof *table->data);
  table->size = elements;
  table->max_size = max_elements;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table) { free(table->data); }
void wasm_rt_free_memory(wasm_rt_memory_t *unused) { (void)unused; }
void wasm_rt_allocate_memory(wasm_rt_memory_t *unused, uint32_t initial, uint32_t maximum) {
  (void)unused, (void)initial, (void)maximum;
}
uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *unused, uint32_t pages) {
  (void)unused, (void)pages;
  return UINT32_MAX;
}
bool wasm_rt_is_initialized(void) { return true; }

/* --- Playing ------------------------------------------------------------------------------------------------- */

static struct tls_session_face *const face = (void *)(SANDBOX_BASE(1) + TLS_OWN_BYTES);
static uint8_t *const buffer = (void *)(SANDBOX_BASE(1) + TLS_SHARED);
static uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
static bool hashing = true;

static uint32_t call(uint32_t operation, uint32_t a, uint32_t b) {
  return Z_tlsZ_call(&instance, operation, a, b, 0, 0, 0);
}

static void answer(const uint8_t *bytes, uint32_t size) {
  for (uint32_t i = 0; hashing && i < size; i++)
    hash = (hash ^ bytes[i]) * 0x100000001b3;
}

static void take_output(void) {
  answer(face->output + face->output_start, face->output_end - face->output_start);
  face->output_start = face->output_end;
}

/* Puts what there is room for into the session's input; returns how much. */
static uint32_t feed(const uint8_t *bytes, uint32_t size) {
  uint32_t room = TLS_INPUT_BYTES - face->input_end;
  if (size > room)
    size = room;
  memcpy(face->input + face->input_end, bytes, size);
  face->input_end += size;
  return size;
}

static void start(const struct recording *recording) {
  static bool initialised;
  if (!initialised)
    Z_tls_init_module();
  initialised = true;
  memset(BASE, 0, TLS_OWN_BYTES);
  Z_tls_instantiate(&instance, NULL);
  if (call(TLS_BEGIN, 0, 0) != 0)
    fail("the module does not begin");
  memcpy(buffer, recording->seed, TLS_SEED_BYTES);
  call(TLS_SEED, TLS_SEED_BYTES, 0);
  memcpy(buffer, "operator", 8);
  memcpy(buffer + 8, recording->key, TLS_KEY_BYTES);
  call(TLS_KEY, 8, 0);
}

static void handshake(const struct recording *recording) {
  start(recording);
  if (call(TLS_OPEN, 0, 0) != 0)
    fail("no session");
  for (uint32_t at = 0; at < recording->handshake;) {
    at += feed(recording->bytes + at, recording->handshake - at);
    call(TLS_STEP, 0, 0);
    take_output();
  }
  if (face->state != TLS_ESTABLISHED)
    fail("the handshake did not succeed");
}

static void decrypt(const uint8_t *bytes, uint32_t size) {
  for (uint32_t at = 0; at < size || face->input_end > face->input_start;) {
    at += feed(bytes + at, size - at);
    uint32_t got;
    while ((got = call(TLS_READ, 0, TLS_SHARED_BYTES)) > 0)
      answer(buffer, got);
    if (face->state != TLS_ESTABLISHED)
      break;
  }
}

static void encrypt(uint32_t megabytes) {
  for (uint64_t left = (uint64_t)megabytes << 20; left > 0;) {
    uint32_t taken = call(TLS_WRITE, 0, left < TLS_SHARED_BYTES ? (uint32_t)left : TLS_SHARED_BYTES);
    if (taken == 0 || taken > left)
      fail("it does not encrypt");
    left -= taken;
    take_output();
  }
}

static uint64_t cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4)
    fail("three arguments are needed");
  int file = open(argv[1], O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status))
    fail("the recording cannot be read");
  const struct recording *recording = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (recording == MAP_FAILED || sizeof *recording + recording->size != (size_t)status.st_size)
    fail("that is no recording");
  if (mmap(BASE, GUARDED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != BASE ||
      mprotect(BASE, MEMORY_BYTES, PROT_READ | PROT_WRITE))
    fail("there is no place for the module's memory");

  handshake(recording);
  decrypt(recording->bytes + recording->handshake, recording->size - recording->handshake);
  uint64_t answered = hash;
  hashing = false;
  call(TLS_CLOSE, 0, 0);

  uint64_t times[4];
  times[0] = cpu_ns();
  for (int i = atoi(argv[2]); i > 0; i--) {
    handshake(recording);
    call(TLS_CLOSE, 0, 0);
  }
  times[1] = cpu_ns();
  handshake(recording);
  uint64_t once = cpu_ns();
  decrypt(recording->bytes + recording->handshake, recording->size - recording->handshake);
  times[2] = cpu_ns() - once;
  call(TLS_CLOSE, 0, 0);
  handshake(recording);
  once = cpu_ns();
  encrypt((uint32_t)atoi(argv[3]));
  times[3] = cpu_ns() - once;
  printf("%016lx %lu %lu %lu\n", answered, times[1] - times[0], times[2], times[3]);
  return 0;
}
