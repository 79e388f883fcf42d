/*
 * How events and interrupts reach the guest: pending and mask bits, the callback vector, IF, HLT, preemption.
 */
#include "suite.h"

static evtchn_port_t ipi_port(void) {
  long port = event_bind_ipi(0);
  CHECK(port > 0);
  event_handle(port, NULL);
  return port;
}

static void drop(evtchn_port_t port) {
  event_ignore(port);
  EXPECT(event_close(port), 0);
  event_clear(port);
}

/* Lets what is pending in: one instruction with interrupts on is enough. */
static void open_window(void) {
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
}

static void delivery_callback(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port), upcalls = this_cpu()->upcalls;
  EXPECT(event_send(port), 0);
  /* Nothing while IF is off, however long. */
  for (int i = 0; i < 10; i++)
    sched_op(SCHEDOP_yield, NULL);
  EXPECT(event_count(port), seen);
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 1);
  open_window();
  EXPECT(event_count(port), seen + 1);
  EXPECT(this_cpu()->upcalls, upcalls + 1);
  drop(port);
}

/* Two notifications before the guest looks are one. */
static void delivery_merge(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port);
  EXPECT(event_send(port), 0);
  EXPECT(event_send(port), 0);
  open_window();
  EXPECT(event_count(port), seen + 1);
  drop(port);
}

static void delivery_with_interrupts_on(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port);
  interrupts_on();
  EXPECT(event_send(port), 0);
  uint64_t now = event_count(port);
  interrupts_off();
  EXPECT(now, seen + 1);
  drop(port);
}

static void delivery_mask(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port), upcalls = this_cpu()->upcalls;
  event_mask(port);
  EXPECT(event_send(port), 0);
  CHECK(event_pending(port));
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 0);
  open_window();
  EXPECT(this_cpu()->upcalls, upcalls);
  /* Unmasking a pending port delivers it. */
  EXPECT(event_unmask(port), 0);
  CHECK(!event_masked(port));
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 1);
  open_window();
  EXPECT(event_count(port), seen + 1);
  EXPECT(this_cpu()->upcalls, upcalls + 1);
  /* Unmasking an idle port does nothing. */
  event_mask(port);
  EXPECT(event_unmask(port), 0);
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 0);
  drop(port);
}

/* The selector bit names the word of the pending array. */
static void delivery_selector(void) {
  evtchn_port_t port = ipi_port();
  EXPECT(event_send(port), 0);
  uint64_t selector = this_cpu()->info->evtchn_pending_sel;
  open_window();
  EXPECT(selector, 1ul << (port / 64));
  drop(port);
}

/* A port above the first word: ports are filled up to there. */
static void delivery_high_port(void) {
  static long ports[200];
  unsigned count = 0;
  do {
    CHECK(count < 200);
    ports[count] = event_bind_ipi(0);
    CHECK(ports[count] > 0);
  } while (ports[count++] < 130);
  evtchn_port_t port = ports[count - 1];
  uint64_t seen = event_count(port);
  event_handle(port, NULL);
  EXPECT(event_send(port), 0);
  open_window();
  EXPECT(event_count(port), seen + 1);
  event_ignore(port);
  for (unsigned i = 0; i < count; i++)
    EXPECT(event_close(ports[i]), 0);
}

/* Without the handler's acknowledgement the upcall comes again: it is a level, not an edge. */
static uint64_t level_calls;
static void level_upcall(struct trap_frame *frame) {
  (void)frame;
  if (++level_calls == 3)
    this_cpu()->info->evtchn_upcall_pending = 0;
}

static void delivery_level(void) {
  struct xen_hvm_param callback = {
      .domid = DOMID_SELF,
      .index = HVM_PARAM_CALLBACK_IRQ,
      .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | (UPCALL_VECTOR + 1),
  };
  traps_set_handler(UPCALL_VECTOR + 1, level_upcall);
  EXPECT(hvm_op(HVMOP_set_param, &callback), 0);
  evtchn_port_t port = ipi_port();
  level_calls = 0;
  EXPECT(event_send(port), 0);
  interrupts_on();
  spin_until(&level_calls, PATIENCE);
  __asm__ volatile("nop; nop; nop; nop");
  interrupts_off();
  callback.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR;
  EXPECT(hvm_op(HVMOP_set_param, &callback), 0);
  this_cpu()->info->evtchn_pending_sel = 0;
  drop(port);
  traps_set_handler(UPCALL_VECTOR + 1, NULL);
  EXPECT(level_calls, 3);
}

/* The instruction behind STI runs before any interrupt. */
static void delivery_sti_shadow(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port);
  EXPECT(event_send(port), 0);
  __asm__ volatile("sti; cli" : : : "memory");
  EXPECT(event_count(port), seen);
  open_window();
  EXPECT(event_count(port), seen + 1);
  drop(port);
}

