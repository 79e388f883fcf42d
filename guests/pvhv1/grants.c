/*
 * Grants as LightVM's Mini-OS uses them: the table at a guest-physical address behind the memory, another's page at a linear
 * address whose page-table entry the hypervisor fills. Here the other domain is itself.
 */
#include "pvhv1.h"

#define GRANT_REF 8

static char granted[4096] __attribute__((aligned(4096)));
static uint64_t demand_table[512] __attribute__((aligned(4096)));

/* Tables for the 2 MiB from `start` on. */
static void make_tables(uint64_t start) {
  static uint64_t spare[2][512] __attribute__((aligned(4096)));
  uint64_t *table = (uint64_t *)pv_info->pt_base;
  int used = 0;
  for (int shift = 39; shift > 21; shift -= 9) {
    uint64_t *entry = &table[start >> shift & 511];
    if (!*entry)
      *entry = (uint64_t)spare[used++] | PTE_PRESENT | PTE_WRITE | PTE_USER;
    table = (uint64_t *)(*entry & 0x000ffffffffff000ull);
  }
  CHECK(table[start >> 21 & 511] == 0);
  table[start >> 21 & 511] = (uint64_t)demand_table | PTE_PRESENT | PTE_WRITE | PTE_USER;
}

static uint64_t area(void) { return ((pv_info->nr_pages << 12) + 0x200000) & ~0x1fffffull; }

/* Maps the grant table and grants a frame to a domain, by GRANT_REF. */
static void grant_page(uint64_t frame, domid_t domain) {
  struct xen_add_to_physmap map = {
      .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = 0, .gpfn = area() >> 12};
  make_tables(area());
  *entry_of(area()) = area() | PTE_PRESENT | PTE_WRITE;
  CHECK(memory_op(XENMEM_add_to_physmap, &map) == 0);
  grant_entry_v1_t *table = (grant_entry_v1_t *)area();
  table[GRANT_REF].frame = frame;
  table[GRANT_REF].domid = domain;
  __atomic_store_n(&table[GRANT_REF].flags, GTF_permit_access, __ATOMIC_RELEASE);
}

void check_grants(void) {
  uint64_t page = area() + 0x5000;
  /* Who am I? A port for myself tells, the other way round. */
  long port = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  struct evtchn_status status = {.dom = DOMID_SELF, .port = (evtchn_port_t)port};
  CHECK(port > 0 && event_channel_op(EVTCHNOP_status, &status) == 0 && status.status == EVTCHNSTAT_unbound);
  domid_t self = status.u.unbound.dom;

  grant_page((uint64_t)granted >> 12, self);
  granted[7] = 42;
  struct gnttab_map_grant_ref grant = {.host_addr = page, .flags = GNTMAP_host_map, .ref = GRANT_REF, .dom = self};
  CHECK(grant_table_op(GNTTABOP_map_grant_ref, &grant, 1) == 0 && grant.status == GNTST_okay);
  volatile char *mapped = (volatile char *)page;
  CHECK(mapped[7] == 42);
  mapped[8] = 43;
  CHECK(((volatile char *)granted)[8] == 43);
  struct gnttab_unmap_grant_ref unmap = {.host_addr = page, .handle = grant.handle};
  CHECK(grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1) == 0 && unmap.status == GNTST_okay);
  CHECK(*entry_of(page) == 0);
  CHECK(TRAP_OF(mapped[7]) == VECTOR_PF);
  print("Grants: mapped by linear address, and unmapped\n");
}
