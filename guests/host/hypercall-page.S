/*
 * The hypercall page of a guest that is a process: each of its entries calls host_hypercall(a1, a2, a3, a4, a5, number). Xen's
 * arguments are in RDI, RSI, RDX, R10, R8.
 */
        .text
        .globl  hypercall_page
        .balign 4096
hypercall_page:
        .set    number, 0
        .rept   64
        .balign 32
        movl    $number, %r9d
        jmp     common
        .set    number, number + 1
        .endr
common:
        pushq   %rbp
        movq    %rsp, %rbp
        andq    $-16, %rsp
        movq    %r10, %rcx
        call    host_hypercall
        leave
        ret

        .section .note.GNU-stack, "", @progbits
