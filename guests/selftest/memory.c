/*
 * memory_op (Xen's public/memory.h): reservations, ballooning, the memory map, what is refused.
 */
#include "suite.h"

/* XENMEM_claim_pages: the headers name it for Xen's own tools only. */
#define CLAIM_PAGES 24

static long count_of(unsigned command, domid_t domain) {
  struct xen_memory_domain request = {.domid = domain};
  return memory_op(command, &request);
}

static long reserve(unsigned command, xen_pfn_t *frames, unsigned count, unsigned order, domid_t domain) {
  struct xen_memory_reservation request = {.nr_extents = count, .extent_order = order, .domid = domain};
  set_xen_guest_handle(request.extent_start, frames);
  return memory_op(command, &request);
}

static void memory_reservation(void) {
  long current = count_of(XENMEM_current_reservation, DOMID_SELF);
  long maximum = count_of(XENMEM_maximum_reservation, DOMID_SELF);
  long highest = count_of(XENMEM_maximum_gpfn, DOMID_SELF);
  CHECK(current > 256);
  /* max_pages is a 32-bit count. */
  CHECK((unsigned long)maximum >= (unsigned long)current);
  CHECK(highest >= (long)FRAME_OF(image_end));
  CHECK(memory_op(XENMEM_maximum_ram_page, NULL) > 0);
}

static void memory_reservation_errors(void) {
  EXPECT(count_of(XENMEM_current_reservation, NOBODY), -XEN_ESRCH);
  EXPECT(count_of(XENMEM_maximum_reservation, NOBODY), -XEN_ESRCH);
  EXPECT(count_of(XENMEM_maximum_gpfn, NOBODY), -XEN_ESRCH);
  EXPECT(memory_op(XENMEM_current_reservation, UNMAPPED), -XEN_EFAULT);
  EXPECT(memory_op(XENMEM_maximum_reservation, UNMAPPED), -XEN_EFAULT);
  EXPECT(memory_op(XENMEM_maximum_gpfn, UNMAPPED), -XEN_EFAULT);
}

static void memory_balloon(void) {
  uint8_t *pages = pages_take(4);
  xen_pfn_t frames[4];
  long before = count_of(XENMEM_current_reservation, DOMID_SELF);
  for (int i = 0; i < 4; i++)
    frames[i] = FRAME_OF(pages) + i;
  memset(pages, 0x55, 4 * 4096);
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 4, 0, DOMID_SELF), 4);
  EXPECT(count_of(XENMEM_current_reservation, DOMID_SELF), before - 4);
  EXPECT(*(volatile uint64_t *)(pages + 4096), -1);
  EXPECT(reserve(XENMEM_populate_physmap, frames, 4, 0, DOMID_SELF), 4);
  EXPECT(count_of(XENMEM_current_reservation, DOMID_SELF), before);
  volatile uint64_t *word = (volatile uint64_t *)(pages + 3 * 4096);
  *word = 42;
  EXPECT(*word, 42);
}

/* What cannot be done ends the list: the count done so far is the result. */
static void memory_balloon_partial(void) {
  uint8_t *pages = pages_take(2);
  xen_pfn_t frames[3] = {FRAME_OF(pages), 0xfffff0, FRAME_OF(pages) + 1};
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 3, 0, DOMID_SELF), 1);
  /* Taken out twice is an error. */
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 1, 0, DOMID_SELF), 0);
  EXPECT(reserve(XENMEM_populate_physmap, frames, 1, 0, DOMID_SELF), 1);
}

/* A whole 2 MiB page, out and in again. */
static void memory_balloon_superpage(void) {
  uint64_t first = FRAME_OF(pages_take(1024));
  xen_pfn_t frame = (first + 511) & ~511ull;
  long before = count_of(XENMEM_current_reservation, DOMID_SELF);
  EXPECT(reserve(XENMEM_decrease_reservation, &frame, 1, 9, DOMID_SELF), 1);
  EXPECT(count_of(XENMEM_current_reservation, DOMID_SELF), before - 512);
  EXPECT(reserve(XENMEM_populate_physmap, &frame, 1, 9, DOMID_SELF), 1);
  EXPECT(count_of(XENMEM_current_reservation, DOMID_SELF), before);
  volatile uint64_t *words = (volatile uint64_t *)(frame << 12);
  for (int i = 0; i < 512; i += 73)
    words[i * 512] = i;
  for (int i = 0; i < 512; i += 73)
    EXPECT(words[i * 512], i);
}

