/*
 * IDT, TSS and the way of every exception and interrupt. See traps.h for the guards.
 */
#include "guest.h"

struct tss {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t reserved1;
  uint64_t ist[7];
  uint64_t reserved2;
  uint16_t reserved3, io_map;
} __attribute__((packed));

struct gate idt[256] __attribute__((aligned(16)));
struct guard *innermost_guard;
struct trap_record latest_trap;
uint64_t unexpected_interrupts;

static struct tss tss[MAX_CPUS];
static uint8_t ist_stacks[MAX_CPUS][2][4096] __attribute__((aligned(16)));
static interrupt_handler handlers[256];

extern char trap_stubs[];
extern uint8_t gdt[];

void trap_dispatch(struct trap_frame *frame);

void traps_init(void) {
  for (unsigned vector = 0; vector < 256; vector++) {
    uint64_t stub = (uint64_t)trap_stubs + vector * 16;
    idt[vector] = (struct gate){
        .offset_low = stub & 0xffff,
        .selector = SELECTOR_CODE64,
        .ist = vector == 2 ? IST_NMI : vector < 32 ? IST_EXCEPTION : 0,
        .type = 0x8e, /* present, 64-bit interrupt gate */
        .offset_mid = stub >> 16 & 0xffff,
        .offset_high = stub >> 32,
    };
  }
}

void traps_load(unsigned cpu) {
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) pointer = {sizeof idt - 1, (uint64_t)idt};
  uint64_t base = (uint64_t)&tss[cpu];
  uint64_t *descriptor = (uint64_t *)(gdt + SELECTOR_TSS + 16 * cpu);

  tss[cpu].ist[IST_EXCEPTION - 1] = (uint64_t)ist_stacks[cpu][0] + 4096;
  tss[cpu].ist[IST_NMI - 1] = (uint64_t)ist_stacks[cpu][1] + 4096;
  tss[cpu].io_map = sizeof(struct tss);
  descriptor[0] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
  descriptor[1] = base >> 32;
  __asm__ volatile("lidt %0" : : "m"(pointer));
  __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS + 16 * cpu));
  wrmsr(MSR_GS_BASE, (uint64_t)&cpus[cpu]);
}

void traps_set_handler(unsigned vector, interrupt_handler handler) { handlers[vector] = handler; }

void traps_set_gate_privilege(unsigned vector, unsigned privilege) { idt[vector].type = 0x8e | privilege << 5; }

void traps_set_ring0_stack(unsigned cpu, uint64_t rsp) { tss[cpu].rsp[0] = rsp; }

void trap_dispatch(struct trap_frame *frame) {
  if (handlers[frame->vector]) {
    handlers[frame->vector](frame);
    return;
  }
  if (frame->vector >= 32) {
    unexpected_interrupts++;
    return;
  }
  latest_trap = (struct trap_record){frame->vector, frame->error, frame->rip, read_cr2()};
  if (innermost_guard)
    guard_restore(innermost_guard);
  guest_fail("exception %lu error %lx at %lx cr2 %lx rsp %lx", frame->vector, frame->error, frame->rip, latest_trap.cr2,
             frame->rsp);
}
