/*
 * The local APIC of each vCPU: registers in memory and as MSRs, priorities, timer, errors, interprocessor interrupts, INIT
 * and SIPI.
 */
#include "suite.h"

#define APIC_PAGE 0xfee00000ul
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_ERROR 0x370
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_SELF_IPI 0x3f0

#define SVR_ENABLE 0x100
#define LVT_MASKED 0x10000
#define TIMER_PERIODIC 0x20000
#define TIMER_DEADLINE 0x40000
#define DIVIDE_BY_1 0xb
#define ICR_NMI 0x400
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define ICR_LOWEST 0x100
#define ICR_LOGICAL 0x800
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000
#define ESR_SEND_ILLEGAL 0x20
#define ESR_RECEIVE_ILLEGAL 0x40

#define BASE_BOOT_CPU 0x100ul
#define BASE_X2 0x400ul
#define BASE_ENABLE 0x800ul
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2(register) (0x800 + ((register) >> 4))

/* Vectors of these tests, of four priority classes. */
#define VECTOR_A 0x51
#define VECTOR_B 0x72
#define VECTOR_C 0x75
#define VECTOR_D 0x93

static volatile uint32_t *apic_register(unsigned offset) { return (volatile uint32_t *)(APIC_PAGE + offset); }
static uint32_t apic_read(unsigned offset) { return *apic_register(offset); }
static void apic_write(unsigned offset, uint32_t value) { *apic_register(offset) = value; }
static bool x2_mode(void) { return (rdmsr(MSR_APIC_BASE) & BASE_X2) != 0; }

static void end_of_interrupt(void) {
  if (x2_mode())
    wrmsr(MSR_X2(APIC_EOI), 0);
  else
    apic_write(APIC_EOI, 0);
}

/* Vectors as they came, and whether the APIC said that they are in service. */
static volatile unsigned taken_count;
static volatile uint8_t taken[16];
static volatile bool in_service;

static void take(struct trap_frame *frame) {
  unsigned vector = frame->vector;
  uint32_t word = x2_mode() ? rdmsr(MSR_X2(APIC_ISR + (vector / 32) * 16)) : apic_read(APIC_ISR + (vector / 32) * 16);
  in_service = word >> vector % 32 & 1;
  taken[taken_count++ % sizeof taken] = vector;
  end_of_interrupt();
}

static void open_window(void) {
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
}

/* Disabled, then enabled by its base: as after power-on. Left so, it takes no interrupt. */
static void apic_reset(void) {
  uint64_t base = APIC_PAGE | (rdmsr(MSR_APIC_BASE) & BASE_BOOT_CPU);
  wrmsr(MSR_APIC_BASE, base);
  wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
}

static void apic_start(void) {
  static const uint8_t vectors[] = {VECTOR_A, VECTOR_B, VECTOR_C, VECTOR_D};
  for (unsigned i = 0; i < sizeof vectors; i++)
    traps_set_handler(vectors[i], take);
  apic_reset();
  taken_count = 0;
  apic_write(APIC_SVR, SVR_ENABLE | 0xff);
}

static void apic_cpuid(void) {
  struct cpuid_result leaf = cpuid(1, 0);
  CHECK(leaf.edx >> 9 & 1);
  CHECK(leaf.ecx >> 21 & 1);
  EXPECT(leaf.ebx >> 24, 0);
  struct cpuid_result topology = cpuid(0xb, 1);
  EXPECT(topology.edx, 0);
  EXPECT(topology.ecx & 0xff, 1);
  CHECK(!(cpuid(xen_leaf + 4, 0).eax & XEN_HVM_CPUID_APIC_ACCESS_VIRT));
  CHECK(!(cpuid(xen_leaf + 4, 0).eax & XEN_HVM_CPUID_X2APIC_VIRT));
  /* The bit follows the enable bit. */
  uint64_t base = rdmsr(MSR_APIC_BASE);
  wrmsr(MSR_APIC_BASE, base & ~BASE_ENABLE);
  unsigned off = cpuid(1, 0).edx >> 9 & 1;
  wrmsr(MSR_APIC_BASE, base);
  EXPECT(off, 0);
}