static void memory_balloon_errors(void) {
  xen_pfn_t frames[1] = {FRAME_OF(pages_take(1))};
  EXPECT(memory_op(XENMEM_decrease_reservation, UNMAPPED), 0);
  EXPECT(memory_op(XENMEM_populate_physmap, UNMAPPED), 0);
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 1, 0, NOBODY), 0);
  EXPECT(reserve(XENMEM_populate_physmap, frames, 1, 0, NOBODY), 0);
  EXPECT(reserve(XENMEM_decrease_reservation, UNMAPPED, 1, 0, DOMID_SELF), 0);
  EXPECT(reserve(XENMEM_populate_physmap, UNMAPPED, 1, 0, DOMID_SELF), 0);
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 0, 0, DOMID_SELF), 0);
  EXPECT(reserve(XENMEM_decrease_reservation, frames, 1, 60, DOMID_SELF), 0);
  EXPECT(reserve(XENMEM_populate_physmap, frames, 1, 60, DOMID_SELF), 0);
  /* Populate-on-demand is for building another domain. */
  struct xen_memory_reservation request = {
      .nr_extents = 1, .domid = DOMID_SELF, .mem_flags = XENMEMF_populate_on_demand};
  set_xen_guest_handle(request.extent_start, frames);
  EXPECT(memory_op(XENMEM_populate_physmap, &request), 0);
}

/* Xen cannot take single pages from a domain whose memory it translates. */
static void memory_exchange_refused(void) {
  xen_pfn_t in = FRAME_OF(pages_take(1)), out = in;
  struct xen_memory_exchange exchange = {
      .in = {.nr_extents = 1, .domid = DOMID_SELF},
      .out = {.nr_extents = 1, .domid = DOMID_SELF},
  };
  set_xen_guest_handle(exchange.in.extent_start, &in);
  set_xen_guest_handle(exchange.out.extent_start, &out);
  EXPECT(memory_op(XENMEM_exchange, &exchange), -XEN_EOPNOTSUPP);
  EXPECT(exchange.nr_exchanged, 0);
  EXPECT(memory_op(XENMEM_exchange, UNMAPPED), -XEN_EFAULT);
  exchange.in.nr_extents = exchange.out.nr_extents = 0;
  EXPECT(memory_op(XENMEM_exchange, &exchange), 0);
  exchange.in.nr_extents = 1;
  EXPECT(memory_op(XENMEM_exchange, &exchange), -XEN_EINVAL);
  exchange.in.extent_order = 40;
  EXPECT(memory_op(XENMEM_exchange, &exchange), -XEN_EPERM);
}

/* Operations that Debian's Xen is built without, or that mean nothing to a guest like this. */
static void memory_absent(void) {
  static uint64_t argument[16];
  EXPECT(memory_op(20 /* XENMEM_paging_op */, argument), -XEN_ENOSYS);
  EXPECT(memory_op(22 /* XENMEM_sharing_op */, argument), -XEN_ENOSYS);
  EXPECT(memory_op(XENMEM_machphys_mapping, argument), -XEN_ENOSYS);
  EXPECT(memory_op(XENMEM_machine_memory_map, argument), -XEN_ENOSYS);
  EXPECT(memory_op(XENMEM_machphys_compat_mfn_list, argument), -XEN_EOPNOTSUPP);
  EXPECT(memory_op(18 /* XENMEM_get_sharing_freed_pages */, NULL), 0);
  EXPECT(memory_op(19 /* XENMEM_get_sharing_shared_pages */, NULL), 0);
}

static void memory_access_refused(void) {
  struct {
    uint8_t op, access;
    domid_t domid;
    uint32_t rest[7];
  } request = {.domid = DOMID_SELF}; /* struct xen_mem_access_op, which is for tools only */
  EXPECT(memory_op(21 /* XENMEM_access_op */, &request), -XEN_ESRCH);
  EXPECT(memory_op(21, UNMAPPED), -XEN_EFAULT);
  if (own_domid() >= 0) {
    request.domid = own_domid();
    EXPECT(memory_op(21, &request), -XEN_EPERM);
  }
}

