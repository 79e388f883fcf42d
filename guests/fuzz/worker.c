/*
 * Each vCPU performs steps and monitors the others: one that INIT or HLT has taken down is restarted in the way
 * required. An exception ends its step; an interrupt is usually acknowledged at the APIC.
 */
#include "worker.h"

#define VECTOR_NMI 2
/* Steps between checks of the time and the other vCPUs. */
#define ROUND 16
#define NOBODY_HERE ~0u

static const struct step {
  const char *name;
  void (*make)(void);
  unsigned weight;
} steps[] = {
    {"page", step_page, 12},       {"walk", step_page_walk, 1},   {"stack", step_page_stack, 1},
    {"fetch", step_page_fetch, 1}, {"register", step_register, 8}, {"base", step_base, 3},
    {"ipi", step_ipi, 4},          {"timer", step_timer, 2},      {"priority", step_priority, 3},
    {"rdmsr", step_msr_read, 6},   {"wrmsr", step_msr_write, 6},  {"cpuid", step_cpuid, 6},
    {"port", step_port, 6},        {"string", step_port_string, 2}, {"odd", step_odd, 4},
    {"halt", step_halt, 1},
};
#define STEP_KINDS (sizeof steps / sizeof steps[0])

unsigned cpu_count;

static struct limits limits;
static struct guard guards[MAX_CPUS];
static uint8_t *arenas[MAX_CPUS];
static evtchn_port_t timer_ports_of[MAX_CPUS];
static bool tracing;
static const struct step *only;

static uint64_t exceptions[MAX_CPUS][32], interrupts[MAX_CPUS], nmis[MAX_CPUS + 1], made[MAX_CPUS][STEP_KINDS];
static uint64_t done[MAX_CPUS], starts[MAX_CPUS], revivals[MAX_CPUS];
/* A vCPU that works, or halts in the middle of it; not one that waits for a SIPI or is on its way from one. */
static bool working[MAX_CPUS];
/* The vCPUs that have started, and whether all have: before that no NMI may be sent. */
static bool arrived[MAX_CPUS], ready;
/* vCPU that has the token, and the one that gives the verdict; NOBODY_HERE. */
static unsigned token = NOBODY_HERE, judge = NOBODY_HERE;

unsigned here(void) {
  uint64_t selector;
  __asm__ volatile("str %0" : "=r"(selector));
  return selector < SELECTOR_TSS ? MAX_CPUS : (selector - SELECTOR_TSS) / 16;
}

uint8_t *arena(void) { return arenas[here()]; }

void arena_fill(void) {
  uint64_t *words = (uint64_t *)arena();
  for (unsigned i = 0; i < 64; i++)
    words[i] = random_store();
}

