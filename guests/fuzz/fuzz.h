/*
 * The fuzzing guest: declarations shared by its files.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../lib/guest.h"

/* --- Random numbers: a generator for each vCPU (random.c) -------------------------------------------------------------- */

void random_seed(uint64_t seed);
uint64_t random_bits(void);
/* 0 .. limit-1. */
uint64_t random_below(uint64_t limit);
#define RANDOM_OF(array) ((array)[random_below(sizeof(array) / sizeof((array)[0]))])
/* Of any magnitude, with those near powers of two more often. */
uint64_t random_value(void);
/*
 * A value that may be stored at any width anywhere in the APIC's page without making INIT or SIPI there: those come only
 * from where it is known that a vCPU survives them. With option `wild`: any value.
 */
uint64_t random_store(void);

/* --- Options ----------------------------------------------------------------------------------------------------------- */

/* Option `wild`: nothing is left out, also not what ends the guest by its own wish. */
extern bool wild;

/* --- The vCPUs (worker.c) ---------------------------------------------------------------------------------------------- */

/* Number of the calling vCPU, by its task register: the one thing that no step changes. MAX_CPUS while it is starting. */
unsigned here(void);
extern unsigned cpu_count;
/*
 * A vCPU that is about to take vCPUs down takes the token, and gets it only while another vCPU is up: so there is always one
 * that restarts those that are down.
 */
bool token_take(void);
void token_release(void);
/* The holder has sent INITs, which have taken effect: the vCPUs hit cannot restart others until they run again. */
void inits_sent(void);
/* Before a vCPU waits for its timer: an upcall that INIT cut short must not keep the next one away. */
void timer_listen(void);
/* With option `trace`: prints the next step, so that the last line names the one that was not survived. */
void note(const char *what, uint64_t first, uint64_t second);

/* --- Steps: each may end in any exception ------------------------------------------------------------------------------ */

/* A page of RAM of the calling vCPU's that may be lost or overwritten, and its frame. */
uint8_t *arena(void);
/* Fills the arena with what random_store gives. */
void arena_fill(void);
/* Calls instructions at random operands: RDI and RSI as given, RAX and R8 a random_store, RCX small. */
void run_code(const uint8_t *bytes, unsigned length, uint64_t rdi, uint64_t rsi);

void step_page(void);         /* page.c: every form of access to the APIC's page */
void step_page_walk(void);    /* as page table */
void step_page_stack(void);   /* as stack, with interrupts on */
void step_page_fetch(void);   /* as code */
void step_register(void);     /* apic.c: likely values in registers, by page or MSR */
void step_base(void);         /* IA32_APIC_BASE */
void step_ipi(void);
void step_timer(void);
void step_priority(void);     /* CR8, TPR, EOI, self-IPIs; and what CR8 says is what TPR says */
void step_msr_read(void);     /* instructions.c */
void step_msr_write(void);
void step_cpuid(void);
void step_port(void);
void step_port_string(void);
void step_odd(void);          /* MONITOR, MWAIT, WBINVD, XSETBV, VT-x's and AMD-V's own, ... */
void step_halt(void);

/* The APIC as it is now: MSRs, page, or neither. */
enum apic_mode { APIC_OFF, APIC_PAGE_MODE, APIC_X2_MODE };
enum apic_mode apic_mode(void);
/* Ends an interrupt, in whichever mode. */
void apic_end_of_interrupt(void);
/* A SIPI to all others: starts those that wait for one. */
void apic_start_others(void);

#define APIC_ADDRESS 0xfee00000ul
#define MSR_X2APIC 0x800

/* The real-mode code that a SIPI at any page below 640 KiB comes to (trampoline.S). */
#define TRAMPOLINE 0x600
#define LOW_PAGES 0xa0
extern char trampoline_start[], trampoline_end[], trampoline_gdt[], trampoline_nmi[];

#endif
