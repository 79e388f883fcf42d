/*
 * PVH entry (Xen's docs/misc/pvh.pandoc): 32-bit protected mode, paging off, flat segments, EBX = hvm_start_info.
 * Notes the time, switches to long mode on static identity page tables for the first 4 GiB and calls guest_start().
 */
#include <xen/elfnote.h>
#include "layout.h"

#define CR0_VALUE 0x80010033 /* PG WP NE ET MP PE */
#define CR4_VALUE 0x00000620 /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x00000100

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .quad start32

        .section .text.start, "ax"
        .code32
        .globl start32
start32:
        rdtsc
        movl    %eax, first_tsc
        movl    %edx, first_tsc + 4
        movl    %ebx, start_info_address
        movl    $CR4_VALUE, %eax
        movl    %eax, %cr4
        movl    $page_map, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_LME, %eax
        wrmsr
        movl    $CR0_VALUE, %eax
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $SELECTOR_CODE64, $start64

        .code64
start64:
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        leaq    stacks + STACK_SIZE(%rip), %rsp
        xorl    %ebp, %ebp
        cld
        call    guest_start
1:      cli
        hlt
        jmp     1b

/*
 * Where smp.c starts other vCPUs: already in long mode (VCPU_HVM_MODE_64B), RSP set, RDI = vCPU number. Xen gave it flat
 * segments without a descriptor table behind them.
 */
        .globl  start_secondary
start_secondary:
        lgdt    gdt_pointer
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        pushq   $SELECTOR_CODE64
        leaq    2f(%rip), %rax
        pushq   %rax
        lretq
2:      xorl    %ebp, %ebp
        call    smp_secondary
3:      cli
        hlt
        jmp     3b

        .data
        .balign 8
        .globl  first_tsc, start_info_address
first_tsc:
        .quad   0
start_info_address:
        .long   0
        .balign 16
        .globl  gdt
gdt:
        .quad   0
        .quad   0x00af9b000000ffff      /* SELECTOR_CODE64 */
        .quad   0x00cf93000000ffff      /* SELECTOR_DATA */
        .quad   0x00cf9b000000ffff      /* SELECTOR_CODE32 */
        .quad   0x00cff3000000ffff      /* SELECTOR_USER_DATA */
        .quad   0x00affb000000ffff      /* SELECTOR_USER_CODE64 */
        .skip   16 * MAX_CPUS           /* SELECTOR_TSS: traps.c */
gdt_end:
        .word   0
        .globl  gdt_pointer
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt

/* Identity map of 4 GiB in 2 MiB pages: present, writable; only the upper levels allow user mode. */
        .balign 4096
        .globl  page_map, page_directories
page_map:
        .quad   page_pointers + 0x07
        .skip   4088
page_pointers:
        .quad   page_directories + 0x0007
        .quad   page_directories + 0x1007
        .quad   page_directories + 0x2007
        .quad   page_directories + 0x3007
        .skip   4064
page_directories:
        .set    frame, 0
        .rept   2048
        .quad   frame + 0x83
        .set    frame, frame + 0x200000
        .endr

        .bss
        .balign 4096
        .globl  stacks, hypercall_page
stacks:
        .skip   STACK_SIZE * MAX_CPUS
hypercall_page:
        .skip   4096

        .section .note.GNU-stack, "", @progbits