static void delivery_halt(void) {
  evtchn_port_t port = timer_port();
  uint64_t seen = event_count(port), start = clock_ns();
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = start + 10 * MILLISECOND};
  EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer), 0);
  interrupts_on_and_halt();
  interrupts_off();
  EXPECT(event_count(port), seen + 1);
  CHECK(clock_ns() >= start + 10 * MILLISECOND);
}

/* HLT with an event pending already returns at once. */
static void delivery_halt_pending(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port);
  EXPECT(event_send(port), 0);
  interrupts_on_and_halt();
  interrupts_off();
  EXPECT(event_count(port), seen + 1);
  drop(port);
}

static volatile uint64_t spin_flag;
static void raise_flag(evtchn_port_t port) {
  (void)port;
  spin_flag = 1;
}

/* The timer's interrupt arrives although the guest never leaves by itself (reading the clock is no exit). */
static void delivery_preemption(void) {
  evtchn_port_t port = timer_port();
  for (int i = 0; i < 5; i++) {
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = clock_ns() + 5 * MILLISECOND};
    spin_flag = 0;
    event_handle(port, raise_flag);
    EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer), 0);
    interrupts_on();
    bool came = spin_until(&spin_flag, PATIENCE);
    interrupts_off();
    event_handle(port, NULL);
    CHECK(came);
  }
}

/* The same with a loop of nothing but a jump and a compare: no exits at all, all registers kept. */
static void delivery_tight_loop(void) {
  evtchn_port_t port = timer_port();
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = clock_ns() + 20 * MILLISECOND};
  uint64_t loops = 0, sum = 0;
  spin_flag = 0;
  event_handle(port, raise_flag);
  EXPECT(vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer), 0);
  __asm__ volatile(
      "sti\n"
      "1: incq %0\n"
      "addq $3, %1\n"
      "cmpq $0, %2\n"
      "je 1b\n"
      "cli\n"
      : "+r"(loops), "+r"(sum), "+m"(spin_flag)
      :
      : "memory", "cc");
  event_handle(port, NULL);
  CHECK(loops > 100);
  EXPECT(sum, loops * 3);
}

/* The handler sees the interrupted state: selector, flags with IF on, an RIP inside the loop. */
static struct trap_frame seen_frame;
static void keep_frame(struct trap_frame *frame) {
  seen_frame = *frame;
  this_cpu()->info->evtchn_upcall_pending = 0;
}

static void delivery_frame(void) {
  struct xen_hvm_param callback = {
      .domid = DOMID_SELF,
      .index = HVM_PARAM_CALLBACK_IRQ,
      .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xef,
  };
  evtchn_port_t port = ipi_port();
  uint64_t before, behind;
  memset(&seen_frame, 0, sizeof seen_frame);
  traps_set_handler(0xef, keep_frame);
  EXPECT(hvm_op(HVMOP_set_param, &callback), 0);
  EXPECT(event_send(port), 0);
  __asm__ volatile(
      "leaq 1f(%%rip), %0\n"
      "leaq 2f(%%rip), %1\n"
      "sti\n"
      "1: nop\n"
      "nop\n"
      "2: cli\n"
      : "=&r"(before), "=&r"(behind)
      :
      : "memory");
  callback.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR;
  EXPECT(hvm_op(HVMOP_set_param, &callback), 0);
  traps_set_handler(0xef, NULL);
  this_cpu()->info->evtchn_pending_sel = 0;
  drop(port);
  EXPECT(seen_frame.vector, 0xef);
  EXPECT(seen_frame.cs, SELECTOR_CODE64);
  CHECK(seen_frame.rflags & RFLAGS_IF);
  CHECK(seen_frame.rip > before && seen_frame.rip <= behind);
}

/* Xen does not look at the upcall mask of an HVM guest's vCPU: IF is what counts. */
static void delivery_upcall_mask(void) {
  evtchn_port_t port = ipi_port();
  uint64_t seen = event_count(port);
  this_cpu()->info->evtchn_upcall_mask = 1;
  EXPECT(event_send(port), 0);
  open_window();
  uint64_t now = event_count(port);
  this_cpu()->info->evtchn_upcall_mask = 0;
  open_window();
  drop(port);
  EXPECT(now, seen + 1);
}

const struct test delivery_tests[] = {
    {"delivery-callback", delivery_callback},
    {"delivery-merge", delivery_merge},
    {"delivery-with-interrupts-on", delivery_with_interrupts_on},
    {"delivery-mask", delivery_mask},
    {"delivery-selector", delivery_selector},
    {"delivery-high-port", delivery_high_port},
    {"delivery-level", delivery_level},
    {"delivery-sti-shadow", delivery_sti_shadow},
    {"delivery-halt", delivery_halt},
    {"delivery-halt-pending", delivery_halt_pending},
    {"delivery-preemption", delivery_preemption},
    {"delivery-tight-loop", delivery_tight_loop},
    {"delivery-frame", delivery_frame},
    {"delivery-upcall-mask", delivery_upcall_mask},
    {NULL, NULL},
};
