/*
 * The processor under virtualisation: registers across exits, control registers, exceptions, ports.
 */
#include "suite.h"

#define PATTERN(n) (0x1111111111111111ull * (n))

/* Fills the registers, runs `instruction` with RAX, RCX, RDX set, and tells which of the others changed. */
#define KEPT_ACROSS(instruction, rax_, rcx_, rdx_)                                        \
  ({                                                                                      \
    uint64_t changed_ = 0, rax__ = (rax_), rcx__ = (rcx_), rdx__ = (rdx_);                \
    __asm__ volatile(                                                                     \
        "pushq %%rbx\n pushq %%rbp\n"                                                     \
        "movq $0x3333, %%rbx\n movq $0x5555, %%rbp\n movq $0x6666, %%rsi\n"               \
        "movq $0x8888, %%r8\n movq $0x9999, %%r9\n movq $0x1010, %%r10\n"                 \
        "movq $0x1111, %%r11\n movq $0x1212, %%r12\n movq $0x1313, %%r13\n"               \
        "movq $0x1414, %%r14\n movq $0x1515, %%r15\n movq %%rsp, %%rdi\n" instruction     \
        "\n"                                                                              \
        "xorl %%eax, %%eax\n"                                                             \
        "cmpq %%rsp, %%rdi\n jne 9f\n cmpq $0x3333, %%rbx\n jne 9f\n"                     \
        "cmpq $0x5555, %%rbp\n jne 9f\n cmpq $0x6666, %%rsi\n jne 9f\n"                   \
        "cmpq $0x8888, %%r8\n jne 9f\n cmpq $0x9999, %%r9\n jne 9f\n"                     \
        "cmpq $0x1010, %%r10\n jne 9f\n cmpq $0x1111, %%r11\n jne 9f\n"                   \
        "cmpq $0x1212, %%r12\n jne 9f\n cmpq $0x1313, %%r13\n jne 9f\n"                   \
        "cmpq $0x1414, %%r14\n jne 9f\n cmpq $0x1515, %%r15\n je 8f\n"                    \
        "9: movl $1, %%eax\n"                                                             \
        "8: popq %%rbp\n popq %%rbx\n"                                                    \
        : "+a"(rax__), "+c"(rcx__), "+d"(rdx__)                                           \
        :                                                                                 \
        : "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc"); \
    changed_ = rax__;                                                                     \
    changed_;                                                                             \
  })

static void processor_registers_kept(void) {
  EXPECT(KEPT_ACROSS("rdmsr", 0, MSR_EFER, 0), 0);
  EXPECT(KEPT_ACROSS("inb %%dx, %%al", 0, 0, 0x1f0), 0);
  EXPECT(KEPT_ACROSS("outb %%al, %%dx", 0, 0, 0x1f0), 0);
  EXPECT(KEPT_ACROSS("movq %%cr3, %%rax\n movq %%rax, %%cr3", 0, 0, 0), 0);
}

/* HLT and its wake-up, with the handler in between. */
static void processor_registers_kept_halt(void) {
  long port = event_bind_ipi(0);
  CHECK(port > 0);
  event_handle(port, NULL);
  EXPECT(event_send(port), 0);
  uint64_t changed = KEPT_ACROSS("sti\n hlt\n cli", 0, 0, 0);
  event_ignore(port);
  EXPECT(event_close(port), 0);
  EXPECT(changed, 0);
}

