/*
 * Tests after which the library's own set-up is no longer what it was: they come last.
 */
#include "suite.h"

/* vcpu_info moves to a place of the guest's choice, once. */
static void last_vcpu_info(void) {
  static struct {
    char before[64 * 3];
    struct vcpu_info info;
    char behind[4096 - 64 * 4];
  } page __attribute__((aligned(4096)));
  struct vcpu_register_vcpu_info request = {.mfn = FRAME_OF(&page), .offset = 4096 - 63};
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, UNMAPPED), -XEN_EFAULT);
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, &request), -XEN_ENXIO);
  request.offset = 4;
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, &request), -XEN_ENXIO);
  request = (struct vcpu_register_vcpu_info){.mfn = 0xfffff0, .offset = 0};
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, &request), -XEN_EINVAL);

  request = (struct vcpu_register_vcpu_info){.mfn = FRAME_OF(&page), .offset = (uint64_t)&page.info & 4095};
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, &request), 0);
  this_cpu()->info = &page.info;
  /* Everything is marked pending, so that nothing is lost on the way. */
  EXPECT(page.info.evtchn_upcall_pending, 1);
  EXPECT(page.info.evtchn_pending_sel, -1);
  CHECK(page.info.time.tsc_to_system_mul != 0);
  EXPECT(vcpu_op(VCPUOP_register_vcpu_info, 0, &request), -XEN_EINVAL);

  /* Events and time go on in the new place. */
  evtchn_port_t port = timer_port();
  uint64_t seen = event_count(port), start = clock_ns();
  /* A machine that is held up may have its timer's event pending when the time is over: the next sleep takes it. */
  for (int i = 0; i < 20 && event_count(port) == seen; i++)
    sleep_ns(5 * MILLISECOND);
  CHECK(event_count(port) > seen);
  CHECK(clock_ns() >= start + 5 * MILLISECOND);
}

long events_reset(void) {
  struct evtchn_reset reset = {.dom = DOMID_SELF};
  struct evtchn_status console = {.dom = DOMID_SELF, .port = console_port()};
  if (console.port)
    EXPECT(event_channel_op(EVTCHNOP_status, &console), 0);
  console_flush();
  long done = event_channel_op(EVTCHNOP_reset, &reset);
  if (console.port && console.status == EVTCHNSTAT_interdomain) {
    long port = event_bind_interdomain(console.u.interdomain.dom, console.u.interdomain.port);
    if (port < 0)
      console_forget_ring();
    else
      console_use_port(port);
    CHECK(port > 0);
  }
  return done;
}

static void last_reset(void) {
  long ports[3] = {event_bind_ipi(0), event_alloc_unbound(DOMID_SELF, DOMID_SELF), event_bind_virq(VIRQ_DEBUG, 0)};
  EXPECT(events_reset(), 0);
  /* Free again, except for what the console took. */
  for (int i = 0; i < 3; i++)
    if (ports[i] != (long)console_port())
      EXPECT(event_close(ports[i]), -XEN_EINVAL);
  long port = event_bind_virq(VIRQ_TIMER, 0);
  CHECK(port > 0);
  EXPECT(event_close(port), 0);
}

static void last_shutdown_code(void) {
  struct sched_shutdown request = {.reason = SHUTDOWN_poweroff};
  EXPECT(sched_op(SCHEDOP_shutdown_code, &request), 0);
}

const struct test last_tests[] = {
    {"last-vcpu-info", last_vcpu_info},
    {"last-reset", last_reset},
    {"last-shutdown-code", last_shutdown_code},
    {NULL, NULL},
};
