/*
 * Instructions that a hypervisor has to emulate: MSRs, CPUID, ports, and those of features that a guest does not have.
 */
#include "fuzz.h"
#include "../lib/odd-instructions.h"

#define CODE_SIZE 64
#define HYPERCALL_PAGE_MSRS 0x40000000u

static uint8_t code[MAX_CPUS][CODE_SIZE] __attribute__((aligned(64)));

void run_code(const uint8_t *bytes, unsigned length, uint64_t rdi, uint64_t rsi) {
  uint8_t *own = code[here()];
  /* Returns to its end: an instruction may take some of them as its own. */
  memset(own, 0xc3, CODE_SIZE);
  memcpy(own, bytes, length);
  /* No number of a hypercall. */
  uint64_t rax = random_store() | 0x80, rcx = random_below(40);
  __asm__ volatile("movq %%rax, %%r8\n call *%[target]\n cld\n movl %[data], %%eax\n movl %%eax, %%es"
                   : "+D"(rdi), "+S"(rsi), "+c"(rcx), "+a"(rax)
                   : [target] "r"((uint64_t)own), [data] "i"(SELECTOR_DATA), "b"(rdi), "d"(random_store())
                   : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory", "cc");
}

static uint32_t any_msr(void) {
  switch (random_below(8)) {
    case 0:
    case 1:
      return random_below(0x2000);
    case 2:
    case 3:
      return 0xc0000000 + random_below(0x2000);
    case 4:
      return 0xc0010000 + random_below(0x2000);
    case 5:
      return 0x40000000 + random_below(0x400);
    case 6:
      return MSR_X2APIC + random_below(0x100);
    default:
      return random_value();
  }
}

void step_msr_read(void) {
  uint32_t msr = any_msr();
  note("rdmsr", msr, 0);
  rdmsr(msr);
}

void step_msr_write(void) {
  uint32_t msr = any_msr();
  uint64_t value = random_store();
  /* The hypercall page is written over whatever RAM is named: let it be the arena. */
  if (msr - HYPERCALL_PAGE_MSRS < 0x1000)
    value = (uint64_t)arena() | random_below(2);
  note("wrmsr", msr, value);
  wrmsr(msr, value);
}

void step_cpuid(void) {
  static const uint32_t ranges[] = {0, 0, 0x40000000, 0x40000100, 0x80000000, 0xc0000000};
  uint32_t leaf = random_below(8) ? RANDOM_OF(ranges) + random_below(0x40) : random_bits();
  uint32_t subleaf = random_below(2) ? random_below(64) : random_value();
  note("cpuid", leaf, subleaf);
  cpuid(leaf, subleaf);
}

void step_port(void) {
  uint16_t port = random_bits();
  uint32_t value = random_value(), kind = random_below(6);
  note("port", port, kind);
  port_access(port, value, kind);
}

/* From and to the arena, the APIC's page, and where nothing is mapped; counts of any size in some. */
void step_port_string(void) {
  static const uint8_t forms[][4] = {
      {2, 0xf3, 0x6c}, /* rep insb */
      {2, 0xf3, 0x6d}, {2, 0xf3, 0x6e}, {2, 0xf3, 0x6f}, {3, 0xf3, 0x66, 0x6d}, {3, 0x66, 0xf3, 0x6f},
      {1, 0x6c},       {1, 0x6d},       {1, 0x6e},       {1, 0x6f},             {3, 0x67, 0xf3, 0x6f}, {3, 0xf2, 0x66, 0x6d},
  };
  const uint8_t *form = RANDOM_OF(forms);
  uint64_t places[] = {(uint64_t)arena() + random_below(64), (uint64_t)arena() + random_below(64),
                       APIC_ADDRESS + random_below(4096), 0xfee00ff0 + random_below(32), 0x600000000000 + random_below(4096)};
  uint64_t address = RANDOM_OF(places);
  uint8_t *own = code[here()];
  note("port string", address, *(const uint32_t *)form);
  memcpy(own, form + 1, form[0]);
  own[form[0]] = 0xc3;
  uint64_t rdi = address, rsi = address;
  /* So many that the arena's end is not reached; in the APIC's page for as long as it lasts. */
  uint64_t rcx = address == places[2] ? random_below(5000) : random_below(256);
  __asm__ volatile("call *%[target]"
                   : "+D"(rdi), "+S"(rsi), "+c"(rcx)
                   : [target] "r"((uint64_t)own), "d"((uint64_t)(random_bits() & 0xffff))
                   : "rax", "memory", "cc");
}

void step_odd(void) {
  static const struct odd_instruction own[] = {
      {3, {0x0f, 0x01, 0xfb}},             /* mwaitx */
      {2, {0x0f, 0x31}},                   /* rdtsc */
      {3, {0x0f, 0xc7, 0x3f}},             /* vmptrst (rdi) */
      {3, {0x0f, 0x01, 0xff}},             /* tlbsync */
      {4, {0xf3, 0x0f, 0x01, 0xfa}},       /* mcommit */
      {4, {0xf3, 0x0f, 0xae, 0xf1}},       /* umonitor */
      {4, {0xf0, 0x44, 0x0f, 0x20}},       /* lock mov from control register, cut short */
      {4, {0x44, 0x0f, 0x20, 0xc0}},       /* mov cr8, rax */
      {5, {0xf0, 0x0f, 0x20, 0xc0, 0x90}}, /* lock mov cr0, eax: mov cr8 on AMD */
      {3, {0x0f, 0x20, 0xc8}},             /* mov cr1, rax */
      {3, {0x0f, 0x20, 0xe8}},             /* mov cr5, rax */
      {3, {0x0f, 0x21, 0xe0}},             /* mov dr4, rax */
      {2, {0xcd, 0x40}},                   /* int UPCALL_VECTOR */
      {2, {0xf3, 0x90}},                   /* pause */
  };
  const struct odd_instruction *odd = odd_instruction_choose(random_bits(), own, sizeof own / sizeof own[0]);
  note("odd", *(const uint64_t *)odd->bytes, 0);
  run_code(odd->bytes, odd->length, (uint64_t)arena() + random_below(2) * random_below(4096), 0);
}

/* With interrupts on, until one comes; with them off, which takes the vCPU down, until another brings it back. */
void step_halt(void) {
  if (random_below(2)) {
    note("halt", 1, 0);
    timer_listen();
    /* The periodic timer stops while the vCPU does not run: this one ends HLT. */
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = clock_ns() + MILLISECOND};
    vcpu_op(VCPUOP_set_singleshot_timer, here(), &timer);
    interrupts_on_and_halt();
    interrupts_off();
  } else if (wild || token_take()) {
    note("halt", 0, 0);
    __asm__ volatile("hlt");
    token_release();
  }
}
