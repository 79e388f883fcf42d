/* Instructions that a hypervisor intercepts, emulates or refuses, as bytes, for guests that execute them at random. */
#pragma once
#include <stdint.h>

struct odd_instruction {
  uint8_t length, bytes[10];
};

/*
 * One of those that every such guest executes, or of the guest's own `count` at `own`: `random` says which, each as likely
 * as another. Those that take a memory operand take it at RDI.
 */
const struct odd_instruction *odd_instruction_choose(uint64_t random, const struct odd_instruction *own, unsigned count);
