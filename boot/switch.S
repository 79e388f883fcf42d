/*
 * World switches: to a hardware guest and back (VMX, SVM), and between the hypervisor's stack and a software-isolated
 * domain's. Called from C with interrupts off. The guest's FPU registers pass through untouched.
 */
#include "layout.h"

#define VMCS_HOST_RSP 0x6c14 /* SDM 3D appendix B.4.4 */
#define VMCS_HOST_RIP 0x6c16
#define GUEST_CR2 128 /* offset in the register file: index 16 */

  .macro save_callee_saved
  .irp register, rbp, rbx, r12, r13, r14, r15
  push %\register
  .endr
  .endm
  .macro restore_callee_saved
  .irp register, r15, r14, r13, r12, rbx, rbp
  pop %\register
  .endr
  .endm

  /* Between our registers and the file of the guest's at RAX; all but RAX and RSP. Only moves: the flags stay. */
  .macro load_guest
  .set offset, 8
  .irp register, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
  .ifnc \register, rsp
  mov offset(%rax), %\register
  .endif
  .set offset, offset + 8
  .endr
  .endm
  .macro store_guest
  .set offset, 8
  .irp register, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
  .ifnc \register, rsp
  mov %\register, offset(%rax)
  .endif
  .set offset, offset + 8
  .endr
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
  load_guest
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
 * void enter_svm(u64 vmcb, u64 *regs, u64 host_area). Physical interrupts are held back by GIF; IF must be 1 at VMRUN,
 * for with V_INTR_MASKING the host's IF decides whether they make the guest exit (APM 2, 15.21.1).
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
