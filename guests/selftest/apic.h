/*
 * The local APIC's registers, and what the tests of it share (apic.c).
 */
#ifndef APIC_H
#define APIC_H

#include "suite.h"

#define APIC_PAGE 0xfee00000ul
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_ERROR 0x370
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_SELF_IPI 0x3f0

#define SVR_ENABLE 0x100
#define LVT_MASKED 0x10000
#define TIMER_PERIODIC 0x20000
#define TIMER_DEADLINE 0x40000
#define DIVIDE_BY_1 0xb
#define ICR_NMI 0x400
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define ICR_LOWEST 0x100
#define ICR_LOGICAL 0x800
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000
#define ESR_SEND_ILLEGAL 0x20
#define ESR_RECEIVE_ILLEGAL 0x40

#define BASE_BOOT_CPU 0x100ul
#define BASE_X2 0x400ul
#define BASE_ENABLE 0x800ul
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2(register) (0x800 + ((register) >> 4))

/* Vectors of these tests, of four priority classes. */
#define VECTOR_A 0x51
#define VECTOR_B 0x72
#define VECTOR_C 0x75
#define VECTOR_D 0x93

static inline uint32_t apic_read(unsigned offset) { return *(volatile uint32_t *)(APIC_PAGE + offset); }
static inline void apic_write(unsigned offset, uint32_t value) { *(volatile uint32_t *)(APIC_PAGE + offset) = value; }
bool x2_mode(void);
void end_of_interrupt(void);

/* Disabled, then enabled by its base: as after power-on. Left so, it takes no interrupt. */
void apic_reset(void);
/* Reset, switched on by software, and the vectors above are noted as they come. */
void apic_start(void);
/* Vectors as they came, and whether the APIC said that the latest was in service, and what CR8 was in its handler. */
extern volatile unsigned taken_count;
extern volatile uint8_t taken[16];
extern volatile bool in_service;
extern volatile uint64_t cr8_taken;
/* Interrupts on for a moment. */
void open_window(void);
/* Waits up to a second for so many interrupts. */
bool await_taken(unsigned count);

static inline uint64_t read_cr8(void) {
  uint64_t value;
  __asm__ volatile("mov %%cr8, %0" : "=r"(value));
  return value;
}
static inline void write_cr8(uint64_t value) { __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory"); }

#endif
