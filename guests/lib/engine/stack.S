/* void call_on_stack(void (*function)(void), void *top): calls it with the stack pointer at `top`, which is a multiple of 16. */
        .text
        .code64
        .globl  call_on_stack
call_on_stack:
        pushq   %rbp
        movq    %rsp, %rbp
        movq    %rsi, %rsp
        call    *%rdi
        movq    %rbp, %rsp
        popq    %rbp
        ret

        .section .note.GNU-stack, "", @progbits
