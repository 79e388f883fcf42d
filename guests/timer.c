/*
 * Sets a single-shot timer again and again and prints how late each came. Options: count=N (25), period=MS (20),
 * limit=MS (200): later than that is a failure; quiet: prints only what is said of all of them at the end; obey: ends
 * before the last when its operator asks it to.
 */
#include "lib/guest.h"

const char guest_name[] = "timer";

/* How many came less than 2^n us late, and not less than half of that. */
static uint64_t histogram[64];

static void count_late(uint64_t us) { histogram[us ? 64 - __builtin_clzl(us) : 0]++; }

/* A power of two: fewer than one in a hundred of `count` came later than so many us. */
static uint64_t usual_limit(uint64_t count) {
  uint64_t later = count;
  for (unsigned n = 0; n < 63; n++)
    if ((later -= histogram[n]) * 100 < count)
      return 1ul << n;
  return ~0ul;
}

void guest_main(void) {
  uint64_t count = option_number("count", 25);
  uint64_t period = option_number("period", 20) * MILLISECOND;
  uint64_t limit = option_number("limit", 200) * MILLISECOND;
  bool quiet = option_present("quiet");
  uint64_t worst = 0;
  evtchn_port_t port = timer_port();
  bool obeys = option_present("obey");
  uint64_t i;
  for (i = 0; i < count && !(obeys && store_shutdown_asked()); i++) {
    uint64_t seen = event_count(port), deadline = clock_ns() + period;
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline};
    long error = vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer);
    if (error)
      guest_fail("set_singleshot_timer: error %ld", error);
    while (event_count(port) == seen) {
      interrupts_on_and_halt();
      interrupts_off();
    }
    uint64_t now = clock_ns();
    if (now < deadline)
      guest_fail("timer %lu came %lu ns early", i, deadline - now);
    if (!quiet)
      print("timer %lu: %lu us late\n", i, (now - deadline) / 1000);
    count_late((now - deadline) / 1000);
    worst = now - deadline > worst ? now - deadline : worst;
  }
  print("worst: %lu us late\n", worst / 1000);
  print("usual: %lu timers, 99 in 100 less than %lu us late\n", i, usual_limit(i));
  if (worst > limit)
    guest_fail("%lu us late, limit %lu us", worst / 1000, limit / 1000);
}
