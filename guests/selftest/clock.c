/*
 * pvclock, wall clock and TSC.
 */
#include "suite.h"

static void clock_record(void) {
  const struct vcpu_time_info *time = &this_cpu()->info->time;
  CHECK((time->version & 1) == 0);
  CHECK(time->tsc_to_system_mul != 0);
  CHECK(clock_tsc_khz() > 1000);
  CHECK(clock_ns() > 0);
}

static void clock_monotonic(void) {
  uint64_t last = clock_ns();
  for (int i = 0; i < 100000; i++) {
    uint64_t now = clock_ns();
    if (now < last)
      FAIL("went back by %lu ns", last - now);
    last = now;
  }
}

/* It also runs while the domain sleeps, is preempted and makes exits. */
static void clock_monotonic_across_exits(void) {
  uint64_t last = clock_ns();
  for (int i = 0; i < 200; i++) {
    if (i % 20 == 0)
      sleep_ns(MILLISECOND);
    sched_op(SCHEDOP_yield, NULL);
    cpuid(0, 0);
    uint64_t now = clock_ns();
    if (now < last)
      FAIL("went back by %lu ns", last - now);
    last = now;
  }
}

/* The clock's time and, in `tsc`, the counter at that time: read again when the machine was stopped between the two. */
static uint64_t clock_and_tsc(uint64_t *tsc) {
  uint64_t before, after;
  int attempts = 0;
  do {
    before = clock_ns();
    *tsc = rdtsc();
    after = clock_ns();
  } while (after - before > 100 * MICROSECOND && ++attempts < 100);
  return before;
}

static void clock_sleep(void) {
  uint64_t start_tsc, end_tsc, start = clock_and_tsc(&start_tsc);
  sleep_ns(30 * MILLISECOND);
  uint64_t elapsed = clock_and_tsc(&end_tsc) - start, ticks = end_tsc - start_tsc;
  CHECK(elapsed >= 30 * MILLISECOND);
  CHECK(elapsed < PATIENCE);
  /* TSC frequency as stated, to 2 per cent. */
  uint64_t khz = ticks * 1000000 / elapsed, stated = clock_tsc_khz();
  CHECK(khz > stated - stated / 50 && khz < stated + stated / 50);
}

/* HVMOP_get_time tells the same time. */
static void clock_hypercall(void) {
  struct xen_hvm_get_time time;
  uint64_t before = clock_ns();
  EXPECT(hvm_op(HVMOP_get_time, &time), 0);
  uint64_t after = clock_ns();
  /* Two clocks: a millisecond of calibration error is granted. */
  CHECK(time.now + MILLISECOND >= before);
  CHECK(time.now <= after + MILLISECOND);
}

static void clock_wall(void) {
  uint32_t nanoseconds;
  CHECK((shared_info->wc_version & 1) == 0);
  CHECK(shared_info->wc_nsec < SECOND);
  uint64_t seconds = clock_wall_seconds(&nanoseconds);
  /* From 2000 (a simulator's fixed clock) to 2100. */
  CHECK(seconds >= 946684000);
  CHECK(seconds < 4102444800);
  CHECK(nanoseconds < SECOND);
  uint64_t first = seconds * SECOND + nanoseconds;
  sleep_ns(10 * MILLISECOND);
  seconds = clock_wall_seconds(&nanoseconds);
  uint64_t passed = seconds * SECOND + nanoseconds - first;
  CHECK(passed >= 10 * MILLISECOND && passed < PATIENCE);
}

static void clock_tsc_cpuid(void) {
  struct cpuid_result leaf = cpuid(xen_leaf + 3, 0);
  uint64_t stated = clock_tsc_khz();
  CHECK(leaf.ecx > stated - stated / 50 && leaf.ecx < stated + stated / 50);
}

const struct test clock_tests[] = {
    {"clock-record", clock_record},
    {"clock-monotonic", clock_monotonic},
    {"clock-monotonic-across-exits", clock_monotonic_across_exits},
    {"clock-sleep", clock_sleep},
    {"clock-hypercall", clock_hypercall},
    {"clock-wall", clock_wall},
    {"clock-tsc-cpuid", clock_tsc_cpuid},
    {NULL, NULL},
};
