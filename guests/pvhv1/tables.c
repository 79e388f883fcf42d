/*
 * The page tables that the domain builder made, and the hypercalls by which a PV guest changes its own.
 */
#include "pvhv1.h"

#define FRAME_MASK 0x000ffffffffff000ull
#define PTE_ACCESSED 0x020ull
#define PTE_DIRTY 0x040ull
#define FOUR_MIB (4ull << 20)
#define PADDING (512ull << 10)
#define NO_CALL (-XEN_ENOSYS)

static uint64_t *table_below(uint64_t entry) {
  return entry & PTE_PRESENT && !(entry & PTE_LARGE) ? (uint64_t *)(entry & FRAME_MASK) : NULL;
}

uint64_t *entry_of(uint64_t address) {
  uint64_t *table = (uint64_t *)pv_info->pt_base;
  for (int shift = 39; shift > 12; shift -= 9) {
    table = table_below(table[address >> shift & 511]);
    if (!table)
      return NULL;
  }
  return &table[address >> 12 & 511];
}

uint64_t mapped_end(void) {
  uint64_t address = 0;
  for (;; address += 4096) {
    const uint64_t *entry = entry_of(address);
    if (!entry || !(*entry & PTE_PRESENT))
      return address;
  }
}

/* Tables of the tree below `table` at `level`, itself included. */
static unsigned count_tables(const uint64_t *table, int level) {
  unsigned count = 1;
  CHECK((uint64_t)table >= pv_info->pt_base);
  CHECK((uint64_t)table < pv_info->pt_base + (pv_info->nr_pt_frames << 12));
  for (int i = 0; level > 1 && i < 512; i++)
    if (table[i])
      count += count_tables(table_below(table[i]), level - 1);
  return count;
}

void check_tables(void) {
  uint64_t end = mapped_end();
  print("Page tables: %lu KiB are mapped\n", end >> 10);
  CHECK(count_tables((const uint64_t *)pv_info->pt_base, 4) == pv_info->nr_pt_frames);
  CHECK(end % FOUR_MIB == 0);
  CHECK(end >= first_rsp + PADDING && end - FOUR_MIB < first_rsp + PADDING);
  for (uint64_t address = 0; address < end; address += 4096) {
    uint64_t entry = *entry_of(address);
    CHECK((entry & FRAME_MASK) == address);
    CHECK((entry & (PTE_PRESENT | PTE_WRITE)) == (PTE_PRESENT | PTE_WRITE));
  }
  /* Mapped, free and zero, to the last byte. */
  for (const uint64_t *at = (const uint64_t *)first_rsp; at < (const uint64_t *)end; at++)
    CHECK(*at == 0);
  CHECK(TRAP_OF(*(volatile char *)end) == VECTOR_PF);
}

/* The rest of the memory, as LightVM's Mini-OS maps it: tables hooked in by hand, the entries by mmu_update. */
static void map_rest(void) {
  static struct mmu_update updates[512];
  uint64_t next_table = first_rsp, mapped = 0;
  for (uint64_t address = mapped_end(); address < pv_info->nr_pages << 12;) {
    uint64_t *table = (uint64_t *)pv_info->pt_base;
    for (int shift = 39; shift > 12; shift -= 9) {
      uint64_t *entry = &table[address >> shift & 511];
      if (!*entry) {
        *entry = next_table | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_USER;
        next_table += 4096;
      }
      table = table_below(*entry);
    }
    unsigned count = 0, done = 0;
    do {
      updates[count].ptr = (uint64_t)&table[address >> 12 & 511] | MMU_NORMAL_PT_UPDATE;
      updates[count++].val = address | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_USER;
      address += 4096;
    } while (address & 0x1fffff && address < pv_info->nr_pages << 12);
    CHECK(mmu_update(updates, count, &done) == 0 && done == count);
    mapped += count;
  }
  /* The last page is memory, and its own. */
  volatile uint64_t *last = (volatile uint64_t *)((pv_info->nr_pages << 12) - 8);
  *last = 0x123456789abcdef0ull;
  CHECK(*last == 0x123456789abcdef0ull);
  print("mmu_update: %lu more pages are mapped\n", mapped);
}

static void check_update_va_mapping(void) {
  volatile uint64_t *null = (volatile uint64_t *)image_start; /* which is 0 */
  uint64_t entry = *entry_of(0), first = *null;
  CHECK(update_va_mapping(0, 0, UVMF_INVLPG) == 0);
  CHECK(TRAP_OF(*null) == VECTOR_PF);
  CHECK(update_va_mapping(0, entry, UVMF_INVLPG) == 0);
  CHECK(*null == first);
  CHECK(update_va_mapping(pv_info->nr_pages << 12 << 12, entry, 0) == -XEN_EINVAL);
  /* The same in a multicall, as Mini-OS unmaps frames. */
  struct multicall_entry calls[2] = {
      {.op = __HYPERVISOR_update_va_mapping, .args = {0, 0, UVMF_INVLPG}},
      {.op = __HYPERVISOR_update_va_mapping, .args = {0, entry, UVMF_TLB_FLUSH | UVMF_ALL}},
  };
  CHECK(multicall(calls, 2) == 0 && calls[0].result == 0 && calls[1].result == 0);
  CHECK(*null == first);
}

static void check_mmuext(void) {
  struct mmuext_op flushes[3] = {{.cmd = MMUEXT_TLB_FLUSH_ALL}, {.cmd = MMUEXT_INVLPG_LOCAL}, {.cmd = MMUEXT_PIN_L4_TABLE}};
  unsigned done = 0;
  CHECK(mmuext_op(flushes, 3, &done) == 0 && done == 3);
  flushes[0].cmd = MMUEXT_NEW_BASEPTR;
  CHECK(mmuext_op(flushes, 1, &done) == -XEN_EOPNOTSUPP);
}

void check_calls(void) {
  map_rest();
  check_update_va_mapping();
  check_mmuext();
  /* Descriptor tables, stack and interrupts are its own, by the processor's means. */
  CHECK(hypercall(__HYPERVISOR_set_trap_table, 0, 0, 0, 0, 0) == NO_CALL);
  CHECK(hypercall(__HYPERVISOR_set_callbacks, 0, 0, 0, 0, 0) == NO_CALL);
  CHECK(hypercall(__HYPERVISOR_stack_switch, SELECTOR_DATA, first_rsp, 0, 0, 0) == NO_CALL);
  CHECK(hypercall(__HYPERVISOR_set_gdt, 0, 0, 0, 0, 0) == NO_CALL);
  print("Page-table hypercalls: as they should be\n");
}
