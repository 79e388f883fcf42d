/*
 * Exceptions and interrupts. An exception outside a guard ends the guest with a report; inside, the guarded statement is
 * abandoned and the vector reported.
 */
#ifndef GUEST_TRAPS_H
#define GUEST_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14

#define NO_TRAP (-1)

/* Registers as trap_common in traps.S leaves them on the stack. */
struct trap_frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct guard {
  uint64_t registers[9];
  struct guard *outer;
};

/* The latest exception that a guard caught. */
struct trap_record {
  uint64_t vector, error, rip, cr2;
};

extern struct guard *innermost_guard;
extern struct trap_record latest_trap;

int guard_save(struct guard *guard) __attribute__((returns_twice));
void guard_restore(const struct guard *guard) __attribute__((noreturn));

/*
 * Runs a statement and yields the vector of the exception that ended it, or NO_TRAP. Guards belong to vCPU 0. A local
 * variable that the statement changes has no reliable value after an exception unless it is volatile.
 */
#define TRAP_OF(statement)                   \
  ({                                         \
    struct guard guard_;                     \
    volatile int vector_ = NO_TRAP;          \
    guard_.outer = innermost_guard;          \
    if (guard_save(&guard_) == 0) {          \
      innermost_guard = &guard_;             \
      __asm__ volatile("" : : : "memory");   \
      statement;                             \
      __asm__ volatile("" : : : "memory");   \
    } else {                                 \
      vector_ = (int)latest_trap.vector;     \
    }                                        \
    innermost_guard = guard_.outer;          \
    vector_;                                 \
  })

typedef void (*interrupt_handler)(struct trap_frame *frame);

/* Builds the IDT; once, on vCPU 0. */
void traps_init(void);
/* Loads IDT and TSS on the calling vCPU. */
void traps_load(unsigned cpu);
/* Handler of an interrupt vector (32..255); null takes it away. An exception vector's handler runs before any guard. */
void traps_set_handler(unsigned vector, interrupt_handler handler);
/* Interrupts that came without a handler. */
extern uint64_t unexpected_interrupts;
/* Sets the privilege from which INT n may call the vector (0..3). */
void traps_set_gate_privilege(unsigned vector, unsigned privilege);
/* Sets the ring-0 stack used when user mode is interrupted on the calling vCPU. */
void traps_set_ring0_stack(unsigned cpu, uint64_t rsp);
/* The IDT itself, for tests that damage it: 256 gates of 16 bytes. */
extern struct gate {
  uint16_t offset_low, selector;
  uint8_t ist, type;
  uint16_t offset_mid;
  uint32_t offset_high, reserved;
} idt[256];

#endif