/* What a hypercall must keep: all but RAX and its argument registers. */
static void processor_registers_kept_hypercall(void) {
  uint64_t changed;
  __asm__ volatile(
      "pushq %%rbx\n pushq %%rbp\n"
      "movq $0x3333, %%rbx\n movq $0x5555, %%rbp\n movq $0xcccc, %%rcx\n"
      "movq $0x9999, %%r9\n movq $0x1111, %%r11\n movq $0x1212, %%r12\n movq $0x1313, %%r13\n"
      "movq $0x1414, %%r14\n movq $0x1515, %%r15\n"
      "xorl %%edi, %%edi\n"
      "call *%%rax\n"
      "movl $1, %%eax\n"
      "cmpq $0x3333, %%rbx\n jne 9f\n cmpq $0x5555, %%rbp\n jne 9f\n cmpq $0xcccc, %%rcx\n jne 9f\n"
      "cmpq $0x9999, %%r9\n jne 9f\n cmpq $0x1111, %%r11\n jne 9f\n cmpq $0x1212, %%r12\n jne 9f\n"
      "cmpq $0x1313, %%r13\n jne 9f\n cmpq $0x1414, %%r14\n jne 9f\n cmpq $0x1515, %%r15\n jne 9f\n"
      "xorl %%eax, %%eax\n"
      "9: popq %%rbp\n popq %%rbx\n"
      : "=a"(changed)
      : "0"((uint64_t)hypercall_page + __HYPERVISOR_xen_version * 32)
      : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  EXPECT(changed, 0);
}

/* Flags survive an exit. */
static void processor_flags_kept(void) {
  uint64_t before, after;
  __asm__ volatile(
      "pushfq\n orq $0x4d5, (%%rsp)\n popfq\n" /* CF PF AF ZF SF DF */
      "pushfq\n popq %0\n"
      "inb %%dx, %%al\n"
      "pushfq\n popq %1\n"
      "cld\n"
      : "=&r"(before), "=&r"(after)
      : "d"(0x1f0)
      : "rax", "cc", "memory");
  EXPECT(after, before);
}

/* IN: 32 bits clear the upper half of RAX, 8 and 16 bits keep the rest of it. */
static void processor_in_widths(void) {
  uint64_t value = PATTERN(1);
  __asm__ volatile("inb %%dx, %%al" : "+a"(value) : "d"(0x1f0));
  EXPECT(value >> 8, PATTERN(1) >> 8);
  value = PATTERN(2);
  __asm__ volatile("inw %%dx, %%ax" : "+a"(value) : "d"(0x1f0));
  EXPECT(value >> 16, PATTERN(2) >> 16);
  value = PATTERN(3);
  __asm__ volatile("inl %%dx, %%eax" : "+a"(value) : "d"(0x1f0));
  EXPECT(value >> 32, 0);
}

/* A port without a device. */
static void processor_absent_port(void) {
  EXPECT(in8(0x1f0), 0xff);
  EXPECT(in16(0x1f0), 0xffff);
  EXPECT(in32(0x1f0), 0xffffffff);
  out8(0x1f0, 1);
  out16(0x1f0, 1);
  out32(0x1f0, 1);
}

static void processor_rdmsr_upper_halves(void) {
  uint64_t rax = ~0ull, rdx = ~0ull;
  __asm__ volatile("rdmsr" : "+a"(rax), "+d"(rdx) : "c"(MSR_EFER));
  EXPECT(rax >> 32, 0);
  EXPECT(rdx >> 32, 0);
  __asm__ volatile("rdtsc" : "+a"(rax), "+d"(rdx));
  EXPECT(rax >> 32, 0);
  EXPECT(rdx >> 32, 0);
}

static void processor_exceptions(void) {
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("ud2"));
  EXPECT_TRAP(VECTOR_BP, __asm__ volatile("int3"));
  EXPECT_TRAP(VECTOR_DE, __asm__ volatile("divl %0" : : "r"(0), "a"(1), "d"(0)));
  EXPECT_TRAP(VECTOR_PF, *(volatile int *)UNMAPPED = 0);
  EXPECT(latest_trap.cr2, UNMAPPED);
  EXPECT(latest_trap.error, 2);
  EXPECT_TRAP(VECTOR_GP, *(volatile int *)0x8000000000000000 = 0);
  EXPECT_TRAP(VECTOR_GP, __asm__ volatile("movw %w0, %%ds" : : "r"(0x1000)));
  EXPECT(latest_trap.error, 0x1000);
}

