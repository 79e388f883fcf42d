/*
 * Operations of one domain. Each is measured alone, from the instruction before it to the one after it.
 */
#include "bench.h"

#define TIME(statement)           \
  ({                              \
    uint64_t start_ = rdtsc();    \
    statement;                    \
    rdtsc() - start_;             \
  })

static uint64_t null_hypercall(void) { return TIME(xen_version(XENVER_version, NULL)); }

static evtchn_port_t ipi;

/* Nothing is delivered: the port is masked and pending. */
static uint64_t event_send_pending(void) { return TIME(event_send(ipi)); }

/* A new event each time, still masked. */
static uint64_t event_send_masked(void) {
  event_clear(ipi);
  return TIME(event_send(ipi));
}

static volatile uint64_t upcall_at;
static void note_upcall(evtchn_port_t port) {
  (void)port;
  upcall_at = rdtsc();
}

/* From the hypercall to the handler of the port, through the callback vector. */
static uint64_t event_upcall(void) {
  uint64_t start = rdtsc();
  event_send(ipi);
  return upcall_at - start;
}

static uint64_t cpuid_exit(void) { return TIME(cpuid(xen_leaf, 0)); }

static uint64_t port_exit(void) { return TIME(in8(0x1f0)); }

static void change_cr8(void) {
  uint64_t value = 3;
  __asm__ volatile("mov %0, %%cr8\n mov %%cr8, %0\n mov %1, %%cr8" : "+r"(value) : "r"(0ul) : "memory");
}
static uint64_t task_priority(void) { return TIME(change_cr8()); }

static uint64_t yield(void) { return TIME(sched_op(SCHEDOP_yield, NULL)); }

static uint64_t set_timer(void) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = clock_ns() + SECOND};
  return TIME(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer));
}

static multicall_entry_t calls[8];
static uint64_t multicall_8(void) { return TIME(multicall(calls, 8)); }

static xen_pfn_t balloon_frame;
static uint64_t balloon_pair(void) {
  struct xen_memory_reservation request = {.nr_extents = 1, .domid = DOMID_SELF};
  set_xen_guest_handle(request.extent_start, &balloon_frame);
  uint64_t start = rdtsc();
  memory_op(XENMEM_decrease_reservation, &request);
  memory_op(XENMEM_populate_physmap, &request);
  return rdtsc() - start;
}

/* One page, copied within the domain. */
static struct gnttab_copy copy;
static uint64_t grant_copy_page(void) { return TIME(grant_table_op(GNTTABOP_copy, &copy, 1)); }

/* How late a timer's interrupt comes to a halted guest, in ns. */
static uint64_t timer_late(void) {
  uint64_t deadline = clock_ns() + MILLISECOND;
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline};
  evtchn_port_t port = timer_port();
  uint64_t seen = event_count(port);
  vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer);
  while (event_count(port) == seen) {
    interrupts_on_and_halt();
    interrupts_off();
  }
  return clock_ns() - deadline;
}

static const char *only;

static void row(const char *name, uint64_t (*measure)(void), unsigned count, const char *unit) {
  if (only && !text_equal(only, name))
    return;
  /* The first ones warm up what is made at first use. */
  for (unsigned i = 0; i < 16; i++)
    measure();
  for (unsigned i = 0; i < count; i++)
    samples[i] = measure() - (text_equal(unit, "ticks") ? tick_overhead : 0);
  report(name, count, unit);
}

void bench_operations(void) {
  static char name[64];
  if (option_text("only")) {
    format_text(name, sizeof name, "%s", option_text("only"));
    only = name;
  }
  if (!only || text_equal(only, "first-instruction"))
    print("bench first-instruction %lu ns\n", clock_ns_at(first_tsc));

  if (!only || text_equal(only, "rdtsc"))
    print("bench rdtsc %lu ticks\n", tick_overhead);
  row("null-hypercall", null_hypercall, SAMPLES, "ticks");
  row("cpuid", cpuid_exit, SAMPLES, "ticks");
  row("port-read", port_exit, SAMPLES, "ticks");
  row("task-priority", task_priority, SAMPLES, "ticks");
  row("yield", yield, SAMPLES, "ticks");
  for (int i = 0; i < 8; i++)
    calls[i] = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
  row("multicall-8", multicall_8, SAMPLES, "ticks");

  ipi = event_bind_ipi(0);
  event_mask(ipi);
  event_send(ipi);
  row("event-send-pending", event_send_pending, SAMPLES, "ticks");
  row("event-send", event_send_masked, SAMPLES, "ticks");
  event_clear(ipi);
  event_handle(ipi, note_upcall);
  interrupts_on();
  row("event-upcall", event_upcall, SAMPLES, "ticks");
  interrupts_off();
  event_ignore(ipi);

  row("set-timer", set_timer, SAMPLES, "ticks");
  vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL);
  balloon_frame = (uint64_t)pages_take(1) >> 12;
  row("balloon-page", balloon_pair, 101, "ticks");
  copy = (struct gnttab_copy){
      .source = {.u.gmfn = (uint64_t)pages_take(1) >> 12, .domid = DOMID_SELF},
      .dest = {.u.gmfn = (uint64_t)pages_take(1) >> 12, .domid = DOMID_SELF},
      .len = 4096,
  };
  row("copy-page", grant_copy_page, 101, "ticks");
  row("timer-late", timer_late, 21, "ns");
  if (smp_count() > 1 && (!only || text_equal(only, "vcpu-round-trip")))
    bench_vcpu_pair();
}
