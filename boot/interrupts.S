/*
 * 256 entry stubs and their common tail. Each stub pushes its vector (and a zero where the processor pushes no error
 * code), so that every entry leaves the same record: struct trap_frame of trap.h.
 */
#include "layout.h"

  .section .text.interrupts, "ax"
  .balign 16
  .global interrupt_stubs
interrupt_stubs:
  .set vector, 0
  .rept 256
  .balign 16
  /* Vectors with an error code: SDM 3A table 6-1 (#DF #TS #NP #SS #GP #PF #AC #CP), AMD's #VC and #SX. */
  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
  pushq $0
  .endif
  pushq $vector
  jmp interrupt_common
  .set vector, vector + 1
  .endr

  .balign 16
interrupt_common:
  push %rax
  push %rcx
  push %rdx
  push %rbx
  push %rbp
  push %rsi
  push %rdi
  push %r8
  push %r9
  push %r10
  push %r11
  push %r12
  push %r13
  push %r14
  push %r15
  cld
  mov %rsp, %rdi
  call trap_place
  mov %rax, %rsp
  mov %rax, %rdi
  call trap_handle
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rdi
  pop %rsi
  pop %rbp
  pop %rbx
  pop %rdx
  pop %rcx
  pop %rax
  add $16, %rsp
  iretq
