/*
 * Interrupt entry: 256 stubs that build a struct trap_frame (traps.h) and call trap_dispatch(); and the guard, a
 * setjmp/longjmp pair by which a test survives its own exceptions.
 */
#include "layout.h"

        .text
        .code64
        .balign 16
        .globl  trap_stubs
trap_stubs:
        .set    vector, 0
        .rept   256
        .balign 16
        /* Vectors whose exception pushes an error code: DF, TS..PF, AC, CP, HV, VC, SX (SDM vol. 3, table 6-1). */
        .if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
        pushq   $0
        .endif
        pushq   $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr

trap_common:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rbx
        pushq   %rbp
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld
        movq    %rsp, %rdi
        movq    %rsp, %rbp
        andq    $-16, %rsp
        call    trap_dispatch
        movq    %rbp, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rbp
        popq    %rbx
        popq    %rdx
        popq    %rcx
        popq    %rax
        addq    $16, %rsp
        iretq

/* int guard_save(struct guard *): 0 now, 1 when guard_restore() comes back here. */
        .globl  guard_save
guard_save:
        movq    (%rsp), %rax
        movq    %rax, 0(%rdi)
        leaq    8(%rsp), %rax
        movq    %rax, 8(%rdi)
        movq    %rbx, 16(%rdi)
        movq    %rbp, 24(%rdi)
        movq    %r12, 32(%rdi)
        movq    %r13, 40(%rdi)
        movq    %r14, 48(%rdi)
        movq    %r15, 56(%rdi)
        pushfq
        popq    64(%rdi)
        xorl    %eax, %eax
        ret

/* void guard_restore(const struct guard *): from any ring-0 state whose code segment is 64-bit. */
        .globl  guard_restore
guard_restore:
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ss
        movl    %eax, %ds
        movl    %eax, %es
        movq    8(%rdi), %rsp
        movq    16(%rdi), %rbx
        movq    24(%rdi), %rbp
        movq    32(%rdi), %r12
        movq    40(%rdi), %r13
        movq    48(%rdi), %r14
        movq    56(%rdi), %r15
        movq    0(%rdi), %rdx
        pushq   64(%rdi)
        popfq
        movl    $1, %eax
        jmpq    *%rdx

        .section .note.GNU-stack, "", @progbits
