/*
 * Interprocessor interrupts between local APICs, INIT and SIPI.
 */
#include "apic.h"

/* 16-bit code: stores CS and the state of CR0, and halts with interrupts off, which takes the vCPU down. */
static const uint8_t trampoline[] = {
    0x8c, 0xc8,                   /* mov %cs, %ax */
    0x2e, 0xa3, 0x80, 0x00,       /* mov %ax, %cs:0x80 */
    0x0f, 0x20, 0xc0,             /* mov %cr0, %eax */
    0x66, 0x2e, 0xa3, 0x84, 0x00, /* mov %eax, %cs:0x84 */
    0x2e, 0x83, 0x06, 0x88, 0x00, 0x01, /* addw $1, %cs:0x88 */
    0xfa, 0xf4,                   /* cli; hlt */
};
#define TRAMPOLINE 0x8000

static void send_to(uint32_t id, uint32_t icr) {
  apic_write(APIC_ICR_HIGH, id << 24);
  apic_write(APIC_ICR, icr);
}

static bool await_word(volatile uint16_t *word, uint16_t value) {
  uint64_t deadline = clock_ns() + PATIENCE;
  while (*word != value && clock_ns() < deadline)
    sched_op(SCHEDOP_yield, NULL);
  return *word == value;
}

static bool await_down(void) {
  uint64_t deadline = clock_ns() + PATIENCE;
  while (vcpu_op(VCPUOP_is_up, 1, NULL) != 0 && clock_ns() < deadline)
    sched_op(SCHEDOP_yield, NULL);
  return vcpu_op(VCPUOP_is_up, 1, NULL) == 0;
}

