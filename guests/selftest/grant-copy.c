/*
 * GNTTABOP_copy: between frames of this domain, by number and by grant.
 */
#include "grants.h"

static uint8_t *from, *to;

static void prepare(void) {
  if (!from) {
    from = pages_take(1);
    to = pages_take(1);
  }
  for (int i = 0; i < 4096; i++)
    from[i] = i * 7;
  memset(to, 0, 4096);
}

static struct gnttab_copy by_frame(void) {
  prepare();
  return (struct gnttab_copy){
      .source = {.u.gmfn = FRAME_OF(from), .domid = DOMID_SELF, .offset = 100},
      .dest = {.u.gmfn = FRAME_OF(to), .domid = DOMID_SELF, .offset = 200},
      .len = 300,
  };
}

static int copy(struct gnttab_copy *request) {
  request->status = 1;
  EXPECT(grant_table_op(GNTTABOP_copy, request, 1), 0);
  return request->status;
}

static void check_copied(void) {
  EXPECT(memcmp(to + 200, from + 100, 300), 0);
  EXPECT(to[199], 0);
  EXPECT(to[500], 0);
}

static void grant_copy_frames(void) {
  struct gnttab_copy request = by_frame();
  EXPECT(copy(&request), GNTST_okay);
  check_copied();
}

static void grant_copy_source(void) {
  struct gnttab_copy request = by_frame();
  grant_give(20, self(), FRAME_OF(from), GTF_permit_access | GTF_readonly);
  request.source.u.ref = 20;
  request.flags = GNTCOPY_source_gref;
  EXPECT(copy(&request), GNTST_okay);
  check_copied();
  /* Not held after the copy. */
  grant_take_back(20);
}

static void grant_copy_dest(void) {
  struct gnttab_copy request = by_frame();
  grant_give(21, self(), FRAME_OF(to), GTF_permit_access);
  request.dest.u.ref = 21;
  request.flags = GNTCOPY_dest_gref;
  EXPECT(copy(&request), GNTST_okay);
  check_copied();
  grant_take_back(21);
}

static void grant_copy_readonly_dest(void) {
  struct gnttab_copy request = by_frame();
  grant_give(22, self(), FRAME_OF(to), GTF_permit_access | GTF_readonly);
  request.dest.u.ref = 22;
  request.flags = GNTCOPY_dest_gref;
  EXPECT(copy(&request), GNTST_general_error);
  EXPECT(to[200], 0);
  grant_take_back(22);
}

static void grant_copy_bounds(void) {
  struct gnttab_copy request = by_frame();
  request.source.offset = 4000;
  EXPECT(copy(&request), GNTST_bad_copy_arg);
  request = by_frame();
  request.dest.offset = 3797;
  EXPECT(copy(&request), GNTST_bad_copy_arg);
  request = by_frame();
  request.dest.offset = 3796;
  EXPECT(copy(&request), GNTST_okay);
  request = by_frame();
  request.len = 0;
  EXPECT(copy(&request), GNTST_okay);
}

static void grant_copy_errors(void) {
  struct gnttab_copy request = by_frame();
  grant_table();
  request.source.domid = NOBODY;
  EXPECT(copy(&request), GNTST_bad_domain);
  /* By frame number only from DOMID_SELF, under that very name. */
  request = by_frame();
  request.source.domid = self();
  EXPECT(copy(&request), GNTST_permission_denied);
  request = by_frame();
  request.source.u.gmfn = 0xfffff0;
  EXPECT(copy(&request), GNTST_bad_page);
  request = by_frame();
  request.source.u.ref = 1 << 24;
  request.flags = GNTCOPY_source_gref;
  EXPECT(copy(&request), GNTST_bad_gntref);
  request = by_frame();
  request.source.u.ref = 23;
  request.flags = GNTCOPY_source_gref;
  EXPECT(copy(&request), GNTST_general_error);
  EXPECT(grant_table_op(GNTTABOP_copy, UNMAPPED, 1), -XEN_EFAULT);
  EXPECT(grant_table_op(GNTTABOP_copy, &request, 0), 0);
}

static void grant_copy_several(void) {
  struct gnttab_copy requests[3] = {by_frame(), by_frame(), by_frame()};
  requests[1].source.domid = NOBODY;
  requests[2].dest.offset = 1000;
  EXPECT(grant_table_op(GNTTABOP_copy, requests, 3), 0);
  EXPECT(requests[0].status, GNTST_okay);
  EXPECT(requests[1].status, GNTST_bad_domain);
  EXPECT(requests[2].status, GNTST_okay);
  EXPECT(memcmp(to + 1000, from + 100, 300), 0);
}

const struct test grant_copy_tests[] = {
    {"grant-copy-frames", grant_copy_frames},
    {"grant-copy-source", grant_copy_source},
    {"grant-copy-dest", grant_copy_dest},
    {"grant-copy-readonly-dest", grant_copy_readonly_dest},
    {"grant-copy-bounds", grant_copy_bounds},
    {"grant-copy-errors", grant_copy_errors},
    {"grant-copy-several", grant_copy_several},
    {NULL, NULL},
};
