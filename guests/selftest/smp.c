/*
 * A second vCPU: brought up by VCPUOP_initialise, it runs, takes events of its own, sleeps, goes down and comes back.
 */
#include "suite.h"

static void need_second(void) {
  if (smp_count() < 2)
    SKIP("the domain has one vCPU");
}

static struct vcpu_hvm_context good_context(void) {
  struct vcpu_hvm_context context = {.mode = VCPU_HVM_MODE_64B};
  context.cpu_regs.x86_64.cr0 = read_cr0();
  context.cpu_regs.x86_64.cr3 = read_cr3();
  context.cpu_regs.x86_64.cr4 = read_cr4();
  context.cpu_regs.x86_64.efer = rdmsr(MSR_EFER);
  context.cpu_regs.x86_64.rflags = 2;
  return context;
}

/* Each impossible state is refused, and leaves the vCPU uninitialised. */
static void smp_initialise_errors(void) {
  need_second();
  EXPECT(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
  EXPECT(vcpu_op(VCPUOP_up, 1, NULL), -XEN_EINVAL);
  EXPECT(vcpu_op(VCPUOP_initialise, 1, UNMAPPED), -XEN_EFAULT);
  EXPECT(vcpu_op(VCPUOP_initialise, 1000, NULL), -XEN_ENOENT);
  struct vcpu_hvm_context context = good_context();
  context.mode = 7;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  context = good_context();
  context.pad = 1;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  context = good_context();
  context.cpu_regs.x86_64.cr0 &= ~0x80000000ull;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  context = good_context();
  context.cpu_regs.x86_64.cr4 &= ~0x20ull;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  context = good_context();
  context.cpu_regs.x86_64.efer &= ~0x100ull;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  context = good_context();
  context.cpu_regs.x86_64.rip = 0x8000000000000000;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  /* 32-bit mode without a code segment. */
  memset(&context, 0, sizeof context);
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EINVAL);
  EXPECT(vcpu_op(VCPUOP_up, 1, NULL), -XEN_EINVAL);
}

static void start(void) {
  need_second();
  EXPECT(smp_start(1), 0);
}

static volatile uint64_t note;
static void write_note(void) { note = 0x100 + this_cpu()->id; }

static void smp_up(void) {
  start();
  EXPECT(vcpu_op(VCPUOP_is_up, 1, NULL), 1);
  note = 0;
  smp_run(1, write_note);
  CHECK(smp_wait(1));
  EXPECT(note, 0x101);
  static struct vcpu_hvm_context context;
  EXPECT(vcpu_op(VCPUOP_initialise, 1, &context), -XEN_EEXIST);
}

static void note_cpuid(void) { note = cpuid(xen_leaf + 4, 0).ebx | 1ull << 32; }

static void smp_cpuid(void) {
  start();
  note = 0;
  smp_run(1, note_cpuid);
  CHECK(smp_wait(1));
  EXPECT(note, 1ull << 32 | 1);
}

/* Both clocks agree. */
static volatile uint64_t clock_of_1;
static void note_clock(void) { clock_of_1 = clock_ns(); }

static void smp_clock(void) {
  start();
  for (int i = 0; i < 20; i++) {
    uint64_t before = clock_ns();
    smp_run(1, note_clock);
    CHECK(smp_wait(1));
    uint64_t after = clock_ns();
    /* Each vCPU's record is calibrated alone: a millisecond is granted. */
    CHECK(clock_of_1 + MILLISECOND >= before);
    CHECK(clock_of_1 <= after + MILLISECOND);
  }
}

static void sleep_there(void) {
  uint64_t begin = clock_ns();
  sleep_ns(5 * MILLISECOND);
  note = clock_ns() - begin;
}

/* Its timer is its own. */
static void smp_timer(void) {
  start();
  note = 0;
  smp_run(1, sleep_there);
  CHECK(smp_wait(1));
  CHECK(note >= 5 * MILLISECOND);
}

static volatile uint64_t spin_until_set;
static void spin_there(void) {
  while (!spin_until_set)
    cpu_relax();
}

