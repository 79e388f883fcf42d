/*
 * FIFO event channels (Xen's public/event_channel.h): switching to them, what appears in the event words and control
 * blocks, and back. Each test begins and ends with a reset: the ports of the library, its timer's among them, are gone
 * after the first, so these tests come at the very end.
 */
#include "suite.h"

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED (1u << EVTCHN_FIFO_MASKED)
#define LINKED (1u << EVTCHN_FIFO_LINKED)
#define LINK_MASK EVTCHN_FIFO_LINK_MASK
#define DEFAULT EVTCHN_FIFO_PRIORITY_DEFAULT
#define WORDS_PER_PAGE 1024
#define WORD_PAGES 5

static uint32_t words[WORD_PAGES * WORDS_PER_PAGE] __attribute__((aligned(4096)));
/* Control blocks of vCPU 0 and 1, in one page. */
static union {
  struct {
    struct evtchn_fifo_control_block first, second;
  };
  char bytes[4096];
} control __attribute__((aligned(4096)));

/* The queues as a guest follows them: which port comes next, 0 for what the control block says. */
struct queues {
  struct evtchn_fifo_control_block *block;
  uint32_t heads[EVTCHN_FIFO_MAX_QUEUES];
  uint32_t ready;
};
static struct queues first, second;

static long init_control(unsigned vcpu, const void *block) {
  struct evtchn_init_control init = {
      .control_gfn = FRAME_OF(block), .offset = (uint64_t)block & 4095, .vcpu = vcpu};
  long error = event_channel_op(EVTCHNOP_init_control, &init);
  if (!error)
    EXPECT(init.link_bits, EVTCHN_FIFO_LINK_BITS);
  return error;
}

static long expand_array(uint64_t frame) {
  struct evtchn_expand_array expand = {.array_gfn = frame};
  return event_channel_op(EVTCHNOP_expand_array, &expand);
}

static long set_priority(evtchn_port_t port, uint32_t priority) {
  struct evtchn_set_priority set = {.port = port, .priority = priority};
  return event_channel_op(EVTCHNOP_set_priority, &set);
}

static long bind_vcpu(evtchn_port_t port, unsigned vcpu) {
  struct evtchn_bind_vcpu bind = {.port = port, .vcpu = vcpu};
  return event_channel_op(EVTCHNOP_bind_vcpu, &bind);
}

/* All ports closed, the 2-level ABI in use, nothing left of earlier events. */
static void clean(void) {
  EXPECT(events_reset(), 0);
  for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
    words[i] = 0;
  /* The console's back end may notify at any time. */
  if (console_port())
    words[console_port()] = MASKED;
  for (unsigned i = 0; i < sizeof control.bytes; i++)
    control.bytes[i] = 0;
  first = (struct queues){.block = &control.first};
  second = (struct queues){.block = &control.second};
  this_cpu()->info->evtchn_upcall_pending = 0;
  this_cpu()->info->evtchn_pending_sel = 0;
}

/* FIFO mode for vCPU 0, with event words for the first ports. */
static void begin(void) {
  clean();
  EXPECT(init_control(0, &control.first), 0);
  EXPECT(expand_array(FRAME_OF(words)), 0);
}

static uint32_t word(evtchn_port_t port) { return __atomic_load_n(&words[port], __ATOMIC_ACQUIRE); }

/* Takes one event off the highest queue that has one. 0 when there is none; *handled: it was pending and not masked. */
static evtchn_port_t take(struct queues *queues, bool *handled) {
  queues->ready |= __atomic_exchange_n(&queues->block->ready, 0, __ATOMIC_ACQ_REL);
  if (queues->ready == 0)
    return 0;
  unsigned priority = __builtin_ctz(queues->ready);
  evtchn_port_t port = queues->heads[priority];
  if (port == 0)
    port = __atomic_load_n(&queues->block->head[priority], __ATOMIC_ACQUIRE);
  uint32_t old = __atomic_fetch_and(&words[port], ~(LINKED | LINK_MASK), __ATOMIC_ACQ_REL);
  queues->heads[priority] = old & LINK_MASK;
  if ((old & LINK_MASK) == 0)
    queues->ready &= ~(1u << priority);
  *handled = (old & PENDING) && !(old & MASKED);
  if (*handled)
    __atomic_fetch_and(&words[port], ~PENDING, __ATOMIC_ACQ_REL);
  return port;
}

