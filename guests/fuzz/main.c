/*
 * Uses its local APIC's page and MSRs, CPUID, all MSRs, all ports and the instructions of hypervisors at random, on every
 * vCPU it has, for a time. Options: seed=N (1), seconds=N (2), steps=N (as many as the time gives; of each vCPU),
 * trace, only=NAME (one kind of step), wild (leaves nothing out, also not what ends it).
 */
#include "worker.h"

const char guest_name[] = "fuzz";

bool wild;

#define VECTOR_NMI 2
/* The verdict comes this long after the time is over, at the latest; computers that emulate may be slow. */
#define WATCHDOG_SECONDS 60
#define TSS_IST 0x1c /* IST1 is at 0x24 */

/* The hypervisor still answers, its clock runs, and the guest's own code is whole. */
void check_all(void) {
  code_check();
  hypervisor_check();
}

/* A stack for NMIs, by its top. The low bits are also reserved ones of the gate that lies across it. */
static uint64_t nmi_stack(void) { return ((uint64_t)pages_take(4) + 0x3fff) & ~0x1fffull; }

/*
 * Every page that a SIPI can name begins with a jump to the trampoline, and so does the IVT; an NMI returns. In long mode,
 * before a vCPU has loaded its own, it is IDT and TSS.
 */
static void prepare_low_memory(void) {
  static const uint8_t jump[] = {0xea, TRAMPOLINE & 0xff, TRAMPOLINE >> 8, 0, 0};
  static const uint8_t iret = 0xcf;
  uint8_t *volatile low = 0;
  uint32_t return_at = TRAMPOLINE - 1;
  memset(low, 0, LOW_PAGES << 12);
  for (unsigned page = 0; page < LOW_PAGES; page++)
    memcpy(low + (page << 12), jump, sizeof jump);
  for (unsigned vector = 2; vector < 256; vector++)
    memcpy(low + 4 * vector, &return_at, 4);
  memcpy(low + return_at, &iret, 1);
  uint64_t handler = (uint64_t)trampoline_nmi, stacks[2] = {nmi_stack(), nmi_stack()};
  struct gate gate = {.offset_low = handler, .selector = SELECTOR_CODE64, .ist = IST_NMI + 1, .type = 0x8e, .offset_mid = handler >> 16};
  memcpy(low + VECTOR_NMI * sizeof gate, &gate, sizeof gate);
  memcpy(low + TSS_IST + 8 * IST_NMI, stacks, sizeof stacks);
  memcpy(low + TRAMPOLINE, trampoline_start, trampoline_end - trampoline_start);
  extern char gdt_pointer[];
  memcpy(low + TRAMPOLINE + (trampoline_gdt - trampoline_start), gdt_pointer, 6);
}

void guest_main(void) {
  uint64_t seed = option_number("seed", 1);
  struct limits limits = {.steps = option_number("steps", ~0ull)};
  wild = option_present("wild");
  cpu_count = smp_count();
  print("fuzz: seed %lu, %u vCPUs%s\n", seed, cpu_count, wild ? ", wild" : "");
  console_forget_ring();
  random_seed(seed);
  code_keep();
  workers_prepare();
  prepare_low_memory();
  uint64_t seconds = option_number("seconds", 2);
  /* One that has lost its way ends too. */
  struct sched_watchdog watchdog = {.id = 0, .timeout = seconds + WATCHDOG_SECONDS};
  if (sched_op(SCHEDOP_watchdog, &watchdog) <= 0)
    guest_fail("no watchdog");
  limits.end_ns = hypervisor_time() + seconds * SECOND;
  workers_run(&limits);
}