/* While the other one spins with interrupts off, this one's timer still comes. */
static void smp_spinning_neighbour(void) {
  start();
  spin_until_set = 0;
  smp_run(1, spin_there);
  uint64_t begin = clock_ns();
  sleep_ns(10 * MILLISECOND);
  uint64_t slept = clock_ns() - begin;
  spin_until_set = 1;
  CHECK(smp_wait(1));
  CHECK(slept < PATIENCE);
}

static volatile uint64_t taken_by;
static void take(evtchn_port_t port) {
  (void)port;
  taken_by = 0x100 + this_cpu()->id;
}

/* A port bound to vCPU 1 is delivered there. */
static void smp_bind_vcpu(void) {
  start();
  long remote = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  CHECK(remote > 0);
  long local = event_bind_interdomain(DOMID_SELF, remote);
  CHECK(local > 0);
  struct evtchn_bind_vcpu bind = {.port = remote, .vcpu = 1};
  EXPECT(event_channel_op(EVTCHNOP_bind_vcpu, &bind), 0);
  struct evtchn_status status = {.dom = DOMID_SELF, .port = remote};
  EXPECT(event_channel_op(EVTCHNOP_status, &status), 0);
  EXPECT(status.vcpu, 1);
  taken_by = 0;
  event_handle(remote, take);
  EXPECT(event_send(local), 0);
  for (uint64_t until = clock_ns() + PATIENCE; !taken_by && clock_ns() < until;)
    sched_op(SCHEDOP_yield, NULL);
  event_ignore(remote);
  EXPECT(event_close(local), 0);
  EXPECT(event_close(remote), 0);
  event_clear(local);
  EXPECT(taken_by, 0x101);
}

static volatile uint64_t went_down;
static void go_down(void) {
  went_down = 1;
  vcpu_op(VCPUOP_down, 1, NULL);
  went_down = 2;
}

/* Down in the middle of its work, up again: it continues after the hypercall. */
static void smp_down_up(void) {
  start();
  went_down = 0;
  smp_run(1, go_down);
  for (uint64_t until = clock_ns() + PATIENCE; vcpu_op(VCPUOP_is_up, 1, NULL) == 1 && clock_ns() < until;)
    sched_op(SCHEDOP_yield, NULL);
  EXPECT(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
  EXPECT(went_down, 1);
  EXPECT(vcpu_op(VCPUOP_up, 1, NULL), 0);
  EXPECT(vcpu_op(VCPUOP_is_up, 1, NULL), 1);
  CHECK(smp_wait(1));
  EXPECT(went_down, 2);
}

static void smp_runstate(void) {
  start();
  struct vcpu_runstate_info info;
  EXPECT(vcpu_op(VCPUOP_get_runstate_info, 1, &info), 0);
  CHECK(info.state <= RUNSTATE_offline);
  CHECK(info.time[RUNSTATE_running] > 0);
}

/* Both send IPIs to and fro. */
static volatile long ping_port;
static uint64_t pings;
static void count_ping(evtchn_port_t port) {
  (void)port;
  pings++;
}
static void answer(void) {
  for (int i = 0; i < 50; i++) {
    event_send(ping_port);
    sched_op(SCHEDOP_yield, NULL);
  }
}

static void smp_ipi(void) {
  start();
  ping_port = event_bind_ipi(0);
  CHECK(ping_port > 0);
  pings = 0;
  event_handle(ping_port, count_ping);
  smp_run(1, answer);
  uint64_t until = clock_ns() + PATIENCE;
  interrupts_on();
  while (pings < 10 && clock_ns() < until)
    cpu_relax();
  interrupts_off();
  CHECK(smp_wait(1));
  event_ignore(ping_port);
  EXPECT(event_close(ping_port), 0);
  CHECK(pings >= 10);
}

const struct test smp_tests[] = {
    {"smp-initialise-errors", smp_initialise_errors},
    {"smp-up", smp_up},
    {"smp-cpuid", smp_cpuid},
    {"smp-clock", smp_clock},
    {"smp-timer", smp_timer},
    {"smp-spinning-neighbour", smp_spinning_neighbour},
    {"smp-bind-vcpu", smp_bind_vcpu},
    {"smp-ipi", smp_ipi},
    {"smp-runstate", smp_runstate},
    {"smp-down-up", smp_down_up},
    {NULL, NULL},
};
