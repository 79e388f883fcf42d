/*
 * Shared info, the upcall and waiting. Interrupts are off outside the waits, so tests see exactly what they ask for.
 */
#include "guest.h"

struct shared_info *shared_info;

/* Xen's page takes the place of this one, so nothing else may lie in it. */
static union {
  struct shared_info info;
  char bytes[4096];
} shared_info_page __attribute__((aligned(4096)));
static event_handler handlers[EVENT_PORTS];
static uint64_t counts[EVENT_PORTS];
static evtchn_port_t timer_ports[MAX_CPUS];
/* What each vCPU's timer was last set to; 0 once it is not set any more. */
static uint64_t timer_deadlines[MAX_CPUS];

static void upcall(struct trap_frame *frame) {
  (void)frame;
  struct cpu *cpu = this_cpu();
  cpu->upcalls++;
  cpu->info->evtchn_upcall_pending = 0;
  uint64_t selected = __atomic_exchange_n(&cpu->info->evtchn_pending_sel, 0, __ATOMIC_ACQ_REL);
  while (selected) {
    unsigned word = __builtin_ctzl(selected);
    selected &= selected - 1;
    uint64_t pending;
    while ((pending = __atomic_load_n(&shared_info->evtchn_pending[word], __ATOMIC_ACQUIRE) &
                      ~__atomic_load_n(&shared_info->evtchn_mask[word], __ATOMIC_ACQUIRE)) != 0) {
      evtchn_port_t port = word * 64 + __builtin_ctzl(pending);
      event_clear(port);
      counts[port]++;
      if (handlers[port])
        handlers[port](port);
    }
  }
}

void events_init(void) {
  struct xen_add_to_physmap map = {
      .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .idx = 0, .gpfn = (uint64_t)&shared_info_page >> 12};
  long error = memory_op(XENMEM_add_to_physmap, &map);
  if (error)
    guest_fail("shared info: error %ld", error);
  events_use(&shared_info_page.info);
}

void events_use(struct shared_info *info) {
  shared_info = info;
  for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
    cpus[cpu].info = &shared_info->vcpu_info[cpu];
    timer_ports[cpu] = 0;
    timer_deadlines[cpu] = 0;
  }
  for (unsigned word = 0; word < 64; word++)
    shared_info->evtchn_mask[word] = ~0ul;

  struct xen_hvm_param callback = {
      .domid = DOMID_SELF,
      .index = HVM_PARAM_CALLBACK_IRQ,
      .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR,
  };
  long error = hvm_op(HVMOP_set_param, &callback);
  if (error)
    guest_fail("callback vector: error %ld", error);
  traps_set_handler(UPCALL_VECTOR, upcall);
}

void event_handle(evtchn_port_t port, event_handler handler) {
  handlers[port] = handler;
  event_unmask(port);
}

void event_ignore(evtchn_port_t port) {
  event_mask(port);
  handlers[port] = NULL;
}

uint64_t event_count(evtchn_port_t port) { return __atomic_load_n(&counts[port], __ATOMIC_ACQUIRE); }

bool event_pending(evtchn_port_t port) {
  return __atomic_load_n(&shared_info->evtchn_pending[port / 64], __ATOMIC_ACQUIRE) >> (port % 64) & 1;
}

bool event_masked(evtchn_port_t port) {
  return __atomic_load_n(&shared_info->evtchn_mask[port / 64], __ATOMIC_ACQUIRE) >> (port % 64) & 1;
}

void event_clear(evtchn_port_t port) {
  __atomic_fetch_and(&shared_info->evtchn_pending[port / 64], ~(1ul << (port % 64)), __ATOMIC_ACQ_REL);
}

void event_mask(evtchn_port_t port) {
  __atomic_fetch_or(&shared_info->evtchn_mask[port / 64], 1ul << (port % 64), __ATOMIC_ACQ_REL);
}

long event_bind_virq(unsigned virq, unsigned vcpu) {
  struct evtchn_bind_virq bind = {.virq = virq, .vcpu = vcpu};
  long error = event_channel_op(EVTCHNOP_bind_virq, &bind);
  return error ? error : bind.port;
}

long event_bind_ipi(unsigned vcpu) {
  struct evtchn_bind_ipi bind = {.vcpu = vcpu};
  long error = event_channel_op(EVTCHNOP_bind_ipi, &bind);
  return error ? error : bind.port;
}

long event_alloc_unbound(domid_t domain, domid_t remote) {
  struct evtchn_alloc_unbound alloc = {.dom = domain, .remote_dom = remote};
  long error = event_channel_op(EVTCHNOP_alloc_unbound, &alloc);
  return error ? error : alloc.port;
}

long event_bind_interdomain(domid_t remote, evtchn_port_t remote_port) {
  struct evtchn_bind_interdomain bind = {.remote_dom = remote, .remote_port = remote_port};
  long error = event_channel_op(EVTCHNOP_bind_interdomain, &bind);
  return error ? error : bind.local_port;
}

long event_send(evtchn_port_t port) {
  struct evtchn_send send = {.port = port};
  return event_channel_op(EVTCHNOP_send, &send);
}

long event_unmask(evtchn_port_t port) {
  struct evtchn_unmask unmask = {.port = port};
  return event_channel_op(EVTCHNOP_unmask, &unmask);
}

long event_close(evtchn_port_t port) {
  struct evtchn_close close = {.port = port};
  return event_channel_op(EVTCHNOP_close, &close);
}

evtchn_port_t timer_port(void) {
  unsigned cpu = this_cpu()->id;
  if (timer_ports[cpu] == 0) {
    long port = event_bind_virq(VIRQ_TIMER, cpu);
    if (port < 0)
      guest_fail("VIRQ_TIMER of vCPU %u: error %ld", cpu, port);
    timer_ports[cpu] = port;
    event_handle(port, NULL);
  }
  return timer_ports[cpu];
}

static void timer_arm(uint64_t deadline_ns) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline_ns};
  vcpu_op(VCPUOP_set_singleshot_timer, this_cpu()->id, &timer);
  timer_deadlines[this_cpu()->id] = deadline_ns;
}

static void timer_stop(void) {
  vcpu_op(VCPUOP_stop_singleshot_timer, this_cpu()->id, NULL);
  timer_deadlines[this_cpu()->id] = 0;
}

bool event_wait(evtchn_port_t port, uint64_t count, uint64_t timeout_ns) {
  uint64_t deadline = clock_ns() + timeout_ns;
  timer_port();
  interrupts_off();
  while (event_count(port) <= count && clock_ns() < deadline) {
    timer_arm(deadline);
    interrupts_on_and_halt();
    interrupts_off();
  }
  timer_stop();
  return event_count(port) > count;
}

void event_idle(uint64_t deadline_ns) {
  interrupts_off();
  if (deadline_ns) {
    timer_port();
    uint64_t set = timer_deadlines[this_cpu()->id];
    /* One that is over has fired, or its event is pending and ends the halt. */
    if (set == 0 || set > deadline_ns || set <= clock_ns())
      timer_arm(deadline_ns);
  }
  interrupts_on_and_halt();
  interrupts_off();
}

void sleep_ns(uint64_t duration_ns) {
  uint64_t deadline = clock_ns() + duration_ns;
  timer_port();
  interrupts_off();
  while (clock_ns() < deadline) {
    timer_arm(deadline);
    interrupts_on_and_halt();
    interrupts_off();
  }
}
