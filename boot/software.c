/* Entering, leaving and resetting software-isolated domains, and the table of these domains. */
#include "software.h"

/* The frame that switch_stack expects on a new stack: six callee-saved registers, then the return address. */
struct fresh_stack {
  u64 callee_saved[6], entry;
};
extern u64 switch_stack(u64 *save, u64 load);
extern u8 software_begin[];
extern const u32 snapshot[], io_image[]; /* snapshot.S */

/* By the number of their linear memory, from 1 up: 0 is the hypervisor's. */
static struct software_domain domains[] = {
  {
    .name = "Domain 0",
    .uses_fpu = true,
    .base = ENGINE_BASE,
    .guard = engine_stack_guard,
    .stack = engine_stack,
    .stack_end = engine_stack_end,
    .image = snapshot,
    .reset = engine_reset,
    .main = engine_main,
  },
  {
    .name = "The I/O domain",
    .base = IO_BASE,
    .guard = io_stack_guard,
    .stack = io_stack,
    .stack_end = io_stack_end,
    .image = io_image,
    .reset = io_reset,
    .main = io_main,
  },
};

struct software_domain *software_current;
static u64 hypervisor_rsp;

struct software_domain *software_domain(u32 space) {
  if (space - 1 >= LENGTH(domains)) panic("hw: no software-isolated domain has that linear memory");
  return &domains[space - 1];
}

void software_reset(u32 space) {
  struct software_domain *domain = software_domain(space);
  domain->reset();
  struct fresh_stack *fresh = (struct fresh_stack *)(domain->stack_end - sizeof(struct fresh_stack));
  *fresh = (struct fresh_stack){.entry = (u64)software_begin};
  domain->rsp = (u64)fresh;
  domain->trapped = false;
  domain->nested = NULL;
}

/* Entry point of a new or reset domain, from software_begin. */
void software_main(void) { software_current->main(); }

u32 software_enter(u32 space, struct software_exit *info) {
  struct software_domain *domain = software_domain(space);
  if (!domain->rsp) panic("hw.enterSoftware: the space was never reset");
  if (domain->trapped) return SOFTWARE_EXIT_TRAP;
  static const u32 default_mxcsr = 0x1f80;
  domain->exit = info;
  software_current = domain;
  /* A guest's rounding mode may be in force; a preempted domain restores its own (trap.c). */
  if (domain->uses_fpu) __asm__ volatile("ldmxcsr %0" : : "m"(default_mxcsr));
  switch_stack(&hypervisor_rsp, domain->rsp);
  return domain->exit_reason;
}

void software_leave(u32 reason) {
  struct software_domain *domain = software_current;
  domain->exit_reason = reason;
  software_current = NULL;
  switch_stack(&domain->rsp, hypervisor_rsp);
}

void software_call(u32 reason) {
  __asm__ volatile("cli" : : : "memory");
  software_leave(reason);
  __asm__ volatile("sti" : : : "memory");
}

struct software_exit *software_info(void) { return software_current->exit; }

/* xen.h: struct vcpu_time_info of vCPU 0 in struct shared_info. */
u64 software_time(u32 shared_info) {
  const struct {
    volatile u32 version;
    u32 pad;
    u64 tsc_timestamp, system_time;
    u32 mul;
    s8 shift;
  } *time = (const void *)(software_current->base + shared_info + 32);
  for (;;) {
    u32 version = time->version, low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    u64 ticks = (low | (u64)high << 32) - time->tsc_timestamp;
    ticks = time->shift < 0 ? ticks >> -time->shift : ticks << time->shift;
    u64 ns = time->system_time + (u64)((unsigned __int128)ticks * time->mul >> 32);
    __asm__ volatile("" : : : "memory");
    if (!(version & 1) && time->version == version) return ns;
  }
}

bool software_nest(const char *name, void (*work)(void *), void *context) {
  volatile bool finished = false;
  software_current->nested = name;
  if (!__builtin_setjmp(software_current->nest_return)) {
    work(context);
    finished = true;
  }
  software_current->nested = NULL;
  __asm__ volatile("sti" : : : "memory");
  return finished;
}

void print_sandbox(void) {
  print(software_current->name);
  print("'s ");
  print(software_current->nested ? software_current->nested : "sandbox");
  print(": ");
}

void software_trap(u32 trap) {
  struct software_domain *domain = software_current;
  if (domain->nested) __builtin_longjmp(domain->nest_return, 1);
  __asm__ volatile("cli" : : : "memory");
  domain->trapped = true;
  domain->exit->trap = trap;
  software_leave(SOFTWARE_EXIT_TRAP);
  panic("a software-isolated domain went on after its trap");
}