static void apic_registers(void) {
  apic_reset();
  EXPECT(rdmsr(MSR_APIC_BASE), APIC_PAGE | BASE_ENABLE | BASE_BOOT_CPU);
  EXPECT(apic_read(APIC_ID), 0);
  EXPECT(apic_read(APIC_VERSION), 0x50014);
  EXPECT(apic_read(APIC_SVR), 0xff);
  EXPECT(apic_read(APIC_DFR), 0xffffffff);
  for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
    EXPECT(apic_read(lvt), LVT_MASKED);
  apic_write(APIC_LVT_LINT0, 0x700);
  EXPECT(apic_read(APIC_LVT_LINT0), LVT_MASKED | 0x700); /* disabled by software */
  apic_write(APIC_SVR, 0xffffffff);
  EXPECT(apic_read(APIC_SVR), 0x3ff);
  apic_write(APIC_LVT_LINT0, 0x700);
  EXPECT(apic_read(APIC_LVT_LINT0), 0x700);
  apic_write(APIC_TPR, 0xffffff34);
  EXPECT(apic_read(APIC_TPR), 0x34);
  EXPECT(apic_read(APIC_PPR), 0x34);
  apic_write(APIC_LDR, 0xffffffff);
  EXPECT(apic_read(APIC_LDR), 0xff000000);
  apic_write(APIC_DFR, 0);
  EXPECT(apic_read(APIC_DFR), 0x0fffffff);
  apic_write(APIC_DIVIDE, 0xffffffff);
  EXPECT(apic_read(APIC_DIVIDE), 0xb);
  EXPECT(apic_read(0x3f0), 0);
  EXPECT(apic_read(0xff0), 0);
  apic_write(APIC_SVR, 0xff);
  EXPECT(apic_read(APIC_LVT_LINT0), LVT_MASKED | 0x700);
  apic_reset();
}

/* The moves that compilers make, and what drivers do with them. */
static void apic_access(void) {
  apic_reset();
  uint64_t value = 0;
  __asm__ volatile("movl $0x21, 0x80(%0)" : : "r"(APIC_PAGE) : "memory");
  EXPECT(apic_read(APIC_TPR), 0x21);
  __asm__ volatile("orl $0x12, 0x80(%0)" : : "r"(APIC_PAGE) : "memory");
  EXPECT(apic_read(APIC_TPR), 0x33);
  __asm__ volatile("movzbl 0x80(%1), %k0" : "=r"(value) : "r"(APIC_PAGE));
  EXPECT(value, 0x33);
  value = 0x44;
  __asm__ volatile("xchgl %k0, 0x80(%1)" : "+r"(value) : "r"(APIC_PAGE) : "memory");
  EXPECT(value, 0x33);
  EXPECT(apic_read(APIC_TPR), 0x44);
  __asm__ volatile("movb $0x5a, 0xd3(%0)" : : "r"(APIC_PAGE) : "memory");
  EXPECT(apic_read(APIC_LDR), 0x5a000000);
  uint32_t source = 0x66, target = 0;
  void *from = &source, *to = (void *)(APIC_PAGE + APIC_TPR);
  __asm__ volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
  EXPECT(apic_read(APIC_TPR), 0x66);
  from = (void *)(APIC_PAGE + APIC_VERSION);
  to = &target;
  __asm__ volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
  EXPECT(target, 0x50014);
  apic_reset();
}

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

static uint64_t read_cr8(void) {
  uint64_t value;
  __asm__ volatile("mov %%cr8, %0" : "=r"(value));
  return value;
}
static void write_cr8(uint64_t value) { __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory"); }

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

/* Writing it lets in what waited; it has four bits. */
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
  EXPECT_TRAP(VECTOR_GP, write_cr8(16));
  apic_reset();
}

