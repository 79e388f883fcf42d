/*
 * Page tables: one set for everything, four levels, built once; later only leaves of the linear memories change.
 *
 * The physmap covers RAM and firmware tables, but not the shim's own range or devices, as far as the memory map
 * distinguishes them from tables. (Small reserved ranges next to RAM count as tables.) So a wrong physical address from the
 * hypervisor faults, and hw.h needs only one comparison per access. Table pages come from a fixed pool
 * after the image, accessed by their physical addresses.
 */
#include "shim.h"

#define PRESENT 1ul
#define WRITABLE 2ul
#define UNCACHED 0x18ul /* write-through, cache disable */
#define LARGE 0x80ul
#define NO_EXECUTE (1ul << 63)
#define TABLE_FLAGS (PRESENT | WRITABLE)
#define ADDRESS_MASK 0x000ffffffffff000ul

#define SIZE_2M 0x200000ul
#define SIZE_1G 0x40000000ul
#define LOW_MEMORY 0x100000ul
/* VGA's memory, in the middle of the first MiB; above it are option ROMs and firmware, with ACPI's RSDP. */
#define VGA_BASE 0xa0000ul
#define VGA_END 0xc0000ul
#define LOW_4_GIB 0x100000000ul
/* Reserved ranges near RAM are firmware's tables (SeaBIOS keeps ACPI there); larger or farther ones are devices. */
#define FIRMWARE_MAXIMUM 0x1000000ul
#define CPUID_GIGABYTE_PAGES (1u << 26) /* 80000001h EDX */

#define SPACE_COUNT 3
#define ENGINE_SPACE 1
#define SPACE_PAGES 0x100000
#define SPACE_WRITABLE 1 /* hw.spaceMap's flags */
#define SPACE_UNCACHED 2

static const u64 space_bases[SPACE_COUNT] = {HYPERVISOR_BASE, ENGINE_BASE, IO_BASE};
static bool gigabyte_pages;
static u64 *root;

u64 physical_end;
u32 pool_used;

void *pool_take(u32 count) {
  if (count > POOL_PAGES - pool_used) return NULL;
  u8 *page = pool + (u64)pool_used * PAGE_SIZE;
  pool_used += count;
  return page;
}

/* The table below entry `index` of `above`, allocated if absent; NULL when the pool is empty. */
static u64 *table_below(u64 *above, u64 index) {
  if (!(above[index] & PRESENT)) {
    u64 page = (u64)pool_take(1);
    if (!page) return NULL;
    above[index] = page | TABLE_FLAGS;
  }
  return (u64 *)(above[index] & ADDRESS_MASK);
}

/* The entry for `address` at `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB); NULL when the pool is empty. */
static u64 *entry_at(u64 address, u32 level) {
  u64 *table = root;
  for (u32 l = 4; table && l > level; l--) {
    u64 index = address >> (3 + 9 * l) & 511;
    if (table[index] & LARGE) return &table[index]; /* already covered by a larger page */
    table = table_below(table, index);
  }
  return table ? &table[address >> (3 + 9 * level) & 511] : NULL;
}

/*
 * Maps [physical, physical + length) at `address`, in the largest pages that fit, up to `largest` (a level); parts that
 * are mapped already stay as they are.
 */
static void map_range(u64 address, u64 physical, u64 length, u64 flags, u32 largest) {
  while (length) {
    u64 size, *entry, both = address | physical;
    for (u32 level = largest;; level--) {
      size = 1ul << (3 + 9 * level);
      if (both & (size - 1) || length < size) continue;
      entry = entry_at(address, level);
      if (!entry) refuse("the reserve for page tables is too small for this memory map (POOL_PAGES in boot/layout.h).");
      if (!(*entry & PRESENT)) *entry = physical | flags | (level > 1 ? LARGE : 0) | PRESENT;
      if (level == 1 || *entry & LARGE) break;
    }
    address += size;
    physical += size;
    length -= size;
  }
}

/* Maps RAM or tables into the physmap, without the shim's own range. */
static void map_physical(u64 from, u64 to) {
  u64 shim_from = (u64)shim_start, shim_to = (u64)shim_end;
  if (to > PHYSMAP_LIMIT) to = PHYSMAP_LIMIT;
  if (from >= to) return;
  if (from < shim_to && to > shim_from) {
    map_physical(from, shim_from);
    map_physical(shim_to, to);
    return;
  }
  map_range(PHYSMAP_BASE + from, from, to - from, WRITABLE | NO_EXECUTE, gigabyte_pages ? 3 : 2);
  if (to > physical_end) physical_end = to;
}

/* In 4 KiB pages, for the guards' sake. */
static void map_shim(void) {
  u64 text = (u64)shim_start, constants = (u64)text_end, data = (u64)constants_end, end = (u64)shim_end;
  map_range(text, text, constants - text, 0, 1);
  map_range(constants, constants, data - constants, NO_EXECUTE, 1);
  map_range(data, data, end - data, WRITABLE | NO_EXECUTE, 1);
  u8 *const guards[] = {stack_guard, double_fault_stack_guard, page_fault_stack_guard, nmi_stack_guard,
                        machine_check_stack_guard, engine_stack_guard, io_stack_guard};
  for (u32 i = 0; i < LENGTH(guards); i++) *entry_at((u64)guards[i], 1) = 0;
}

