/*
 * Pseudo-random numbers (splitmix64) and the values worth trying.
 */
#include "hostile.h"

uint64_t arena_frame;

static uint64_t state;

void random_seed(uint64_t seed) { state = seed * 0x9e3779b97f4a7c15 + 1; }

uint64_t random_bits(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t random_below(uint64_t limit) { return random_bits() % limit; }

/* As an address: also what lies shortly below the image, since a structure reaches further. */
static bool is_own(uint64_t value) {
  return (value >= (uint64_t)image_start - 0x10000 && value < (uint64_t)image_end) ||
         (value >= (uint64_t)image_start >> 12 && value <= (uint64_t)image_end >> 12);
}

uint64_t random_value(void) {
  static const uint64_t edges[] = {
      0,          1,           2,          7,          8,          0x1f,       0x20,       0x3f,
      0x40,       0x7f,        0x80,       0xff,       0x7ff0,     0x7ff1,     0x7ff2,     0x7ff3,
      0x7ff4,     0x7fff,      0x8000,     0xffff,     0x10000,    0x7fffffff, 0x80000000, 0xfffffff0,
      0xffffffff, 0x100000000, 1ull << 39, 1ull << 40, 1ull << 47, 1ull << 52, 1ull << 62, 1ull << 63,
      ~0ull,      ~0ull - 1,   ~0ull << 32, 0x7fffffffffffffff,
  };
  uint64_t value;
  switch (random_below(6)) {
    case 0:
    case 1:
      value = RANDOM_OF(edges);
      break;
    case 2:
      value = random_below(64);
      break;
    case 3:
      value = random_bits() >> random_below(64);
      break;
    case 4:
      value = random_frame();
      break;
    default:
      value = (uint64_t)random_pointer();
  }
  return is_own(value) ? ~value : value;
}

uint64_t random_frame(void) {
  static const uint64_t wild[] = {0xd0000, 0xfee00, 0xfec00, 0xfffff, 0x100000, 0xfffff0, 1ull << 24, 1ull << 28,
                                  1ull << 36, 1ull << 40, 1ull << 52, ~0ull, ~0ull - 1, ~0ull << 12 >> 12};
  return random_below(2) ? arena_frame + random_below(ARENA_PAGES) : RANDOM_OF(wild);
}

void *random_pointer(void) {
  static const uint64_t wild[] = {0x600000000000, 0x7ffffffff000, 0x800000000000, 0xffff800000000000,
                                  0xffff82d040200000, ~0ull, ~0ull << 12, 0x8000000000000000, 0xd0000000, 0xfee00000,
                                  0xfffffff8, 0x100000000, 0x280000000};
  switch (random_below(5)) {
    case 0:
    case 1:
      return (void *)(ARENA + random_below(2) * 8 * random_below(512));
    case 2:
      /* Across the arena's end. */
      return (void *)(ARENA + ARENA_PAGES * 4096 - random_below(256));
    case 3:
      return (void *)(RANDOM_OF(wild) + random_below(2) * random_below(4096));
    default:
      return (void *)(ARENA + random_below(ARENA_PAGES * 4096));
  }
}

void arena_init(void) {
  arena_frame = (uint64_t)pages_take(ARENA_PAGES) >> 12;
  for (unsigned i = 0; i < ARENA_PAGES; i++)
    if (!paging_map(ARENA + i * 4096, arena_frame + i, PTE_PRESENT | PTE_WRITE))
      guest_fail("no page table for the arena");
}

/* A page of the arena that was lost is asked back, so that filling it does not cost an exit a word. */
static bool arena_page_there(unsigned page) {
  volatile uint64_t *word = (volatile uint64_t *)(ARENA + page * 4096);
  *word = 0x1234;
  if (*word == 0x1234)
    return true;
  xen_pfn_t frame = arena_frame + page;
  struct xen_memory_reservation reservation = {.nr_extents = 1, .domid = DOMID_SELF};
  set_xen_guest_handle(reservation.extent_start, &frame);
  memory_op(XENMEM_populate_physmap, &reservation);
  *word = 0x1234;
  return *word == 0x1234;
}

void arena_fill(bool frames) {
  for (unsigned page = 0; page < 2; page++) {
    volatile uint64_t *words = (volatile uint64_t *)(ARENA + page * 4096);
    if (!arena_page_there(page))
      continue;
    for (unsigned i = 0; i < 512; i++) {
      uint64_t value = frames ? random_frame() : random_value();
      /*
       * Lists of frames are read from here, with extents of many pages: none may begin below the arena. The same words
       * are read as addresses, too.
       */
      words[i] = (frames && value < arena_frame) || is_own(value) ? ~value : value;
    }
  }
}
