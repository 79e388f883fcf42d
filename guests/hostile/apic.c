/*
 * The local APIC: its page, its MSRs and modes, interrupts and timers of every kind, INIT and SIPI for vCPUs that are not
 * there or wait. Left out is what ends or breaks the guest by its own wish: INIT to itself, and interrupts at the vectors of
 * exceptions, which its handlers would take for those.
 */
#include "hostile.h"

#define PAGE 0xfee00000ul
#define BASE_X2 0x400ul
#define BASE_ENABLE 0x800ul
#define ICR 0x300
#define LVT_TIMER 0x320
#define LVT_ERROR 0x370
#define SELF_IPI 0x3f0
#define MODE (7ul << 8)
#define INIT (5ul << 8)
#define TSC_DEADLINE 0x6e0

static bool x2_mode(void) {
  return (rdmsr(MSR_APIC_BASE) & (BASE_X2 | BASE_ENABLE)) == (BASE_X2 | BASE_ENABLE);
}

/* Vectors 16..31 become 48..63. Those below are illegal, and stay. */
static uint64_t harmless(unsigned offset, uint64_t value) {
  bool vector = offset == ICR || offset == SELF_IPI || (offset >= LVT_TIMER && offset <= LVT_ERROR);
  if (vector && (value & 0xf0) == 0x10)
    value |= 0x20;
  if (offset == ICR && (value & MODE) == INIT)
    value = (value & ~MODE) | random_below(5) << 8;
  return value;
}

static uint64_t any_value(void) { return random_below(2) ? random_bits() : random_value(); }

static unsigned any_register(void) {
  static const unsigned known[] = {0x20,  0x30,  0x80,  0xa0,  0xb0,  0xd0,  0xe0,  0xf0,  0x280, 0x300, 0x300,
                                   0x300, 0x310, 0x320, 0x320, 0x340, 0x350, 0x370, 0x380, 0x390, 0x3e0, 0x3f0};
  return random_below(4) ? RANDOM_OF(known) : random_below(0x100) << 4;
}

/* Through the page: whole registers, parts of them, and what lies across two. */
static void page_access(void) {
  unsigned offset = any_register();
  uint64_t value = harmless(offset, any_value());
  uint64_t at = PAGE + offset;
  note("apic page", offset, value, 0);
  /* Bytes of ICR and of the LVT would make another value than the one looked at. */
  bool whole = offset >= ICR && offset < 0x380;
  switch (whole ? random_below(3) : random_below(8)) {
    case 0:
      (void)*(volatile uint32_t *)at;
      break;
    case 1:
    case 2:
      *(volatile uint32_t *)at = value;
      break;
    case 3:
      *(volatile uint8_t *)(at + random_below(16)) = value;
      break;
    case 4:
      *(volatile uint16_t *)(at + random_below(16)) = value;
      break;
    case 5:
      *(volatile uint64_t *)(at + random_below(16)) = value;
      break;
    case 6:
      __asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
      break;
    default:
      __asm__ volatile("orl %k0, (%1)" : : "r"(value), "r"(at) : "memory", "cc");
  }
}

static void msr_access(void) {
  unsigned offset = any_register();
  uint64_t value = harmless(offset, random_below(2) ? any_value() & 0xcffff : any_value());
  note("apic msr", offset, value, 0);
  if (random_below(3))
    wrmsr(0x800 + (offset >> 4), value);
  else
    rdmsr(0x800 + (offset >> 4));
}

/* From every mode to every other. */
static void change_mode(void) {
  uint64_t value = PAGE | random_below(2) * BASE_X2 | random_below(4) / 3 * BASE_ENABLE;
  if (random_below(3))
    value |= BASE_ENABLE;
  if (random_below(8) == 0)
    value ^= 1ull << random_below(64);
  note("apic base", value, 0, 0);
  wrmsr(MSR_APIC_BASE, value);
}

static void write_register(unsigned offset, uint64_t value) {
  if (x2_mode())
    wrmsr(0x800 + (offset >> 4), value);
  else
    *(volatile uint32_t *)(PAGE + offset) = value;
}

/* The shortest periods and one-shots, with interrupts on for a while. */
static void timer_storm(void) {
  uint64_t mode = random_below(4) << 17, count = random_below(2) ? 1 + random_below(4) : random_bits();
  note("apic timer", mode, count, 0);
  write_register(0xf0, 0x1ff);
  write_register(0x3e0, 0xb);
  write_register(LVT_TIMER, mode | 0x60);
  write_register(0x380, count & 0xffffffff);
  wrmsr(TSC_DEADLINE, random_below(2) ? rdtsc() + random_below(1000) : any_value());
  interrupts_on();
  for (unsigned i = 0; i < 50; i++) {
    cpu_relax();
    if (i % 8 == 0)
      write_register(0xb0, 0);
  }
  interrupts_off();
}

/* Interrupts to itself, faster than it takes them; INIT and SIPI to others, whether they exist or not. */
static void ipi_storm(void) {
  note("ipi storm", 0, 0, 0);
  write_register(0xf0, 0x1ff);
  bool others = random_below(2);
  /* Its id may have been changed to one of theirs. */
  if (!x2_mode())
    write_register(0x20, 0);
  for (unsigned i = 0; i < 32; i++) {
    uint64_t icr = others ? random_below(2) ? 0x4500 : 0x4600 | random_below(256) : 0x40000 | 0x40 | random_below(0xc0);
    if (icr == (0x40000 | INIT))
      continue;
    uint64_t target = others ? 2 + 2 * random_below(100) : random_below(4);
    if (x2_mode()) {
      wrmsr(0x830, target << 32 | icr);
    } else {
      write_register(0x310, target << 24);
      write_register(ICR, icr);
    }
  }
  interrupts_on();
  cpu_relax();
  interrupts_off();
}

static void non_maskable(void) {
  note("nmi to itself", 0, 0, 0);
  write_register(ICR, 0x40400);
}

void attack_apic(void) {
  static void (*const attacks[])(void) = {
      page_access, page_access, page_access, msr_access, msr_access, msr_access, change_mode, timer_storm, ipi_storm,
      non_maskable,
  };
  void (*attack)(void) = RANDOM_OF(attacks);
  count_exception(TRAP_OF(attack()));
  interrupts_off();
  /* Nothing may come later at a vector that another step has made up. Disabled and enabled it is as new. */
  if (random_below(4) == 0) {
    TRAP_OF(wrmsr(MSR_APIC_BASE, PAGE));
    if (random_below(2))
      TRAP_OF(wrmsr(MSR_APIC_BASE, PAGE | BASE_ENABLE));
  }
}
