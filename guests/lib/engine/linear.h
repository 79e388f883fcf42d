/*
 * The engine's linear memory and its native stack, far above the guest's RAM, which is mapped one to one. A page gets a frame when it
 * is touched first: one of the program's, or a new one. Around both nothing is ever mapped.
 */
#ifndef GUEST_ENGINE_LINEAR_H
#define GUEST_ENGINE_LINEAR_H

#include <stdint.h>

#include "program.h"

#define LINEAR_STACK_SIZE 0x100000ull

/* Handles page faults from now on; `base` is linear address 0. */
void linear_open(uint64_t base, const struct program *program);
/* The heap has this many bytes now: pages beyond it fault. */
void linear_set_size(uint64_t bytes);
/* Where the stack begins, downwards. */
void *linear_stack_top(void);
/* Frames given to the heap, the stack and page tables. */
extern uint64_t linear_frames;

#endif
