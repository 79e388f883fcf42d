/*
 * World switches: to a hardware guest and back (VMX, SVM), and between the hypervisor's stack and a software-isolated
 * domain's. Called from C with interrupts off. The guest's FPU registers pass through untouched.
 */
#include "layout.h"

#define VMCS_HOST_RSP 0x6c14 /* SDM 3D appendix B.4.4 */
#define VMCS_HOST_RIP 0x6c16
#define GUEST_CR2 128 /* offset in the register file: index 16 */

  .macro save_callee_saved
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  .endm
  .macro restore_callee_saved
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  .endm

  /* Loads all guest registers but RAX and RSP from the register file at RAX. */
  .macro load_guest
  mov 8(%rax), %rcx
  mov 16(%rax), %rdx
  mov 24(%rax), %rbx
  mov 40(%rax), %rbp
  mov 48(%rax), %rsi
  mov 56(%rax), %rdi
  mov 64(%rax), %r8
  mov 72(%rax), %r9
  mov 80(%rax), %r10
  mov 88(%rax), %r11
  mov 96(%rax), %r12
  mov 104(%rax), %r13
  mov 112(%rax), %r14
  mov 120(%rax), %r15
  .endm
  /* The reverse. */
  .macro store_guest
  mov %rcx, 8(%rax)
  mov %rdx, 16(%rax)
  mov %rbx, 24(%rax)
  mov %rbp, 40(%rax)
  mov %rsi, 48(%rax)
  mov %rdi, 56(%rax)
  mov %r8, 64(%rax)
  mov %r9, 72(%rax)
  mov %r10, 80(%rax)
  mov %r11, 88(%rax)
  mov %r12, 96(%rax)
  mov %r13, 104(%rax)
  mov %r14, 112(%rax)
  mov %r15, 120(%rax)
  .endm

/* u32 enter_vmx(u64 *regs, u32 launched): 0 after an exit, 1 VMfailInvalid, 2 VMfailValid. */
  .section .text.enter_vmx, "ax"
  .global enter_vmx
enter_vmx:
  save_callee_saved
  push %rdi
  mov $VMCS_HOST_RSP, %eax
  vmwrite %rsp, %rax
  jbe 2f
  mov $VMCS_HOST_RIP, %eax
  mov $vmx_exit, %ecx
  vmwrite %rcx, %rax
  mov GUEST_CR2(%rdi), %rcx
  mov %rcx, %cr2
  mov %rdi, %rax
  test %esi, %esi
  load_guest /* only moves: the flags stay */
  mov (%rax), %rax
  jnz 1f
  vmlaunch
  jmp 2f
1:
  vmresume
2: /* VM entry failed: the guest's registers are in ours, nothing ran */
  setc %al
  setz %cl
  movzbl %al, %eax
  movzbl %cl, %ecx
  lea (%rax, %rcx, 2), %eax
  add $8, %rsp
  restore_callee_saved
  ret
vmx_exit:
  push %rax
  mov 8(%rsp), %rax
  store_guest
  pop %rcx
  mov %rcx, (%rax)
  add $8, %rsp
  mov %cr2, %rcx
  mov %rcx, GUEST_CR2(%rax)
  xor %eax, %eax
  restore_callee_saved
  ret

/*
 * void enter_svm(u64 vmcb, u64 *regs, u64 host_area). Physical interrupts are held back by GIF; IF must be 1 at VMRUN, for
 * with V_INTR_MASKING the host's IF decides whether they make the guest exit (APM 2, 15.21.1).
 */
  .section .text.enter_svm, "ax"
  .global enter_svm
enter_svm:
  save_callee_saved
  push %rdx
  push %rdi
  push %rsi
  clgi
  sti
  mov %rdi, %rax
  vmload
  mov %rsi, %rax
  load_guest
  mov 8(%rsp), %rax
  vmrun
  vmsave
  pop %rax
  store_guest
  pop %rcx
  pop %rax
  vmload
  cli
  stgi
  restore_callee_saved
  ret

/*
 * u64 switch_stack(u64 *save, u64 load): keeps the callee-saved registers on the present stack, stores its pointer to
 * *save, continues on the stack `load` where that left off (or at software_begin for a fresh one).
 */
  .section .text.switch_stack, "ax"
  .global switch_stack, software_begin
switch_stack:
  save_callee_saved
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  restore_callee_saved
  ret

/* First instructions of a software-isolated domain: a return address of 0 ends its stack traces. */
software_begin:
  xor %ebp, %ebp
  push $0
  sti
  jmp software_main