/* The next event that is to be handled, 0 when there is none. */
static evtchn_port_t next(struct queues *queues) {
  bool handled = false;
  evtchn_port_t port;
  while ((port = take(queues, &handled)) != 0)
    if (handled)
      return port;
  return 0;
}

static evtchn_port_t ipi(unsigned vcpu) {
  long port = event_bind_ipi(vcpu);
  CHECK(port > 0);
  return port;
}

/* A channel of the domain to itself: what is sent through *from arrives at the port returned. */
static evtchn_port_t channel(evtchn_port_t *from) {
  long port = event_alloc_unbound(DOMID_SELF, DOMID_SELF);
  CHECK(port > 0);
  *from = port;
  port = event_bind_interdomain(DOMID_SELF, *from);
  CHECK(port > 0);
  return port;
}

static void fifo_errors(void) {
  clean();
  evtchn_port_t port = ipi(0);
  EXPECT(expand_array(FRAME_OF(words)), -XEN_EOPNOTSUPP);
  EXPECT(set_priority(port, 3), -XEN_ENOSYS);
  EXPECT(set_priority(~0u, 3), -XEN_EINVAL);
  EXPECT(init_control(1000, control.bytes + 3), -XEN_ENOENT);
  EXPECT(init_control(0, control.bytes + 4096 - 64), -XEN_EINVAL);
  EXPECT(init_control(0, control.bytes + 4), -XEN_EINVAL);
  EXPECT(init_control(0, (void *)0xfffffff000), -XEN_EINVAL);
  EXPECT(event_channel_op(EVTCHNOP_init_control, UNMAPPED), -XEN_EFAULT);
  EXPECT(event_channel_op(EVTCHNOP_expand_array, UNMAPPED), -XEN_EFAULT);
  EXPECT(event_channel_op(EVTCHNOP_set_priority, UNMAPPED), -XEN_EFAULT);
  /* None of them has switched the domain. */
  EXPECT(expand_array(FRAME_OF(words)), -XEN_EOPNOTSUPP);
  EXPECT(init_control(0, control.bytes + 4096 - sizeof control.first), 0);
  EXPECT(init_control(0, &control.first), -XEN_EINVAL);
  EXPECT(expand_array(0xfffffff), -XEN_EINVAL);
  EXPECT(set_priority(port, EVTCHN_FIFO_PRIORITY_MIN), 0);
  EXPECT(set_priority(port, EVTCHN_FIFO_PRIORITY_MIN + 1), -XEN_EINVAL);
  EXPECT(set_priority(0, 3), -XEN_EACCES);
  EXPECT(event_close(port), 0);
  EXPECT(set_priority(port, 3), -XEN_EACCES);
  clean();
}

/* 131,072 words and not one more; a page may even serve twice. */
static void fifo_array_full(void) {
  clean();
  EXPECT(init_control(0, &control.first), 0);
  for (unsigned i = 0; i < EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE; i++)
    EXPECT(expand_array(FRAME_OF(words)), 0);
  EXPECT(expand_array(FRAME_OF(words)), -XEN_ENOSPC);
  clean();
}

static void fifo_links(void) {
  begin();
  evtchn_port_t a = ipi(0), b = ipi(0), c = ipi(0);
  EXPECT(event_send(b), 0);
  EXPECT(word(b), PENDING | LINKED);
  EXPECT(control.first.ready, 1u << DEFAULT);
  EXPECT(control.first.head[DEFAULT], b);
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 1);
  CHECK(!event_pending(b));
  this_cpu()->info->evtchn_upcall_pending = 0;
  EXPECT(event_send(a), 0);
  EXPECT(event_send(c), 0);
  EXPECT(event_send(a), 0);
  EXPECT(word(b), PENDING | LINKED | a);
  EXPECT(word(a), PENDING | LINKED | c);
  EXPECT(word(c), PENDING | LINKED);
  /* The queue was announced already. */
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 0);
  EXPECT(next(&first), b);
  EXPECT(next(&first), a);
  EXPECT(next(&first), c);
  EXPECT(next(&first), 0);
  /* The tail of a queue that has become empty. */
  EXPECT(event_send(c), 0);
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 1);
  EXPECT(next(&first), c);
  EXPECT(next(&first), 0);
  clean();
}