static void memory_reserved_devices(void) {
  struct {
    uint32_t flags, entries;
    uint64_t buffer;
    uint32_t device[2];
  } request = {.entries = 4}; /* struct xen_reserved_device_memory_map, likewise */
  EXPECT(memory_op(27 /* XENMEM_reserved_device_memory_map */, &request), 0);
  EXPECT(request.entries, 0);
  request.flags = 2;
  EXPECT(memory_op(27, &request), -XEN_EINVAL);
  EXPECT(memory_op(27, UNMAPPED), -XEN_EFAULT);
}

static void memory_map(void) {
  static struct {
    uint64_t address, size;
    uint32_t type;
  } __attribute__((packed)) entries[128];
  struct xen_memory_map request = {.nr_entries = 128};
  set_xen_guest_handle(request.buffer, (void *)entries);
  EXPECT(memory_op(XENMEM_memory_map, &request), 0);
  CHECK(request.nr_entries >= 1 && request.nr_entries < 128);
  bool found = false;
  for (unsigned i = 0; i < request.nr_entries; i++) {
    found |= entries[i].type == 1 && entries[i].address <= (uint64_t)image_start &&
             entries[i].address + entries[i].size >= (uint64_t)image_end;
    if (i > 0)
      CHECK(entries[i].address >= entries[i - 1].address + entries[i - 1].size);
  }
  CHECK(found);
  /* Cut to the room there is. */
  unsigned all = request.nr_entries;
  request.nr_entries = 1;
  EXPECT(memory_op(XENMEM_memory_map, &request), 0);
  EXPECT(request.nr_entries, 1);
  EXPECT(memory_op(XENMEM_memory_map, UNMAPPED), -XEN_EFAULT);
  request.nr_entries = all;
  set_xen_guest_handle(request.buffer, UNMAPPED);
  EXPECT(memory_op(XENMEM_memory_map, &request), -XEN_EFAULT);
}

/* The start info has the same map. */
static void memory_map_start_info(void) {
  CHECK(start_info->version >= 1);
  CHECK(start_info->memmap_entries > 0);
  const struct hvm_memmap_table_entry *entries = (const void *)start_info->memmap_paddr;
  bool found = false;
  for (unsigned i = 0; i < start_info->memmap_entries; i++) {
    EXPECT(entries[i].reserved, 0);
    found |= entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM && entries[i].addr <= (uint64_t)image_start &&
             entries[i].addr + entries[i].size >= (uint64_t)image_end;
  }
  CHECK(found);
}

/* The machine's own map is nothing for an HVM or PVH domain, not even the control domain. */
static void memory_machine_refused(void) {
  static char buffer[64];
  EXPECT(memory_op(XENMEM_machine_memory_map, buffer), -XEN_ENOSYS);
  EXPECT(memory_op(XENMEM_machphys_mapping, buffer), -XEN_ENOSYS);
}

static void memory_vnuma(void) {
  struct xen_vnuma_topology_info request = {.domid = DOMID_SELF};
  EXPECT(memory_op(XENMEM_get_vnumainfo, &request), -XEN_EOPNOTSUPP);
}

static void memory_claim_refused(void) {
  struct xen_memory_reservation request = {.nr_extents = 0, .domid = own_domid()};
  EXPECT(memory_op(CLAIM_PAGES, &request), -XEN_EPERM);
}

static void memory_pod_refused(void) {
  struct xen_pod_target request = {.domid = DOMID_SELF};
  EXPECT(memory_op(XENMEM_get_pod_target, &request), -XEN_EPERM);
}

static void memory_unknown(void) { EXPECT(memory_op(60, NULL), -XEN_ENOSYS); }

const struct test memory_tests[] = {
    {"memory-reservation", memory_reservation},
    {"memory-reservation-errors", memory_reservation_errors},
    {"memory-balloon", memory_balloon},
    {"memory-balloon-partial", memory_balloon_partial},
    {"memory-balloon-superpage", memory_balloon_superpage},
    {"memory-balloon-errors", memory_balloon_errors},
    {"memory-exchange-refused", memory_exchange_refused},
    {"memory-absent", memory_absent},
    {"memory-access-refused", memory_access_refused},
    {"memory-reserved-devices", memory_reserved_devices},
    {"memory-map", memory_map},
    {"memory-map-start-info", memory_map_start_info},
    {"memory-machine-refused", memory_machine_refused},
    {"memory-vnuma", memory_vnuma},
    {"memory-claim-refused", memory_claim_refused},
    {"memory-pod-refused", memory_pod_refused},
    {"memory-unknown", memory_unknown},
    {NULL, NULL},
};
