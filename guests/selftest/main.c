/*
 * Runs the tables. Options: only=NAME runs one test, skip=NAME+NAME+... leaves some out. Lines: `ok NAME`, `not ok NAME detail`, `skip NAME reason`.
 */
#include "suite.h"

const char guest_name[] = "selftest";

static const struct test *const tables[] = {
    version_tests, console_tests,   sched_tests,   event_tests,     delivery_tests, clock_tests, timer_tests,
    grant_tests,   grant_copy_tests, memory_tests, physmap_tests,   hvm_tests,      multicall_tests, refused_tests,
    cpuid_tests,   msr_tests,       processor_tests, fpu_tests,     absent_tests,   vcpu_tests,
    apic_tests,    apic_priority_tests, apic_startup_tests, smp_tests, apic_smp_tests, last_tests, fifo_tests,
};

enum outcome { RUNNING, FAILED, SKIPPED };

static struct guard test_guard;
static enum outcome outcome;
static char detail[200];

static void end_test(void) {
  interrupts_off();
  innermost_guard = NULL;
  guard_restore(&test_guard);
}

void test_failed(const char *file, int line, const char *format, ...) {
  va_list arguments;
  const char *name = file;
  for (const char *at = file; *at; at++)
    if (*at == '/')
      name = at + 1;
  size_t length = format_text(detail, sizeof detail, "%s:%d ", name, line);
  va_start(arguments, format);
  format_list(detail + length, sizeof detail - length, format, arguments);
  va_end(arguments);
  outcome = FAILED;
  end_test();
  __builtin_unreachable();
}

void test_skipped(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  format_list(detail, sizeof detail, format, arguments);
  va_end(arguments);
  outcome = SKIPPED;
  end_test();
  __builtin_unreachable();
}

/* The guard catches both a check's end_test() and an exception that the test did not expect. */
static enum outcome run(const struct test *test) {
  outcome = RUNNING;
  innermost_guard = &test_guard;
  if (guard_save(&test_guard) == 0) {
    test->run();
  } else if (outcome == RUNNING) {
    outcome = FAILED;
    format_text(detail, sizeof detail, "exception %lu error %lx at %lx cr2 %lx", latest_trap.vector, latest_trap.error,
                latest_trap.rip, latest_trap.cr2);
  }
  innermost_guard = NULL;
  interrupts_off();
  return outcome;
}

void balloon_out(void *page) {
  xen_pfn_t frame = FRAME_OF(page);
  struct xen_memory_reservation reservation = {.nr_extents = 1, .domid = DOMID_SELF};
  set_xen_guest_handle(reservation.extent_start, &frame);
  EXPECT(memory_op(XENMEM_decrease_reservation, &reservation), 1);
}

void balloon_in(void *page) {
  xen_pfn_t frame = FRAME_OF(page);
  struct xen_memory_reservation reservation = {.nr_extents = 1, .domid = DOMID_SELF};
  set_xen_guest_handle(reservation.extent_start, &frame);
  EXPECT(memory_op(XENMEM_populate_physmap, &reservation), 1);
}

bool spin_until(volatile uint64_t *word, uint64_t timeout_ns) {
  uint64_t deadline = clock_ns() + timeout_ns;
  while (*word == 0)
    if (clock_ns() > deadline)
      return false;
  return true;
}

/* Whether a name is one of a list with + between. */
static bool is_listed(const char *list, const char *name) {
  while (*list) {
    const char *at = name;
    while (*at && *list == *at)
      list++, at++;
    if (!*at && (*list == '+' || !*list))
      return true;
    while (*list && *list++ != '+')
      ;
  }
  return false;
}

void guest_main(void) {
  unsigned passed = 0, failed = 0, skipped = 0;
  char only[64] = "", skip[256] = "";
  if (option_text("only"))
    format_text(only, sizeof only, "%s", option_text("only"));
  if (option_text("skip"))
    format_text(skip, sizeof skip, "%s", option_text("skip"));

  for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    for (const struct test *test = tables[i]; test->name; test++) {
      if ((only[0] && !text_equal(only, test->name)) || is_listed(skip, test->name))
        continue;
      switch (run(test)) {
        case RUNNING:
          passed++;
          print("ok %s\n", test->name);
          break;
        case SKIPPED:
          skipped++;
          print("skip %s %s\n", test->name, detail);
          break;
        case FAILED:
          failed++;
          print("not ok %s %s\n", test->name, detail);
      }
    }
  }
  print("selftest: %u ok, %u not ok, %u skipped\n", passed, failed, skipped);
  if (failed)
    guest_fail("%u of %u tests", failed, passed + failed);
  if (passed + skipped == 0)
    guest_fail("no test named %s", only);
}