/* Single step: #DB behind each instruction. */
static void processor_single_step(void) {
  int trap = TRAP_OF(__asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n nop\n" : : : "memory", "cc"));
  EXPECT(trap, VECTOR_DB);
}

/* Single step over instructions that exit: the trap comes behind them, not later. */
static void processor_single_step_exits(void) {
  volatile uint64_t behind = 0;
  int trap = TRAP_OF(__asm__ volatile(
      "leaq 1f(%%rip), %%rsi\n"
      "movq %%rsi, %0\n"
      "xorl %%eax, %%eax\n"
      "pushfq\n orq $0x100, (%%rsp)\n popfq\n"
      "cpuid\n"
      "1: nop\n"
      : "=m"(behind)
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "memory", "cc"));
  EXPECT(trap, VECTOR_DB);
  EXPECT(latest_trap.rip, behind);
}

static void processor_debug_registers(void) {
  uint64_t value;
  __asm__ volatile("mov %0, %%dr0" : : "r"(0x123456789aull));
  __asm__ volatile("mov %%dr0, %0" : "=r"(value));
  EXPECT(value, 0x123456789aull);
  /* A watchpoint on a word. */
  static volatile uint32_t word;
  __asm__ volatile("mov %0, %%dr0" : : "r"(&word));
  __asm__ volatile("mov %0, %%dr7" : : "r"(0xd0402ull)); /* enabled, on writes, four bytes */
  sched_op(SCHEDOP_yield, NULL);
  int trap = TRAP_OF(word = 5);
  __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
  __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
  EXPECT(trap, VECTOR_DB);
}

static void processor_cr0(void) {
  uint64_t cr0 = read_cr0();
  EXPECT(cr0 & 0x80000001, 0x80000001);
  write_cr0(cr0 | 8); /* TS */
  uint64_t with_ts = read_cr0();
  int trap = TRAP_OF(__asm__ volatile("fninit"));
  __asm__ volatile("clts");
  uint64_t without = read_cr0();
  write_cr0(cr0);
  EXPECT(with_ts & 8, 8);
  EXPECT(trap, 7); /* #NM */
  EXPECT(without & 8, 0);
  /* PG without PE, reserved bits: #GP, nothing changes. */
  EXPECT_TRAP(VECTOR_GP, write_cr0(cr0 & ~1ull));
  EXPECT_TRAP(VECTOR_GP, write_cr0(cr0 | 1ull << 40));
  EXPECT(read_cr0(), cr0);
}

/* CR0.WP decides over writes to read-only pages. */
static void processor_write_protect(void) {
  uint64_t page = FRAME_OF(pages_take(1)), at = 0x280000000;
  CHECK(paging_map(at, page, PTE_PRESENT));
  EXPECT_TRAP(VECTOR_PF, *(volatile int *)at = 1);
  EXPECT(latest_trap.error, 3);
  uint64_t cr0 = read_cr0();
  write_cr0(cr0 & ~0x10000ull);
  int trap = TRAP_OF(*(volatile int *)at = 1);
  write_cr0(cr0);
  paging_map(at, 0, 0);
  EXPECT(trap, NO_TRAP);
}

static void processor_cr4(void) {
  uint64_t cr4 = read_cr4();
  CHECK(cr4 & 0x20);
  /* PAE cannot go in long mode; VMXE is not there; reserved bits are refused. */
  EXPECT_TRAP(VECTOR_GP, write_cr4(cr4 & ~0x20ull));
  EXPECT_TRAP(VECTOR_GP, write_cr4(cr4 | 1 << 13));
  EXPECT_TRAP(VECTOR_GP, write_cr4(cr4 | 1ull << 31));
  EXPECT(read_cr4(), cr4);
  write_cr4(cr4 | 0x80); /* PGE */
  uint64_t with_pge = read_cr4();
  write_cr4(cr4);
  EXPECT(with_pge, cr4 | 0x80);
}

/* Changed page tables are seen after INVLPG and after a CR3 write. */
static void processor_paging(void) {
  volatile uint64_t *first = pages_take(1), *second = pages_take(1);
  volatile uint64_t *at = (volatile uint64_t *)0x280001000;
  first[0] = 1;
  second[0] = 2;
  CHECK(paging_map((uint64_t)at, FRAME_OF(first), PTE_PRESENT | PTE_WRITE));
  EXPECT(at[0], 1);
  CHECK(paging_map((uint64_t)at, FRAME_OF(second), PTE_PRESENT | PTE_WRITE));
  EXPECT(at[0], 2);
  write_cr3(read_cr3());
  EXPECT(at[0], 2);
  paging_map((uint64_t)at, 0, 0);
  EXPECT_TRAP(VECTOR_PF, (void)at[0]);
  EXPECT(latest_trap.error, 0);
}

/* Virtualisation instructions do not exist here. */
static void processor_no_virtualisation(void) {
  uint64_t operand = 0;
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("vmxon %0" : : "m"(operand)));
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("vmlaunch"));
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("vmptrld %0" : : "m"(operand)));
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("vmrun" : : "a"(0)));
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("vmload" : : "a"(0)));
  EXPECT_TRAP(VECTOR_UD, __asm__ volatile("stgi"));
}

static void processor_cache_control(void) { __asm__ volatile("wbinvd" : : : "memory"); }

const struct test processor_tests[] = {
    {"processor-registers-kept", processor_registers_kept},
    {"processor-registers-kept-halt", processor_registers_kept_halt},
    {"processor-registers-kept-hypercall", processor_registers_kept_hypercall},
    {"processor-flags-kept", processor_flags_kept},
    {"processor-in-widths", processor_in_widths},
    {"processor-absent-port", processor_absent_port},
    {"processor-rdmsr-upper-halves", processor_rdmsr_upper_halves},
    {"processor-exceptions", processor_exceptions},
    {"processor-single-step", processor_single_step},
    {"processor-single-step-exits", processor_single_step_exits},
    {"processor-debug-registers", processor_debug_registers},
    {"processor-cr0", processor_cr0},
    {"processor-write-protect", processor_write_protect},
    {"processor-cr4", processor_cr4},
    {"processor-paging", processor_paging},
    {"processor-no-virtualisation", processor_no_virtualisation},
    {"processor-cache-control", processor_cache_control},
    {NULL, NULL},
};
