/*
 * Absent memory, page tables full of garbage, and instructions on them that a hypervisor has to emulate or
 * refuse.
 */
#include "hostile.h"

#define CODE_SIZE 64

/* Two pages: an instruction may lie across their border. */
static uint8_t code[8192] __attribute__((aligned(4096)));
static uint64_t rubbish_map[512] __attribute__((aligned(4096)));
static uint64_t rubbish_table[512] __attribute__((aligned(4096)));

/* A linear address behind which there is no RAM: a hole of the identity map, or a frame far beyond all RAM. */
static uint64_t absent_address(void) {
  static const uint64_t holes[] = {0xd0000000, 0xfee00000, 0xfee00020, 0xfec00000, 0xfed00000, 0xe0000ffc, 0xfffffff0};
  static const uint64_t frames[] = {1ull << 24, 1ull << 26, 0xfffffff, (1ull << 28) - 1, (1ull << 36) - 1, (1ull << 40) - 1};
  uint64_t window = ARENA + 0x100000 + random_below(4) * 4096;
  if (random_below(2))
    return RANDOM_OF(holes);
  paging_map(window, RANDOM_OF(frames), PTE_PRESENT | PTE_WRITE);
  return window + random_below(2) * random_below(4096);
}

/* Every one with (%rdi) as operand, RCX small, RSI in the arena. */
static const struct {
  uint8_t length, bytes[12];
} accesses[] = {
    {2, {0x8a, 0x07}},                   /* mov (rdi), al */
    {2, {0x88, 0x07}},                   /* mov al, (rdi) */
    {3, {0x66, 0x8b, 0x07}},             /* mov (rdi), ax */
    {3, {0x48, 0x89, 0x07}},             /* mov rax, (rdi) */
    {7, {0x48, 0xc7, 0x07, 1, 2, 3, 4}}, /* movq imm, (rdi) */
    {3, {0x0f, 0xb6, 0x07}},             /* movzx byte */
    {4, {0x48, 0x0f, 0xbf, 0x07}},       /* movsx word */
    {3, {0x48, 0x63, 0x07}},             /* movsxd */
    {2, {0x01, 0x07}},                   /* add eax, (rdi) */
    {3, {0xf0, 0xff, 0x07}},             /* lock inc (rdi) */
    {3, {0x48, 0x87, 0x07}},             /* xchg rax, (rdi) */
    {4, {0xf0, 0x0f, 0xb1, 0x07}},       /* lock cmpxchg */
    {5, {0xf0, 0x48, 0x0f, 0xc7, 0x0f}}, /* lock cmpxchg16b */
    {4, {0x0f, 0xc1, 0x07, 0x90}},       /* xadd */
    {2, {0xf6, 0x17}},                   /* not byte (rdi) */
    {3, {0x80, 0x3f, 0x05}},             /* cmp byte, imm */
    {2, {0x85, 0x07}},                   /* test */
    {4, {0x0f, 0xba, 0x2f, 0x03}},       /* bts imm */
    {3, {0x0f, 0xab, 0x07}},             /* bts eax: far away */
    {3, {0xff, 0x37, 0x58}},             /* push (rdi); pop rax */
    {3, {0x50, 0x8f, 0x07}},             /* push rax; pop (rdi) */
    {2, {0xf3, 0xaa}},                   /* rep stosb */
    {3, {0xf3, 0x48, 0xab}},             /* rep stosq */
    {2, {0xf3, 0xa4}},                   /* rep movsb */
    {2, {0xf3, 0xa6}},                   /* repe cmpsb */
    {2, {0xf2, 0xae}},                   /* repne scasb */
    {3, {0x0f, 0x28, 0x07}},             /* movaps (rdi), xmm0 */
    {3, {0x0f, 0x11, 0x07}},             /* movups xmm0, (rdi) */
    {4, {0x66, 0x0f, 0xd6, 0x07}},       /* movq xmm0, (rdi) */
    {3, {0x0f, 0xe7, 0x07}},             /* movntq */
    {2, {0xdd, 0x07}},                   /* fld double */
    {2, {0xdd, 0x37}},                   /* fnsave */
    {3, {0x0f, 0xae, 0x07}},             /* fxsave */
    {3, {0x0f, 0xae, 0x17}},             /* ldmxcsr */
    {3, {0x0f, 0x18, 0x07}},             /* prefetch */
    {3, {0x0f, 0xae, 0x3f}},             /* clflush */
    {3, {0x0f, 0x00, 0x17}},             /* lldt (rdi) */
    {3, {0x0f, 0x01, 0x37}},             /* lmsw (rdi) */
    {3, {0x0f, 0x01, 0x0f}},             /* sidt (rdi) */
    {2, {0x8e, 0x1f}},                   /* mov (rdi), ds */
    {2, {0x8c, 0x1f}},                   /* mov ds, (rdi) */
    {4, {0x0f, 0x38, 0xf0, 0x07}},       /* movbe */
    {5, {0xc4, 0xe1, 0x7c, 0x28, 0x07}}, /* vmovaps: AVX is off */
    {2, {0x63, 0x07}},
    {1, {0xd7}},                         /* xlat through rbx */
};

