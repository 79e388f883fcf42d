/*
 * Attacks the hypervisor with whatever a guest can do, and survives it. Options: seed=N (1), rounds=N (20000), kind=hypercall|processor|memory|apic (all),
 * trace (prints what each round does and checks everything after it), end=triple (a triple fault after
 * the verdict), end=watchdog (a watchdog of one second that is not refreshed).
 */
#include "hostile.h"

const char guest_name[] = "hostile";

uint64_t exceptions[32];

static uint8_t canary[256];
static bool tracing;
static uint64_t current_round;

void note(const char *what, uint64_t first, uint64_t second, uint64_t third) {
  if (tracing)
    print("%lu: %s %lx %lx %lx\n", current_round, what, first, second, third);
}

void count_exception(int vector) {
  if (vector >= 0)
    exceptions[vector & 31]++;
}

/*
 * Interrupts may come at any vector, and the guest may have thrown away the word that acknowledges them: leave them off
 * after the first.
 */
static void close_window(struct trap_frame *frame) { frame->rflags &= ~(uint64_t)RFLAGS_IF; }

static uint8_t canary_byte(unsigned i) { return i * 31 + 7; }

/* The hypervisor still answers, its clock runs, and the guest's own memory is whole. */
static void check_all(void) {
  for (unsigned i = 0; i < sizeof canary; i++)
    if (canary[i] != canary_byte(i))
      guest_fail("canary byte %u is %x", i, canary[i]);
  code_check();
  hypervisor_check();
}

static void triple_fault(void) {
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) nothing = {0, 0};
  __asm__ volatile("lidt %0\n ud2" : : "m"(nothing));
}

static void watchdog_end(void) {
  struct sched_watchdog request = {.id = 0, .timeout = 1};
  long id = sched_op(SCHEDOP_watchdog, &request);
  if (id <= 0)
    guest_fail("watchdog: error %ld", id);
  interrupts_off();
  for (;;)
    __asm__ volatile("pause");
}

static void attack(char kind) {
  switch (kind) {
    case 'p':
      attack_processor();
      break;
    case 'm':
      attack_memory();
      break;
    case 'a':
      attack_apic();
      break;
    case 'h':
      attack_hypercall();
      break;
    default:
      attack("apmhh"[random_below(5)]);
  }
}

void guest_main(void) {
  uint64_t seed = option_number("seed", 1), rounds = option_number("rounds", 20000);
  const char *end = option_text("end");
  char kind = option_text("kind") ? option_text("kind")[0] : 0;
  tracing = option_present("trace");
  print("hostile: seed %lu, %lu rounds\n", seed, rounds);
  console_forget_ring();
  random_seed(seed);
  for (unsigned i = 0; i < sizeof canary; i++)
    canary[i] = canary_byte(i);
  code_keep();
  arena_init();
  processor_save();
  traps_set_handler(2, close_window);
  for (unsigned vector = 32; vector < 256; vector++)
    traps_set_handler(vector, close_window);

  for (uint64_t round = 0; round < rounds; round++) {
    current_round = round;
    attack(kind);
    bool tenth = (round + 1) % (rounds / 10 + 1) == 0;
    if (tenth || tracing)
      check_all();
    if (tenth) {
      print("hostile: %lu rounds done\n", round + 1);
    }
  }
  check_all();
  for (unsigned i = 0; i < 32; i++)
    if (exceptions[i])
      print("exception %u: %lu times\n", i, exceptions[i]);
  if (!end)
    return;
  print("TYPEVISOR-GUEST: PASS %s\n", guest_name);
  if (text_equal(end, "triple"))
    triple_fault();
  else if (text_equal(end, "watchdog"))
    watchdog_end();
  guest_fail("end=%s: triple and watchdog are known", end);
}
