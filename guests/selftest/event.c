/*
 * event_channel_op (Xen's public/event_channel.h): life and rules of ports. What arrives is delivery.c's matter.
 */
#include "suite.h"

static struct evtchn_status status_of(evtchn_port_t port) {
  struct evtchn_status status = {.dom = DOMID_SELF, .port = port};
  EXPECT(event_channel_op(EVTCHNOP_status, &status), 0);
  return status;
}

static long status_error(domid_t domain, evtchn_port_t port) {
  struct evtchn_status status = {.dom = domain, .port = port};
  return event_channel_op(EVTCHNOP_status, &status);
}

static long bind_vcpu(evtchn_port_t port, unsigned vcpu) {
  struct evtchn_bind_vcpu bind = {.port = port, .vcpu = vcpu};
  return event_channel_op(EVTCHNOP_bind_vcpu, &bind);
}

static void close_port(evtchn_port_t port) {
  event_mask(port);
  EXPECT(event_close(port), 0);
  event_clear(port);
}

static void event_unbound(void) {
  long port = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  CHECK(port > 0 && port < EVENT_PORTS);
  struct evtchn_status status = status_of(port);
  EXPECT(status.status, EVTCHNSTAT_unbound);
  EXPECT(status.vcpu, 0);
  /* Stored as a plain number, whatever name was given. */
  if (own_domid() >= 0)
    EXPECT(status.u.unbound.dom, own_domid());
  /* A notification of an unbound port is dropped, and is no error. */
  EXPECT(event_send(port), 0);
  CHECK(!event_pending(port));
  close_port(port);
  EXPECT(status_of(port).status, EVTCHNSTAT_closed);
  EXPECT(event_close(port), -XEN_EINVAL);
}

/* The lowest free port is given out. */
static void event_port_reuse(void) {
  long a = event_alloc_unbound(DOMID_SELF, NOBODY);
  long b = event_alloc_unbound(DOMID_SELF, NOBODY);
  CHECK(a > 0 && b > a);
  close_port(a);
  EXPECT(event_alloc_unbound(DOMID_SELF, NOBODY), a);
  close_port(a);
  close_port(b);
}

static void event_alloc_errors(void) {
  EXPECT(event_alloc_unbound(NOBODY, DOMID_SELF), -XEN_ESRCH);
  EXPECT(event_channel_op(EVTCHNOP_alloc_unbound, UNMAPPED), -XEN_EFAULT);
}

static void event_interdomain(void) {
  long remote = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  CHECK(remote > 0);
  long local = event_bind_interdomain(DOMID_SELF, remote);
  CHECK(local > 0 && local != remote);
  struct evtchn_status status = status_of(local);
  EXPECT(status.status, EVTCHNSTAT_interdomain);
  EXPECT(status.u.interdomain.port, remote);
  status = status_of(remote);
  EXPECT(status.status, EVTCHNSTAT_interdomain);
  EXPECT(status.u.interdomain.port, local);
  if (own_domid() >= 0)
    EXPECT(status.u.interdomain.dom, own_domid());
  /* Binding raises the new port once, for what the unbound one may have missed. */
  CHECK(event_pending(local));
  CHECK(!event_pending(remote));
  event_clear(local);
  EXPECT(event_send(local), 0);
  CHECK(event_pending(remote));
  CHECK(!event_pending(local));
  EXPECT(event_send(remote), 0);
  CHECK(event_pending(local));
  event_clear(remote);
  /* Closing one end leaves the other unbound, for the same domain to bind again. */
  close_port(local);
  EXPECT(status_of(remote).status, EVTCHNSTAT_unbound);
  local = event_bind_interdomain(DOMID_SELF, remote);
  CHECK(local > 0);
  close_port(remote);
  EXPECT(status_of(local).status, EVTCHNSTAT_unbound);
  close_port(local);
}

static void event_interdomain_errors(void) {
  EXPECT(event_bind_interdomain(NOBODY, 1), -XEN_ESRCH);
  EXPECT(event_bind_interdomain(DOMID_SELF, EVENT_PORTS - 1), -XEN_EINVAL);
  EXPECT(event_bind_interdomain(DOMID_SELF, ~0u), -XEN_EINVAL);
  EXPECT(event_bind_interdomain(DOMID_SELF, 0), -XEN_EINVAL);
  /* Unbound, but reserved for another domain. */
  long foreign = event_alloc_unbound(DOMID_SELF, NOBODY);
  CHECK(foreign > 0);
  EXPECT(event_bind_interdomain(DOMID_SELF, foreign), -XEN_EINVAL);
  close_port(foreign);
  /* Not unbound. */
  long ipi = event_bind_ipi(0);
  EXPECT(event_bind_interdomain(DOMID_SELF, ipi), -XEN_EINVAL);
  close_port(ipi);
  EXPECT(event_channel_op(EVTCHNOP_bind_interdomain, UNMAPPED), -XEN_EFAULT);
  /* A failed bind keeps no port. */
  long a = event_alloc_unbound(DOMID_SELF, NOBODY);
  close_port(a);
  EXPECT(event_bind_interdomain(DOMID_SELF, EVENT_PORTS - 1), -XEN_EINVAL);
  EXPECT(event_alloc_unbound(DOMID_SELF, NOBODY), a);
  close_port(a);
}