static void fifo_upcall(void) {
  begin();
  evtchn_port_t port = ipi(0);
  uint64_t upcalls = this_cpu()->upcalls;
  EXPECT(event_send(port), 0);
  interrupts_on();
  __asm__ volatile("nop; nop");
  interrupts_off();
  EXPECT(this_cpu()->upcalls, upcalls + 1);
  EXPECT(next(&first), port);
  clean();
}

static void fifo_mask(void) {
  begin();
  evtchn_port_t a = ipi(0), b = ipi(0);
  words[a] = MASKED;
  EXPECT(event_send(a), 0);
  EXPECT(word(a), PENDING | MASKED);
  EXPECT(control.first.ready, 0);
  EXPECT(this_cpu()->info->evtchn_upcall_pending, 0);
  EXPECT(event_unmask(a), 0);
  EXPECT(word(a), PENDING | LINKED);
  EXPECT(event_send(b), 0);
  __atomic_fetch_or(&words[b], MASKED, __ATOMIC_ACQ_REL);
  EXPECT(next(&first), a);
  EXPECT(next(&first), 0);
  EXPECT(word(b), PENDING | MASKED);
  /* Unmasking an idle port does nothing else. */
  words[a] = MASKED;
  EXPECT(event_unmask(a), 0);
  EXPECT(word(a), 0);
  clean();
}

/* A port that is closed while it is on a queue is not given out before the guest has taken it off. */
static void fifo_busy_port(void) {
  begin();
  evtchn_port_t port = ipi(0);
  EXPECT(event_send(port), 0);
  EXPECT(event_close(port), 0);
  EXPECT(word(port), LINKED);
  evtchn_port_t other = ipi(0);
  CHECK(other != port);
  EXPECT(event_unmask(port), 0);
  EXPECT(next(&first), 0);
  EXPECT(word(port), 0);
  EXPECT(event_bind_ipi(0), port);
  clean();
}

static void fifo_priorities(void) {
  begin();
  evtchn_port_t a = ipi(0), b = ipi(0), c = ipi(0), d = ipi(0);
  EXPECT(set_priority(c, EVTCHN_FIFO_PRIORITY_MAX), 0);
  EXPECT(set_priority(a, EVTCHN_FIFO_PRIORITY_MIN), 0);
  EXPECT(event_send(a), 0);
  EXPECT(event_send(b), 0);
  EXPECT(event_send(c), 0);
  EXPECT(event_send(d), 0);
  EXPECT(control.first.ready, 1u << EVTCHN_FIFO_PRIORITY_MAX | 1u << DEFAULT | 1u << EVTCHN_FIFO_PRIORITY_MIN);
  /* What is queued already stays where it is. */
  EXPECT(set_priority(b, EVTCHN_FIFO_PRIORITY_MAX), 0);
  EXPECT(next(&first), c);
  EXPECT(next(&first), b);
  EXPECT(next(&first), d);
  EXPECT(next(&first), a);
  EXPECT(event_send(b), 0);
  EXPECT(control.first.ready, 1u << EVTCHN_FIFO_PRIORITY_MAX);
  EXPECT(next(&first), b);
  /* A new port has the default priority, whatever its predecessor had. */
  EXPECT(event_close(b), 0);
  EXPECT(event_bind_ipi(0), b);
  EXPECT(event_send(b), 0);
  EXPECT(control.first.ready, 1u << DEFAULT);
  clean();
}

/*
 * Ports bound before the switch: what is pending in shared_info waits for the event words. The last test, because Xen
 * records forever that these ports had pending events, and raises them again in every later FIFO mode.
 */
static void fifo_migration(void) {
  clean();
  evtchn_port_t a = ipi(0), b = ipi(0), c = ipi(0);
  EXPECT(event_send(a), 0);
  EXPECT(init_control(0, &control.first), 0);
  EXPECT(event_send(b), 0);
  words[c] = MASKED;
  EXPECT(event_send(c), 0);
  EXPECT(expand_array(FRAME_OF(words)), 0);
  EXPECT(word(c), PENDING | MASKED);
  EXPECT(next(&first), a);
  EXPECT(next(&first), b);
  EXPECT(next(&first), 0);
  event_clear(a);
  clean();
}

