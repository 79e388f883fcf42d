/*
 * hvm_op (Xen's public/hvm/hvm_op.h, params.h).
 */
#include "suite.h"

/* Deprecated ones, which the headers name for Xen's own tools only. */
#define PARAM_PAE_ENABLED 4
#define PARAM_NESTEDHVM 24

static long get(domid_t domain, unsigned index, uint64_t *value) {
  struct xen_hvm_param request = {.domid = domain, .index = index, .value = 0x5a5a};
  long error = hvm_op(HVMOP_get_param, &request);
  if (value)
    *value = request.value;
  return error;
}

static long set(domid_t domain, unsigned index, uint64_t value) {
  struct xen_hvm_param request = {.domid = domain, .index = index, .value = value};
  return hvm_op(HVMOP_set_param, &request);
}

static void hvm_param_get(void) {
  uint64_t value;
  EXPECT(get(DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, &value), 0);
  EXPECT(value, (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR);
  EXPECT(get(DOMID_SELF, HVM_PARAM_CONSOLE_PFN, NULL), 0);
  EXPECT(get(DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN, NULL), 0);
  EXPECT(get(DOMID_SELF, HVM_PARAM_STORE_PFN, NULL), 0);
  EXPECT(get(DOMID_SELF, HVM_PARAM_STORE_EVTCHN, NULL), 0);
  /* Its own number in place of DOMID_SELF. */
  if (own_domid() >= 0)
    EXPECT(get(own_domid(), HVM_PARAM_CALLBACK_IRQ, NULL), 0);
}

static void hvm_param_set(void) {
  uint64_t before, after;
  EXPECT(get(DOMID_SELF, HVM_PARAM_VM_GENERATION_ID_ADDR, &before), 0);
  EXPECT(set(DOMID_SELF, HVM_PARAM_VM_GENERATION_ID_ADDR, 0x123000), 0);
  EXPECT(get(DOMID_SELF, HVM_PARAM_VM_GENERATION_ID_ADDR, &after), 0);
  EXPECT(after, 0x123000);
  EXPECT(set(DOMID_SELF, HVM_PARAM_VM_GENERATION_ID_ADDR, before), 0);
}

/* What belongs to the toolstack. */
static void hvm_param_refused(void) {
  EXPECT(get(DOMID_SELF, HVM_PARAM_IOREQ_PFN, NULL), -XEN_EPERM);
  EXPECT(set(DOMID_SELF, HVM_PARAM_IOREQ_PFN, 1), -XEN_EPERM);
  EXPECT(set(DOMID_SELF, HVM_PARAM_CONSOLE_PFN, 1), -XEN_EPERM);
  EXPECT(set(DOMID_SELF, HVM_PARAM_STORE_PFN, 1), -XEN_EPERM);
  EXPECT(set(DOMID_SELF, HVM_PARAM_IDENT_PT, 0), -XEN_EPERM);
  EXPECT(set(DOMID_SELF, HVM_PARAM_TRIPLE_FAULT_REASON, 0), -XEN_EPERM);
}

static void hvm_param_errors(void) {
  EXPECT(get(DOMID_SELF, HVM_NR_PARAMS, NULL), -XEN_EINVAL);
  EXPECT(set(DOMID_SELF, HVM_NR_PARAMS, 0), -XEN_EINVAL);
  EXPECT(get(DOMID_SELF, ~0u, NULL), -XEN_EINVAL);
  EXPECT(get(DOMID_SELF, PARAM_PAE_ENABLED, NULL), -XEN_EINVAL);
  EXPECT(set(DOMID_SELF, PARAM_NESTEDHVM, 1), -XEN_EINVAL);
  EXPECT(get(NOBODY, HVM_PARAM_CALLBACK_IRQ, NULL), -XEN_ESRCH);
  EXPECT(set(NOBODY, HVM_PARAM_CALLBACK_IRQ, 0), -XEN_ESRCH);
  EXPECT(hvm_op(HVMOP_get_param, UNMAPPED), -XEN_EFAULT);
  EXPECT(hvm_op(HVMOP_set_param, UNMAPPED), -XEN_EFAULT);
}

static void hvm_upcall_vector_errors(void) {
  struct xen_hvm_evtchn_upcall_vector request = {.vcpu = 0, .vector = 15};
  EXPECT(hvm_op(HVMOP_set_evtchn_upcall_vector, &request), -XEN_EINVAL);
  request = (struct xen_hvm_evtchn_upcall_vector){.vcpu = 1000, .vector = 0x50};
  EXPECT(hvm_op(HVMOP_set_evtchn_upcall_vector, &request), -XEN_ENOENT);
  EXPECT(hvm_op(HVMOP_set_evtchn_upcall_vector, UNMAPPED), -XEN_EFAULT);
}

static void hvm_misc(void) {
  EXPECT(hvm_op(HVMOP_flush_tlbs, NULL), 0);
  EXPECT(hvm_op(HVMOP_flush_tlbs, UNMAPPED), -XEN_EINVAL);
  EXPECT(hvm_op(HVMOP_get_time, UNMAPPED), -XEN_EFAULT);
  EXPECT(hvm_op(HVMOP_guest_request_vm_event, NULL), 0);
  EXPECT(hvm_op(HVMOP_guest_request_vm_event, UNMAPPED), -XEN_EINVAL);

  struct xen_hvm_get_mem_type type = {.domid = DOMID_SELF, .pfn = FRAME_OF(image_start)};
  EXPECT(hvm_op(HVMOP_get_mem_type, &type), 0);
  EXPECT(type.mem_type, HVMMEM_ram_rw);
  type.domid = NOBODY;
  EXPECT(hvm_op(HVMOP_get_mem_type, &type), -XEN_ESRCH);
  struct xen_hvm_xentrace trace = {.event = 0x1000};
  EXPECT(hvm_op(HVMOP_xentrace, &trace), -XEN_EINVAL);
  trace.event = 1;
  EXPECT(hvm_op(HVMOP_xentrace, &trace), 0);
  trace.extra_bytes = sizeof trace.extra + 1;
  EXPECT(hvm_op(HVMOP_xentrace, &trace), -XEN_EINVAL);
  struct xen_hvm_pagetable_dying dying = {.domid = DOMID_SELF};
  EXPECT(hvm_op(HVMOP_pagetable_dying, &dying), -XEN_EINVAL);
  static char altp2m[256];
  EXPECT(hvm_op(HVMOP_altp2m, altp2m), -XEN_EOPNOTSUPP);
}

static void hvm_unknown(void) {
  static const uint8_t gone[] = {2, 3, 4, 6, 7, 8, 12, 13, 14}; /* of earlier versions */
  for (unsigned i = 0; i < sizeof gone; i++)
    EXPECT(hvm_op(gone[i], NULL), -XEN_ENOSYS);
  EXPECT(hvm_op(UNKNOWN_COMMAND, NULL), -XEN_ENOSYS);
  /* The whole register is the number. */
  EXPECT(hypercall(__HYPERVISOR_hvm_op, 1ull << 32 | HVMOP_flush_tlbs, 0, 0, 0, 0), -XEN_ENOSYS);
}

const struct test hvm_tests[] = {
    {"hvm-param-get", hvm_param_get},
    {"hvm-param-set", hvm_param_set},
    {"hvm-param-refused", hvm_param_refused},
    {"hvm-param-errors", hvm_param_errors},
    {"hvm-upcall-vector-errors", hvm_upcall_vector_errors},
    {"hvm-misc", hvm_misc},
    {"hvm-unknown", hvm_unknown},
    {NULL, NULL},
};
