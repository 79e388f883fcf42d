/*
 * grant_table_op (Xen's public/grant_table.h): table, mapping and unmapping, by granting to itself.
 */
#include "grants.h"

static union {
  grant_entry_v1_t entries[4096 / sizeof(grant_entry_v1_t)];
  char bytes[4096];
} table_page __attribute__((aligned(4096)));
static bool table_mapped;

domid_t self(void) {
  int id = own_domid();
  if (id < 0)
    SKIP("the CPUID leaves do not tell the domain's number");
  return id;
}

grant_entry_v1_t *grant_table(void) {
  if (!table_mapped) {
    struct gnttab_set_version version = {.version = 1};
    struct xen_add_to_physmap map = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = 0, .gpfn = FRAME_OF(&table_page)};
    EXPECT(grant_table_op(GNTTABOP_set_version, &version, 1), 0);
    EXPECT(memory_op(XENMEM_add_to_physmap, &map), 0);
    table_mapped = true;
  }
  return table_page.entries;
}

void grant_give(grant_ref_t ref, domid_t domain, uint64_t frame, uint16_t flags) {
  volatile grant_entry_v1_t *entry = &grant_table()[ref];
  entry->domid = domain;
  entry->frame = frame;
  __atomic_store_n(&entry->flags, flags, __ATOMIC_RELEASE);
}

void grant_take_back(grant_ref_t ref) {
  volatile grant_entry_v1_t *entry = &grant_table()[ref];
  CHECK((entry->flags & (GTF_reading | GTF_writing)) == 0);
  entry->flags = 0;
}

static void grant_setup(void) {
  xen_pfn_t frames[1] = {0};
  struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};
  set_xen_guest_handle(setup.frame_list, frames);
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
  EXPECT(setup.status, GNTST_okay);
  grant_table();
  /* Once mapped, the table's frame number is told. */
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
  EXPECT(setup.status, GNTST_okay);
  EXPECT(frames[0], FRAME_OF(grant_table()));
}

static void grant_setup_errors(void) {
  xen_pfn_t frames[1];
  struct gnttab_setup_table setup = {.dom = NOBODY, .nr_frames = 1};
  set_xen_guest_handle(setup.frame_list, frames);
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
  EXPECT(setup.status, GNTST_bad_domain);
  setup.dom = DOMID_SELF;
  setup.nr_frames = 1 << 20;
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
  EXPECT(setup.status, GNTST_general_error);
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 2), -XEN_EINVAL);
  EXPECT(grant_table_op(GNTTABOP_setup_table, UNMAPPED, 1), -XEN_EFAULT);
  setup.nr_frames = 1;
  set_xen_guest_handle(setup.frame_list, (xen_pfn_t *)UNMAPPED);
  EXPECT(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
  EXPECT(setup.status, GNTST_bad_virt_addr);
}

static void grant_query_size(void) {
  struct gnttab_query_size query = {.dom = DOMID_SELF};
  EXPECT(grant_table_op(GNTTABOP_query_size, &query, 1), 0);
  EXPECT(query.status, GNTST_okay);
  CHECK(query.nr_frames >= 1);
  CHECK(query.max_nr_frames >= query.nr_frames);
  query.dom = NOBODY;
  EXPECT(grant_table_op(GNTTABOP_query_size, &query, 1), 0);
  EXPECT(query.status, GNTST_bad_domain);
  EXPECT(grant_table_op(GNTTABOP_query_size, &query, 2), -XEN_EINVAL);
  EXPECT(grant_table_op(GNTTABOP_query_size, UNMAPPED, 1), -XEN_EFAULT);
}

static void grant_version(void) {
  struct gnttab_get_version get = {.dom = DOMID_SELF};
  struct gnttab_set_version set = {.version = 1};
  EXPECT(grant_table_op(GNTTABOP_set_version, &set, 1), 0);
  EXPECT(set.version, 1);
  EXPECT(grant_table_op(GNTTABOP_get_version, &get, 1), 0);
  EXPECT(get.version, 1);
  set.version = 3;
  EXPECT(grant_table_op(GNTTABOP_set_version, &set, 1), -XEN_EINVAL);
  /* The version in use is returned anyway. */
  EXPECT(set.version, 1);
  EXPECT(grant_table_op(GNTTABOP_set_version, UNMAPPED, 1), -XEN_EFAULT);
  /* A nonexistent operation is reported before an invalid count. */
  EXPECT(grant_table_op(UNKNOWN_COMMAND, &set, ~0u), -XEN_ENOSYS);
  EXPECT(grant_table_op(GNTTABOP_copy, &set, ~0u), -XEN_EINVAL);
  get.dom = NOBODY;
  EXPECT(grant_table_op(GNTTABOP_get_version, &get, 1), -XEN_ESRCH);
}

/* Maps reference `ref` of this domain at a frame; returns the status, the handle by the pointer. */
static int map(grant_ref_t ref, uint32_t flags, void *at, grant_handle_t *handle) {
  struct gnttab_map_grant_ref request = {.host_addr = (uint64_t)at, .flags = flags, .ref = ref, .dom = self()};
  EXPECT(grant_table_op(GNTTABOP_map_grant_ref, &request, 1), 0);
  *handle = request.handle;
  return request.status;
}