static void event_virq(void) {
  long port = event_bind_virq(VIRQ_DEBUG, 0);
  CHECK(port > 0);
  struct evtchn_status status = status_of(port);
  EXPECT(status.status, EVTCHNSTAT_virq);
  EXPECT(status.u.virq, VIRQ_DEBUG);
  EXPECT(status.vcpu, 0);
  EXPECT(event_bind_virq(VIRQ_DEBUG, 0), -XEN_EEXIST);
  /* Guests cannot raise a VIRQ themselves, nor move a per-vCPU one. */
  EXPECT(event_send(port), -XEN_EINVAL);
  EXPECT(bind_vcpu(port, 0), -XEN_EINVAL);
  close_port(port);
  port = event_bind_virq(VIRQ_DEBUG, 0);
  CHECK(port > 0);
  close_port(port);
}

static void event_virq_errors(void) {
  EXPECT(event_bind_virq(NR_VIRQS, 0), -XEN_EINVAL);
  EXPECT(event_bind_virq(~0u, 0), -XEN_EINVAL);
  EXPECT(event_bind_virq(VIRQ_DEBUG, 1000), -XEN_ENOENT);
  /* Global ones belong to vCPU 0 at first. */
  EXPECT(event_bind_virq(VIRQ_ARGO, 1), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_bind_virq, UNMAPPED), -XEN_EFAULT);
}

static void event_ipi(void) {
  long port = event_bind_ipi(0);
  CHECK(port > 0);
  EXPECT(status_of(port).status, EVTCHNSTAT_ipi);
  EXPECT(event_send(port), 0);
  CHECK(event_pending(port));
  /* An IPI port belongs to its vCPU. */
  EXPECT(bind_vcpu(port, 0), -XEN_EINVAL);
  close_port(port);
  EXPECT(event_bind_ipi(1000), -XEN_ENOENT);
  EXPECT(event_channel_op(EVTCHNOP_bind_ipi, UNMAPPED), -XEN_EFAULT);
}

static void event_send_errors(void) {
  EXPECT(event_send(0), -XEN_EINVAL);
  EXPECT(event_send(EVENT_PORTS - 1), -XEN_EINVAL);
  EXPECT(event_send(EVENT_PORTS), -XEN_EINVAL);
  EXPECT(event_send(~0u), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_send, UNMAPPED), -XEN_EFAULT);
}

static void event_close_errors(void) {
  EXPECT(event_close(0), -XEN_EINVAL);
  EXPECT(event_close(EVENT_PORTS - 1), -XEN_EINVAL);
  EXPECT(event_close(~0u), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_close, UNMAPPED), -XEN_EFAULT);
}

static void event_status_errors(void) {
  EXPECT(status_error(DOMID_SELF, ~0u), -XEN_EINVAL);
  EXPECT(status_error(NOBODY, 1), -XEN_ESRCH);
  EXPECT(event_channel_op(EVTCHNOP_status, UNMAPPED), -XEN_EFAULT);
}

static void event_bind_vcpu_rules(void) {
  long port = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  CHECK(port > 0);
  EXPECT(bind_vcpu(port, 0), 0);
  EXPECT(bind_vcpu(port, 1000), -XEN_ENOENT);
  close_port(port);
  EXPECT(bind_vcpu(port, 0), -XEN_EINVAL);
  EXPECT(bind_vcpu(~0u, 0), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_bind_vcpu, UNMAPPED), -XEN_EFAULT);
}

static void event_unmask_errors(void) {
  EXPECT(event_unmask(~0u), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_unmask, UNMAPPED), -XEN_EFAULT);
}

static void event_pirq_refused(void) {
  struct evtchn_bind_pirq bind = {.pirq = 1 << 20};
  EXPECT(event_channel_op(EVTCHNOP_bind_pirq, &bind), -XEN_EINVAL);
}

static void event_reset_errors(void) {
  struct evtchn_reset reset = {.dom = NOBODY};
  EXPECT(event_channel_op(EVTCHNOP_reset, &reset), -XEN_ESRCH);
  EXPECT(event_channel_op(EVTCHNOP_reset, UNMAPPED), -XEN_EFAULT);
}

/* As many ports as there are, and not one more. */
static void event_exhaustion(void) {
  static uint16_t ports[EVENT_PORTS];
  unsigned count = 0;
  long port;
  while ((port = event_alloc_unbound(DOMID_SELF, NOBODY)) > 0) {
    CHECK(count < EVENT_PORTS);
    ports[count++] = port;
  }
  for (unsigned i = 0; i < count; i++)
    EXPECT(event_close(ports[i]), 0);
  EXPECT(port, -XEN_ENOSPC);
  CHECK(count > 100);
}

static void event_unknown(void) { EXPECT(event_channel_op(UNKNOWN_COMMAND, NULL), -XEN_ENOSYS); }

const struct test event_tests[] = {
    {"event-unbound", event_unbound},
    {"event-port-reuse", event_port_reuse},
    {"event-alloc-errors", event_alloc_errors},
    {"event-interdomain", event_interdomain},
    {"event-interdomain-errors", event_interdomain_errors},
    {"event-virq", event_virq},
    {"event-virq-errors", event_virq_errors},
    {"event-ipi", event_ipi},
    {"event-send-errors", event_send_errors},
    {"event-close-errors", event_close_errors},
    {"event-status-errors", event_status_errors},
    {"event-bind-vcpu", event_bind_vcpu_rules},
    {"event-unmask-errors", event_unmask_errors},
    {"event-pirq-refused", event_pirq_refused},
    {"event-reset-errors", event_reset_errors},
    {"event-exhaustion", event_exhaustion},
    {"event-unknown", event_unknown},
    {NULL, NULL},
};
