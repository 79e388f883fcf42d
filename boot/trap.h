/* The record that interrupts.S leaves on the stack. */
#ifndef TYPEVISOR_TRAP_H
#define TYPEVISOR_TRAP_H

#include "shim.h"

struct trap_frame {
  u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  u64 vector, error;
  u64 rip, cs, rflags, rsp, ss;
};

enum {
  TRAP_DIVIDE = 0,
  TRAP_NMI = 2,
  TRAP_DOUBLE_FAULT = 8,
  TRAP_PROTECTION = 13,
  TRAP_PAGE_FAULT = 14,
  TRAP_MACHINE_CHECK = 18,
  FIRST_INTERRUPT = 32,
};

/* Set by a fault in hw.rdmsr or hw.wrmsr; hw.msrFaulted. */
extern u32 msr_faulted;
/* The latest interrupt taken in hypervisor code (takeInterrupt, idle); -1 for none. */
extern s32 interrupt_taken;

#endif
