/*
 * Entry of a PVHv1 guest that starts as LightVM's Mini-OS does: 64-bit mode, ring 0, on the domain builder's page tables and stack, RSI
 * = struct start_info. Keeps what it found, loads a GDT and calls pv_start().
 */
#include "../lib/layout.h"

        .section __xen_guest, "", @progbits
        .ascii  "GUEST_OS=Mini-OS,XEN_VER=xen-3.0,VIRT_BASE=0x0,ELF_PADDR_OFFSET=0x0,HYPERCALL_PAGE=0x2,LOADER=generic"
        .asciz  ",FEATURES=!writable_descriptor_tables|hvm_callback_vector|auto_translated_physmap|supervisor_mode_kernel"
        .asciz  ",SUPPORTED_FEATURES=0x10d"

        .section .text.start, "ax"
        .code64
        .globl  _start
_start:
        movq    %rsp, first_rsp(%rip)
        movq    %rsi, first_rsi(%rip)
        pushfq
        popq    first_flags(%rip)
        movl    %cs, %eax
        movl    %eax, first_cs(%rip)
        movl    %ss, %eax
        movl    %eax, first_ss(%rip)
        rdtsc
        movl    %eax, first_tsc(%rip)
        movl    %edx, first_tsc + 4(%rip)
        cli
        cld
        lgdt    gdt_pointer(%rip)
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        leaq    stacks + STACK_SIZE(%rip), %rsp
        pushq   $SELECTOR_CODE64
        leaq    1f(%rip), %rax
        pushq   %rax
        lretq
1:      xorl    %ebp, %ebp
        call    pv_start
2:      cli
        hlt
        jmp     2b

/* Pages of the image that are made something else: nothing, the hypercall page (its number is in __xen_guest), the device page. */
        .org    0x2000
        .globl  hypercall_page
hypercall_page:
        .org    0x3000
        .globl  device_page
device_page:
        .org    0x4000

        .data
        .balign 8
        .globl  first_rsp, first_rsi, first_flags, first_tsc, first_cs, first_ss
first_rsp:
        .quad   0
first_rsi:
        .quad   0
first_flags:
        .quad   0
first_tsc:
        .quad   0
first_cs:
        .long   0
first_ss:
        .long   0
        .balign 16
        .globl  gdt
gdt:
        .quad   0
        .quad   0x00af9b000000ffff      /* SELECTOR_CODE64 */
        .quad   0x00cf93000000ffff      /* SELECTOR_DATA */
        .skip   16 + 8                  /* not used */
        .skip   16 * MAX_CPUS           /* SELECTOR_TSS: traps.c */
gdt_end:
        .word   0
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt

        .bss
        .balign 4096
        .globl  stacks
stacks:
        .skip   STACK_SIZE

        .section .note.GNU-stack, "", @progbits
