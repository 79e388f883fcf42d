/*
 * Sets a single-shot timer again and again and prints how late each came. Options: count=N (25), period=MS (20), or
 * period-us=US; sleep=halt, block, poll or ports: how it waits (halt); limit=MS (200): later than that is a failure; quiet:
 * prints only what is said of all of them at the end; obey: ends before the last when its operator asks it to.
 */
#include "lib/guest.h"

const char guest_name[] = "timer";

/* How many came less than 2^n us late, and not less than half of that. */
static uint64_t histogram[64];

static void count_late(uint64_t us) { histogram[us ? 64 - __builtin_clzl(us) : 0]++; }

/* A power of two: fewer than one in a hundred of `count` came later than so many us. */
static uint64_t usual_limit(uint64_t count) {
  uint64_t later = count;
  for (unsigned n = 0; n < 63; n++)
    if ((later -= histogram[n]) * 100 < count)
      return 1ul << n;
  return ~0ul;
}

/* STI; SCHEDOP_block, with nothing between the two: a timer that comes there must not be handled before the guest sleeps. */
static void block(void) {
  struct cpuid_result vendor = cpuid(0, 0);
  long result = __HYPERVISOR_sched_op, command = SCHEDOP_block, argument = 0;
  if (vendor.ecx == 0x444d4163) /* "cAMD" of AuthenticAMD */
    __asm__ volatile("sti; vmmcall" : "+a"(result), "+D"(command), "+S"(argument) : : "memory", "rcx", "r11");
  else
    __asm__ volatile("sti; vmcall" : "+a"(result), "+D"(command), "+S"(argument) : : "memory", "rcx", "r11");
}

static void poll(evtchn_port_t *port, uint64_t timeout_ns) {
  struct sched_poll wait = {.nr_ports = port != NULL, .timeout = timeout_ns};
  set_xen_guest_handle(wait.ports, port);
  sched_op(SCHEDOP_poll, &wait);
  interrupts_on();
  cpu_relax();
}

/* Waits for the timer's event or its handler, in the way that the option names. Interrupts are off before and after. */
static void wait_for(evtchn_port_t port, uint64_t deadline_ns, char way) {
  if (way == 'b')
    block();
  else if (way == 'o')
    poll(&port, 0);
  else if (way == 'p')
    poll(NULL, deadline_ns);
  else
    interrupts_on_and_halt();
  interrupts_off();
}

void guest_main(void) {
  uint64_t count = option_number("count", 25);
  uint64_t period = option_number("period-us", option_number("period", 20) * 1000) * 1000;
  const char *sleep = option_text("sleep");
  char way = !sleep ? 'h' : sleep[0] == 'p' && sleep[2] == 'r' ? 'o' : sleep[0];
  uint64_t limit = option_number("limit", 200) * MILLISECOND;
  bool quiet = option_present("quiet");
  uint64_t worst = 0;
  evtchn_port_t port = timer_port();
  bool obeys = option_present("obey");
  uint64_t i;
  for (i = 0; i < count && !(obeys && store_shutdown_asked()); i++) {
    uint64_t seen = event_count(port), deadline = clock_ns() + period;
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline};
    long error = vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer);
    if (error)
      guest_fail("set_singleshot_timer: error %ld", error);
    while (event_count(port) == seen)
      wait_for(port, deadline, way);
    uint64_t now = clock_ns();
    if (now < deadline)
      guest_fail("timer %lu came %lu ns early", i, deadline - now);
    if (!quiet)
      print("timer %lu: %lu us late\n", i, (now - deadline) / 1000);
    count_late((now - deadline) / 1000);
    worst = now - deadline > worst ? now - deadline : worst;
  }
  print("worst: %lu us late\n", worst / 1000);
  print("usual: %lu timers, 99 in 100 less than %lu us late\n", i, usual_limit(i));
  if (worst > limit)
    guest_fail("%lu us late, limit %lu us", worst / 1000, limit / 1000);
}
