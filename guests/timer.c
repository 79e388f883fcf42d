/*
 * Sets a single-shot timer again and again and prints how late each came. Options: count=N (25), period=MS (20),
 * limit=MS (200): later than that is a failure; obey: ends before the last when its operator asks it to.
 */
#include "lib/guest.h"

const char guest_name[] = "timer";

void guest_main(void) {
  uint64_t count = option_number("count", 25);
  uint64_t period = option_number("period", 20) * MILLISECOND;
  uint64_t limit = option_number("limit", 200) * MILLISECOND;
  uint64_t worst = 0;
  evtchn_port_t port = timer_port();
  bool obeys = option_present("obey");
  for (uint64_t i = 0; i < count && !(obeys && store_shutdown_asked()); i++) {
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
    print("timer %lu: %lu us late\n", i, (now - deadline) / 1000);
    worst = now - deadline > worst ? now - deadline : worst;
  }
  print("worst: %lu us late\n", worst / 1000);
  if (worst > limit)
    guest_fail("%lu us late, limit %lu us", worst / 1000, limit / 1000);
}
