/*
 * Free references form a list through `next`; the table is extended frame by frame, since every frame costs the domain a page.
 */
#include "grants.h"

#include "../guest.h"

#define PER_FRAME (4096 / sizeof(grant_entry_v1_t))
#define REFS (GRANT_TABLE_FRAMES * PER_FRAME)

/* What each reference grants, as it is in the table; of a free one, `frame` is the next free one. */
static struct {
  uint32_t frame;
  domid_t domain;
  uint16_t flags;
} kept[REFS];
static unsigned frames, free_ref, mapped;

static volatile grant_entry_v1_t *entry_of(grant_ref_t ref) {
  return (volatile grant_entry_v1_t *)GRANT_TABLE_AT + ref;
}

static long map_frame(unsigned index) {
  struct xen_add_to_physmap map = {
      .domid = DOMID_SELF,
      .space = XENMAPSPACE_grant_table,
      .idx = index,
      .gpfn = (GRANT_TABLE_AT >> 12) + index,
  };
  return memory_op(XENMEM_add_to_physmap, &map);
}

static void extend(void) {
  long error = frames < GRANT_TABLE_FRAMES ? map_frame(frames) : -XEN_ENOSPC;
  if (error)
    guest_fail("frame %u of the grant table: error %ld", frames, error);
  unsigned first = frames++ * PER_FRAME;
  if (first == 0)
    first = GNTTAB_NR_RESERVED_ENTRIES;
  for (unsigned ref = first; ref < frames * PER_FRAME; ref++)
    kept[ref].frame = ref + 1 < frames * PER_FRAME ? ref + 1 : 0;
  free_ref = first;
}

static void write_entry(grant_ref_t ref) {
  volatile grant_entry_v1_t *entry = entry_of(ref);
  entry->domid = kept[ref].domain;
  entry->frame = kept[ref].frame;
  __atomic_store_n(&entry->flags, kept[ref].flags, __ATOMIC_RELEASE);
}

grant_ref_t grant_begin(domid_t to, const void *page, bool readonly) {
  if (free_ref == 0)
    extend();
  grant_ref_t ref = free_ref;
  free_ref = kept[ref].frame;
  kept[ref].frame = (uint64_t)page >> 12;
  kept[ref].domain = to;
  kept[ref].flags = GTF_permit_access | (readonly ? GTF_readonly : 0);
  write_entry(ref);
  return ref;
}

bool grant_end(grant_ref_t ref) {
  volatile uint16_t *flags = &entry_of(ref)->flags;
  uint16_t idle = kept[ref].flags;
  /* In one step: the other domain may be mapping it at this moment. */
  if (!__atomic_compare_exchange_n(flags, &idle, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    return false;
  kept[ref].flags = 0;
  kept[ref].frame = free_ref;
  free_ref = ref;
  return true;
}

static void *map_next(domid_t from, grant_ref_t ref, uint32_t flags) {
  if (mapped == GRANT_MAP_PAGES)
    return NULL;
  uint64_t at = GRANT_MAP_AT + ((uint64_t)mapped << 12);
  struct gnttab_map_grant_ref map = {.host_addr = at, .flags = GNTMAP_host_map | flags, .ref = ref, .dom = from};
  if (grant_table_op(GNTTABOP_map_grant_ref, &map, 1) != 0 || map.status != GNTST_okay)
    return NULL;
  mapped++;
  return (void *)at;
}

void *grant_map(domid_t from, grant_ref_t ref) { return map_next(from, ref, 0); }

const void *grant_map_readonly(domid_t from, grant_ref_t ref) { return map_next(from, ref, GNTMAP_readonly); }

void grants_restore(void) {
  mapped = 0;
  for (unsigned frame = 0; frame < frames; frame++) {
    long error = map_frame(frame);
    if (error)
      guest_fail("frame %u of the grant table: error %ld", frame, error);
  }
  for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < frames * PER_FRAME; ref++)
    if (kept[ref].flags)
      write_entry(ref);
}