static void run_at(uint8_t *place, uint64_t address) {
  unsigned i = random_below(sizeof accesses / sizeof accesses[0]);
  memcpy(place, accesses[i].bytes, accesses[i].length);
  place[accesses[i].length] = 0xc3;
  note("access", *(uint64_t *)place, address, 0);
  uint64_t rdi = address, rsi = ARENA + random_below(4096), rcx = random_below(40), rax = random_value();
  __asm__ volatile("call *%[target]\n cld"
                   : "+D"(rdi), "+S"(rsi), "+c"(rcx), "+a"(rax)
                   : [target] "r"((uint64_t)place), "b"(address), "d"(random_value())
                   : "r8", "memory", "cc");
}

static void access_absent(void) { run_at(code, absent_address()); }

/* The instruction's bytes on two pages. */
static void access_across_pages(void) { run_at(code + 4096 - 1 - random_below(6), absent_address()); }

/* An operand that is half there. */
static void access_half(void) {
  uint64_t window = ARENA + 0x200000;
  paging_map(window, arena_frame + random_below(ARENA_PAGES), PTE_PRESENT | PTE_WRITE);
  paging_map(window + 4096, random_below(2) ? 1ull << 25 : 0, random_below(2) ? PTE_PRESENT | PTE_WRITE : 0);
  run_at(code, window + 4096 - random_below(16));
}

/* Code where nothing is. */
static void run_absent(void) {
  uint64_t target = absent_address();
  note("call", target, 0, 0);
  __asm__ volatile("call *%0" : : "r"(target) : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "memory", "cc");
}

static uint64_t rubbish_entry(void) {
  static const uint64_t flags[] = {0x07, 0x03, 0x01, 0x87, 0x8000000000000003, 0x1ff, 0x63, 0x000ff00000000007};
  uint64_t frame = random_below(4) ? random_frame() : (uint64_t)rubbish_table >> 12;
  return (frame << 12 & 0x000ffffffffff000ull) | RANDOM_OF(flags);
}

static void read_byte(uint64_t address) { (void)*(volatile uint8_t *)address; }

static void write_word(uint64_t address) { *(volatile uint64_t *)address = address; }

static void read_by_hypervisor(uint64_t address) { event_channel_op(EVTCHNOP_unmask, (void *)address); }

static void write_by_hypervisor(uint64_t address) { xen_version(XENVER_extraversion, (void *)address); }

static void try_on(void (*access)(uint64_t), uint64_t address) { count_exception(TRAP_OF(access(address))); }

/*
 * The guest's own part of the address space stays, everything else is rubbish: tables that name themselves, the arena or
 * nothing. It is only read: what such an address leads to may be any page.
 */
static void rubbish_tables(void) {
  note("page tables", 0, 0, 0);
  rubbish_map[0] = page_map[0];
  for (unsigned i = 1; i < 512; i++)
    rubbish_map[i] = rubbish_entry();
  for (unsigned i = 0; i < 512; i++)
    rubbish_table[i] = rubbish_entry();
  write_cr3((uint64_t)rubbish_map);
  for (unsigned i = 0; i < 8; i++) {
    uint64_t address = random_bits() >> 16;
    if (address >> 39 == 0)
      address |= 1ull << 40;
    if (address >> 47)
      address |= 0xffff000000000000ull;
    try_on(read_byte, address);
    if (random_below(2))
      try_on(read_by_hypervisor, address);
    if (random_below(4) == 0)
      invlpg(address);
  }
}

/* Remaps a window under the hypervisor's feet between two uses. */
static void remap(void) {
  note("remap", 0, 0, 0);
  uint64_t window = ARENA + 0x300000;
  for (unsigned i = 0; i < 4; i++) {
    paging_map(window, random_frame() & 0xffffffffffull, PTE_PRESENT | PTE_WRITE);
    try_on(write_by_hypervisor, window + random_below(4096));
    try_on(write_word, window);
  }
  paging_map(window, 0, 0);
}

void attack_memory(void) {
  static void (*const attacks[])(void) = {access_absent, access_absent, access_absent, access_across_pages,
                                          access_half,   run_absent,    rubbish_tables, remap};
  void (*attack)(void) = RANDOM_OF(attacks);
  count_exception(TRAP_OF(attack()));
  processor_restore();
}
