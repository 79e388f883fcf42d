/*
 * Privileged instructions with invalid operands. Their effects are undone by processor_restore().
 */
#include "hostile.h"
#include "../lib/odd-instructions.h"

#define CODE_SIZE 64

static uint8_t code[CODE_SIZE] __attribute__((aligned(64)));
static uint64_t saved_cr0, saved_cr3, saved_cr4, saved_efer, saved_pat, saved_apic_base;

extern struct {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed)) gdt_pointer;

void processor_save(void) {
  saved_cr0 = read_cr0();
  saved_cr3 = read_cr3();
  saved_cr4 = read_cr4();
  saved_efer = rdmsr(MSR_EFER);
  TRAP_OF(saved_pat = rdmsr(0x277));
  TRAP_OF(saved_apic_base = rdmsr(MSR_APIC_BASE));
}

static void clear_dr7(void) { __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull)); }

void processor_restore(void) {
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) idt_pointer = {sizeof idt - 1, (uint64_t)idt};
  __asm__ volatile("lidt %0" : : "m"(idt_pointer));
  __asm__ volatile("lgdt %0" : : "m"(gdt_pointer));
  /* General detect (DR7.GD) makes the first try a #DB, which clears it. */
  if (TRAP_OF(clear_dr7()) != NO_TRAP)
    TRAP_OF(clear_dr7());
  write_cr4(saved_cr4);
  write_cr0(saved_cr0);
  write_cr3(saved_cr3);
  wrmsr(MSR_EFER, saved_efer);
  wrmsr(MSR_GS_BASE, (uint64_t)&cpus[0]);
  TRAP_OF(wrmsr(0x277, saved_pat));
  TRAP_OF(wrmsr(MSR_APIC_BASE, saved_apic_base));
  __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
}

static uint32_t random_msr(void) {
  static const uint32_t bases[] = {0,      0x10,   0x1b,   0x3a,   0x8b,       0x9e,       0xc1,       0xfe,
                                   0x174,  0x179,  0x186,  0x1a0,  0x1d9,      0x200,      0x250,      0x277,
                                   0x2ff,  0x38f,  0x400,  0x480,  0x600,      0x6e0,      0x800,      0xc80,
                                   0xd90,  0xda0,  0x4b564d00, 0x40000000, 0xc0000080, 0xc0000100, 0xc0010000, 0xc0010110,
                                   0xc0011020};
  return random_below(4) ? RANDOM_OF(bases) + random_below(20) : (uint32_t)random_value();
}

static void read_msr(void) {
  uint32_t msr = random_msr();
  note("rdmsr", msr, 0, 0);
  rdmsr(msr);
}

static void write_msr(void) {
  uint32_t msr = random_msr();
  uint64_t value = random_value();
  /* The hypercall page would be written over whatever RAM is named: let it be the arena. */
  if (msr == hypercall_msr)
    value = random_frame() << 12 | random_below(2);
  note("wrmsr", msr, value, 0);
  wrmsr(msr, value);
}

static void write_control_0(void) {
  uint64_t value = random_below(2) ? saved_cr0 ^ 1ull << random_below(64) : random_bits();
  note("cr0", value, 0, 0);
  write_cr0(value);
}

static void write_control_4(void) {
  uint64_t value = random_below(2) ? saved_cr4 ^ 1ull << random_below(64) : random_bits();
  note("cr4", value, 0, 0);
  write_cr4(value);
}

/*
 * The same tables with senseless bits below the address. (Above it, QEMU takes what a processor refuses with #GP, and
 * then refuses to enter such a guest: no hypervisor can help that.)
 */
static void write_control_3(void) { write_cr3(saved_cr3 | random_below(4096)); }

static void write_control_8(void) {
  uint64_t value = random_value();
  __asm__ volatile("mov %0, %%cr8" : : "r"(value));
  value = 0;
  __asm__ volatile("mov %0, %%cr8" : : "r"(value));
}

static void write_machine_status(void) { __asm__ volatile("lmsw %w0" : : "r"((uint32_t)random_value())); }

static void write_debug(void) {
  /* Breakpoints only where the guest's own code and stack are not. */
  uint64_t address = ARENA + random_below(8192), control = random_bits(), kind = random_below(4);
  note("debug register", address, control, kind);
  switch (kind) {
    case 0:
      __asm__ volatile("mov %0, %%dr0\n mov %0, %%dr1\n mov %0, %%dr2\n mov %0, %%dr3" : : "r"(address));
      __asm__ volatile("mov %0, %%dr7" : : "r"(control & 0xffffffff));
      *(volatile uint8_t *)address = 1;
      break;
    case 1:
      __asm__ volatile("mov %0, %%dr6" : : "r"(control));
      break;
    case 2:
      __asm__ volatile("mov %0, %%dr7" : : "r"(control));
      break;
    default:
      __asm__ volatile("mov %%dr4, %0" : "=r"(control));
  }
}

