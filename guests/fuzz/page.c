/*
 * The local APIC's page as everything that memory can be: operand of every kind of instruction, of every width and
 * alignment and across its ends; page table, stack, code.
 */
#include "fuzz.h"

#define PAGE 4096
#define ICR 0x300

/* With (%rdi) as operand; string moves also read (%rsi). */
struct access {
  uint8_t length, bytes[10];
  /* Reads, changes and writes: what ICR then gets is not a random_store. */
  bool changes;
};

static const struct access accesses[] = {
    {2, {0x8a, 0x07}, false},                   /* mov (rdi), al */
    {2, {0x88, 0x07}, false},                   /* mov al, (rdi) */
    {2, {0x88, 0x27}, false},                   /* mov ah, (rdi) */
    {3, {0x66, 0x8b, 0x07}, false},             /* mov (rdi), ax */
    {3, {0x66, 0x89, 0x07}, false},             /* mov ax, (rdi) */
    {2, {0x8b, 0x07}, false},                   /* mov (rdi), eax */
    {2, {0x89, 0x07}, false},                   /* mov eax, (rdi) */
    {2, {0x89, 0x07}, false},
    {3, {0x48, 0x8b, 0x07}, false},             /* mov (rdi), rax */
    {3, {0x48, 0x89, 0x07}, false},             /* mov rax, (rdi) */
    {3, {0x67, 0x89, 0x07}, false},             /* mov eax, (edi) */
    {3, {0x64, 0x89, 0x07}, false},             /* mov eax, fs:(rdi) */
    {4, {0x44, 0x89, 0x04, 0x27}, false},       /* mov r8d, (rdi) with SIB */
    {3, {0xc6, 0x07, 0x41}, false},             /* movb imm, (rdi) */
    {5, {0x66, 0xc7, 0x07, 0x41, 0x01}, false}, /* movw imm, (rdi) */
    {6, {0xc7, 0x07, 0x41, 0, 1, 0}, false},    /* movl imm, (rdi) */
    {7, {0x48, 0xc7, 0x07, 1, 2, 3, 4}, false}, /* movq imm, (rdi) */
    {3, {0x0f, 0xb6, 0x07}, false},             /* movzx byte */
    {3, {0x0f, 0xb7, 0x07}, false},             /* movzx word */
    {4, {0x48, 0x0f, 0xbe, 0x07}, false},       /* movsx byte */
    {4, {0x48, 0x0f, 0xbf, 0x07}, false},       /* movsx word */
    {3, {0x48, 0x63, 0x07}, false},             /* movsxd */
    {3, {0x0f, 0xc3, 0x07}, false},             /* movnti */
    {4, {0x0f, 0x38, 0xf0, 0x07}, false},       /* movbe load */
    {4, {0x0f, 0x38, 0xf1, 0x07}, false},       /* movbe store */
    {3, {0x0f, 0x44, 0x07}, false},             /* cmovz */
    {2, {0x03, 0x07}, false},                   /* add (rdi), eax */
    {2, {0x3b, 0x07}, false},                   /* cmp (rdi), eax */
    {2, {0x39, 0x07}, false},                   /* cmp eax, (rdi) */
    {3, {0x80, 0x3f, 0x05}, false},             /* cmp imm, byte (rdi) */
    {2, {0x85, 0x07}, false},                   /* test eax, (rdi) */
    {3, {0xf6, 0x07, 0x20}, false},             /* test imm, byte (rdi) */
    {2, {0x86, 0x07}, false},                   /* xchg al, (rdi) */
    {2, {0x87, 0x07}, false},                   /* xchg eax, (rdi) */
    {3, {0x48, 0x87, 0x07}, false},             /* xchg rax, (rdi) */
    {2, {0x00, 0x07}, true},                    /* add al, (rdi) */
    {2, {0x01, 0x07}, true},                    /* add eax, (rdi) */
    {2, {0x09, 0x07}, true},                    /* or eax, (rdi) */
    {2, {0x11, 0x07}, true},                    /* adc eax, (rdi) */
    {2, {0x19, 0x07}, true},                    /* sbb eax, (rdi) */
    {2, {0x21, 0x07}, true},                    /* and eax, (rdi) */
    {3, {0x48, 0x29, 0x07}, true},              /* sub rax, (rdi) */
    {3, {0x66, 0x31, 0x07}, true},              /* xor ax, (rdi) */
    {3, {0x83, 0x0f, 0x11}, true},              /* orl imm, (rdi) */
    {3, {0xf0, 0x01, 0x07}, true},              /* lock add */
    {3, {0xf0, 0xff, 0x07}, true},              /* lock inc */
    {2, {0xff, 0x0f}, true},                    /* dec */
    {2, {0xf7, 0x17}, true},                    /* not */
    {2, {0xf7, 0x1f}, true},                    /* neg */
    {2, {0xd1, 0x27}, true},                    /* shl */
    {4, {0xf0, 0x0f, 0xb1, 0x07}, true},        /* lock cmpxchg */
    {3, {0x0f, 0xc1, 0x07}, true},              /* xadd */
    {4, {0xf0, 0x0f, 0xc7, 0x0f}, true},        /* lock cmpxchg8b */
    {5, {0xf0, 0x48, 0x0f, 0xc7, 0x0f}, true},  /* lock cmpxchg16b */
    {4, {0x0f, 0xba, 0x2f, 0x03}, true},        /* bts imm */
    {3, {0x0f, 0xab, 0x07}, true},              /* bts eax: far away */
    {3, {0x0f, 0x94, 0x07}, true},              /* setz */
    {3, {0xff, 0x37, 0x58}, false},             /* push (rdi); pop rax */
    {3, {0x50, 0x8f, 0x07}, false},             /* push rax; pop (rdi) */
    {2, {0xf7, 0x27}, false},                   /* mul */
    {2, {0xf7, 0x37}, false},                   /* div */
    {3, {0x0f, 0xaf, 0x07}, false},             /* imul */
    {1, {0xaa}, false},                         /* stosb */
    {2, {0x66, 0xab}, false},                   /* stosw */
    {1, {0xab}, false},                         /* stosl */
    {2, {0xf3, 0xaa}, false},                   /* rep stosb */
    {2, {0xf3, 0xab}, false},                   /* rep stosl */
    {3, {0xf3, 0x48, 0xab}, false},             /* rep stosq */
    {4, {0xfd, 0xf3, 0xab, 0xfc}, false},       /* std; rep stosl; cld */
    {1, {0xa4}, false},                         /* movsb */
    {1, {0xa5}, false},                         /* movsl */
    {2, {0xf3, 0xa4}, false},                   /* rep movsb */
    {2, {0xf3, 0xa5}, false},                   /* rep movsl */
    {3, {0xf3, 0x48, 0xa5}, false},             /* rep movsq */
    {5, {0x48, 0x87, 0xf7, 0xf3, 0xa5}, false}, /* xchg rsi, rdi; rep movsl: from the page */
    {4, {0x48, 0x87, 0xf7, 0xac}, false},       /* xchg rsi, rdi; lodsb */
    {2, {0xf3, 0xa6}, false},                   /* repe cmpsb */
    {2, {0xf2, 0xaf}, false},                   /* repne scasl */
    {3, {0x0f, 0x28, 0x07}, false},             /* movaps (rdi), xmm0 */
    {3, {0x0f, 0x29, 0x07}, false},             /* movaps xmm0, (rdi) */
    {3, {0x0f, 0x10, 0x07}, false},             /* movups (rdi), xmm0 */
    {3, {0x0f, 0x11, 0x07}, false},             /* movups xmm0, (rdi) */
    {4, {0x66, 0x0f, 0x7e, 0x07}, false},       /* movd xmm0, (rdi) */
    {4, {0x66, 0x0f, 0xd6, 0x07}, false},       /* movq xmm0, (rdi) */
    {4, {0x66, 0x0f, 0xe7, 0x07}, false},       /* movntdq */
    {4, {0xf3, 0x0f, 0x58, 0x07}, false},       /* addss */
    {4, {0x66, 0x0f, 0xf7, 0xc1}, false},       /* maskmovdqu */
    {4, {0xc5, 0xfc, 0x10, 0x07}, false},       /* vmovups (rdi), ymm0 */
    {4, {0xc5, 0xfc, 0x11, 0x07}, false},       /* vmovups ymm0, (rdi) */
    {5, {0xc4, 0xe2, 0x79, 0x18, 0x07}, false}, /* vbroadcastss */
    {5, {0xc4, 0xe2, 0x7d, 0x2e, 0x07}, false}, /* vmaskmovps store */
    {2, {0xdd, 0x07}, false},                   /* fld double */
    {2, {0xdd, 0x1f}, false},                   /* fstp double */
    {2, {0xdb, 0x3f}, false},                   /* fstp extended */
    {2, {0xdd, 0x37}, false},                   /* fnsave */
    {2, {0xd9, 0x3f}, false},                   /* fnstcw */
    {3, {0x0f, 0xae, 0x07}, false},             /* fxsave */
    {3, {0x0f, 0xae, 0x0f}, false},             /* fxrstor */
    {3, {0x0f, 0xae, 0x27}, false},             /* xsave */
    {3, {0x0f, 0xae, 0x2f}, false},             /* xrstor */
    {3, {0x0f, 0xae, 0x17}, false},             /* ldmxcsr */
    {3, {0x0f, 0xae, 0x1f}, false},             /* stmxcsr */
    {3, {0x0f, 0x18, 0x07}, false},             /* prefetch */
    {3, {0x0f, 0xae, 0x3f}, false},             /* clflush */
    {3, {0x0f, 0x01, 0x3f}, false},             /* invlpg */
    {2, {0x8c, 0x1f}, false},                   /* mov ds, (rdi) */
    {2, {0x8e, 0x07}, false},                   /* mov (rdi), es */
    {3, {0x0f, 0x00, 0x27}, false},             /* verr */
    {3, {0x0f, 0x02, 0x07}, false},             /* lar */
    {3, {0x0f, 0x01, 0x07}, false},             /* sgdt */
    {3, {0x0f, 0x01, 0x0f}, false},             /* sidt */
    {3, {0x0f, 0x01, 0x27}, false},             /* smsw */
    {1, {0xd7}, false},                         /* xlat */
    /* Where these go is in registers of the APIC: it may be anywhere in the guest's own memory. */
    {2, {0xff, 0x17}, false},                   /* call (rdi) */
    {2, {0xff, 0x2f}, false},                   /* far jump (rdi) */
};
#define WILD_ACCESSES 2

