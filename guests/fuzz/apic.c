/*
 * The local APIC used as software uses it, with the wrong values: registers by page and by MSR, modes, interprocessor
 * interrupts of every kind, timers, priorities.
 */
#include "fuzz.h"

#define BASE_BOOT_CPU 0x100ul
#define BASE_X2 0x400ul
#define BASE_ENABLE 0x800ul
#define MSR_TSC_DEADLINE 0x6e0

#define ID 0x20
#define TPR 0x80
#define EOI 0xb0
#define SVR 0xf0
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVT_TIMER 0x320
#define INITIAL 0x380
#define DIVIDE 0x3e0
#define SELF_IPI 0x3f0

#define MODE_INIT 5
#define MODE_STARTUP 6
#define ICR_ASSERT 0x4000
#define ICR_LOGICAL 0x800
#define SHORTHAND_SELF 0x40000ul
#define SHORTHAND_OTHERS 0xc0000ul

enum apic_mode apic_mode(void) {
  uint64_t base = rdmsr(MSR_APIC_BASE);
  if (!(base & BASE_ENABLE))
    return APIC_OFF;
  return base & BASE_X2 ? APIC_X2_MODE : APIC_PAGE_MODE;
}

/* In the mode that it is in; a wrong value is #GP in x2APIC mode. */
static void write_register(unsigned offset, uint64_t value) {
  switch (apic_mode()) {
    case APIC_OFF:
      return;
    case APIC_X2_MODE:
      wrmsr(MSR_X2APIC + (offset >> 4), value);
      return;
    case APIC_PAGE_MODE:
      *(volatile uint32_t *)(APIC_ADDRESS + offset) = value;
  }
}

void apic_end_of_interrupt(void) { write_register(EOI, 0); }

static unsigned any_register(void) {
  static const unsigned known[] = {0x20,  0x80,  0x80,  0xa0,  0xb0,  0xb0,  0xd0,  0xe0,  0xf0,  0xf0,  0x280, 0x300, 0x300,
                                   0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3e0, 0x3f0, 0x2f0};
  return random_below(4) ? RANDOM_OF(known) : random_below(0x100) << 4;
}

/* What may be set there, as far as masks go that most registers share. */
static uint64_t likely_value(void) {
  static const uint64_t masks[] = {0xff, 0x1ff, 0x3ff, 0x107ff, 0x1a7ff, 0x700ff, 0xb, 0, 0xffffffff, ~0ull};
  return random_store() & RANDOM_OF(masks);
}

void step_register(void) {
  unsigned offset = any_register();
  uint64_t value = likely_value();
  note("register", offset, value);
  if (random_below(4)) {
    if (random_below(3))
      write_register(offset, value);
    else if (apic_mode() == APIC_X2_MODE)
      rdmsr(MSR_X2APIC + (offset >> 4));
    else
      (void)*(volatile uint32_t *)(APIC_ADDRESS + offset);
    return;
  }
  /* By the way that this mode does not have. */
  if (random_below(2))
    wrmsr(MSR_X2APIC + (offset >> 4), value);
  else
    *(volatile uint32_t *)(APIC_ADDRESS + offset) = value;
}

/* From every mode to every other, elsewhere, with bits that do not exist. */
void step_base(void) {
  uint64_t value = APIC_ADDRESS | (random_below(4) ? BASE_ENABLE : 0) | random_below(2) * BASE_X2 | random_below(2) * BASE_BOOT_CPU;
  switch (random_below(8)) {
    case 0:
      value ^= 1ull << random_below(64);
      break;
    case 1:
      value = (value & 0xfff) | (random_bits() & ~0xfffull);
      break;
  }
  note("base", value, 0);
  wrmsr(MSR_APIC_BASE, value);
}

/* As after power-on and on, since most other steps say little to an APIC that is off. */
static void start(void) {
  uint64_t base = rdmsr(MSR_APIC_BASE);
  if (!(base & BASE_ENABLE))
    wrmsr(MSR_APIC_BASE, (base & BASE_BOOT_CPU) | APIC_ADDRESS | BASE_ENABLE);
  write_register(SVR, 0x1ff);
}

static void send(uint64_t destination, uint64_t icr) {
  switch (apic_mode()) {
    case APIC_OFF:
      return;
    case APIC_X2_MODE:
      wrmsr(MSR_X2APIC + (ICR >> 4), destination << 32 | icr);
      return;
    case APIC_PAGE_MODE:
      write_register(ICR_HIGH, destination << 24);
      write_register(ICR, icr);
  }
}

void apic_start_others(void) {
  start();
  send(0, SHORTHAND_OTHERS | ICR_ASSERT | MODE_STARTUP << 8 | 1);
  send(0, SHORTHAND_SELF | 0xff);
}

