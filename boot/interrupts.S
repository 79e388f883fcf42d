/*
 * 256 entry stubs and their common tail. Each stub pushes its vector (and a zero where the processor pushes no error
 * code), so that every entry saves the same record: struct trap_frame of trap.h.
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
  .irp register, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
  push %\register
  .endr
  cld
  mov %rsp, %rdi
  call trap_place
  mov %rax, %rsp
  mov %rax, %rdi
  call trap_handle
  .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
  pop %\register
  .endr
  add $16, %rsp
  iretq
