/*
 * What a program can ask of the guest, by number: runtime/guest/host.ts has the same table.
 */
#include "typescript.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define RDRAND_TRIES 16

static int32_t op_end(uint32_t *words) { program_end(words[0]); }

static int32_t op_print(uint32_t *words) {
  if (words[0] > PROGRAM_TRANSFER_SIZE)
    return -1;
  console_text((const char *)engine_transfer, words[0]);
  return 0;
}

static int32_t op_clock(uint32_t *words) {
  uint64_t now = clock_ns();
  words[0] = (uint32_t)now;
  words[1] = (uint32_t)(now >> 32);
  return 0;
}

static bool rdrand(uint64_t *value) {
  uint8_t ok = 0;
  for (int tries = 0; !ok && tries < RDRAND_TRIES; tries++)
    __asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(ok) : : "cc");
  return ok;
}

/* The processor's random numbers; -1 where it has none: then there is no source that deserves the name. */
static int32_t op_random(uint32_t *words) {
  if (words[0] > PROGRAM_TRANSFER_SIZE || !(cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND))
    return -1;
  for (uint32_t at = 0; at < words[0]; at += 8) {
    uint64_t value;
    if (!rdrand(&value))
      return -1;
    memcpy(engine_transfer + at, &value, words[0] - at < 8 ? words[0] - at : 8);
  }
  return 0;
}

/* The domain's whole command line; the result is its length. */
static int32_t op_command_line(uint32_t *words) {
  (void)words;
  const char *text = start_info->cmdline_paddr ? (const char *)start_info->cmdline_paddr : "";
  size_t length = text_length(text);
  length = length < PROGRAM_TRANSFER_SIZE ? length : PROGRAM_TRANSFER_SIZE;
  memcpy(engine_transfer, text, length);
  return (int32_t)length;
}

/* Pages of RAM: of the domain, and those that the heap may still grow by. */
static int32_t op_memory(uint32_t *words) {
  words[0] = (uint32_t)(memory_bytes() >> 12);
  words[1] = (uint32_t)engine_pages_left();
  return 0;
}

static int32_t (*const operations[])(uint32_t *words) = {
    [1] = op_end,
    [2] = op_print,
    [3] = op_clock,
    [4] = op_random,
    [5] = op_command_line,
    [6] = op_memory,
    [7] = network_open,
    [8] = network_take_event,
    [9] = network_listen,
    [10] = network_connect,
    [11] = network_write,
    [12] = network_read,
    [13] = network_shutdown,
    [14] = network_close,
    [15] = network_names,
    [16] = network_datagrams,
    [17] = network_send,
    [18] = network_receive,
    [20] = disk_open,
    [21] = disk_read,
    [22] = disk_write,
    [23] = disk_flush,
    [24] = names_lookup,
    [25] = names_result,
};

void engine_operation(void) {
  uint32_t operation = engine_calls->operation;
  if (operation >= sizeof operations / sizeof operations[0] || !operations[operation])
    engine_crash("the program asked for operation %u, which does not exist: it was made for another guest image", operation);
  engine_calls->result = operations[operation](engine_calls->arguments);
}
