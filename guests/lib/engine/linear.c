/*
 * Page faults come on a stack of their own (traps.c), so that the engine's stack can grow by them, too. Interrupts are never on
 * while that stack is in use: the processor could not push onto a page that is not there.
 */
#include "linear.h"

#include "../guest.h"
#include "engine.h"

#define STACK_GUARD 0x10000000ull /* below linear memory lies this much that is not mapped, then the stack */
#define PRESENT 1u                /* of a page fault's error code */
#define WRITABLE (PTE_PRESENT | PTE_WRITE)
#define ADDRESS_MASK 0x000ffffffffff000ull

static uint64_t linear_base, stack_low, stack_high, heap_size;
static const struct program *program;
static const uint32_t *table;
uint64_t linear_frames;

static void *frame_take(void) {
  linear_frames++;
  return pages_take(1);
}

static void map(uint64_t address, uint64_t frame, uint64_t flags) {
  uint64_t *level = page_map;
  for (int shift = 39; shift > 12; shift -= 9) {
    uint64_t *entry = &level[address >> shift & 511];
    if (!(*entry & PTE_PRESENT))
      *entry = (uint64_t)frame_take() | WRITABLE;
    level = (uint64_t *)(*entry & ADDRESS_MASK);
  }
  level[address >> 12 & 511] = (frame & ADDRESS_MASK) | flags;
}

static void map_new(uint64_t address) { map(address, (uint64_t)frame_take(), WRITABLE); }

/* Maps the page of a linear address; false when there is none. */
static bool map_linear(uint64_t linear, uint64_t address) {
  uint64_t page = linear / PROGRAM_PAGE;
  if (linear < heap_size) {
    uint32_t number = page < program->heap_pages ? table[page] : 0;
    if (number)
      map(address, (uint64_t)program + (uint64_t)number * PROGRAM_PAGE, WRITABLE);
    else
      map_new(address);
    return true;
  }
  if (linear >= PROGRAM_CALL_PAGE && linear < PROGRAM_TRANSFER + PROGRAM_TRANSFER_SIZE) {
    map_new(address);
    return true;
  }
  if (linear >= PROGRAM_FILES && linear - PROGRAM_FILES < program->files_size) {
    map(address, (uint64_t)program + program->files + (linear - PROGRAM_FILES), PTE_PRESENT);
    return true;
  }
  return false;
}

static void page_fault(struct trap_frame *frame) {
  uint64_t address = read_cr2(), page = address & ~(uint64_t)(PROGRAM_PAGE - 1);
  if (!(frame->error & PRESENT)) {
    if (page >= stack_low && page < stack_high) {
      map_new(page);
      return;
    }
    if (page >= linear_base && map_linear(page - linear_base, page))
      return;
  }
  if (address < stack_low && address >= stack_low - STACK_GUARD)
    engine_crash("native stack exhausted, at %lx", frame->rip);
  if (address >= linear_base && address < linear_base + (2ull << 32))
    engine_crash("access outside linear memory, at %lx: %lx", frame->rip, address - linear_base);
  engine_crash("page fault, error %lx, at %lx: %lx", frame->error, frame->rip, address);
}

void linear_open(uint64_t base, const struct program *the_program) {
  program = the_program;
  table = (const uint32_t *)((uint64_t)program + program->table);
  linear_base = base;
  stack_high = base - STACK_GUARD;
  stack_low = stack_high - LINEAR_STACK_SIZE;
  traps_set_handler(VECTOR_PF, page_fault);
}

void linear_set_size(uint64_t bytes) { heap_size = bytes; }

void *linear_stack_top(void) { return (void *)stack_high; }
