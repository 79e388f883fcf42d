/*
 * multicall (Xen's public/xen.h, multicall_entry).
 */
#include "suite.h"

static void multicall_results(void) {
  static multicall_entry_t calls[4];
  struct evtchn_send send = {.port = ~0u};
  memset(calls, 0, sizeof calls);
  calls[0] = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
  calls[1] = (multicall_entry_t){.op = __HYPERVISOR_event_channel_op, .args = {EVTCHNOP_send, (uint64_t)&send}};
  calls[2] = (multicall_entry_t){.op = 57};
  calls[3] = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize}};
  EXPECT(multicall(calls, 4), 0);
  EXPECT(calls[0].result, xen_version(XENVER_version, NULL));
  EXPECT(calls[1].result, -XEN_EINVAL);
  EXPECT(calls[2].result, -XEN_ENOSYS);
  EXPECT(calls[3].result, 4096);
}

/* More calls than fit into a page. */
static void multicall_many(void) {
  unsigned count = 300;
  multicall_entry_t *calls = pages_take(5);
  for (unsigned i = 0; i < count; i++)
    calls[i] = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
  EXPECT(multicall(calls, count), 0);
  for (unsigned i = 0; i < count; i++)
    EXPECT(calls[i].result, xen_version(XENVER_version, NULL));
}

static void multicall_errors(void) {
  static multicall_entry_t call;
  EXPECT(multicall(UNMAPPED, 1), -XEN_EFAULT);
  EXPECT(multicall(&call, 0), 0);
}

/* A multicall inside a multicall is refused. */
static void multicall_nested(void) {
  static multicall_entry_t inner, outer;
  inner = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
  outer = (multicall_entry_t){.op = __HYPERVISOR_multicall, .args = {(uint64_t)&inner, 1}};
  EXPECT(multicall(&outer, 1), 0);
  EXPECT(outer.result, -XEN_EINVAL);
}

const struct test multicall_tests[] = {
    {"multicall-results", multicall_results},
    {"multicall-many", multicall_many},
    {"multicall-errors", multicall_errors},
    {"multicall-nested", multicall_nested},
    {NULL, NULL},
};
