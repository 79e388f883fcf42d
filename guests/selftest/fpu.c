/*
 * FPU, SSE and AVX state across exits, sleep and preemption.
 */
#include "suite.h"

static uint8_t before[16 * 32] __attribute__((aligned(64)));
static uint8_t after[16 * 32] __attribute__((aligned(64)));

static void make_pattern(uint8_t seed) {
  for (unsigned i = 0; i < sizeof before; i++)
    before[i] = seed + i * 13;
  memset(after, 0, sizeof after);
}

#define EACH_REGISTER(line) \
  line(0) line(1) line(2) line(3) line(4) line(5) line(6) line(7) line(8) line(9) line(10) line(11) line(12) line(13) \
      line(14) line(15)
#define LOAD_XMM(n) "movaps " #n "*32(%0), %%xmm" #n "\n"
#define STORE_XMM(n) "movaps %%xmm" #n ", " #n "*32(%0)\n"
#define LOAD_YMM(n) "vmovaps " #n "*32(%0), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovaps %%ymm" #n ", " #n "*32(%0)\n"

static void load_xmm(void) { __asm__ volatile(EACH_REGISTER(LOAD_XMM) : : "r"(before) : "memory"); }
static void store_xmm(void) { __asm__ volatile(EACH_REGISTER(STORE_XMM) : : "r"(after) : "memory"); }

static void check_xmm(void) {
  for (unsigned i = 0; i < 16; i++)
    if (memcmp(before + i * 32, after + i * 32, 16) != 0)
      FAIL("xmm%u changed", i);
}

static void fpu_sse_across_exits(void) {
  make_pattern(1);
  load_xmm();
  for (int i = 0; i < 20; i++) {
    sched_op(SCHEDOP_yield, NULL);
    cpuid(0, 0);
    in8(0x1f0);
  }
  store_xmm();
  check_xmm();
}

static void fpu_sse_across_sleep(void) {
  make_pattern(2);
  load_xmm();
  sleep_ns(5 * MILLISECOND);
  store_xmm();
  check_xmm();
}

static volatile uint64_t flag;
static void raise_flag(evtchn_port_t port) {
  (void)port;
  flag = 1;
}

static void fpu_sse_across_preemption(void) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = clock_ns() + 30 * MILLISECOND};
  evtchn_port_t port = timer_port();
  flag = 0;
  event_handle(port, raise_flag);
  EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer), 0);
  make_pattern(3);
  load_xmm();
  interrupts_on();
  bool came = spin_until(&flag, PATIENCE);
  interrupts_off();
  store_xmm();
  event_handle(port, NULL);
  CHECK(came);
  check_xmm();
}

static void fpu_x87_and_mxcsr(void) {
  uint32_t mxcsr = 0x1f80 | 0x6000, seen_mxcsr = 0, normal = 0x1f80;
  uint16_t control = 0x0f7f, seen_control = 0;
  uint64_t value = 0x400921fb54442d18, seen = 0; /* pi as a double */
  __asm__ volatile("fninit\n fldcw %0\n fldl %1\n ldmxcsr %2" : : "m"(control), "m"(value), "m"(mxcsr));
  sleep_ns(3 * MILLISECOND);
  sched_op(SCHEDOP_yield, NULL);
  __asm__ volatile("stmxcsr %0\n fnstcw %1\n fstpl %2" : "=m"(seen_mxcsr), "=m"(seen_control), "=m"(seen));
  __asm__ volatile("fninit\n ldmxcsr %0" : : "m"(normal));
  EXPECT(seen_mxcsr, mxcsr);
  EXPECT(seen_control, control);
  EXPECT(seen, value);
}

static void xsetbv(uint32_t index, uint64_t value) {
  __asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t xgetbv(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | (uint64_t)high << 32;
}

static void fpu_xcr0(void) {
  if (!(cpuid(1, 0).ecx >> 26 & 1))
    SKIP("no XSAVE");
  uint64_t cr4 = read_cr4();
  EXPECT_TRAP(VECTOR_UD, xsetbv(0, 1)); /* CR4.OSXSAVE is off */
  write_cr4(cr4 | 1 << 18);
  uint64_t initial = xgetbv();
  int without_x87 = TRAP_OF(xsetbv(0, 0));
  int avx_without_sse = TRAP_OF(xsetbv(0, 5));
  int reserved = TRAP_OF(xsetbv(0, 1ull << 62 | 3));
  int other_register = TRAP_OF(xsetbv(1, 3));
  xsetbv(0, 3);
  sched_op(SCHEDOP_yield, NULL);
  uint64_t now = xgetbv();
  xsetbv(0, initial);
  write_cr4(cr4);
  CHECK(initial == 1 || initial == 3);
  EXPECT(without_x87, VECTOR_GP);
  EXPECT(avx_without_sse, VECTOR_GP);
  EXPECT(reserved, VECTOR_GP);
  EXPECT(other_register, VECTOR_GP);
  EXPECT(now, 3);
}

static void fpu_avx(void) {
  struct cpuid_result leaf = cpuid(1, 0);
  if (!(leaf.ecx >> 26 & 1) || !(leaf.ecx >> 28 & 1))
    SKIP("no AVX");
  uint64_t cr4 = read_cr4();
  write_cr4(cr4 | 1 << 18);
  uint64_t initial = xgetbv();
  xsetbv(0, 7);
  make_pattern(4);
  __asm__ volatile(EACH_REGISTER(LOAD_YMM) : : "r"(before) : "memory");
  sleep_ns(3 * MILLISECOND);
  sched_op(SCHEDOP_yield, NULL);
  cpuid(0, 0);
  __asm__ volatile(EACH_REGISTER(STORE_YMM) : : "r"(after) : "memory");
  __asm__ volatile("vzeroupper");
  xsetbv(0, initial);
  write_cr4(cr4);
  for (unsigned i = 0; i < 16; i++)
    if (memcmp(before + i * 32, after + i * 32, 32) != 0)
      FAIL("ymm%u changed", i);
}

const struct test fpu_tests[] = {
    {"fpu-sse-across-exits", fpu_sse_across_exits},
    {"fpu-sse-across-sleep", fpu_sse_across_sleep},
    {"fpu-sse-across-preemption", fpu_sse_across_preemption},
    {"fpu-x87-and-mxcsr", fpu_x87_and_mxcsr},
    {"fpu-xcr0", fpu_xcr0},
    {"fpu-avx", fpu_avx},
    {NULL, NULL},
};