static void port(void) {
  uint16_t number = random_below(2) ? random_below(0x1000) : random_bits();
  uint32_t value = random_value(), kind = random_below(6);
  note("port", number, value, kind);
  port_access(number, value, kind);
}

/* INS and OUTS, repeated: to and from everywhere but the image. */
static void port_string(void) {
  void *pointer = random_pointer();
  uint64_t count = random_below(2) ? random_below(32) : 0;
  uint16_t number = random_bits();
  note("port string", (uint64_t)pointer, count, number);
  switch (random_below(4)) {
    case 0:
      __asm__ volatile("rep insb" : "+D"(pointer), "+c"(count) : "d"(number) : "memory");
      break;
    case 1:
      __asm__ volatile("rep outsb" : "+S"(pointer), "+c"(count) : "d"(number) : "memory");
      break;
    case 2:
      __asm__ volatile("rep insl" : "+D"(pointer), "+c"(count) : "d"(number) : "memory");
      break;
    default:
      __asm__ volatile("std\n rep outsw\n cld" : "+S"(pointer), "+c"(count) : "d"(number) : "memory");
  }
}

static void segments(void) {
  static const uint16_t selectors[] = {0, 3, 4, 7, 0x10, 0x13, 0x18, 0x30, 0x33, 0x40, 0x1000, 0xfffc, 0xffff};
  uint32_t selector = RANDOM_OF(selectors);
  struct {
    uint64_t offset;
    uint16_t selector;
  } __attribute__((packed)) far = {random_value(), selector};
  note("segment", selector, far.offset, 0);
  switch (random_below(8)) {
    case 0:
      __asm__ volatile("movw %w0, %%ds" : : "r"(selector));
      break;
    case 1:
      __asm__ volatile("movw %w0, %%ss" : : "r"(selector));
      break;
    case 2:
      __asm__ volatile("movw %w0, %%gs" : : "r"(selector));
      break;
    case 3:
      __asm__ volatile("lldt %w0" : : "r"(selector));
      break;
    case 4:
      /* Not a null one: QEMU takes it for good, and aborts at the next exception. */
      __asm__ volatile("ltr %w0" : : "r"(selector | 0x10));
      break;
    case 5:
      /* Selectors of code would go somewhere: 32-bit code at a random offset is not survivable. */
      if (selector == SELECTOR_CODE32)
        far.selector = 0x33;
      __asm__ volatile("lcall *%0" : : "m"(far) : "memory");
      break;
    case 6:
      __asm__ volatile("lldt %0" : : "m"(*(uint16_t *)random_pointer()));
      break;
    default:
      __asm__ volatile("lgdt %0" : : "m"(far) : "memory");
      /* Nothing may load a selector before the table is back, an exception neither. */
      __asm__ volatile("lgdt %0" : : "m"(gdt_pointer) : "memory");
  }
}

/* IRET to nowhere: garbage in every field. Privilege 0 code at a random place is left out by an odd selector. */
static void return_garbage(void) {
  static const uint64_t selectors[] = {0, 1, 0x10, 0x18 | 4, 0x30, 0x1000, 0xffff};
  uint64_t frame[5] = {random_value(), RANDOM_OF(selectors), random_bits(), random_value(), RANDOM_OF(selectors)};
  note("iret", frame[0], frame[1], frame[2]);
  __asm__ volatile("movq %0, %%rsp\n iretq" : : "r"(frame) : "memory");
}

static void stack_garbage(void) {
  uint64_t stack = (uint64_t)random_pointer();
  note("stack", stack, 0, 0);
  __asm__ volatile(
      "movq %%rsp, %%rbx\n"
      "movq %0, %%rsp\n"
      "pushq %%rax\n"
      "popq %%rax\n"
      "movq %%rbx, %%rsp\n"
      :
      : "r"(stack)
      : "rbx", "rax", "memory");
}

/* Without the trap flag's and the virtual-8086 flag's bits; interrupts may come on for a moment. */
static void flags_garbage(void) {
  uint64_t flags = random_bits();
  note("flags", flags, 0, 0);
  __asm__ volatile("pushq %0\n popfq\n nop\n nop\n pushq $2\n popfq" : : "r"(flags) : "memory", "cc");
}