static void apic_startup(void) {
  if (smp_count() < 2)
    SKIP("the domain has one vCPU");
  uint8_t *page = (uint8_t *)TRAMPOLINE;
  uint8_t saved[0x90];
  memcpy(saved, page, sizeof saved);
  memset(page, 0, sizeof saved);
  memcpy(page, trampoline, sizeof trampoline);
  volatile uint16_t *starts = (volatile uint16_t *)(page + 0x88);
  apic_start();
  send_to(2, ICR_INIT);
  EXPECT(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
  send_to(2, ICR_STARTUP | TRAMPOLINE >> 12);
  bool first = await_word(starts, 1);
  uint16_t cs = *(volatile uint16_t *)(page + 0x80);
  uint32_t cr0 = *(volatile uint32_t *)(page + 0x84);
  bool down = await_down();
  /* It waits for no SIPI: without effect. After an INIT it does. */
  send_to(2, ICR_STARTUP | TRAMPOLINE >> 12);
  sched_op(SCHEDOP_yield, NULL);
  uint16_t again = *starts;
  send_to(2, ICR_INIT);
  send_to(2, ICR_STARTUP | TRAMPOLINE >> 12);
  bool second = await_word(starts, 2);
  await_down();
  send_to(2, ICR_INIT);
  apic_reset();
  memcpy(page, saved, sizeof saved);
  CHECK(first);
  EXPECT(cs, TRAMPOLINE >> 4);
  EXPECT(cr0 & 0x80000001, 0);
  CHECK(down);
  EXPECT(again, 1);
  CHECK(second);
}

const struct test apic_startup_tests[] = {
    {"apic-startup", apic_startup},
    {NULL, NULL},
};

/* --- Between two vCPUs: after smp.c has started the second ------------------------------------------------------------- */

static volatile uint64_t taken_by[MAX_CPUS], nmis_by[MAX_CPUS];

static void take_ipi(struct trap_frame *frame) {
  (void)frame;
  taken_by[this_cpu()->id]++;
  end_of_interrupt();
}
static void take_nmi(struct trap_frame *frame) {
  (void)frame;
  nmis_by[this_cpu()->id]++;
}

static void second_starts(void) {
  apic_reset();
  apic_write(APIC_LDR, 0x02000000);
  apic_write(APIC_SVR, SVR_ENABLE | 0xff);
}
static volatile uint64_t second_id;
static void second_shows(void) { second_id = (uint64_t)cpuid(1, 0).ebx >> 24 << 32 | apic_read(APIC_ID) >> 24; }

static void need_both(void) {
  if (smp_count() < 2)
    SKIP("the domain has one vCPU");
  EXPECT(smp_start(1), 0);
  apic_start();
  apic_write(APIC_LDR, 0x01000000);
  smp_run(1, second_starts);
  CHECK(smp_wait(1));
  traps_set_handler(VECTOR_A, take_ipi);
  taken_by[0] = taken_by[1] = 0;
}

static void apic_ipi_ids(void) {
  need_both();
  smp_run(1, second_shows);
  CHECK(smp_wait(1));
  EXPECT(second_id, 2ul << 32 | 2);
  apic_reset();
}

/* Waits until the second vCPU has taken so many, and no more. */
static bool second_takes(unsigned count) {
  uint64_t deadline = clock_ns() + PATIENCE;
  while (taken_by[1] < count && clock_ns() < deadline)
    sched_op(SCHEDOP_yield, NULL);
  return taken_by[1] == count;
}

static void apic_ipi(void) {
  need_both();
  send_to(2, VECTOR_A);
  CHECK(spin_until(&taken_by[1], PATIENCE));
  send_to(0, ICR_OTHERS | VECTOR_A);
  CHECK(second_takes(2));
  EXPECT(taken_by[0], 0);
  send_to(0, ICR_ALL | VECTOR_A);
  open_window();
  EXPECT(taken_by[0], 1);
  CHECK(second_takes(3));
  send_to(2, ICR_LOGICAL | VECTOR_A);
  send_to(1, ICR_LOGICAL | VECTOR_A);
  open_window();
  EXPECT(taken_by[0], 2);
  CHECK(second_takes(4));
  apic_reset();
}

/* One of the two takes it, and each in its turn. */
static void apic_ipi_lowest(void) {
  need_both();
  for (unsigned i = 1; i <= 8; i++) {
    send_to(3, ICR_LOGICAL | ICR_LOWEST | VECTOR_A);
    uint64_t deadline = clock_ns() + PATIENCE;
    while (taken_by[0] + taken_by[1] < i && clock_ns() < deadline) {
      open_window();
      sched_op(SCHEDOP_yield, NULL);
    }
    EXPECT(taken_by[0] + taken_by[1], i);
  }
  EXPECT(taken_by[0], 4);
  apic_reset();
}

/* Each vCPU has its own CR8, and the lower one decides who takes a lowest-priority interrupt. */
static volatile uint64_t second_cr8, second_tpr;
static void second_writes(void) { write_cr8(second_cr8); }
static void second_reads(void) {
  second_cr8 = read_cr8();
  second_tpr = apic_read(APIC_TPR);
}
static void apic_ipi_cr8(void) {
  need_both();
  write_cr8(4);
  second_cr8 = 2;
  smp_run(1, second_writes);
  CHECK(smp_wait(1));
  EXPECT(read_cr8(), 4);
  for (unsigned i = 1; i <= 4; i++) {
    send_to(3, ICR_LOGICAL | ICR_LOWEST | VECTOR_A);
    CHECK(second_takes(i));
  }
  open_window();
  EXPECT(taken_by[0], 0);
  second_cr8 = 0;
  smp_run(1, second_reads);
  CHECK(smp_wait(1));
  EXPECT(second_cr8, 2);
  EXPECT(second_tpr, 0x20);
  EXPECT(apic_read(APIC_TPR), 0x40);
  second_cr8 = 0;
  smp_run(1, second_writes);
  CHECK(smp_wait(1));
  apic_reset();
}

static void apic_ipi_nmi(void) {
  need_both();
  traps_set_handler(2, take_nmi);
  nmis_by[0] = nmis_by[1] = 0;
  send_to(2, ICR_NMI);
  bool there = spin_until(&nmis_by[1], PATIENCE);
  traps_set_handler(2, NULL);
  CHECK(there);
  EXPECT(nmis_by[1], 1);
  EXPECT(nmis_by[0], 0);
  apic_reset();
}

/* An upcall by the vCPU's own vector is a message to its APIC: taken once, ended with an EOI. */
static void apic_upcall_vector(void) {
  apic_start();
  long port = event_bind_ipi(0);
  CHECK(port > 0);
  event_handle(port, NULL);
  struct xen_hvm_evtchn_upcall_vector request = {.vcpu = 0, .vector = VECTOR_A};
  EXPECT(hvm_op(HVMOP_set_evtchn_upcall_vector, &request), 0);
  open_window();
  taken_count = 0;
  uint64_t seen = event_count(port);
  EXPECT(event_send(port), 0);
  open_window();
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_A);
  CHECK(in_service);
  EXPECT(event_count(port), seen + 1); /* the callback vector came, too */
  /* The vector stays, and Xen wakes such a vCPU only through an APIC that is on: so this one stays on for later tests. */
  event_ignore(port);
  EXPECT(event_close(port), 0);
}

const struct test apic_smp_tests[] = {
    {"apic-ipi-ids", apic_ipi_ids},
    {"apic-ipi", apic_ipi},
    {"apic-ipi-lowest", apic_ipi_lowest},
    {"apic-ipi-cr8", apic_ipi_cr8},
    {"apic-ipi-nmi", apic_ipi_nmi},
    {"apic-upcall-vector", apic_upcall_vector},
    {NULL, NULL},
};
