/*
 * Physical addresses with nothing behind them: reads give all ones, writes go nowhere (Xen's null device).
 */
#include "suite.h"

/* A page that was given back, so certainly absent on any hypervisor; given again at the end. */
static void *hole(void) {
  static void *page;
  if (!page)
    page = pages_take(1);
  balloon_out(page);
  return page;
}

static void absent_read(void) {
  void *page = hole();
  uint8_t byte = *(volatile uint8_t *)page;
  uint16_t word = *(volatile uint16_t *)page;
  uint32_t dword = *(volatile uint32_t *)page;
  uint64_t qword = *(volatile uint64_t *)page;
  balloon_in(page);
  EXPECT(byte, 0xff);
  EXPECT(word, 0xffff);
  EXPECT(dword, 0xffffffff);
  EXPECT(qword, -1);
}

static void absent_write(void) {
  void *page = hole();
  *(volatile uint8_t *)page = 1;
  *(volatile uint16_t *)page = 1;
  *(volatile uint32_t *)page = 1;
  *(volatile uint64_t *)page = 1;
  __asm__ volatile("movq $5, (%0)" : : "r"(page) : "memory");
  uint64_t value = *(volatile uint64_t *)page;
  balloon_in(page);
  EXPECT(value, -1);
}

/* Forms of MOV that drivers use, with extended registers and displacements. */
static void absent_forms(void) {
  char *page = hole();
  uint64_t values[4] = {0};
  __asm__ volatile("movzbl 8(%1), %k0" : "=r"(values[0]) : "r"(page));
  __asm__ volatile("movswq 16(%1), %0" : "=r"(values[1]) : "r"(page));
  __asm__ volatile("movl (%1,%2,4), %%r9d\n movq %%r9, %0" : "=r"(values[2]) : "r"(page), "r"(16ull) : "r9");
  __asm__ volatile("movq %%r15, 0x123(%0)" : : "r"(page) : "memory");
  __asm__ volatile("movb 0x77(%1), %%ah\n movzbl %%ah, %k0" : "=Q"(values[3]) : "Q"(page) : "rax");
  balloon_in(page);
  EXPECT(values[0], 0xff);
  EXPECT(values[1], -1);
  EXPECT(values[2], 0xffffffff);
  EXPECT(values[3], 0xff);
}

/* The memory-mapped registers of devices that a PVH guest has not. */
static void absent_device(void) {
  EXPECT(*(volatile uint32_t *)0xd0000000, 0xffffffff);
  *(volatile uint32_t *)0xd0000000 = 0;
  EXPECT(*(volatile uint32_t *)0xd0000000, 0xffffffff);
}

/* The page tables themselves may name absent memory: the walk reads ones, which are reserved bits. */
static void absent_page_table(void) {
  uint64_t entry = page_map[300];
  page_map[300] = 0xfffff0000ull | PTE_PRESENT | PTE_WRITE;
  write_cr3(read_cr3());
  int trap = TRAP_OF((void)*(volatile int *)0xffff960000000000);
  page_map[300] = entry;
  write_cr3(read_cr3());
  EXPECT(trap, VECTOR_PF);
}

const struct test absent_tests[] = {
    {"absent-read", absent_read},
    {"absent-write", absent_write},
    {"absent-forms", absent_forms},
    {"absent-device", absent_device},
    {"absent-page-table", absent_page_table},
    {NULL, NULL},
};
