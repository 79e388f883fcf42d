/*
 * Numbers shared by assembly and C: selectors, stacks, vectors.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define MAX_CPUS 4
#define STACK_SIZE 16384

/* GDT: one table for all vCPUs, a TSS each (16 bytes in long mode). */
#define SELECTOR_CODE64 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE32 0x18
#define SELECTOR_USER_DATA 0x20
#define SELECTOR_USER_CODE64 0x28
#define SELECTOR_TSS 0x30

/* The vector asked for with HVM_PARAM_CALLBACK_IRQ. */
#define UPCALL_VECTOR 0x40

/* Interrupt stack table slots: exceptions never trust the interrupted stack. */
#define IST_EXCEPTION 1
#define IST_NMI 2

#endif
