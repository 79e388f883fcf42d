/*
 * From the first C statement to guest_main(), and the verdict at the end.
 */
#include "guest.h"

#define XEN_LEAVES_FIRST 0x40000000
#define XEN_LEAVES_LAST 0x4000ff00
#define TABLE_PAGES 16

extern uint32_t start_info_address;

void guest_start(void);

struct hvm_start_info *start_info;
struct cpu cpus[MAX_CPUS];
uint32_t xen_leaf;
uint32_t hypercall_msr;

static uint64_t tables[TABLE_PAGES][512] __attribute__((aligned(4096)));
static unsigned tables_used;

static void find_xen(void) {
  for (uint32_t leaf = XEN_LEAVES_FIRST; leaf <= XEN_LEAVES_LAST; leaf += 0x100) {
    struct cpuid_result found = cpuid(leaf, 0);
    if (found.ebx == XEN_CPUID_SIGNATURE_EBX && found.ecx == XEN_CPUID_SIGNATURE_ECX &&
        found.edx == XEN_CPUID_SIGNATURE_EDX && found.eax >= leaf + 2) {
      xen_leaf = leaf;
      hypercall_msr = cpuid(leaf + 2, 0).ebx;
      wrmsr(hypercall_msr, (uint64_t)hypercall_page);
      return;
    }
  }
  /* Without hypercalls there is no console: stop in a way that a debugger shows. */
  for (;;)
    __asm__ volatile("cli; hlt");
}

void guest_start(void) {
  traps_init();
  cpus[0] = (struct cpu){.self = &cpus[0]};
  traps_load(0);
  find_xen();
  start_info = (struct hvm_start_info *)(uint64_t)start_info_address;
  if (start_info->magic == XEN_HVM_START_MAGIC_VALUE && start_info->cmdline_paddr)
    options_init((const char *)start_info->cmdline_paddr);
  events_init();
  console_init();
  if (start_info->magic != XEN_HVM_START_MAGIC_VALUE)
    guest_fail("hvm_start_info at %x has magic %x", start_info_address, start_info->magic);
  guest_main();
  guest_pass();
}

void guest_shut_down(unsigned reason) {
  struct sched_shutdown shutdown = {.reason = reason};
  interrupts_off();
  console_flush();
  for (;;)
    sched_op(SCHEDOP_shutdown, &shutdown);
}

void guest_pass(void) {
  interrupts_off();
  print("TYPEVISOR-GUEST: PASS %s\n", guest_name);
  guest_shut_down(SHUTDOWN_poweroff);
}

void guest_reboot(void) {
  interrupts_off();
  print("TYPEVISOR-GUEST: PASS %s\n", guest_name);
  guest_shut_down(SHUTDOWN_reboot);
}

void guest_fail(const char *format, ...) {
  va_list arguments;
  interrupts_off();
  print("\nTYPEVISOR-GUEST: FAIL %s ", guest_name);
  va_start(arguments, format);
  print_list(format, arguments);
  va_end(arguments);
  print("\n");
  guest_shut_down(SHUTDOWN_poweroff);
}

uint64_t memory_bytes(void) {
  uint64_t bytes = 0;
  if (start_info->version >= 1 && start_info->memmap_entries) {
    const struct hvm_memmap_table_entry *entries = (const void *)start_info->memmap_paddr;
    for (uint32_t i = 0; i < start_info->memmap_entries; i++)
      if (entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM)
        bytes += entries[i].size;
    return bytes;
  }
  domid_t self = DOMID_SELF;
  long pages = memory_op(XENMEM_current_reservation, &self);
  return pages < 0 ? 0 : (uint64_t)pages << 12;
}

int own_domid(void) {
  if (cpuid(xen_leaf, 0).eax < xen_leaf + 4)
    return -1;
  struct cpuid_result hvm = cpuid(xen_leaf + 4, 0);
  return hvm.eax & XEN_HVM_CPUID_DOMID_PRESENT ? (int)hvm.ecx : -1;
}

static uint64_t *next_table(uint64_t *entry) {
  if (!(*entry & PTE_PRESENT)) {
    if (tables_used == TABLE_PAGES)
      return NULL;
    *entry = (uint64_t)tables[tables_used++] | PTE_PRESENT | PTE_WRITE | PTE_USER;
  }
  return (uint64_t *)(*entry & 0x000ffffffffff000ull);
}

bool paging_map(uint64_t address, uint64_t frame, uint64_t flags) {
  uint64_t *table = page_map;
  for (int shift = 39; shift > 12; shift -= 9) {
    table = next_table(&table[address >> shift & 511]);
    if (!table)
      return false;
  }
  table[address >> 12 & 511] = flags ? frame << 12 | flags : 0;
  invlpg(address);
  return true;
}
