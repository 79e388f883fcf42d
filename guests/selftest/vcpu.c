/*
 * vcpu_op (Xen's public/vcpu.h) on the vCPU itself, except the timers.
 */
#include "suite.h"

static void vcpu_is_up(void) {
  EXPECT(vcpu_op(VCPUOP_is_up, 0, NULL), 1);
  EXPECT(vcpu_op(VCPUOP_is_up, 1000, NULL), -XEN_ENOENT);
  EXPECT(vcpu_op(VCPUOP_is_up, ~0u, NULL), -XEN_ENOENT);
  /* Up already: nothing to do. */
  EXPECT(vcpu_op(VCPUOP_up, 0, NULL), 0);
}

static void vcpu_initialise_running(void) {
  static struct vcpu_hvm_context context;
  EXPECT(vcpu_op(VCPUOP_initialise, 0, &context), -XEN_EEXIST);
  EXPECT(vcpu_op(VCPUOP_initialise, 0, UNMAPPED), -XEN_EFAULT);
}

static void check_runstate(const volatile struct vcpu_runstate_info *info) {
  uint64_t sum = 0, now = clock_ns();
  EXPECT(info->state, RUNSTATE_running);
  for (int i = 0; i < 4; i++)
    sum += info->time[i];
  CHECK((info->state_entry_time & ~XEN_RUNSTATE_UPDATE) <= now + MILLISECOND);
  CHECK(sum > 0);
  CHECK(sum <= now + MILLISECOND);
}

static void vcpu_runstate(void) {
  struct vcpu_runstate_info first, second;
  EXPECT(vcpu_op(VCPUOP_get_runstate_info, 0, &first), 0);
  check_runstate(&first);
  /* Sleep counts as blocked: most of it, unless the machine itself was held up. */
  for (int i = 0; i < 20; i++) {
    sleep_ns(10 * MILLISECOND);
    EXPECT(vcpu_op(VCPUOP_get_runstate_info, 0, &second), 0);
    check_runstate(&second);
    if (second.time[RUNSTATE_blocked] >= first.time[RUNSTATE_blocked] + 5 * MILLISECOND)
      break;
  }
  CHECK(second.time[RUNSTATE_blocked] >= first.time[RUNSTATE_blocked] + 5 * MILLISECOND);
  CHECK(second.time[RUNSTATE_running] >= first.time[RUNSTATE_running]);
  EXPECT(vcpu_op(VCPUOP_get_runstate_info, 0, UNMAPPED), -XEN_EFAULT);
  EXPECT(vcpu_op(VCPUOP_get_runstate_info, 1000, &first), -XEN_ENOENT);
}

/* The registered copy follows by itself. */
static void vcpu_runstate_area(void) {
  static volatile struct vcpu_runstate_info area;
  struct vcpu_register_runstate_memory_area request;
  set_xen_guest_handle(request.addr.h, (struct vcpu_runstate_info *)&area);
  EXPECT(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &request), 0);
  check_runstate(&area);
  uint64_t blocked = area.time[RUNSTATE_blocked];
  for (int i = 0; i < 20 && area.time[RUNSTATE_blocked] < blocked + 5 * MILLISECOND; i++)
    sleep_ns(10 * MILLISECOND);
  check_runstate(&area);
  CHECK(area.time[RUNSTATE_blocked] >= blocked + 5 * MILLISECOND);
  EXPECT(vcpu_op(VCPUOP_register_runstate_memory_area, 0, UNMAPPED), -XEN_EFAULT);
}

/* A second copy of the time record. */
static void vcpu_time_area(void) {
  static struct vcpu_time_info area;
  struct vcpu_register_time_memory_area request;
  set_xen_guest_handle(request.addr.h, &area);
  EXPECT(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &request), 0);
  EXPECT(area.tsc_to_system_mul, this_cpu()->info->time.tsc_to_system_mul);
  uint64_t tsc = rdtsc(), here = clock_ns_by(&area, tsc), there = clock_ns_at(tsc);
  CHECK(here + MILLISECOND > there && there + MILLISECOND > here);
  EXPECT(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, UNMAPPED), -XEN_EFAULT);
}

static volatile uint64_t nmis;
static void count_nmi(struct trap_frame *frame) {
  (void)frame;
  nmis++;
}

/* An NMI to itself arrives although interrupts are off. */
static void vcpu_nmi(void) {
  traps_set_handler(2, count_nmi);
  nmis = 0;
  EXPECT(vcpu_op(VCPUOP_send_nmi, 0, NULL), 0);
  spin_until(&nmis, PATIENCE);
  EXPECT(nmis, 1);
  /* And again: the first one's IRET has unblocked NMIs. */
  EXPECT(vcpu_op(VCPUOP_send_nmi, 0, NULL), 0);
  spin_until(&nmis, PATIENCE);
  spin_until(&(volatile uint64_t){0}, MILLISECOND);
  traps_set_handler(2, NULL);
  EXPECT(nmis, 2);
  EXPECT(vcpu_op(VCPUOP_send_nmi, 0, UNMAPPED), -XEN_EINVAL);
  EXPECT(vcpu_op(VCPUOP_send_nmi, 1000, NULL), -XEN_ENOENT);
}

static void vcpu_physid(void) {
  struct vcpu_get_physid request;
  EXPECT(vcpu_op(VCPUOP_get_physid, 0, &request), -XEN_EINVAL);
}

static void vcpu_unknown(void) {
  EXPECT(vcpu_op(UNKNOWN_COMMAND, 0, NULL), -XEN_ENOSYS);
  EXPECT(vcpu_op(UNKNOWN_COMMAND, 1000, NULL), -XEN_ENOENT);
}

static long vm_assist(unsigned command, unsigned type) {
  return hypercall(__HYPERVISOR_vm_assist, command, type, 0, 0, 0);
}

/* Of all kinds an HVM guest has the one that marks a run state which is being written. */
static void vcpu_assist(void) {
  static volatile struct vcpu_runstate_info area;
  struct vcpu_register_runstate_memory_area request;
  set_xen_guest_handle(request.addr.h, (struct vcpu_runstate_info *)&area);
  for (unsigned type = 0; type < VMASST_TYPE_runstate_update_flag; type++)
    EXPECT(vm_assist(VMASST_CMD_enable, type), -XEN_EINVAL);
  EXPECT(vm_assist(VMASST_CMD_enable, 64), -XEN_EINVAL);
  EXPECT(vm_assist(UNKNOWN_COMMAND, VMASST_TYPE_runstate_update_flag), -XEN_ENOSYS);
  EXPECT(vm_assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
  EXPECT(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &request), 0);
  sleep_ns(2 * MILLISECOND);
  check_runstate(&area);
  /* Set only while another reads: the vCPU itself never sees it. */
  EXPECT(area.state_entry_time & XEN_RUNSTATE_UPDATE, 0);
  EXPECT(vm_assist(VMASST_CMD_disable, VMASST_TYPE_runstate_update_flag), 0);
}

const struct test vcpu_tests[] = {
    {"vcpu-is-up", vcpu_is_up},
    {"vcpu-initialise-running", vcpu_initialise_running},
    {"vcpu-runstate", vcpu_runstate},
    {"vcpu-runstate-area", vcpu_runstate_area},
    {"vcpu-assist", vcpu_assist},
    {"vcpu-time-area", vcpu_time_area},
    {"vcpu-nmi", vcpu_nmi},
    {"vcpu-physid", vcpu_physid},
    {"vcpu-unknown", vcpu_unknown},
    {NULL, NULL},
};