/* Waits up to a second for so many interrupts. */
static bool await_taken(unsigned count) {
  uint64_t deadline = clock_ns() + SECOND;
  interrupts_on();
  while (taken_count < count && clock_ns() < deadline)
    cpu_relax();
  interrupts_off();
  return taken_count >= count;
}

static void apic_timer_one_shot(void) {
  apic_start();
  apic_write(APIC_DIVIDE, DIVIDE_BY_1);
  apic_write(APIC_LVT_TIMER, VECTOR_A);
  uint64_t start = clock_ns();
  apic_write(APIC_INITIAL, 5000000); /* 50 ms: the bus has 100 MHz */
  uint32_t count = apic_read(APIC_CURRENT);
  CHECK(count != 0 && count <= 5000000);
  CHECK(await_taken(1));
  uint64_t passed = clock_ns() - start;
  if (passed < 49900000)
    FAIL("50 ms are over after %lu ns", passed);
  EXPECT(apic_read(APIC_CURRENT), 0);
  EXPECT(apic_read(APIC_INITIAL), 5000000);
  uint64_t quiet = clock_ns() + 10 * MILLISECOND;
  interrupts_on();
  while (clock_ns() < quiet)
    cpu_relax();
  interrupts_off();
  EXPECT(taken_count, 1);
  /* It ends a HLT. */
  apic_write(APIC_INITIAL, 100000);
  interrupts_on_and_halt();
  interrupts_off();
  EXPECT(taken_count, 2);
  apic_reset();
}

static void apic_timer_periodic(void) {
  apic_start();
  apic_write(APIC_DIVIDE, 0); /* by 2 */
  apic_write(APIC_LVT_TIMER, TIMER_PERIODIC | VECTOR_A);
  uint64_t start = clock_ns();
  apic_write(APIC_INITIAL, 100000); /* 2 ms */
  CHECK(await_taken(5));
  uint64_t passed = clock_ns() - start;
  if (passed < 9900000)
    FAIL("five times 2 ms are over after %lu ns", passed);
  apic_write(APIC_INITIAL, 0);
  unsigned count = taken_count;
  uint64_t quiet = clock_ns() + 10 * MILLISECOND;
  interrupts_on();
  while (clock_ns() < quiet)
    cpu_relax();
  interrupts_off();
  CHECK(taken_count <= count + 1);
  apic_reset();
}

static void apic_timer_deadline(void) {
  if (!(cpuid(1, 0).ecx >> 24 & 1))
    SKIP("CPUID shows no TSC-deadline timer");
  apic_start();
  wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000);
  EXPECT(rdmsr(MSR_TSC_DEADLINE), 0); /* not in this mode */
  apic_write(APIC_LVT_TIMER, TIMER_DEADLINE | VECTOR_A);
  uint64_t deadline = rdtsc() + 5000000;
  wrmsr(MSR_TSC_DEADLINE, deadline);
  CHECK(await_taken(1));
  CHECK(rdtsc() >= deadline);
  EXPECT(rdmsr(MSR_TSC_DEADLINE), 0);
  wrmsr(MSR_TSC_DEADLINE, 1); /* gone by */
  CHECK(await_taken(2));
  apic_write(APIC_INITIAL, 1000);
  EXPECT(apic_read(APIC_INITIAL), 0);
  EXPECT(apic_read(APIC_CURRENT), 0);
  apic_reset();
}

/* Errors show once ESR has been written. */
static void apic_errors(void) {
  apic_start();
  apic_write(APIC_LVT_ERROR, VECTOR_B);
  apic_write(APIC_ESR, 0);
  EXPECT(apic_read(APIC_ESR), 0);
  apic_write(APIC_ICR, ICR_SELF | 5);
  apic_write(APIC_ESR, 0);
  EXPECT(apic_read(APIC_ESR), ESR_SEND_ILLEGAL);
  open_window();
  EXPECT(taken_count, 1);
  EXPECT(taken[0], VECTOR_B);
  apic_reset();
}

