#include "idle-time.h"

#include "../guest.h"
#include "grants.h"

#define PATIENCE (30 * SECOND)
/* Turns of the loop between two looks at the clock, which is slow to read in an emulator. */
#define TURNS 64
/* More ticks between two looks were not the spinner's own: it was interrupted. */
#define GAP (4 * TURNS)

static const volatile uint64_t *counted;

void idle_time_count(domid_t reader) {
  volatile uint64_t *count = pages_take(1);
  grant_ref_t ref = grant_begin(reader, (const void *)count, true);
  print("counting idle time for domain %u by grant %u\n", reader, ref);
  uint64_t last = rdtsc(), total = 0;
  for (;;) {
    for (unsigned turn = 0; turn < TURNS; turn++)
      __asm__ volatile("");
    uint64_t now = rdtsc();
    if (now - last < GAP)
      total += now - last;
    last = now;
    *count = total;
  }
}

void idle_time_open(domid_t spinner) {
  uint64_t deadline = clock_ns() + PATIENCE;
  /* Read-only, and perhaps not granted yet. */
  while (!(counted = grant_map_readonly(spinner, GNTTAB_NR_RESERVED_ENTRIES))) {
    if (clock_ns() > deadline)
      guest_fail("domain %u counts no idle time for this one", spinner);
    sleep_ns(20 * MILLISECOND);
  }
}

uint64_t idle_time(void) { return counted ? *counted : 0; }
