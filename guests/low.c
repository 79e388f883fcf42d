/*
 * A guest to which the first megabyte is its own, as kernels of unikernels take it. role=scratch: writes all over it, and
 * finds it unchanged while console, store and clock work. role=unmapped: page tables that map nothing of it.
 */
#include "lib/guest.h"

const char guest_name[] = "low";

#define MIB 0x100000ul
#define PAGE 4096ul
#define ROUNDS 5
#define PATTERN 0x9e3779b97f4a7c15

/* The address is hidden from the compiler, to which the first page is where no object can be. */
static volatile uint64_t *word_at(uint64_t address) {
  __asm__("" : "+r"(address));
  return (volatile uint64_t *)address;
}

static void check_map(void) {
  const struct hvm_memmap_table_entry *entries = (const void *)start_info->memmap_paddr;
  if (start_info->memmap_entries == 0)
    guest_fail("there is no memory map");
  if (entries[0].addr != 0 || entries[0].size < 2 * MIB || entries[0].type != XEN_HVM_MEMMAP_TYPE_RAM)
    guest_fail("the memory map begins with %lx, %lx, type %u", entries[0].addr, entries[0].size, entries[0].type);
}

/* Everything a guest needs of its hypervisor and its toolstack. */
static void use_all(unsigned round) {
  char value[64];
  const char *error = store_read(0, "name", value, sizeof value);
  if (error)
    guest_fail("reading its name: %s", error);
  uint64_t start = clock_ns();
  sleep_ns(MILLISECOND);
  if (clock_ns() - start < MILLISECOND)
    guest_fail("the clock stands still");
  print("low: round %u of %s\n", round, value);
  console_flush();
}

static void scratch(void) {
  for (uint64_t at = 0; at < MIB; at += 8)
    if (*word_at(at))
      guest_fail("%lx holds %lx at the start", at, *word_at(at));
  for (unsigned round = 1; round <= ROUNDS; round++) {
    for (uint64_t at = 0; at < MIB; at += 8)
      *word_at(at) = (at + round) * PATTERN;
    use_all(round);
    for (uint64_t at = 0; at < MIB; at += 8)
      if (*word_at(at) != (at + round) * PATTERN)
        guest_fail("%lx has changed to %lx in round %u", at, *word_at(at), round);
  }
}

static void unmapped(void) {
  uint64_t *table = pages_take(1);
  for (uint64_t page = MIB / PAGE; page < 512; page++)
    table[page] = page * PAGE | PTE_PRESENT | PTE_WRITE;
  page_directories[0] = (uint64_t)table | PTE_PRESENT | PTE_WRITE;
  write_cr3(read_cr3());
  if (TRAP_OF(*word_at(0xff000)) != VECTOR_PF)
    guest_fail("the first megabyte is still mapped");
  for (unsigned round = 1; round <= ROUNDS; round++)
    use_all(round);
}

void guest_main(void) {
  const char *role = option_text("role");
  if (!store_open())
    guest_fail("the domain has no store");
  check_map();
  if (role && *role == 'u')
    unmapped();
  else
    scratch();
}
