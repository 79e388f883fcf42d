/*
 * XENMEM_add_to_physmap, its batched form and XENMEM_remove_from_physmap.
 */
#include "suite.h"

static long add(domid_t domain, unsigned space, uint64_t index, uint64_t frame) {
  struct xen_add_to_physmap request = {.domid = domain, .space = space, .idx = index, .gpfn = frame};
  return memory_op(XENMEM_add_to_physmap, &request);
}

static long remove(domid_t domain, uint64_t frame) {
  struct xen_remove_from_physmap request = {.domid = domain, .gpfn = frame};
  return memory_op(XENMEM_remove_from_physmap, &request);
}

/* Shared info moves: it is at one place at a time, and the place it left is empty. */
static void physmap_shared_info(void) {
  volatile struct shared_info *other = pages_take(1);
  uint64_t home = FRAME_OF(shared_info);
  EXPECT(add(DOMID_SELF, XENMAPSPACE_shared_info, 0, FRAME_OF(other)), 0);
  uint64_t multiplier = other->vcpu_info[0].time.tsc_to_system_mul;
  uint32_t old_place = *(volatile uint32_t *)shared_info;
  long back = add(DOMID_SELF, XENMAPSPACE_shared_info, 0, home);
  EXPECT(back, 0);
  CHECK(multiplier != 0);
  EXPECT(old_place, 0xffffffff);
  CHECK(shared_info->vcpu_info[0].time.tsc_to_system_mul != 0);
  EXPECT(*(volatile uint32_t *)other, 0xffffffff);
  balloon_in((void *)other);
}

static void physmap_move(void) {
  volatile uint64_t *from = pages_take(1), *to = pages_take(1);
  long before, after;
  struct xen_memory_domain self = {.domid = DOMID_SELF};
  from[0] = 1234;
  to[0] = 5678;
  before = memory_op(XENMEM_current_reservation, &self);
  /* The page moves; the one that was at its new place is given back. */
  EXPECT(add(DOMID_SELF, XENMAPSPACE_gmfn, FRAME_OF(from), FRAME_OF(to)), 0);
  after = memory_op(XENMEM_current_reservation, &self);
  EXPECT(to[0], 1234);
  EXPECT(from[0], -1);
  EXPECT(after, before - 1);
  balloon_in((void *)from);
}

static void physmap_errors(void) {
  uint64_t frame = FRAME_OF(pages_take(1));
  EXPECT(add(NOBODY, XENMAPSPACE_shared_info, 0, frame), -XEN_ESRCH);
  EXPECT(add(DOMID_SELF, XENMAPSPACE_shared_info, 1, frame), -XEN_EINVAL);
  EXPECT(add(DOMID_SELF, XENMAPSPACE_gmfn, 0xfffff0, frame), -XEN_EINVAL);
  EXPECT(add(DOMID_SELF, UNKNOWN_COMMAND, 0, frame), -XEN_EINVAL);
  EXPECT(add(DOMID_SELF, XENMAPSPACE_grant_table, 1 << 20, frame), -XEN_EINVAL);
  EXPECT(add(DOMID_SELF, XENMAPSPACE_gmfn_foreign, 0, frame), -XEN_ENOSYS);
  EXPECT(memory_op(XENMEM_add_to_physmap, UNMAPPED), -XEN_EFAULT);
}

static void physmap_remove(void) {
  volatile uint64_t *page = pages_take(1);
  page[0] = 1;
  EXPECT(remove(DOMID_SELF, FRAME_OF(page)), 0);
  EXPECT(page[0], -1);
  EXPECT(remove(DOMID_SELF, FRAME_OF(page)), -XEN_ENOENT);
  EXPECT(remove(NOBODY, FRAME_OF(page)), -XEN_ESRCH);
  EXPECT(memory_op(XENMEM_remove_from_physmap, UNMAPPED), -XEN_EFAULT);
  balloon_in((void *)page);
}

static void physmap_batch(void) {
  volatile uint64_t *pages = pages_take(2), *places = pages_take(2);
  xen_ulong_t indexes[3] = {FRAME_OF(pages), 0xfffff0, FRAME_OF(pages) + 1};
  xen_pfn_t frames[3] = {FRAME_OF(places), FRAME_OF(places) + 1, FRAME_OF(places) + 1};
  int errors[3] = {1, 1, 1};
  struct xen_add_to_physmap_batch request = {.domid = DOMID_SELF, .space = XENMAPSPACE_gmfn, .size = 3};
  set_xen_guest_handle(request.idxs, indexes);
  set_xen_guest_handle(request.gpfns, frames);
  set_xen_guest_handle(request.errs, errors);
  pages[0] = 77;
  pages[512] = 88;
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, &request), 0);
  EXPECT(errors[0], 0);
  EXPECT(errors[1], -XEN_EINVAL);
  EXPECT(errors[2], 0);
  EXPECT(places[0], 77);
  EXPECT(places[512], 88);
  balloon_in((void *)pages);
  balloon_in((void *)(pages + 512));
}

static void physmap_batch_errors(void) {
  struct xen_add_to_physmap_batch request = {.domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_range, .size = 1};
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, &request), -XEN_EOPNOTSUPP);
  request.space = XENMAPSPACE_gmfn;
  request.domid = NOBODY;
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, &request), -XEN_ESRCH);
  request.domid = DOMID_SELF;
  set_xen_guest_handle(request.idxs, (xen_ulong_t *)UNMAPPED);
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, &request), -XEN_EFAULT);
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, UNMAPPED), -XEN_EFAULT);
}

/* Mapping another domain's page is the hardware domain's right, whether that domain exists or not. */
static void physmap_foreign_refused(void) {
  uint64_t frame = FRAME_OF(pages_take(1));
  xen_ulong_t index = 1;
  xen_pfn_t place = frame;
  int error = 1;
  struct xen_add_to_physmap_batch request = {
      .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1, .u.foreign_domid = NOBODY};
  set_xen_guest_handle(request.idxs, &index);
  set_xen_guest_handle(request.gpfns, &place);
  set_xen_guest_handle(request.errs, &error);
  EXPECT(memory_op(XENMEM_add_to_physmap_batch, &request), 0);
  EXPECT(error, -XEN_EPERM);
}

const struct test physmap_tests[] = {
    {"physmap-shared-info", physmap_shared_info},
    {"physmap-move", physmap_move},
    {"physmap-errors", physmap_errors},
    {"physmap-remove", physmap_remove},
    {"physmap-batch", physmap_batch},
    {"physmap-batch-errors", physmap_batch_errors},
    {"physmap-foreign-refused", physmap_foreign_refused},
    {NULL, NULL},
};
