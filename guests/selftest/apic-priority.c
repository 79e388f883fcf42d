/*
 * Interrupts of a vCPU's local APIC to itself: which comes when, by the priorities of vectors, of the task (TPR, CR8) and
 * of what is in service.
 */
#include "apic.h"

static void apic_self_ipi(void) {
  apic_start();
  apic_write(APIC_ICR, ICR_SELF | VECTOR_A);
  CHECK(apic_read(APIC_IRR + VECTOR_A / 32 * 16) >> VECTOR_A % 32 & 1);
  EXPECT(taken_count, 0);
  open_window();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_A);
  CHECK(in_service);
  EXPECT(apic_read(APIC_IRR + VECTOR_A / 32 * 16), 0);
  EXPECT(apic_read(APIC_ISR + VECTOR_A / 32 * 16), 0);
  /* By its id, by everybody's, and with interrupts on. */
  interrupts_on();
  apic_write(APIC_ICR_HIGH, 0);
  apic_write(APIC_ICR, VECTOR_B);
  apic_write(APIC_ICR_HIGH, 0xff000000);
  apic_write(APIC_ICR, VECTOR_C);
  interrupts_off();
  EXPECT(taken_count, 3);
  EXPECT(taken[1], VECTOR_B);
  EXPECT(taken[2], VECTOR_C);
  /* Others than itself. */
  apic_write(APIC_ICR, ICR_OTHERS | VECTOR_B);
  open_window();
  EXPECT(taken_count, 3);
  apic_reset();
}

static void apic_priority(void) {
  apic_start();
  apic_write(APIC_ICR, ICR_SELF | VECTOR_A);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_B);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_D);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  open_window();
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(taken_count, 4);
  EXPECT(taken[0], VECTOR_D);
  EXPECT(taken[1], VECTOR_C);
  EXPECT(taken[2], VECTOR_B);
  EXPECT(taken[3], VECTOR_A);
  apic_reset();
}

static void apic_task_priority(void) {
  apic_start();
  apic_write(APIC_TPR, 0x70);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  open_window();
  EXPECT(taken_count, 0);
  EXPECT(apic_read(APIC_PPR), 0x70);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_D);
  open_window();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_D);
  interrupts_on();
  apic_write(APIC_TPR, 0x60);
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(taken_count, 2);
  apic_reset();
}

/* CR8 is the upper half of the task priority. */
static void apic_cr8(void) {
  apic_start();
  apic_write(APIC_TPR, 0x70);
  EXPECT(read_cr8(), 7);
  write_cr8(8);
  EXPECT(apic_read(APIC_TPR), 0x80);
  EXPECT(read_cr8(), 8);
  apic_reset();
  EXPECT(read_cr8(), 0);
}

/* Every value, written by either and read by the other, and what becomes of it across exits. */
static void apic_cr8_values(void) {
  apic_start();
  for (uint64_t value = 0; value < 16; value++) {
    write_cr8(value);
    EXPECT(apic_read(APIC_TPR), value << 4);
    EXPECT(apic_read(APIC_PPR), value << 4);
    EXPECT(read_cr8(), value);
  }
  for (uint64_t value = 0; value < 16; value++) {
    apic_write(APIC_TPR, value << 4);
    EXPECT(read_cr8(), value);
  }
  write_cr8(9);
  cpuid(0, 0);
  EXPECT(xen_version(XENVER_version, NULL) >> 16, 4);
  sched_op(SCHEDOP_yield, NULL);
  sleep_ns(MILLISECOND);
  EXPECT(read_cr8(), 9);
  EXPECT(apic_read(APIC_TPR), 0x90);
  apic_reset();
}

static void apic_cr8_x2(void) {
  apic_start();
  wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_X2);
  write_cr8(11);
  EXPECT(rdmsr(MSR_X2(APIC_TPR)), 0xb0);
  EXPECT(rdmsr(MSR_X2(APIC_PPR)), 0xb0);
  wrmsr(MSR_X2(APIC_TPR), 0x40);
  EXPECT(read_cr8(), 4);
  apic_reset();
}

/* What is above CR8 comes, and finds CR8 as it was. */
static void apic_cr8_higher(void) {
  apic_start();
  write_cr8(VECTOR_D >> 4);
  write_cr8((VECTOR_D >> 4) - 1);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_D);
  open_window();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_D);
  EXPECT(cr8_taken, (VECTOR_D >> 4) - 1);
  EXPECT(read_cr8(), (VECTOR_D >> 4) - 1);
  apic_reset();
}