static int unmap(grant_handle_t handle, void *at) {
  struct gnttab_unmap_grant_ref request = {.host_addr = (uint64_t)at, .handle = handle};
  EXPECT(grant_table_op(GNTTABOP_unmap_grant_ref, &request, 1), 0);
  return request.status;
}

static void grant_map(void) {
  volatile uint64_t *page = pages_take(1), *window = pages_take(1);
  grant_handle_t handle;
  balloon_out((void *)window);
  grant_give(10, self(), FRAME_OF(page), GTF_permit_access);
  page[0] = 0x1122334455667788;
  EXPECT(map(10, GNTMAP_host_map, (void *)window, &handle), GNTST_okay);
  /* In use, for reading and writing. */
  EXPECT(grant_table()[10].flags & (GTF_reading | GTF_writing), GTF_reading | GTF_writing);
  EXPECT(window[0], 0x1122334455667788);
  window[1] = 42;
  EXPECT(window[1], 42);
  EXPECT(unmap(handle, (void *)window), GNTST_okay);
  EXPECT(grant_table()[10].flags, GTF_permit_access);
  grant_take_back(10);
  /* The mapping is gone: the window reads as absent memory. */
  EXPECT(window[0], -1);
  balloon_in((void *)window);
}

/* The page stays where it was: both places show the same memory. */
static void grant_map_alias(void) {
  volatile uint64_t *page = pages_take(1), *window = pages_take(1);
  grant_handle_t handle;
  balloon_out((void *)window);
  grant_give(17, self(), FRAME_OF(page), GTF_permit_access);
  EXPECT(map(17, GNTMAP_host_map, (void *)window, &handle), GNTST_okay);
  window[1] = 42;
  uint64_t through_window = page[1];
  page[2] = 43;
  uint64_t through_page = window[2];
  EXPECT(unmap(handle, (void *)window), GNTST_okay);
  grant_take_back(17);
  balloon_in((void *)window);
  EXPECT(through_window, 42);
  EXPECT(through_page, 43);
}

static void grant_map_readonly(void) {
  volatile uint64_t *page = pages_take(1), *window = pages_take(1);
  grant_handle_t handle;
  balloon_out((void *)window);
  grant_give(11, self(), FRAME_OF(page), GTF_permit_access | GTF_readonly);
  page[0] = 7;
  /* A writable mapping of a read-only grant is refused. */
  EXPECT(map(11, GNTMAP_host_map, (void *)window, &handle), GNTST_general_error);
  EXPECT(grant_table()[11].flags & (GTF_reading | GTF_writing), 0);
  EXPECT(map(11, GNTMAP_host_map | GNTMAP_readonly, (void *)window, &handle), GNTST_okay);
  EXPECT(grant_table()[11].flags & (GTF_reading | GTF_writing), GTF_reading);
  EXPECT(window[0], 7);
  EXPECT(unmap(handle, (void *)window), GNTST_okay);
  grant_take_back(11);
  balloon_in((void *)window);
}

/* Two mappings of one grant are counted: the entry is free only after both are gone. */
static void grant_map_twice(void) {
  volatile uint64_t *page = pages_take(1), *first = pages_take(1), *second = pages_take(1);
  grant_handle_t handles[2];
  balloon_out((void *)first);
  balloon_out((void *)second);
  grant_give(12, self(), FRAME_OF(page), GTF_permit_access);
  EXPECT(map(12, GNTMAP_host_map, (void *)first, &handles[0]), GNTST_okay);
  EXPECT(map(12, GNTMAP_host_map | GNTMAP_readonly, (void *)second, &handles[1]), GNTST_okay);
  CHECK(handles[0] != handles[1]);
  first[5] = 99;
  EXPECT(second[5], 99);
  EXPECT(unmap(handles[0], (void *)first), GNTST_okay);
  EXPECT(grant_table()[12].flags & (GTF_reading | GTF_writing), GTF_reading);
  EXPECT(unmap(handles[1], (void *)second), GNTST_okay);
  grant_take_back(12);
  balloon_in((void *)first);
  balloon_in((void *)second);
}

