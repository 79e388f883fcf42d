/*
 * Event channels and time, in place of lib/events.c and lib/clock.c: when the guest sleeps, the backends work.
 */
#include "host.h"

#include <string.h>
#include <time.h>

#include "../lib/clock.h"
#include "../lib/guest.h"

#define PORTS 256
#define WORKERS 8
#define SLEEP_MOST_MS 1000

static struct port {
  bool open, pending, masked;
  event_handler handler;
  uint64_t count;
  void (*notified)(void *context);
  void *context;
} ports[PORTS];
/* What backends offer to be bound, and the guest's port that is bound to it. */
static struct {
  void (*notified)(void *context);
  void *context;
  evtchn_port_t bound;
} offers[PORTS];
static unsigned offered;
static bool (*workers[WORKERS])(void);
static unsigned worker_count;

static evtchn_port_t open_port(void) {
  for (unsigned port = 1; port < PORTS; port++)
    if (!ports[port].open) {
      ports[port] = (struct port){.open = true, .masked = true};
      return port;
    }
  host_fail("out of ports");
}

void events_init(void) {
  memset(ports, 0, sizeof ports);
  for (unsigned i = 0; i < PORTS; i++)
    offers[i].bound = 0;
}

void host_connect(evtchn_port_t port, void (*notified)(void *), void *context) {
  if (port >= PORTS || !ports[port].open)
    host_fail("port %u is not open", port);
  ports[port].notified = notified;
  ports[port].context = context;
}

evtchn_port_t host_offer(void (*notified)(void *), void *context) {
  offers[++offered].notified = notified;
  offers[offered].context = context;
  return 1000 + offered;
}

void host_notify(evtchn_port_t port) {
  if (port < PORTS && ports[port].open)
    ports[port].pending = true;
}

void host_notify_offered(evtchn_port_t port) {
  if (offers[port - 1000].bound)
    host_notify(offers[port - 1000].bound);
}

void host_add_work(bool (*work)(void)) { workers[worker_count++] = work; }

void event_handle(evtchn_port_t port, event_handler handler) {
  ports[port].handler = handler;
  ports[port].masked = false;
}

uint64_t event_count(evtchn_port_t port) { return ports[port].count; }

void event_clear(evtchn_port_t port) { ports[port].pending = false; }

long event_alloc_unbound(domid_t domain, domid_t remote) {
  return domain == DOMID_SELF && remote == BACKEND ? (long)open_port() : -XEN_EINVAL;
}

long event_bind_interdomain(domid_t remote, evtchn_port_t remote_port) {
  if (remote != BACKEND || remote_port <= 1000 || remote_port > 1000 + offered || offers[remote_port - 1000].bound)
    return -XEN_EINVAL;
  evtchn_port_t port = open_port();
  offers[remote_port - 1000].bound = port;
  host_connect(port, offers[remote_port - 1000].notified, offers[remote_port - 1000].context);
  return port;
}

long event_send(evtchn_port_t port) {
  if (port >= PORTS || !ports[port].open)
    return -XEN_EINVAL;
  /* Nobody is at the other end yet: Xen drops the event, too. */
  if (ports[port].notified)
    ports[port].notified(ports[port].context);
  return 0;
}

/* Calls the handlers of pending ports; false when there was none. */
static bool deliver(void) {
  bool any = false;
  for (unsigned port = 1; port < PORTS; port++) {
    if (!ports[port].pending || ports[port].masked)
      continue;
    ports[port].pending = false;
    ports[port].count++;
    any = true;
    if (ports[port].handler)
      ports[port].handler(port);
  }
  return any;
}

static int milliseconds_until(uint64_t deadline_ns) {
  uint64_t now = clock_ns();
  if (deadline_ns == 0 || deadline_ns > now + SLEEP_MOST_MS * MILLISECOND)
    return SLEEP_MOST_MS;
  return deadline_ns <= now ? 0 : (int)((deadline_ns - now) / MILLISECOND) + 1;
}

void event_idle(uint64_t deadline_ns) {
  for (;;) {
    bool worked = host_receive(0);
    for (unsigned i = 0; i < worker_count; i++)
      worked |= workers[i]();
    if (deliver() || (deadline_ns && clock_ns() >= deadline_ns))
      return;
    if (!worked)
      host_receive(milliseconds_until(deadline_ns));
  }
}

bool event_wait(evtchn_port_t port, uint64_t count, uint64_t timeout_ns) {
  uint64_t deadline = clock_ns() + timeout_ns;
  while (event_count(port) <= count && clock_ns() < deadline)
    event_idle(deadline);
  return event_count(port) > count;
}

void sleep_ns(uint64_t duration_ns) {
  uint64_t deadline = clock_ns() + duration_ns;
  while (clock_ns() < deadline)
    event_idle(deadline);
}

static uint64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * SECOND + time.tv_nsec;
}

uint64_t clock_ns(void) { return now(CLOCK_MONOTONIC); }

uint64_t clock_ns_at(uint64_t tsc) { return clock_ns() - (rdtsc() - tsc); }

uint64_t clock_wall_seconds(uint32_t *nanoseconds) {
  if (nanoseconds)
    *nanoseconds = now(CLOCK_REALTIME) % SECOND;
  return now(CLOCK_REALTIME) / SECOND;
}