/* Anywhere in the page and a little beyond; the registers, the ends, and what lies across two more often. */
static uint64_t page_address(void) {
  switch (random_below(8)) {
    case 0:
      return APIC_ADDRESS - 16 + random_below(32);
    case 1:
      return APIC_ADDRESS + PAGE - 16 + random_below(32);
    case 2:
      return APIC_ADDRESS + random_below(PAGE);
    case 3:
      return APIC_ADDRESS + random_below(0x400);
    default:
      return APIC_ADDRESS + random_below(0x40) * 16;
  }
}

void step_page(void) {
  const struct access *access = &accesses[random_below(sizeof accesses / sizeof accesses[0] - (wild ? 0 : WILD_ACCESSES))];
  uint64_t address = page_address();
  if (access->changes && !wild && address - APIC_ADDRESS + 16 > ICR && address - APIC_ADDRESS < ICR + 16)
    address -= 32;
  arena_fill();
  note("page", address, *(const uint64_t *)access->bytes);
  run_code(access->bytes, access->length, address, (uint64_t)arena() + random_below(64));
}

/*
 * An entry of the own top level names the APIC's page as next level. What is there may name any of the guest's memory, so
 * that it is written and executed only by who may end by that.
 */
void step_page_walk(void) {
  uint64_t slot = 300 + here();
  uint64_t address = 0xffff000000000000ull | slot << 39 | (random_bits() & 0x7ffffff000ull);
  if (!(slot & 256))
    address &= 0x7fffffffffffull;
  note("walk", address, 0);
  page_map[slot] = APIC_ADDRESS | 7;
  static const uint8_t load[] = {0x8b, 0x07}, store[] = {0x89, 0x07}, call[] = {0xff, 0xd7};
  switch (random_below(wild ? 4 : 2)) {
    case 0:
      run_code(load, sizeof load, address, 0);
      break;
    case 2:
      run_code(store, sizeof store, address, 0);
      break;
    case 3:
      run_code(call, sizeof call, address, 0);
      break;
    default:
      /* The hypervisor walks it, too. */
      xen_version(XENVER_extraversion, (void *)address);
  }
}

/* Pushes, and with interrupts on whatever comes is pushed there too, and comes back as the registers have kept it. */
void step_page_stack(void) {
  uint64_t stack = APIC_ADDRESS + 8 * random_below(514);
  bool interrupts = wild && random_below(2);
  note("stack", stack, interrupts);
  __asm__ volatile(
      "movq %%rsp, %%rbx\n"
      "movq %0, %%rsp\n"
      "testl %1, %1\n"
      "jz 1f\n"
      "sti\n"
      "movl $200, %%ecx\n"
      "2: loop 2b\n"
      "1: pushq %%rax\n"
      "popq %%rdx\n"
      "call 3f\n"
      "3: cli\n"
      "movq %%rbx, %%rsp\n"
      :
      : "r"(stack), "r"((unsigned)interrupts), "a"(random_store())
      : "rbx", "rcx", "rdx", "memory", "cc");
}

void step_page_fetch(void) {
  static const uint8_t call[] = {0xff, 0xd7};
  uint64_t address = page_address();
  note("fetch", address, 0);
  run_code(call, sizeof call, address, 0);
}