static bool firmware_tables(const struct memory_range *range, u64 low_end) {
  return range->type == E820_RESERVED && range->length <= FIRMWARE_MAXIMUM && range->base <= low_end + FIRMWARE_MAXIMUM;
}

void page_tables_init(void) {
  u32 id[4];
  u64 ram = 0, low_end = 0;
  read_cpuid(0x80000001, 0, id);
  gigabyte_pages = id[3] & CPUID_GIGABYTE_PAGES;
  for (u64 i = 0; i < boot_info.memory_count; i++) {
    const struct memory_range *range = &boot_info.memory[i];
    if (range->type != E820_RAM) continue;
    ram += range->length;
    if (range->base < LOW_4_GIB && range->base + range->length > low_end) low_end = range->base + range->length;
  }
  if (ram >> 20 < MINIMUM_RAM_MIB || low_end < (u64)shim_end) {
    print("Typevisor cannot start: the machine has ");
    print_dec(ram >> 20);
    print(" MiB of RAM, it takes ");
    print_dec(MINIMUM_RAM_MIB);
    print(" MiB or more.\n");
    panic_stop();
  }

  root = pool_take(1);
  map_shim();
  map_physical(0, VGA_BASE);
  map_physical(VGA_END, LOW_MEMORY);
  for (u64 i = 0; i < boot_info.memory_count; i++) {
    const struct memory_range *range = &boot_info.memory[i];
    u64 from = range->base, to = range->base + range->length;
    if (range->type == E820_RAM) {
      map_physical((from + PAGE_SIZE - 1) & -(u64)PAGE_SIZE, to & -(u64)PAGE_SIZE);
    } else if (range->type == E820_ACPI || range->type == E820_NVS || firmware_tables(range, low_end)) {
      map_physical(from & -(u64)PAGE_SIZE, (to + PAGE_SIZE - 1) & -(u64)PAGE_SIZE);
    }
  }
  map_range(MMIO_VIRTUAL, MMIO_PHYSICAL, MMIO_SIZE, WRITABLE | NO_EXECUTE | UNCACHED, 2);
  __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
}

/* Whether something is mapped there; needs no memory. */
static bool mapped(u64 address) {
  const u64 *table = root;
  for (u32 level = 4; level >= 1; level--) {
    u64 entry = table[address >> (3 + 9 * level) & 511];
    if (!(entry & PRESENT)) return false;
    if (level == 1 || entry & LARGE) return true;
    table = (const u64 *)(entry & ADDRESS_MASK);
  }
  return false;
}

void space_map_own(u32 page, u64 frame) {
  map_range(HYPERVISOR_BASE + ((u64)page << 12), frame, PAGE_SIZE, WRITABLE | NO_EXECUTE, 1);
}

volatile u32 *device_register(u64 pa) {
  if (pa >= PHYSMAP_LIMIT || (pa < physical_end && mapped(PHYSMAP_BASE + pa))) panic_physical(pa);
  u64 *entry = entry_at(DEVICE_VIRTUAL, 1);
  if (!entry) panic("the reserve for page tables is used up");
  if ((*entry & ADDRESS_MASK) != (pa & -(u64)PAGE_SIZE)) {
    *entry = (pa & -(u64)PAGE_SIZE) | WRITABLE | NO_EXECUTE | UNCACHED | PRESENT;
    __asm__ volatile("invlpg (%0)" : : "r"(DEVICE_VIRTUAL) : "memory");
  }
  return (volatile u32 *)(DEVICE_VIRTUAL + (pa & (PAGE_SIZE - 1)));
}

/* The second address of a page of domain 0's window: in a sandbox's memory. 0 where it has none. */
static u64 sandbox_address(u32 space, u32 page) {
  u64 offset = ((u64)page << 12) - SANDBOX_WINDOW;
  if (space != ENGINE_SPACE || offset >= SANDBOX_COUNT * SANDBOX_SIZE) return 0;
  return SANDBOX_BASE(offset / SANDBOX_SIZE) + offset % SANDBOX_SIZE;
}

static void clear_entry(u64 *entry, u64 address) {
  *entry = 0;
  __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

u32 space_map(u32 space, u32 page, u64 mfn, u32 flags) {
  if (space >= SPACE_COUNT || page >= SPACE_PAGES) panic("hw.spaceMap: no such space or page");
  u64 physical = mfn << 12;
  if (mfn >= PHYSMAP_LIMIT >> 12 || (physical >= (u64)shim_start && physical < (u64)shim_end)) panic_physical(physical);
  u64 *entry = entry_at(space_bases[space] + ((u64)page << 12), 1), again = sandbox_address(space, page);
  u64 *second = again ? entry_at(again, 1) : NULL;
  if (!entry || (again && !second)) return 1;
  if (*entry & PRESENT) return 2;
  *entry = physical | NO_EXECUTE | (flags & SPACE_WRITABLE ? WRITABLE : 0) | (flags & SPACE_UNCACHED ? UNCACHED : 0) | PRESENT;
  if (second) *second = *entry;
  return 0;
}

u32 space_unmap(u32 space, u32 page) {
  if (space >= SPACE_COUNT || page >= SPACE_PAGES) panic("hw.spaceUnmap: no such space or page");
  u64 address = space_bases[space] + ((u64)page << 12);
  u64 *entry = entry_at(address, 1);
  if (!entry || !(*entry & PRESENT)) return 0;
  u64 again = sandbox_address(space, page);
  clear_entry(entry, address);
  if (again) clear_entry(entry_at(again, 1), again);
  return 1;
}
