/*
 * Where a vCPU comes to after INIT and SIPI: from real mode to the library's entry of other vCPUs. worker.c copies it to
 * TRAMPOLINE and writes the GDT's address and limit into it.
 *
 * An NMI may come at any instruction. In real mode the IVT returns from it. From the move to CR0 on it is delivered as in
 * long mode, by what is at address 0 all the same: main.c puts a gate to trampoline_nmi there and, since INIT leaves the
 * TSS at 0 too, stacks.
 */
#include "../lib/layout.h"

#define TRAMPOLINE 0x600
#define AT(label) (label - trampoline_start + TRAMPOLINE)
#define CR0_VALUE 0x80010033 /* PG WP NE ET MP PE */
#define CR4_VALUE 0x00000620 /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x00000100

        .section .rodata
        .globl  trampoline_start, trampoline_end, trampoline_gdt
        .code16
trampoline_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        /* The initial APIC id is twice the vCPU's number. In real mode the stack is at the same offset in the first 64 KiB. */
        movl    $1, %eax
        cpuid
        shrl    $25, %ebx
        movl    %ebx, %edi
        leal    1(%ebx), %esp
        imull   $STACK_SIZE, %esp
        addl    $stacks, %esp
        lgdtl   AT(trampoline_gdt)
        movl    $CR4_VALUE, %eax
        movl    %eax, %cr4
        movl    $page_map, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        xorl    %edx, %edx
        movl    $EFER_LME, %eax
        wrmsr
        movl    $CR0_VALUE, %eax
        movl    %eax, %cr0
        ljmpl   $SELECTOR_CODE64, $trampoline_long
trampoline_gdt:
        .word   0
        .long   0
trampoline_end:

        .text
        .code64
        .globl  trampoline_nmi
/* What it interrupted has no selector to return to, and there is only one way on. */
trampoline_nmi:
        movq    24(%rsp), %rsp
trampoline_long:
        lidt    idt_pointer
        jmp     start_secondary

        .data
idt_pointer:
        .word   256 * 16 - 1
        .quad   idt

        .section .note.GNU-stack, "", @progbits
