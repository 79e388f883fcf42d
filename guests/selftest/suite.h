/*
 * The frame of the self-test: tables of named tests, and checks that end a test at the first thing that is wrong.
 */
#ifndef SUITE_H
#define SUITE_H

#include "../lib/guest.h"

struct test {
  const char *name;
  void (*run)(void);
};

/* Each file's table ends with a null name. They run in this order: later ones change what earlier ones rely on. */
extern const struct test version_tests[], console_tests[], sched_tests[], event_tests[], delivery_tests[], clock_tests[],
    timer_tests[], grant_tests[], grant_copy_tests[], memory_tests[], physmap_tests[], hvm_tests[], multicall_tests[],
    refused_tests[], cpuid_tests[], msr_tests[], processor_tests[], fpu_tests[], absent_tests[], vcpu_tests[],
    apic_tests[], apic_priority_tests[], apic_startup_tests[], smp_tests[], apic_smp_tests[], last_tests[], fifo_tests[];

void test_failed(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void test_skipped(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define FAIL(...) test_failed(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) test_skipped(__VA_ARGS__)
#define CHECK(condition)               \
  do {                                 \
    if (!(condition))                  \
      FAIL("not true: %s", #condition);   \
  } while (0)
/* Two integers that must be equal. */
#define EXPECT(got, want)                                                            \
  do {                                                                               \
    long got_ = (long)(got), want_ = (long)(want);                                   \
    if (got_ != want_)                                                               \
      FAIL("%s is %ld (%lx), expected %s = %ld", #got, got_, got_, #want, want_);       \
  } while (0)
/* A statement that must end in the exception. */
#define EXPECT_TRAP(vector, statement)                                               \
  do {                                                                               \
    int trap_ = TRAP_OF(statement);                                                  \
    if (trap_ != (vector))                                                           \
      FAIL("%s: exception %d instead of %s", #statement, trap_, #vector);                  \
  } while (0)

/* Time limit for expected events, ns: the machine may be stopped for seconds by its host. */
#define PATIENCE (10 * SECOND)
/* A canonical address that no page table of ours maps. */
#define UNMAPPED ((void *)0x600000000000)
/* A domain that does not exist: beyond any toolstack's reach, below DOMID_FIRST_RESERVED. */
#define NOBODY 0x7000
/* A sub-operation number that no version of Xen has. */
#define UNKNOWN_COMMAND 99

/* A RAM page for a test, and the same page's frame number. */
#define FRAME_OF(address) ((uint64_t)(address) >> 12)
/* Takes the page out of the domain (XENMEM_decrease_reservation) and gives a new one (XENMEM_populate_physmap). */
void balloon_out(void *page);
void balloon_in(void *page);
/*
 * Closes every port, and the domain can begin again: EVTCHNOP_reset's result. The console's port is closed too: the back
 * end's end of it becomes unbound, so that the guest binds to it once more.
 */
long events_reset(void);
/* Spins, without giving the CPU up, until the word is not zero or the time is over. */
bool spin_until(volatile uint64_t *word, uint64_t timeout_ns);

#endif
