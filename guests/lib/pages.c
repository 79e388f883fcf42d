/*
 * Pages of RAM that nobody uses: behind the image, and when that is used up, below 640 KiB. What the domain builder put into
 * memory is left alone, wherever it is.
 */
#include "guest.h"

#define FIRST_PAGE 0x1000ull
#define LOW_END 0xa0000ull
#define LOW_4GIB (1ull << 32)

extern uint32_t start_info_address;

uint64_t image_appended;

/* Where the next search of each area begins, and where the area ends; set at first use. */
static struct area {
  uint64_t next, end;
} areas[2];

static bool overlaps(uint64_t start, uint64_t end, uint64_t used, uint64_t size) {
  return size > 0 && used < end && used + size > start;
}

/* End of something in use that overlaps [start, end), or 0. */
static uint64_t obstacle(uint64_t start, uint64_t end) {
  const struct hvm_modlist_entry *modules = (const void *)start_info->modlist_paddr;
  const struct {
    uint64_t start, size;
  } used[] = {
      {(uint64_t)image_start, image_end - image_start + image_appended},
      {start_info_address, sizeof *start_info},
      {start_info->cmdline_paddr, start_info->cmdline_paddr ? 4096 : 0},
      {start_info->modlist_paddr, start_info->nr_modules * sizeof *modules},
      {start_info->version >= 1 ? start_info->memmap_paddr : 0,
       start_info->version >= 1 ? start_info->memmap_entries * sizeof(struct hvm_memmap_table_entry) : 0},
  };
  for (unsigned i = 0; i < sizeof used / sizeof used[0]; i++)
    if (overlaps(start, end, used[i].start, used[i].size))
      return used[i].start + used[i].size;
  for (uint32_t i = 0; i < start_info->nr_modules; i++)
    if (overlaps(start, end, modules[i].paddr, modules[i].size))
      return modules[i].paddr + modules[i].size;
  return 0;
}

/* Whether it is all RAM, as far as the memory map shows. */
static bool is_ram(uint64_t start, uint64_t end) {
  const struct hvm_memmap_table_entry *entries = (const void *)start_info->memmap_paddr;
  if (start_info->version < 1 || start_info->memmap_entries == 0)
    return end <= memory_bytes();
  for (uint32_t i = 0; i < start_info->memmap_entries; i++)
    if (entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM && entries[i].addr <= start && entries[i].addr + entries[i].size >= end)
      return true;
  return false;
}

static void *take_from(struct area *area, uint64_t size) {
  uint64_t start = area->next, used;
  while ((used = obstacle(start, start + size)) != 0)
    start = (used + 0xfff) & ~0xfffull;
  if (start + size > area->end || !is_ram(start, start + size))
    return NULL;
  area->next = start + size;
  return (void *)start;
}

void *pages_take_raw(unsigned count) {
  if (areas[0].end == 0) {
    areas[0] = (struct area){((uint64_t)image_end + 0xfff) & ~0xfffull, LOW_4GIB};
    areas[1] = (struct area){FIRST_PAGE, LOW_END};
  }
  for (unsigned i = 0; i < 2; i++) {
    void *pages = take_from(&areas[i], (uint64_t)count << 12);
    if (pages)
      return pages;
  }
  guest_fail("out of memory: %u pages wanted", count);
}

void *pages_take(unsigned count) { return memset(pages_take_raw(count), 0, (size_t)count << 12); }