/* Writing it lets in what waited. */
static void apic_cr8_delivers(void) {
  apic_start();
  write_cr8(8);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  open_window();
  EXPECT(taken_count, 0);
  interrupts_on();
  write_cr8(6);
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_C);
  EXPECT(cr8_taken, 6);
  apic_reset();
}

/* Of several each when CR8 falls below its class, no sooner. */
static void apic_cr8_steps(void) {
  apic_start();
  write_cr8(15);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_A);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_D);
  interrupts_on();
  for (uint64_t value = 15; value-- > 0;) {
    write_cr8(value);
    __asm__ volatile("nop; nop");
    unsigned expected = (value < VECTOR_D >> 4) + (value < VECTOR_C >> 4) + (value < VECTOR_A >> 4);
    if (taken_count != expected) {
      interrupts_off();
      FAIL("%u taken at CR8 %lu, not %u", taken_count, value, expected);
    }
  }
  interrupts_off();
  EXPECT(taken[0], VECTOR_D);
  EXPECT(taken[1], VECTOR_C);
  EXPECT(taken[2], VECTOR_A);
  apic_reset();
}

/* One that could be taken but for interrupts being off is held by a CR8 that rises before they are on. */
static void apic_cr8_raised(void) {
  apic_start();
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  write_cr8(VECTOR_C >> 4);
  open_window();
  cpuid(0, 0);
  open_window();
  EXPECT(taken_count, 0);
  write_cr8((VECTOR_C >> 4) - 1);
  EXPECT(taken_count, 0);
  open_window();
  EXPECT(taken_count, 1);
  apic_reset();
}

/* What CR8 holds does not end HLT. */
static void apic_cr8_halt(void) {
  apic_start();
  write_cr8(VECTOR_C >> 4);
  apic_write(APIC_ICR, ICR_SELF | VECTOR_C);
  uint64_t start = clock_ns();
  sleep_ns(5 * MILLISECOND);
  CHECK(clock_ns() - start >= 5 * MILLISECOND);
  EXPECT(taken_count, 0);
  write_cr8(0);
  open_window();
  EXPECT(taken_count, 1);
  apic_reset();
}

static void apic_x2_interrupts(void) {
  apic_start();
  wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_X2);
  wrmsr(MSR_X2(APIC_SELF_IPI), VECTOR_A);
  open_window();
  EXPECT(taken_count, 1);
  CHECK(in_service);
  wrmsr(MSR_X2(APIC_ICR), VECTOR_B); /* to id 0 */
  wrmsr(MSR_X2(APIC_ICR), 1ul << 32 | ICR_LOGICAL | VECTOR_C);
  wrmsr(MSR_X2(APIC_ICR), 0xfful << 32 | VECTOR_D); /* to nobody: ids have 32 bits */
  open_window();
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(taken_count, 3);
  EXPECT(taken[1], VECTOR_C);
  EXPECT(taken[2], VECTOR_B);
  apic_reset();
}

/* Each NMI but the last sends another, which comes when its handler has returned: it has the same stack. */
static volatile uint64_t nmis, nmis_wanted;
static void take_nmi(struct trap_frame *frame) {
  (void)frame;
  if (++nmis < nmis_wanted)
    apic_write(APIC_ICR, ICR_SELF | ICR_NMI);
}
static void apic_nmi_again(void) {
  apic_start();
  traps_set_handler(2, take_nmi);
  for (unsigned interrupts = 0; interrupts < 2; interrupts++) {
    nmis = 0;
    nmis_wanted = 3;
    if (interrupts)
      interrupts_on();
    apic_write(APIC_ICR, ICR_SELF | ICR_NMI);
    uint64_t deadline = clock_ns() + PATIENCE;
    while (nmis < nmis_wanted && clock_ns() < deadline)
      cpuid(0, 0);
    interrupts_off();
    EXPECT(nmis, 3);
  }
  traps_set_handler(2, NULL);
  apic_reset();
}

const struct test apic_priority_tests[] = {
    {"apic-self-ipi", apic_self_ipi},
    {"apic-priority", apic_priority},
    {"apic-task-priority", apic_task_priority},
    {"apic-cr8", apic_cr8},
    {"apic-cr8-values", apic_cr8_values},
    {"apic-cr8-x2", apic_cr8_x2},
    {"apic-cr8-higher", apic_cr8_higher},
    {"apic-cr8-delivers", apic_cr8_delivers},
    {"apic-cr8-steps", apic_cr8_steps},
    {"apic-cr8-raised", apic_cr8_raised},
    {"apic-cr8-halt", apic_cr8_halt},
    {"apic-x2-interrupts", apic_x2_interrupts},
    {"apic-nmi-again", apic_nmi_again},
    {NULL, NULL},
};
