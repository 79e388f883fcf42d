/*
 * vCPU timers: set_timer_op, VCPUOP_set_singleshot_timer, VCPUOP_set_periodic_timer (Xen's public/vcpu.h).
 */
#include "suite.h"

static long singleshot(unsigned vcpu, uint64_t deadline_ns, uint32_t flags) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline_ns, .flags = flags};
  return vcpu_op(VCPUOP_set_singleshot_timer, vcpu, &timer);
}

static long periodic(uint64_t period_ns) {
  struct vcpu_set_periodic_timer timer = {.period_ns = period_ns};
  return vcpu_op(VCPUOP_set_periodic_timer, 0, &timer);
}

/* Halts until the timer's event came once more; fails when there is none. */
static uint64_t wait_for_tick(uint64_t seen) {
  evtchn_port_t port = timer_port();
  uint64_t deadline = clock_ns() + PATIENCE;
  while (event_count(port) == seen) {
    interrupts_on();
    cpu_relax();
    interrupts_off();
    if (clock_ns() > deadline)
      FAIL("no tick");
  }
  return clock_ns();
}

static void timer_singleshot(void) {
  uint64_t seen = event_count(timer_port()), start = clock_ns();
  EXPECT(singleshot(0, start + 5 * MILLISECOND, 0), 0);
  CHECK(wait_for_tick(seen) >= start + 5 * MILLISECOND);
  EXPECT(event_count(timer_port()), seen + 1);
}

/* A deadline that is over raises the event at once. */
static void timer_singleshot_past(void) {
  uint64_t seen = event_count(timer_port());
  EXPECT(singleshot(0, 1, 0), 0);
  CHECK(event_pending(timer_port()));
  wait_for_tick(seen);
}

/* Spins with interrupts on. */
static void let_pass(uint64_t duration_ns) {
  uint64_t until = clock_ns() + duration_ns;
  interrupts_on();
  while (clock_ns() < until)
    cpu_relax();
  interrupts_off();
}

/*
 * Whether a deadline was still ahead just now: a busy machine may have stopped this one in the middle of a test, which is
 * then made again.
 */
static bool still_ahead(uint64_t deadline_ns, int *attempts) {
  if (clock_ns() < deadline_ns)
    return true;
  if (++*attempts == 20)
    SKIP("the machine is too busy: 20 attempts were interrupted");
  let_pass(MILLISECOND);
  return false;
}

/* A new deadline takes the old one's place. */
static void timer_singleshot_replaced(void) {
  uint64_t seen, start;
  int attempts = 0;
  do {
    start = clock_ns();
    EXPECT(singleshot(0, start + 5 * MILLISECOND, 0), 0);
    EXPECT(singleshot(0, start + 20 * MILLISECOND, 0), 0);
    seen = event_count(timer_port());
  } while (!still_ahead(start + 5 * MILLISECOND, &attempts));
  CHECK(wait_for_tick(seen) >= start + 20 * MILLISECOND);
}

static void timer_singleshot_stopped(void) {
  uint64_t seen, start;
  int attempts = 0;
  do {
    start = clock_ns();
    EXPECT(singleshot(0, start + 20 * MILLISECOND, 0), 0);
    EXPECT(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
    seen = event_count(timer_port());
  } while (!still_ahead(start + 20 * MILLISECOND, &attempts));
  let_pass(40 * MILLISECOND);
  EXPECT(event_count(timer_port()), seen);
}

static void timer_singleshot_errors(void) {
  EXPECT(singleshot(1000, clock_ns() + SECOND, 0), -XEN_ENOENT);
  EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, UNMAPPED), -XEN_EFAULT);
  if (smp_count() > 1) {
    /* Only a vCPU itself may set its timer. */
    EXPECT(singleshot(1, clock_ns() + SECOND, 0), -XEN_EINVAL);
    EXPECT(vcpu_op(VCPUOP_stop_singleshot_timer, 1, NULL), -XEN_EINVAL);
  }
}

static void timer_set_timer_op(void) {
  uint64_t seen = event_count(timer_port()), start = clock_ns();
  EXPECT(set_timer_op(start + 5 * MILLISECOND), 0);
  CHECK(wait_for_tick(seen) >= start + 5 * MILLISECOND);
  /* 0 stops it. */
  int attempts = 0;
  do {
    start = clock_ns();
    EXPECT(set_timer_op(start + 20 * MILLISECOND), 0);
    EXPECT(set_timer_op(0), 0);
    seen = event_count(timer_port());
  } while (!still_ahead(start + 20 * MILLISECOND, &attempts));
  let_pass(40 * MILLISECOND);
  EXPECT(event_count(timer_port()), seen);
}

/* An absurd deadline means "some time soon" (100 ms) to Xen, not "never". */
static void timer_set_timer_op_huge(void) {
  uint64_t seen = event_count(timer_port()), start = clock_ns();
  EXPECT(set_timer_op(1ull << 62), 0);
  uint64_t end = wait_for_tick(seen);
  CHECK(end >= start + 90 * MILLISECOND);
}

static void timer_periodic(void) {
  evtchn_port_t port = timer_port();
  uint64_t start = clock_ns(), first = event_count(port);
  EXPECT(periodic(5 * MILLISECOND), 0);
  for (int i = 0; i < 5; i++)
    wait_for_tick(event_count(port));
  EXPECT(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
  uint64_t end = clock_ns();
  CHECK(event_count(port) >= first + 5);
  CHECK(end >= start + 20 * MILLISECOND);
  /* Stopped: at most the one that was under way. */
  let_pass(0);
  uint64_t seen = event_count(port);
  let_pass(20 * MILLISECOND);
  EXPECT(event_count(port), seen);
}

static void timer_periodic_errors(void) {
  EXPECT(periodic(MILLISECOND - 1), -XEN_EINVAL);
  EXPECT(periodic(0), -XEN_EINVAL);
  EXPECT(periodic(~0ull), -XEN_EINVAL);
  EXPECT(vcpu_op(VCPUOP_set_periodic_timer, 0, UNMAPPED), -XEN_EFAULT);
  EXPECT(vcpu_op(VCPUOP_stop_periodic_timer, 1000, NULL), -XEN_ENOENT);
}

const struct test timer_tests[] = {
    {"timer-singleshot", timer_singleshot},
    {"timer-singleshot-past", timer_singleshot_past},
    {"timer-singleshot-replaced", timer_singleshot_replaced},
    {"timer-singleshot-stopped", timer_singleshot_stopped},
    {"timer-singleshot-errors", timer_singleshot_errors},
    {"timer-set-timer-op", timer_set_timer_op},
    {"timer-set-timer-op-huge", timer_set_timer_op_huge},
    {"timer-periodic", timer_periodic},
    {"timer-periodic-errors", timer_periodic_errors},
    {NULL, NULL},
};