bool token_take(void) {
  unsigned expected = NOBODY_HERE;
  if (!__atomic_compare_exchange_n(&token, &expected, here(), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return false;
  for (unsigned cpu = 0; cpu < cpu_count; cpu++)
    if (cpu != here() && working[cpu] && vcpu_op(VCPUOP_is_up, cpu, NULL))
      return true;
  token_release();
  return false;
}

void inits_sent(void) {
  for (unsigned cpu = 0; cpu < cpu_count; cpu++)
    if (!vcpu_op(VCPUOP_is_up, cpu, NULL))
      working[cpu] = false;
}

void token_release(void) {
  unsigned expected = here();
  __atomic_compare_exchange_n(&token, &expected, NOBODY_HERE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void note(const char *what, uint64_t first, uint64_t second) {
  if (!tracing)
    return;
  char line[100];
  size_t length = format_text(line, sizeof line, "%u:%lu %s %lx %lx\n", here(), done[here()], what, first, second);
  console_io(CONSOLEIO_write, length, line);
}

/* --- Exceptions and interrupts ----------------------------------------------------------------------------------------- */

/* Also an interrupt at such a vector: of the frame nothing but the vector is known then. */
static void take_exception(struct trap_frame *frame) {
  exceptions[here()][frame->vector]++;
  guard_restore(&guards[here()]);
}

static void take_nmi(struct trap_frame *frame) {
  (void)frame;
  nmis[here()]++;
}

static void take_interrupt(struct trap_frame *frame) {
  (void)frame;
  interrupts[here()]++;
  if (random_below(16))
    apic_end_of_interrupt();
}

/* Only the timers are bound. */
void timer_listen(void) {
  struct vcpu_info *info = &shared_info->vcpu_info[here()];
  info->evtchn_upcall_pending = 0;
  info->evtchn_pending_sel = 0;
  event_clear(timer_ports_of[here()]);
}

static void take_upcall(struct trap_frame *frame) {
  (void)frame;
  timer_listen();
}

/* --- Life and death ---------------------------------------------------------------------------------------------------- */

/* Restarts vCPUs that are down: after INIT by a SIPI, after HLT at the next instruction. */
static void look_after_others(void) {
  for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
    if (cpu == here() || vcpu_op(VCPUOP_is_up, cpu, NULL))
      continue;
    revivals[here()]++;
    if (vcpu_op(VCPUOP_up, cpu, NULL))
      apic_start_others();
  }
}

static uint64_t sum(const uint64_t *of_cpus) {
  uint64_t all = 0;
  for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
    all += of_cpus[cpu];
  return all;
}

static void report(void) {
  for (unsigned kind = 0; kind < STEP_KINDS; kind++) {
    uint64_t all = 0;
    for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
      all += made[cpu][kind];
    print("fuzz: %s: %lu steps\n", steps[kind].name, all);
  }
  for (unsigned vector = 0; vector < 32; vector++) {
    uint64_t all = 0;
    for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
      all += exceptions[cpu][vector];
    if (all)
      print("fuzz: exception %u: %lu times\n", vector, all);
  }
  print("fuzz: %lu steps, %lu interrupts, %lu NMIs, %lu starts, %lu times brought back\n", sum(done), sum(interrupts), sum(nmis),
        sum(starts), sum(revivals));
}

/*
 * Time is over: the first to see it stops the others and gives the verdict. One that was stopped in the middle of that by
 * another's INIT is replaced.
 */
static void finish(void) {
  for (;;) {
    unsigned expected = NOBODY_HERE;
    if (__atomic_compare_exchange_n(&judge, &expected, here(), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) || expected == here())
      break;
    if (!vcpu_op(VCPUOP_is_up, expected, NULL))
      __atomic_compare_exchange_n(&judge, &expected, NOBODY_HERE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    else
      sched_op(SCHEDOP_yield, NULL);
  }
  for (unsigned cpu = 0; cpu < cpu_count; cpu++)
    if (cpu != here())
      vcpu_op(VCPUOP_down, cpu, NULL);
  check_all();
  report();
  guest_pass();
}

static bool is_over(void) {
  struct xen_hvm_get_time time = {0};
  hvm_op(HVMOP_get_time, &time);
  return done[here()] >= limits.steps || time.now >= limits.end_ns;
}

/* --- Work -------------------------------------------------------------------------------------------------------------- */

/* What steps may have left behind, as far as the worker itself or other steps rely on it. */
static void tidy(void) {
  wrmsr(MSR_GS_BASE, (uint64_t)&cpus[here()]);
  wrmsr(MSR_FS_BASE, 0);
  page_map[300 + here()] = 0;
  write_cr3((uint64_t)page_map);
  token_release();
}

static const struct step *draw(void) {
  unsigned total = 0;
  if (only)
    return only;
  for (unsigned kind = 0; kind < STEP_KINDS; kind++)
    total += steps[kind].weight;
  unsigned lot = random_below(total);
  const struct step *step = steps;
  while (lot >= step->weight)
    lot -= step++->weight;
  return step;
}

static void work(void) {
  const unsigned cpu = here();
  __atomic_store_n(&arrived[cpu], true, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
    sched_op(SCHEDOP_yield, NULL);
  starts[cpu]++;
  token_release();
  working[cpu] = true;
  if (cpuid(1, 0).ecx >> 26 & 1)
    write_cr4(read_cr4() | 1ul << 18); /* OSXSAVE: there is XSETBV */
  for (;;) {
    const struct step *step = draw();
    tidy();
    if (done[cpu] % ROUND == 0) {
      if (judge != NOBODY_HERE || is_over())
        finish();
      look_after_others();
    }
    done[cpu]++;
    made[cpu][step - steps]++;
    if (guard_save(&guards[cpu]) == 0)
      step->make();
    interrupts_off();
  }
}

void workers_prepare(void) {
  tracing = option_present("trace");
  for (unsigned kind = 0; option_text("only") && kind < STEP_KINDS; kind++)
    if (text_equal(steps[kind].name, option_text("only")))
      only = &steps[kind];
  for (unsigned vector = 0; vector < 256; vector++)
    traps_set_handler(vector, vector < 32 ? take_exception : take_interrupt);
  traps_set_handler(VECTOR_NMI, take_nmi);
  traps_set_handler(UPCALL_VECTOR, take_upcall);
  for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
    arenas[cpu] = pages_take(4);
    timer_ports_of[cpu] = event_bind_virq(VIRQ_TIMER, cpu);
    event_handle(timer_ports_of[cpu], NULL);
  }
}

void workers_run(const struct limits *wanted) {
  limits = *wanted;
  for (unsigned cpu = cpu_count; cpu-- > 0;) {
    /* An upcall may come at any moment. */
    struct vcpu_set_periodic_timer timer = {.period_ns = 2 * MILLISECOND};
    if (cpu > 0 && smp_start(cpu) != 0)
      guest_fail("vCPU %u does not start", cpu);
    smp_run(cpu, work);
    while (cpu > 0 && !__atomic_load_n(&arrived[cpu], __ATOMIC_ACQUIRE))
      sched_op(SCHEDOP_yield, NULL);
    vcpu_op(VCPUOP_set_periodic_timer, cpu, &timer);
  }
  __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
  work();
  __builtin_unreachable();
}
