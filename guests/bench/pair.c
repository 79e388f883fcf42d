/*
 * Two sides that wake each other by events: send, halt until the answer's upcall, and so on. One turn is there and back:
 * two sends, two upcalls, two halts and, on one CPU, two switches.
 */
#include "bench.h"

#define ROUNDS 501
#define MEETING_PORTS 64

/* Halts until the port's event was taken once more. Interrupts are off on both sides of it. */
static void wait_past(evtchn_port_t port, uint64_t seen) {
  while (event_count(port) == seen) {
    interrupts_on_and_halt();
    interrupts_off();
  }
}

static void measure_turns(const char *name, evtchn_port_t out, evtchn_port_t in) {
  for (unsigned i = 0; i < 16 + ROUNDS; i++) {
    uint64_t seen = event_count(in), start = rdtsc();
    event_send(out);
    wait_past(in, seen);
    samples[i < 16 ? 0 : i - 16] = rdtsc() - start - tick_overhead;
  }
  report(name, ROUNDS, "ticks");
}

static evtchn_port_t to_second, to_first;
static volatile bool second_done;

static void answer_vcpu(void) {
  uint64_t seen = 0;
  while (!second_done) {
    wait_past(to_second, seen);
    seen = event_count(to_second);
    event_send(to_first);
  }
}

/* The same between two vCPUs of this domain, by IPI ports. */
void bench_vcpu_pair(void) {
  long error = smp_start(1);
  if (error)
    guest_fail("second vCPU: error %ld", error);
  to_first = event_bind_ipi(0);
  to_second = event_bind_ipi(1);
  event_handle(to_first, NULL);
  event_handle(to_second, NULL);
  smp_run(1, answer_vcpu);
  measure_turns("vcpu-round-trip", to_second, to_first);
  second_done = true;
  event_send(to_second);
  smp_wait(1);
}

/* Signals the end to the pong side, by a separate port: see bench_pong. */
static long bind_next(domid_t remote, evtchn_port_t *from) {
  for (; *from < MEETING_PORTS; (*from)++) {
    long port = event_bind_interdomain(remote, *from);
    if (port > 0) {
      (*from)++;
      return port;
    }
  }
  return 0;
}

/*
 * The other domain may not be there yet, and its ports' numbers are not known: tries all low ones until one binds, for up
 * to a minute. Only a port that was allocated for this domain can.
 */
void bench_ping(domid_t remote) {
  uint64_t deadline = clock_ns() + 60 * SECOND;
  evtchn_port_t from = 1;
  long port = 0, end = 0;
  while ((port = bind_next(remote, &from)) == 0) {
    if (clock_ns() > deadline)
      guest_fail("domain %u offers no port", remote);
    from = 1;
    sleep_ns(20 * MILLISECOND);
  }
  end = bind_next(remote, &from);
  if (end == 0)
    guest_fail("domain %u offers one port instead of two", remote);
  event_handle(port, NULL);
  /* Binding raised the port once here: let that pass. */
  wait_past(port, 0);
  measure_turns("event-round-trip", port, port);
  event_send(end);
}

/* Answers each event with one, until the second port's event says that the other is through. */
void bench_pong(domid_t remote) {
  long port = event_alloc_unbound(DOMID_SELF, remote), end = event_alloc_unbound(DOMID_SELF, remote);
  if (port < 0 || end < 0)
    guest_fail("event channels for domain %u: %ld, %ld", remote, port, end);
  print("pong: ports %ld and %ld wait for domain %u\n", port, end, remote);
  event_handle(port, NULL);
  event_handle(end, NULL);
  uint64_t seen = 0;
  while (event_count(end) == 0) {
    if (event_count(port) == seen) {
      interrupts_on_and_halt();
      interrupts_off();
    } else {
      seen = event_count(port);
      event_send(port);
    }
  }
}