static void apic_error_cleared(void) {
  apic_start();
  apic_write(APIC_ICR, ICR_SELF | 5);
  apic_write(APIC_ESR, 0);
  apic_write(APIC_ESR, 0);
  EXPECT(apic_read(APIC_ESR), 0);
  apic_reset();
}

static void apic_modes(void) {
  uint64_t boot = BASE_BOOT_CPU | APIC_PAGE;
  volatile uint64_t value;
  apic_reset();
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(MSR_X2(APIC_ID)));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_EOI), 0));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, boot | BASE_X2));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE | 1));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE | 1ul << 52));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, 0xfed00000ul | BASE_BOOT_CPU | BASE_ENABLE)); /* it does not move */
  wrmsr(MSR_APIC_BASE, boot);
  EXPECT(apic_read(APIC_VERSION), 0xffffffff); /* absent */
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE | BASE_X2));
  wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE);
  wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE | BASE_X2);
  EXPECT(apic_read(APIC_VERSION), 0xffffffff);
  EXPECT(rdmsr(MSR_X2(APIC_VERSION)), 0x50014);
  EXPECT(rdmsr(MSR_X2(APIC_ID)), 0);
  EXPECT(rdmsr(MSR_X2(APIC_LDR)), 1);
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_APIC_BASE, boot | BASE_ENABLE));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(MSR_X2(APIC_DFR)));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(MSR_X2(APIC_ICR_HIGH)));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(MSR_X2(APIC_EOI)));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(MSR_X2(APIC_SELF_IPI)));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(0x8ff));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_ID), 0));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_LDR), 1));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_EOI), 1));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_TPR), 0x100));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_LVT_ERROR), 0x700));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_X2(APIC_ICR), 0x20000));
  apic_reset();
  EXPECT(apic_read(APIC_VERSION), 0x50014);
  (void)value;
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
  uint64_t deadline = clock_ns() + SECOND;
  while (*word != value && clock_ns() < deadline)
    sched_op(SCHEDOP_yield, NULL);
  return *word == value;
}

static bool await_down(void) {
  uint64_t deadline = clock_ns() + SECOND;
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

const struct test apic_tests[] = {
    {"apic-cpuid", apic_cpuid},
    {"apic-registers", apic_registers},
    {"apic-access", apic_access},
    {"apic-self-ipi", apic_self_ipi},
    {"apic-priority", apic_priority},
    {"apic-task-priority", apic_task_priority},
    {"apic-cr8", apic_cr8},
    {"apic-cr8-delivers", apic_cr8_delivers},
    {"apic-timer-one-shot", apic_timer_one_shot},
    {"apic-timer-periodic", apic_timer_periodic},
    {"apic-timer-deadline", apic_timer_deadline},
    {"apic-errors", apic_errors},
    {"apic-error-cleared", apic_error_cleared},
    {"apic-modes", apic_modes},
    {"apic-x2-interrupts", apic_x2_interrupts},
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
  uint64_t deadline = clock_ns() + SECOND;
  while (taken_by[1] < count && clock_ns() < deadline)
    sched_op(SCHEDOP_yield, NULL);
  return taken_by[1] == count;
}

static void apic_ipi(void) {
  need_both();
  send_to(2, VECTOR_A);
  CHECK(spin_until(&taken_by[1], SECOND));
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
    uint64_t deadline = clock_ns() + SECOND;
    while (taken_by[0] + taken_by[1] < i && clock_ns() < deadline) {
      open_window();
      sched_op(SCHEDOP_yield, NULL);
    }
    EXPECT(taken_by[0] + taken_by[1], i);
  }
  EXPECT(taken_by[0], 4);
  apic_reset();
}

static void apic_ipi_nmi(void) {
  need_both();
  traps_set_handler(2, take_nmi);
  nmis_by[0] = nmis_by[1] = 0;
  send_to(2, ICR_NMI);
  bool there = spin_until(&nmis_by[1], SECOND);
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
    {"apic-ipi-nmi", apic_ipi_nmi},
    {"apic-upcall-vector", apic_upcall_vector},
    {NULL, NULL},
};