/* A port bound to another vCPU goes on that one's queue the next time. */
static void fifo_other_vcpu(void) {
  if (smp_count() < 2)
    SKIP("the domain has one vCPU");
  begin();
  evtchn_port_t from, other_from;
  evtchn_port_t to = channel(&from), other = channel(&other_from);
  EXPECT(next(&first), to);
  EXPECT(next(&first), other);
  EXPECT(bind_vcpu(to, 1), 0);
  /* Without a control block the event is lost. */
  EXPECT(event_send(from), 0);
  EXPECT(word(to), 0);
  EXPECT(init_control(1, &control.second), 0);
  EXPECT(event_send(from), 0);
  EXPECT(control.second.head[DEFAULT], to);
  EXPECT(bind_vcpu(to, 0), 0);
  EXPECT(event_send(from), 0);
  EXPECT(control.first.ready, 0);
  EXPECT(next(&second), to);
  EXPECT(event_send(from), 0);
  EXPECT(next(&first), to);
  /* Its word is linked again, but it is not the tail of the queue that it left. */
  EXPECT(bind_vcpu(to, 1), 0);
  EXPECT(event_send(from), 0);
  EXPECT(event_send(other_from), 0);
  EXPECT(next(&first), other);
  EXPECT(next(&second), to);
  EXPECT(next(&first), 0);
  EXPECT(next(&second), 0);
  clean();
}

static void fifo_poll(void) {
  begin();
  evtchn_port_t port = ipi(0);
  struct sched_poll poll = {.nr_ports = 1, .timeout = clock_ns() + PATIENCE};
  set_xen_guest_handle(poll.ports, &port);
  words[port] = MASKED;
  EXPECT(event_send(port), 0);
  EXPECT(sched_op(SCHEDOP_poll, &poll), 0);
  CHECK(clock_ns() < poll.timeout);
  EXPECT(event_close(port), 0);
  EXPECT(sched_op(SCHEDOP_poll, &poll), -XEN_EINVAL);
  clean();
}

/* More ports than the 2-level ABI has, where the domain's limit allows. */
static void fifo_high_port(void) {
  clean();
  EXPECT(init_control(0, &control.first), 0);
  for (unsigned i = 0; i < WORD_PAGES; i++)
    EXPECT(expand_array(FRAME_OF(&words[i * WORDS_PER_PAGE])), 0);
  long port;
  do
    port = event_bind_ipi(0);
  while (port > 0 && port < EVENT_PORTS + 4);
  if (port > 0) {
    EXPECT(event_send(port), 0);
    EXPECT(next(&first), port);
  }
  clean();
  if (port == -XEN_ENOSPC)
    SKIP("the domain's limit is lower");
  EXPECT(port, EVENT_PORTS + 4);
  EXPECT(event_send(port), -XEN_EINVAL);
}

/* Back to the 2-level ABI. */
static void fifo_reset(void) {
  begin();
  evtchn_port_t port = ipi(0);
  EXPECT(event_send(port), 0);
  clean();
  EXPECT(expand_array(FRAME_OF(words)), -XEN_EOPNOTSUPP);
  EXPECT(event_bind_ipi(0), port);
  event_mask(port);
  EXPECT(event_send(port), 0);
  CHECK(event_pending(port));
  EXPECT(word(port), 0);
  event_clear(port);
  /* There is no reset that could be gone on with: a number that only continuations use (EVTCHNOP_reset_cont). */
  struct evtchn_reset reset = {.dom = DOMID_SELF};
  EXPECT(event_channel_op(14, &reset), -XEN_EBUSY);
  clean();
}

const struct test fifo_tests[] = {
    {"fifo-errors", fifo_errors},
    {"fifo-array-full", fifo_array_full},
    {"fifo-links", fifo_links},
    {"fifo-upcall", fifo_upcall},
    {"fifo-mask", fifo_mask},
    {"fifo-busy-port", fifo_busy_port},
    {"fifo-priorities", fifo_priorities},
    {"fifo-other-vcpu", fifo_other_vcpu},
    {"fifo-poll", fifo_poll},
    {"fifo-high-port", fifo_high_port},
    {"fifo-reset", fifo_reset},
    {"fifo-migration", fifo_migration},
    {NULL, NULL},
};
