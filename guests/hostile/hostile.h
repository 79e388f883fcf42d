/*
 * The hostile guest: declarations shared by its files. All randomness is from one seeded generator, so a seed repeats exactly.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "../lib/guest.h"

/* The generator (random.c). */
void random_seed(uint64_t seed);
uint64_t random_bits(void);
/* 0 .. limit-1. */
uint64_t random_below(uint64_t limit);
#define RANDOM_OF(array) ((array)[random_below(sizeof(array) / sizeof((array)[0]))])

/*
 * Values that programs get wrong: edges of types, domain numbers, addresses. Never a frame or an address of the image
 * itself: what the guest does to itself through a legal hypercall would prove nothing.
 */
uint64_t random_value(void);
/* An address for a hypercall's argument: the arena, its end, unmapped, non-canonical, the lower page. */
void *random_pointer(void);
/* A guest frame number: of the arena, beyond RAM, beyond the address width. */
uint64_t random_frame(void);

/* Pages that may be lost: mapped here with nothing behind them. */
#define ARENA 0x300000000ull
#define ARENA_PAGES 16
extern uint64_t arena_frame; /* frame number of the first */
void arena_init(void);
/* Random words in the first two pages; `frames`: words that are harmless as frame numbers wherever they are read as such. */
void arena_fill(bool frames);

/* One step each. They return after whatever exception it caused. */
void attack_hypercall(void);    /* hypercalls.c */
void attack_processor(void);    /* processor.c: privileged instructions, control registers, MSRs, ports */
void attack_memory(void);       /* memory.c: absent memory, page tables, instructions nobody emulates */
void attack_apic(void);         /* apic.c: the local APIC's page, MSRs, timers, interprocessor interrupts */
/* Brings control registers, MSRs and tables of this vCPU back to what the library set up. */
void processor_restore(void);
void processor_save(void);

/* With option `trace`: prints the next step, so that the last line names the one that was not survived. */
void note(const char *what, uint64_t first, uint64_t second, uint64_t third);

/* Exceptions that the steps caused, by vector. */
extern uint64_t exceptions[32];
void count_exception(int vector);

#endif
