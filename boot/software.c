/* Entering, leaving and resetting the software-isolated domain (there is one: domain 0's engine, space 1). */
#include "software.h"

/* What switch_stack finds on a fresh stack: six callee-saved registers, then the address to return to. */
struct fresh_stack {
  u64 callee_saved[6], entry;
};
extern u64 switch_stack(u64 *save, u64 load);
extern u8 software_begin[];

bool software_running, software_nested;
static bool trapped;
static u64 hypervisor_rsp, domain_rsp;
static struct software_exit *exit_record;
static u32 exit_reason;
static void *nest_return[5]; /* __builtin_setjmp's */

void software_reset(u32 space) {
  if (space != ENGINE_SPACE) panic("hw.softwareReset: no such space");
  engine_reset();
  struct fresh_stack *fresh = (struct fresh_stack *)(engine_stack + ENGINE_STACK_SIZE - sizeof(struct fresh_stack));
  *fresh = (struct fresh_stack){.entry = (u64)software_begin};
  domain_rsp = (u64)fresh;
  trapped = software_nested = false;
}

u32 software_enter(u32 space, struct software_exit *info) {
  if (space != ENGINE_SPACE || !domain_rsp) panic("hw.enterSoftware: the space was never reset");
  if (trapped) return SOFTWARE_EXIT_TRAP;
  static const u32 default_mxcsr = 0x1f80;
  exit_record = info;
  software_running = true;
  /* A guest's rounding mode may be in force; a preempted domain restores its own (trap.c). */
  __asm__ volatile("ldmxcsr %0" : : "m"(default_mxcsr));
  switch_stack(&hypervisor_rsp, domain_rsp);
  return exit_reason;
}

void software_leave(u32 reason) {
  exit_reason = reason;
  software_running = false;
  switch_stack(&domain_rsp, hypervisor_rsp);
}

void software_call(u32 reason) {
  __asm__ volatile("cli" : : : "memory");
  software_leave(reason);
  __asm__ volatile("sti" : : : "memory");
}

struct software_exit *software_info(void) { return exit_record; }

u32 software_nest(u32 (*work)(const u32 *), const u32 *arguments, u32 trapped_result) {
  volatile u32 result = trapped_result;
  software_nested = true;
  if (!__builtin_setjmp(nest_return)) result = work(arguments);
  software_nested = false;
  __asm__ volatile("sti" : : : "memory");
  return result;
}

void print_sandbox(void) { print(software_nested ? "Domain 0's codec: " : "Domain 0's sandbox: "); }

void software_trap(u32 trap) {
  if (software_nested) __builtin_longjmp(nest_return, 1);
  __asm__ volatile("cli" : : : "memory");
  trapped = true;
  exit_record->trap = trap;
  software_leave(SOFTWARE_EXIT_TRAP);
  panic("a software-isolated domain went on after its trap");
}