static void run_code(const uint8_t *bytes, unsigned length) {
  memcpy(code, bytes, length);
  code[length] = 0xc3;
  uint64_t target = (uint64_t)code, rdi = (uint64_t)random_pointer(), rcx = random_value();
  /* No number of a hypercall. */
  uint64_t rax = random_value() | 0x80;
  note("instruction", *(uint64_t *)code, rdi, rax);
  __asm__ volatile("call *%[target]"
                   : "+D"(rdi), "+a"(rax), "+c"(rcx)
                   : [target] "r"(target)
                   : "rbx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

/* Instructions by their bytes; RDI is a random pointer, RAX and RCX random values. */
static void odd_instruction(void) {
  static const struct odd_instruction own[] = {
      {3, {0x0f, 0x01, 0xc1}},             /* vmcall */
      {3, {0x0f, 0x01, 0xd9}},             /* vmmcall */
      {3, {0x0f, 0x01, 0x3f}},             /* invlpg (rdi) */
      {2, {0x0f, 0xa2}},                   /* cpuid */
      {2, {0x0f, 0x06}},                   /* clts */
      {3, {0x0f, 0x01, 0xca}},             /* clac */
      {3, {0x0f, 0x01, 0xcb}},             /* stac */
      {3, {0x0f, 0x01, 0xee}},             /* rdpkru */
      {3, {0x0f, 0x01, 0xef}},             /* wrpkru */
      {2, {0x0f, 0x0b}},                   /* ud2 */
      {1, {0xf1}},                         /* icebp */
      {2, {0xcd, 0x03}},                   /* int 3 */
      {2, {0xcd, 0x08}},                   /* int 8 */
      {2, {0xcd, 0x0e}},                   /* int 14 */
      {2, {0xcd, 0x21}},                   /* int 0x21 */
      {4, {0xf0, 0x0f, 0x01, 0xc1}},       /* lock vmcall */
      {4, {0x0f, 0xae, 0x07, 0x90}},       /* fxsave (rdi) */
      {4, {0x0f, 0xae, 0x0f, 0x90}},       /* fxrstor (rdi) */
      {4, {0x0f, 0xae, 0x27, 0x90}},       /* xsave (rdi) */
      {4, {0x0f, 0xae, 0x2f, 0x90}},       /* xrstor (rdi) */
      {4, {0x0f, 0xae, 0x3f, 0x90}},       /* clflush (rdi) */
      {3, {0x0f, 0x01, 0x07}},             /* sgdt (rdi) */
      {3, {0x0f, 0x01, 0x0f}},             /* sidt (rdi) */
      {2, {0x0f, 0x05}},                   /* syscall: EFER.SCE is off */
      {2, {0x0f, 0x07}},                   /* sysret */
      {3, {0x0f, 0x01, 0xe8}},             /* serialize */
  };
  const struct odd_instruction *odd = odd_instruction_choose(random_bits(), own, sizeof own / sizeof own[0]);
  run_code(odd->bytes, odd->length);
}

/* Sixteen bytes of prefixes: longer than any instruction may be. */
static void long_instruction(void) {
  static const uint8_t bytes[] = {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
                                  0x2e, 0x2e, 0x2e, 0x2e, 0x0f, 0xa2};
  unsigned skip = random_below(4);
  run_code(bytes + skip, sizeof bytes - skip);
}

/* Code that rewrites its next instruction, which exits: the hypervisor must see the new one. */
static void self_modifying(void) {
  static const uint8_t bytes[] = {
      0x48, 0x8d, 0x3d, 0x03, 0x00, 0x00, 0x00, /* lea 3(%rip), %rdi */
      0x66, 0x89, 0x37,                         /* mov %si, (%rdi): over the two bytes that follow */
      0x0f, 0x0b,                               /* ud2 */
  };
  static const uint16_t replacements[] = {0xa20f /* cpuid */, 0x310f /* rdtsc */, 0x090f /* wbinvd */, 0x9090, 0x0b0f};
  memcpy(code, bytes, sizeof bytes);
  code[sizeof bytes] = 0xc3;
  note("self-modifying", 0, 0, 0);
  uint64_t target = (uint64_t)code;
  __asm__ volatile("call *%[target]"
                   :
                   : [target] "r"(target), "S"((uint64_t)RANDOM_OF(replacements)), "a"(0)
                   : "rbx", "rcx", "rdx", "rdi", "memory", "cc");
}

/* A gate that cannot be used: the exception's delivery faults itself, and a double fault must come of two of them. */
static void broken_gates(void) {
  struct gate ud = idt[VECTOR_UD], gp = idt[VECTOR_GP], np = idt[VECTOR_NP];
  int trap;
  note("gates", 0, 0, 0);
  idt[VECTOR_UD].type = random_below(2) ? 0x0e : 0x80 | random_below(32);
  if (random_below(2)) {
    idt[VECTOR_GP].type = 0x0e;
    idt[VECTOR_NP].type = 0x0e;
  }
  trap = TRAP_OF(__asm__ volatile("ud2"));
  idt[VECTOR_UD] = ud;
  idt[VECTOR_GP] = gp;
  idt[VECTOR_NP] = np;
  count_exception(trap);
}

void attack_processor(void) {
  static void (*const attacks[])(void) = {
      read_msr,       read_msr,       write_msr,     write_msr,    write_control_0, write_control_3,  write_control_4,
      write_control_8, write_machine_status, write_debug, port,    port,            port_string,      segments,
      return_garbage, stack_garbage,  flags_garbage, odd_instruction, odd_instruction, odd_instruction, long_instruction,
      self_modifying, broken_gates,
  };
  void (*attack)(void) = RANDOM_OF(attacks);
  count_exception(TRAP_OF(attack()));
  processor_restore();
}
