/*
 * MSRs: those every 64-bit guest uses, the hypercall page's, and unknown ones.
 */
#include "suite.h"

static void msr_unknown(void) {
  volatile uint64_t value;
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(0x12345));
  EXPECT_TRAP(VECTOR_GP, wrmsr(0x12345, 0));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(0xc0012345));
  EXPECT_TRAP(VECTOR_GP, wrmsr(0xc0012345, 0));
  EXPECT_TRAP(VECTOR_GP, value = rdmsr(0xffffffff));
  (void)value;
}

static void round_trip(uint32_t msr, uint64_t value) {
  uint64_t before = rdmsr(msr);
  wrmsr(msr, value);
  uint64_t after = rdmsr(msr);
  wrmsr(msr, before);
  if (after != value)
    FAIL("MSR %x reads %lx after %lx was written", msr, after, value);
}

static void msr_round_trip(void) {
  round_trip(MSR_STAR, 0x0013000800000000);
  round_trip(MSR_LSTAR, 0xffff800012345678);
  round_trip(0xc0000083, 0x1234567);           /* CSTAR */
  round_trip(0xc0000084, 0x47700);             /* SFMASK */
  round_trip(MSR_FS_BASE, 0xffff900000000000);
  round_trip(MSR_KERNEL_GS_BASE, 0x7fffffffffff);
  round_trip(0x174, 0x10);                     /* SYSENTER_CS */
  round_trip(0x175, 0x12345000);               /* SYSENTER_ESP */
  round_trip(0x176, 0x12346000);               /* SYSENTER_EIP */
}

/* They keep their values across exits and sleep. */
static void msr_kept(void) {
  uint64_t star = rdmsr(MSR_STAR), kernel_gs = rdmsr(MSR_KERNEL_GS_BASE), fs = rdmsr(MSR_FS_BASE);
  wrmsr(MSR_STAR, 0x1122334455667788);
  wrmsr(MSR_KERNEL_GS_BASE, 0x111122223333);
  wrmsr(MSR_FS_BASE, 0x444455556666);
  sleep_ns(2 * MILLISECOND);
  cpuid(0, 0);
  uint64_t now[3] = {rdmsr(MSR_STAR), rdmsr(MSR_KERNEL_GS_BASE), rdmsr(MSR_FS_BASE)};
  wrmsr(MSR_STAR, star);
  wrmsr(MSR_KERNEL_GS_BASE, kernel_gs);
  wrmsr(MSR_FS_BASE, fs);
  EXPECT(now[0], 0x1122334455667788);
  EXPECT(now[1], 0x111122223333);
  EXPECT(now[2], 0x444455556666);
}

static void msr_efer(void) {
  uint64_t efer = rdmsr(MSR_EFER);
  CHECK(efer & 0x100); /* LME */
  CHECK(efer & 0x400); /* LMA */
  /* SCE can be switched, reserved bits cannot, LME not while paging is on, SVME is not there. */
  wrmsr(MSR_EFER, efer ^ 1);
  uint64_t switched = rdmsr(MSR_EFER);
  wrmsr(MSR_EFER, efer);
  EXPECT(switched, efer ^ 1);
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_EFER, efer | 1ull << 40));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_EFER, efer & ~0x100ull));
  EXPECT_TRAP(VECTOR_GP, wrmsr(MSR_EFER, efer | 0x1000));
  EXPECT(rdmsr(MSR_EFER), efer);
}

static void msr_pat(void) {
  uint64_t pat = rdmsr(0x277);
  round_trip(0x277, 0x0007010600070106);
  EXPECT(rdmsr(0x277), pat);
}

static void msr_tsc(void) {
  uint64_t before = rdtsc(), value = rdmsr(0x10), after = rdtsc();
  CHECK(value >= before && value <= after);
}

/* Two banks that report nothing; what they hold can only be cleared. */
static void msr_machine_check(void) {
  unsigned edx = cpuid(1, 0).edx;
  if (!(edx >> 7 & 1) || !(edx >> 14 & 1))
    SKIP("no machine-check architecture");
  EXPECT(rdmsr(0x179) & 0xff, 2); /* IA32_MCG_CAP: banks */
  EXPECT(rdmsr(0x17a), 0);        /* IA32_MCG_STATUS */
  wrmsr(0x17a, 4);
  uint64_t status = rdmsr(0x17a);
  wrmsr(0x17a, 0);
  EXPECT(status, 4);
  for (volatile uint32_t bank = 0x400; bank < 0x408; bank += 4) {
    EXPECT(rdmsr(bank), ~0ull); /* control: all errors on */
    wrmsr(bank, 0);
    EXPECT(rdmsr(bank), ~0ull);
    for (volatile uint32_t msr = bank + 1; msr < bank + 4; msr++) { /* status, address, miscellany */
      EXPECT(rdmsr(msr), 0);
      wrmsr(msr, 0);
      EXPECT_TRAP(VECTOR_GP, wrmsr(msr, 1));
    }
  }
  /* Banks that are not there read as zero and ignore writes. */
  EXPECT(rdmsr(0x408), 0);
  wrmsr(0x409, 1);
  EXPECT(rdmsr(0x409), 0);
  uint64_t cr4 = read_cr4();
  write_cr4(cr4 | 1 << 6); /* MCE */
  uint64_t on = read_cr4();
  write_cr4(cr4);
  EXPECT(on, cr4 | 1 << 6);
}

static void msr_hypercall_page(void) {
  uint8_t *page = pages_take(1);
  EXPECT(rdmsr(hypercall_msr), 0);
  wrmsr(hypercall_msr, (uint64_t)page);
  EXPECT(memcmp(page, hypercall_page, 32 * 40), 0);
  /* Only page 0 exists, and the address must be RAM. */
  EXPECT_TRAP(VECTOR_GP, wrmsr(hypercall_msr, (uint64_t)page | 1));
  EXPECT_TRAP(VECTOR_GP, wrmsr(hypercall_msr, 0xfffff0ull << 12));
  EXPECT_TRAP(VECTOR_GP, wrmsr(hypercall_msr + 1, (uint64_t)page));
}

const struct test msr_tests[] = {
    {"msr-unknown", msr_unknown},
    {"msr-round-trip", msr_round_trip},
    {"msr-kept", msr_kept},
    {"msr-efer", msr_efer},
    {"msr-pat", msr_pat},
    {"msr-tsc", msr_tsc},
    {"msr-machine-check", msr_machine_check},
    {"msr-hypercall-page", msr_hypercall_page},
    {NULL, NULL},
};
