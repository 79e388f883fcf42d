/*
 * sched_op (Xen's public/sched.h), except what ends the domain.
 */
#include "suite.h"

static void arm(uint64_t deadline_ns) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline_ns};
  timer_port();
  EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer), 0);
}

static void sched_yield(void) {
  EXPECT(sched_op(SCHEDOP_yield, NULL), 0);
  EXPECT(sched_op(SCHEDOP_yield, UNMAPPED), 0);
}

static void sched_block(void) {
  evtchn_port_t port = timer_port();
  uint64_t seen = event_count(port), start = clock_ns();
  arm(start + 10 * MILLISECOND);
  interrupts_on();
  EXPECT(sched_op(SCHEDOP_block, NULL), 0);
  interrupts_off();
  EXPECT(event_count(port), seen + 1);
  CHECK(clock_ns() >= start + 10 * MILLISECOND);
}

static long poll(evtchn_port_t *ports, unsigned count, uint64_t timeout) {
  struct sched_poll request = {.nr_ports = count, .timeout = timeout};
  set_xen_guest_handle(request.ports, ports);
  return sched_op(SCHEDOP_poll, &request);
}

static void sched_poll_timeout(void) {
  long port = event_bind_ipi(0);
  evtchn_port_t ports[1] = {port};
  CHECK(port > 0);
  uint64_t start = clock_ns();
  EXPECT(poll(ports, 1, start + 10 * MILLISECOND), 0);
  CHECK(clock_ns() >= start + 10 * MILLISECOND);
  EXPECT(event_close(port), 0);
}

/* A masked port's event ends a poll; the callback is not called. */
static void sched_poll_pending(void) {
  long port = event_bind_ipi(0);
  CHECK(port > 0);
  evtchn_port_t ports[2] = {timer_port(), port};
  EXPECT(event_send(port), 0);
  uint64_t start = clock_ns();
  EXPECT(poll(ports, 2, start + PATIENCE), 0);
  CHECK(clock_ns() < start + PATIENCE);
  CHECK(event_pending(port));
  event_clear(port);
  EXPECT(event_close(port), 0);
}

/* The timer's event arrives while polling its masked port, long before the timeout. */
static void sched_poll_event(void) {
  evtchn_port_t port = timer_port();
  event_mask(port);
  uint64_t start = clock_ns();
  arm(start + 10 * MILLISECOND);
  EXPECT(poll(&port, 1, start + PATIENCE), 0);
  uint64_t end = clock_ns();
  bool pending = event_pending(port);
  event_clear(port);
  EXPECT(event_unmask(port), 0);
  CHECK(pending);
  CHECK(end >= start + 10 * MILLISECOND);
  CHECK(end < start + PATIENCE);
}

static void sched_poll_errors(void) {
  static evtchn_port_t many[129];
  evtchn_port_t closed[1] = {EVENT_PORTS - 1};
  evtchn_port_t huge[1] = {~0u};
  EXPECT(sched_op(SCHEDOP_poll, UNMAPPED), -XEN_EFAULT);
  EXPECT(poll(many, 129, 1), -XEN_EINVAL);
  EXPECT(poll(UNMAPPED, 1, 1), -XEN_EFAULT);
  EXPECT(poll(huge, 1, 1), -XEN_EINVAL);
  EXPECT(poll(closed, 1, 1), -XEN_EINVAL);
}

static long watchdog(unsigned id, unsigned timeout_seconds) {
  struct sched_watchdog request = {.id = id, .timeout = timeout_seconds};
  return sched_op(SCHEDOP_watchdog, &request);
}

static void sched_watchdog(void) {
  long first = watchdog(0, 1000);
  EXPECT(first, 1);
  long second = watchdog(0, 1000);
  EXPECT(second, 2);
  /* Xen forgets to widen the sign of this one error: compare 32 bits. */
  EXPECT((int32_t)watchdog(0, 1000), -XEN_ENOSPC);
  EXPECT(watchdog(first, 2000), 0);
  EXPECT(watchdog(first, 0), 0);
  EXPECT(watchdog(first, 0), -XEN_EINVAL);
  EXPECT(watchdog(second, 0), 0);
  EXPECT(watchdog(3, 1), -XEN_EINVAL);
  EXPECT(sched_op(SCHEDOP_watchdog, UNMAPPED), -XEN_EFAULT);
}

static void sched_shutdown_bad_pointer(void) {
  EXPECT(sched_op(SCHEDOP_shutdown, UNMAPPED), -XEN_EFAULT);
  EXPECT(sched_op(SCHEDOP_shutdown_code, UNMAPPED), -XEN_EFAULT);
}

static void sched_remote_shutdown(void) {
  struct sched_remote_shutdown request = {.domain_id = NOBODY, .reason = SHUTDOWN_poweroff};
  EXPECT(sched_op(SCHEDOP_remote_shutdown, &request), -XEN_ESRCH);
  request.domain_id = DOMID_XEN;
  EXPECT(sched_op(SCHEDOP_remote_shutdown, &request), -XEN_ESRCH);
  /* DOMID_SELF is no number of a domain here. */
  request.domain_id = DOMID_SELF;
  EXPECT(sched_op(SCHEDOP_remote_shutdown, &request), -XEN_ESRCH);
  EXPECT(sched_op(SCHEDOP_remote_shutdown, UNMAPPED), -XEN_EFAULT);
}

static void sched_pin_override_refused(void) {
  struct sched_pin_override request = {.pcpu = -1};
  EXPECT(sched_op(SCHEDOP_pin_override, &request), -XEN_EPERM);
}

static void sched_unknown(void) {
  EXPECT(sched_op(UNKNOWN_COMMAND, NULL), -XEN_ENOSYS);
  EXPECT(hypercall(__HYPERVISOR_sched_op_compat, SCHEDOP_yield, 0, 0, 0, 0), -XEN_ENOSYS);
}

const struct test sched_tests[] = {
    {"sched-yield", sched_yield},
    {"sched-block", sched_block},
    {"sched-poll-timeout", sched_poll_timeout},
    {"sched-poll-pending", sched_poll_pending},
    {"sched-poll-event", sched_poll_event},
    {"sched-poll-errors", sched_poll_errors},
    {"sched-watchdog", sched_watchdog},
    {"sched-shutdown-bad-pointer", sched_shutdown_bad_pointer},
    {"sched-remote-shutdown", sched_remote_shutdown},
    {"sched-pin-override-refused", sched_pin_override_refused},
    {"sched-unknown", sched_unknown},
    {NULL, NULL},
};
