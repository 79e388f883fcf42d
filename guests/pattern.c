/*
 * Fills nearly all of its memory with a pattern and looks again and again whether it is still there. Options: seed=N (1),
 * seconds=N (5): for how long; at least once; obey: ends earlier when its operator asks it to.
 */
#include "lib/guest.h"

const char guest_name[] = "pattern";

/* Left for page tables and stacks of whatever the library needs. */
#define SPARE_PAGES 64
#define PAUSE (20 * MILLISECOND)

static uint64_t seed;

/* Another word at every address, for every seed. */
static uint64_t word_at(const uint64_t *address) {
  uint64_t z = (uint64_t)address * 0x9e3779b97f4a7c15 + seed;
  return (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9;
}

static uint64_t pages_free(void) {
  return (memory_bytes() >> 12) - ((uint64_t)image_end >> 12) - SPARE_PAGES;
}

void guest_main(void) {
  seed = option_number("seed", 1);
  uint64_t pages = pages_free(), end = clock_ns() + option_number("seconds", 5) * SECOND;
  uint64_t *words = pages_take(pages);
  uint64_t count = pages * 512, rounds = 0;
  bool obeys = option_present("obey");
  for (uint64_t i = 0; i < count; i++)
    words[i] = word_at(&words[i]);
  do {
    sleep_ns(PAUSE);
    for (uint64_t i = 0; i < count; i++)
      if (words[i] != word_at(&words[i]))
        guest_fail("round %lu: %lx at %p, not %lx", rounds, words[i], &words[i], word_at(&words[i]));
    rounds++;
    print("pattern: round %lu, %lu pages whole\n", rounds, pages);
  } while (clock_ns() < end && !(obeys && store_shutdown_asked()));
}
