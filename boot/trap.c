/*
 * Exceptions and interrupts. A fault of the hypervisor's own code is a broken invariant: the machine stops with a
 * report. In a software-isolated domain a missing page is an exit to the hypervisor and anything else ends that
 * domain's run. Interrupts are enabled only inside the domain (it is preempted) and where the hypervisor polls for them.
 */
#include "trap.h"

#include "software.h"

#define RFLAGS_IF 0x200
#define PAGE_FAULT_WRITE 2
#define PAGE_FAULT_FETCH 16

struct fixup {
  u64 fault, resume;
};
extern const struct fixup fixups[], fixups_end[];

static const char *const exception_names[] = {
  "division error", "debug exception", "non-maskable interrupt", "breakpoint", "overflow", "bound range exceeded",
  "invalid opcode", "device not available", "double fault", "exception 9", "invalid TSS", "segment not present",
  "stack segment fault", "general protection fault", "page fault", "exception 15", "x87 floating-point error",
  "alignment check", "machine check", "SIMD floating-point error", "virtualisation exception", "control protection",
};

u32 msr_faulted;
s32 interrupt_taken = -1;

static u64 read_cr2(void) {
  u64 value;
  __asm__ volatile("mov %%cr2, %0" : "=r"(value));
  return value;
}

static bool in_guard(u64 address, const u8 *guard) { return address - (u64)guard < PAGE_SIZE; }

/* Whether the current domain's stack has room for a trap frame and the data below it. */
static bool domain_stack_has_room(u64 rsp) {
  return rsp >= (u64)software_current->stack + STACK_RESERVE && rsp <= (u64)software_current->stack_end;
}

/*
 * Chooses the stack on which a trap is handled. Page faults arrive on a stack of their own; one that is to leave the
 * domain and come back later moves to the domain's stack, or the next page fault would overwrite it.
 */
struct trap_frame *trap_place(struct trap_frame *frame) {
  if (!software_current || frame->vector != TRAP_PAGE_FAULT || !domain_stack_has_room(frame->rsp)) return frame;
  struct trap_frame *placed = (struct trap_frame *)(frame->rsp & -16ul) - 1;
  memcpy(placed, frame, sizeof(*frame));
  return placed;
}

/* Leaves the domain at an interrupt or fault, where its vector registers are in use. */
static __attribute__((noinline)) void leave_with_fpu(u32 reason) {
  u8 state[512] __attribute__((aligned(16)));
  __asm__ volatile("fxsave64 %0" : "=m"(state));
  software_leave(reason);
  __asm__ volatile("fxrstor64 %0" : : "m"(state));
}

static void leave(u32 reason) {
  if (software_current->uses_fpu) leave_with_fpu(reason);
  else software_leave(reason);
}

static void describe_address(u64 address) {
  if (address - PHYSMAP_BASE < PHYSMAP_LIMIT) {
    print("physical ");
    address -= PHYSMAP_BASE;
  } else if (address - HYPERVISOR_BASE < LINEAR_GUARDED) {
    print("the hypervisor's linear ");
    address -= HYPERVISOR_BASE;
  } else if (software_current && address - software_current->base < LINEAR_GUARDED) {
    print("its linear ");
    address -= software_current->base;
  }
  print("address 0x");
  print_hex(address, 0);
}

static void report(const struct trap_frame *frame) {
  static const char *const names[] = {"r15", "r14", "r13", "r12", "r11", "r10", "r9 ", "r8 ",
                                      "rdi", "rsi", "rbp", "rbx", "rdx", "rcx", "rax"};
  u64 cr2 = read_cr2();
  bool paging = frame->vector == TRAP_PAGE_FAULT;
  bool exhausted = paging && (in_guard(cr2, stack_guard) || (software_current && in_guard(cr2, software_current->guard)));
  if (exhausted) print("native stack exhausted");
  else if (frame->vector < LENGTH(exception_names)) print(exception_names[frame->vector]);
  else print("exception");
  if (paging && !exhausted) {
    bool write = frame->error & PAGE_FAULT_WRITE;
    print(frame->error & PAGE_FAULT_FETCH ? " fetching from " : write ? " writing " : " reading ");
    describe_address(cr2);
  }
  print(" in ");
  print_symbol(frame->rip);
  print("\n  vector ");
  print_dec(frame->vector);
  print(" error 0x");
  print_hex(frame->error, 0);
  print(" rip 0x");
  print_hex(frame->rip, 0);
  print(" rsp 0x");
  print_hex(frame->rsp, 0);
  print(" rflags 0x");
  print_hex(frame->rflags, 0);
  print(" cr2 0x");
  print_hex(cr2, 0);
  for (int i = LENGTH(names) - 1; i >= 0; i--) {
    print(i % 5 == 4 ? "\n  " : " ");
    print(names[i]);
    print(" ");
    print_hex((&frame->r15)[i], 16);
  }
  print("\n  at ");
  print_symbol(frame->rip);
  print("\n");
  print_trace(frame->rbp);
}

static NORETURN void fault_in_domain(const struct trap_frame *frame) {
  u64 address = read_cr2();
  u32 trap = SOFTWARE_TRAP_FAULT;
  if (frame->vector == TRAP_DIVIDE) trap = SOFTWARE_TRAP_ARITHMETIC;
  if (frame->vector == TRAP_DOUBLE_FAULT) trap = SOFTWARE_TRAP_STACK;
  if (frame->vector == TRAP_PAGE_FAULT) {
    if (!domain_stack_has_room(frame->rsp) || in_guard(address, software_current->guard)) trap = SOFTWARE_TRAP_STACK;
    else if (address - software_current->base < LINEAR_GUARDED) trap = SOFTWARE_TRAP_MEMORY;
  }
  print_sandbox();
  report(frame);
  software_trap(trap);
}

static bool fix_up(struct trap_frame *frame) {
  for (const struct fixup *fixup = fixups; fixup < fixups_end; fixup++) {
    if (fixup->fault != frame->rip) continue;
    frame->rip = fixup->resume;
    frame->rax = frame->rdx = 0;
    msr_faulted = 1;
    return true;
  }
  return false;
}

void trap_handle(struct trap_frame *frame) {
  if (frame->vector >= FIRST_INTERRUPT) {
    if (software_current) {
      software_info()->vector = frame->vector;
      leave(SOFTWARE_EXIT_INTERRUPT);
    } else {
      interrupt_taken = (s32)frame->vector;
      frame->rflags &= ~(u64)RFLAGS_IF; /* one at a time */
    }
    return;
  }
  if (frame->vector == TRAP_NMI) {
    print("NMI: where the processor is\n");
    report(frame);
    return;
  }
  if (frame->vector == TRAP_PROTECTION && fix_up(frame)) return;
  if (software_current && frame->vector != TRAP_MACHINE_CHECK) {
    u64 linear = read_cr2() - software_current->base;
    if (frame->vector != TRAP_PAGE_FAULT || linear >= LINEAR_SIZE || !domain_stack_has_room(frame->rsp) ||
        software_current->nested)
      fault_in_domain(frame);
    software_info()->address = linear;
    software_info()->write = frame->error & PAGE_FAULT_WRITE ? 1 : 0;
    leave(SOFTWARE_EXIT_PAGE_FAULT);
    return;
  }
  static bool reporting;
  if (!reporting) {
    reporting = true; /* a fault while reporting ends the report */
    print("\nPANIC: ");
    report(frame);
  }
  panic_stop();
}