/* INIT and SIPI, to one or all others, or itself where another sees to it. ICR is left with neither in it. */
static void startup_ipi(void) {
  bool init = random_below(2);
  if (init && !wild && !token_take())
    return;
  /* The id of xAPIC mode may have been changed to another's. */
  if (apic_mode() == APIC_PAGE_MODE)
    write_register(ID, (uint64_t)here() << 25);
  uint64_t icr = ICR_ASSERT | (init ? MODE_INIT : MODE_STARTUP) << 8 | random_below(wild ? 256 : LOW_PAGES);
  uint64_t destination = 2 * random_below(cpu_count + 1);
  switch (random_below(wild ? 5 : 3)) {
    case 0:
      icr |= SHORTHAND_OTHERS;
      break;
    case 1:
      icr |= SHORTHAND_SELF;
      break;
    case 3:
      icr |= random_below(4) << 18 | random_below(2) * ICR_LOGICAL;
      break;
    case 4:
      destination = random_bits();
  }
  note(init ? "init" : "sipi", destination, icr);
  send(destination, icr);
  send(0, SHORTHAND_SELF | 0xff);
  if (init)
    inits_sent();
  token_release();
}

void step_ipi(void) {
  start();
  if (random_below(16) == 0) {
    startup_ipi();
    return;
  }
  for (unsigned i = random_below(16); i > 0; i--) {
    uint64_t icr = random_store() & (random_below(2) ? 0xccfff : 0xc08ff);
    uint64_t destination = random_below(2) ? random_below(8) : random_bits();
    note("ipi", destination, icr);
    send(destination, icr);
  }
  if (apic_mode() == APIC_X2_MODE)
    wrmsr(MSR_X2APIC + (SELF_IPI >> 4), random_below(256));
  interrupts_on();
  cpu_relax();
  interrupts_off();
}

/* Every mode, and from one to another while it runs; the shortest times. */
void step_timer(void) {
  start();
  for (unsigned i = random_below(4); i < 4; i++) {
    uint64_t mode = random_below(4) << 17, vector = random_below(8) ? 32 + random_below(224) : random_below(32);
    uint64_t count = random_below(2) ? random_below(64) : random_bits() & 0xffffffff;
    note("timer", mode | vector, count);
    write_register(LVT_TIMER, mode | vector | random_below(8) / 7 << 16);
    write_register(DIVIDE, random_below(16) & 0xb);
    write_register(INITIAL, count);
    if (random_below(2))
      wrmsr(MSR_TSC_DEADLINE, random_below(2) ? rdtsc() + random_below(10000) : random_value());
    if (random_below(2))
      rdmsr(MSR_TSC_DEADLINE);
    interrupts_on();
    for (unsigned wait = random_below(64); wait > 0; wait--)
      cpu_relax();
    interrupts_off();
  }
  /* One that does not end would leave time for little else. */
  if (random_below(4))
    write_register(INITIAL, 0);
}

static uint64_t read_cr8(void) {
  uint64_t value;
  __asm__ volatile("mov %%cr8, %0" : "=r"(value));
  return value;
}

static void write_cr8(uint64_t value) { __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory"); }

static uint64_t read_tpr(void) {
  return apic_mode() == APIC_X2_MODE ? rdmsr(MSR_X2APIC + (TPR >> 4)) : *(volatile uint32_t *)(APIC_ADDRESS + TPR);
}

/* CR8 and TPR are one register, whoever wrote it last. */
static void compare(uint64_t written, uint64_t read, const char *by) {
  if (written != read)
    guest_fail("vCPU %u: %lx written by %s reads %lx by the other", here(), written, by, read);
}

void step_priority(void) {
  start();
  for (unsigned i = random_below(64); i > 0; i--) {
    uint64_t value = random_below(256);
    switch (random_below(8)) {
      case 0:
      case 1:
        write_cr8(value & 15);
        if (random_below(2))
          compare(value & 15, read_tpr() >> 4, "CR8");
        compare(value & 15, read_cr8(), "itself");
        break;
      case 2:
        write_register(TPR, value);
        compare(value >> 4, read_cr8(), "TPR");
        break;
      case 3:
        write_register(EOI, 0);
        break;
      case 4:
        if (random_below(16) == 0)
          write_cr8(random_value());
        break;
      case 5:
        interrupts_on();
        write_cr8(value & 7);
        interrupts_off();
        break;
      case 6:
        interrupts_on();
        __asm__ volatile("nop; nop");
        interrupts_off();
        break;
      default:
        send(0, SHORTHAND_SELF | (32 + random_below(224)));
    }
  }
  write_cr8(0);
}
