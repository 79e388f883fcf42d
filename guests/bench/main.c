/*
 * Prints the cost of operations, one line each: `bench NAME value unit`, the median of many. Unit `ticks` is the TSC's: under
 * QEMU's -icount shift=0 that is instructions, of guest and hypervisor together.
 *
 * Options: none measures what one domain can; only=NAME one row of that. role=pong remote=ID answers event channels of the
 * domain ID, role=ping remote=ID measures round trips to it. See README.md for the meeting of the two. role=parent, for a
 * domain 0 alone: builds the other domain from its boot module and measures that as well.
 */
#include "bench.h"

const char guest_name[] = "bench";

uint64_t samples[SAMPLES];

static void sort(uint64_t *values, unsigned count) {
  for (unsigned gap = count / 2; gap > 0; gap /= 2)
    for (unsigned i = gap; i < count; i++) {
      uint64_t value = values[i];
      unsigned at = i;
      for (; at >= gap && values[at - gap] > value; at -= gap)
        values[at] = values[at - gap];
      values[at] = value;
    }
}

void report(const char *name, unsigned count, const char *unit) {
  sort(samples, count);
  print("bench %s %lu %s\n", name, samples[count / 2], unit);
}

uint64_t tick_overhead;

void measure_overhead(void) {
  for (unsigned i = 0; i < SAMPLES; i++) {
    uint64_t start = rdtsc();
    samples[i] = rdtsc() - start;
  }
  sort(samples, SAMPLES);
  tick_overhead = samples[SAMPLES / 2];
}

void guest_main(void) {
  static char role_text[16];
  const char *role = option_text("role");
  if (role) {
    format_text(role_text, sizeof role_text, "%s", role);
    role = role_text;
  }
  measure_overhead();
  if (!role)
    bench_operations();
  else if (text_equal(role, "ping"))
    bench_ping(option_number("remote", 0));
  else if (text_equal(role, "pong"))
    bench_pong(option_number("remote", 0));
  else if (text_equal(role, "parent"))
    bench_parent();
  else
    guest_fail("role=%s: ping, pong and parent are known", role);
}
