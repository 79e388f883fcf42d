/*
 * The local APIC of each vCPU: registers in memory and as MSRs, modes, timer, errors.
 */
#include "apic.h"

bool x2_mode(void) { return (rdmsr(MSR_APIC_BASE) & BASE_X2) != 0; }

void end_of_interrupt(void) {
  if (x2_mode())
    wrmsr(MSR_X2(APIC_EOI), 0);
  else
    apic_write(APIC_EOI, 0);
}

volatile unsigned taken_count;
volatile uint8_t taken[16];
volatile bool in_service;
volatile uint64_t cr8_taken;

static void take(struct trap_frame *frame) {
  unsigned vector = frame->vector;
  uint32_t word = x2_mode() ? rdmsr(MSR_X2(APIC_ISR + (vector / 32) * 16)) : apic_read(APIC_ISR + (vector / 32) * 16);
  in_service = word >> vector % 32 & 1;
  cr8_taken = read_cr8();
  taken[taken_count++ % sizeof taken] = vector;
  end_of_interrupt();
}

void open_window(void) {
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
}

void apic_reset(void) {
  uint64_t base = APIC_PAGE | (rdmsr(MSR_APIC_BASE) & BASE_BOOT_CPU);
  wrmsr(MSR_APIC_BASE, base);
  wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
}

void apic_start(void) {
  static const uint8_t vectors[] = {VECTOR_A, VECTOR_B, VECTOR_C, VECTOR_D};
  for (unsigned i = 0; i < sizeof vectors; i++)
    traps_set_handler(vectors[i], take);
  apic_reset();
  taken_count = 0;
  apic_write(APIC_SVR, SVR_ENABLE | 0xff);
}

bool await_taken(unsigned count) {
  uint64_t deadline = clock_ns() + PATIENCE;
  interrupts_on();
  while (taken_count < count && clock_ns() < deadline)
    cpu_relax();
  interrupts_off();
  return taken_count >= count;
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

const struct test apic_tests[] = {
    {"apic-cpuid", apic_cpuid},
    {"apic-registers", apic_registers},
    {"apic-access", apic_access},
    {"apic-timer-one-shot", apic_timer_one_shot},
    {"apic-timer-periodic", apic_timer_periodic},
    {"apic-timer-deadline", apic_timer_deadline},
    {"apic-errors", apic_errors},
    {"apic-error-cleared", apic_error_cleared},
    {"apic-modes", apic_modes},
    {NULL, NULL},
};