static void grant_map_errors(void) {
  void *window = pages_take(1);
  grant_handle_t handle;
  balloon_out(window);
  grant_table();
  /* No grant behind the reference, a reference beyond the table, one for another domain. */
  EXPECT(map(13, GNTMAP_host_map, window, &handle), GNTST_general_error);
  EXPECT(map(1 << 24, GNTMAP_host_map, window, &handle), GNTST_bad_gntref);
  grant_give(13, NOBODY, FRAME_OF(pages_take(1)), GTF_permit_access);
  EXPECT(map(13, GNTMAP_host_map, window, &handle), GNTST_general_error);
  grant_take_back(13);
  /* A frame that is no RAM of this domain. */
  grant_give(13, self(), 0xfffff0, GTF_permit_access);
  EXPECT(map(13, GNTMAP_host_map, window, &handle), GNTST_bad_page);
  grant_take_back(13);
  /* No kind of mapping asked for; a kind that PVH guests do not have. */
  EXPECT(map(13, 0, window, &handle), GNTST_bad_gntref);
  EXPECT(map(13, GNTMAP_device_map, window, &handle), GNTST_general_error);
  EXPECT(map(13, GNTMAP_host_map | GNTMAP_contains_pte, window, &handle), GNTST_general_error);
  struct gnttab_map_grant_ref request = {.host_addr = (uint64_t)window, .flags = GNTMAP_host_map, .dom = NOBODY};
  EXPECT(grant_table_op(GNTTABOP_map_grant_ref, &request, 1), 0);
  EXPECT(request.status, GNTST_bad_domain);
  EXPECT(grant_table_op(GNTTABOP_map_grant_ref, UNMAPPED, 1), -XEN_EFAULT);
  EXPECT(grant_table_op(GNTTABOP_map_grant_ref, &request, 0), 0);
  balloon_in(window);
}

static void grant_unmap_errors(void) {
  grant_table();
  EXPECT(unmap(12345678, pages_take(1)), GNTST_bad_handle);
  EXPECT(unmap(~0u, pages_take(1)), GNTST_bad_handle);
  EXPECT(grant_table_op(GNTTABOP_unmap_grant_ref, UNMAPPED, 1), -XEN_EFAULT);
}

/* Several requests in one call: each has its own status, a failing one does not stop the others. */
static void grant_map_several(void) {
  void *windows[2] = {pages_take(1), pages_take(1)};
  uint64_t *page = pages_take(1);
  struct gnttab_map_grant_ref requests[3];
  struct gnttab_unmap_grant_ref undo[2];
  balloon_out(windows[0]);
  balloon_out(windows[1]);
  grant_give(14, self(), FRAME_OF(page), GTF_permit_access);
  for (int i = 0; i < 3; i++)
    requests[i] = (struct gnttab_map_grant_ref){
        .host_addr = (uint64_t)windows[i / 2], .flags = GNTMAP_host_map, .ref = i == 1 ? 1 << 24 : 14, .dom = self()};
  EXPECT(grant_table_op(GNTTABOP_map_grant_ref, requests, 3), 0);
  EXPECT(requests[0].status, GNTST_okay);
  EXPECT(requests[1].status, GNTST_bad_gntref);
  EXPECT(requests[2].status, GNTST_okay);
  for (int i = 0; i < 2; i++)
    undo[i] = (struct gnttab_unmap_grant_ref){.host_addr = (uint64_t)windows[i], .handle = requests[2 * i].handle};
  EXPECT(grant_table_op(GNTTABOP_unmap_grant_ref, undo, 2), 0);
  EXPECT(undo[0].status, GNTST_okay);
  EXPECT(undo[1].status, GNTST_okay);
  grant_take_back(14);
  balloon_in(windows[0]);
  balloon_in(windows[1]);
}

static void grant_swap(void) {
  struct gnttab_swap_grant_ref swap = {.ref_a = 15, .ref_b = 16};
  grant_give(15, NOBODY, 1234, GTF_permit_access);
  grant_give(16, NOBODY, 5678, GTF_permit_access | GTF_readonly);
  EXPECT(grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1), 0);
  EXPECT(swap.status, GNTST_okay);
  EXPECT(grant_table()[15].frame, 5678);
  EXPECT(grant_table()[16].frame, 1234);
  EXPECT(grant_table()[16].flags, GTF_permit_access);
  grant_take_back(15);
  grant_take_back(16);
  swap.ref_b = 1 << 24;
  EXPECT(grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1), 0);
  EXPECT(swap.status, GNTST_bad_gntref);
}

/* Xen gives PVH and HVM guests only a list of sub-operations. */
static void grant_refused(void) {
  static char request[128];
  EXPECT(grant_table_op(GNTTABOP_transfer, request, 1), -XEN_ENOSYS);
  EXPECT(grant_table_op(GNTTABOP_dump_table, request, 1), -XEN_ENOSYS);
  EXPECT(grant_table_op(GNTTABOP_unmap_and_replace, request, 1), -XEN_ENOSYS);
  EXPECT(grant_table_op(GNTTABOP_get_status_frames, request, 1), -XEN_ENOSYS);
  EXPECT(grant_table_op(GNTTABOP_cache_flush, request, 1), -XEN_ENOSYS);
  EXPECT(grant_table_op(UNKNOWN_COMMAND, request, 1), -XEN_ENOSYS);
}

const struct test grant_tests[] = {
    {"grant-setup", grant_setup},
    {"grant-setup-errors", grant_setup_errors},
    {"grant-query-size", grant_query_size},
    {"grant-version", grant_version},
    {"grant-map", grant_map},
    {"grant-map-alias", grant_map_alias},
    {"grant-map-readonly", grant_map_readonly},
    {"grant-map-twice", grant_map_twice},
    {"grant-map-errors", grant_map_errors},
    {"grant-unmap-errors", grant_unmap_errors},
    {"grant-map-several", grant_map_several},
    {"grant-swap", grant_swap},
    {"grant-refused", grant_refused},
    {NULL, NULL},
};
