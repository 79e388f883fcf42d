/*
 * xs_wire.h over the ring page. Events that arrive while an answer is awaited are kept, a few of them.
 */
#include "guest.h"

#define PATIENCE (20 * 1000 * MILLISECOND)
#define EVENTS 64
#define EVENT_SIZE 160

struct xenstore_domain_interface *store_ring;
static evtchn_port_t port;
static uint32_t latest_request;
static char payload[XENSTORE_PAYLOAD_MAX + 1];
static char events[EVENTS][EVENT_SIZE], taken[EVENT_SIZE];
static unsigned events_waiting;

static uint64_t parameter(unsigned index) {
  struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = index};
  return hvm_op(HVMOP_get_param, &parameter) == 0 ? parameter.value : 0;
}

bool store_open(void) {
  uint64_t frame = parameter(HVM_PARAM_STORE_PFN);
  port = parameter(HVM_PARAM_STORE_EVTCHN);
  if (frame == 0 || frame >= 1ull << 20 || port == 0)
    return false;
  store_ring = (struct xenstore_domain_interface *)(frame << 12);
  event_handle(port, NULL);
  return true;
}

void store_on_event(event_handler handler) { event_handle(port, handler); }

/* Waits for a notification that came after `seen` were counted. */
static bool wait(uint64_t seen, uint64_t deadline) {
  uint64_t now = clock_ns();
  return now < deadline && event_wait(port, seen, deadline - now);
}

void store_send(const void *bytes, uint32_t length) {
  const char *from = bytes;
  uint64_t deadline = clock_ns() + PATIENCE;
  while (length > 0) {
    uint64_t seen = event_count(port);
    XENSTORE_RING_IDX producer = store_ring->req_prod;
    XENSTORE_RING_IDX consumer = __atomic_load_n(&store_ring->req_cons, __ATOMIC_ACQUIRE);
    uint32_t room = sizeof store_ring->req - (producer - consumer);
    for (; room > 0 && length > 0; room--, length--)
      store_ring->req[MASK_XENSTORE_IDX(producer++)] = *from++;
    __atomic_store_n(&store_ring->req_prod, producer, __ATOMIC_RELEASE);
    event_send(port);
    if (length > 0 && !wait(seen, deadline))
      guest_fail("the store takes no requests");
  }
}

/* Reads bytes of the answers, waiting for them; false when they do not come in time. */
static bool receive(void *bytes, uint32_t length, uint64_t deadline) {
  char *to = bytes;
  while (length > 0) {
    uint64_t seen = event_count(port);
    XENSTORE_RING_IDX consumer = store_ring->rsp_cons;
    uint32_t available = __atomic_load_n(&store_ring->rsp_prod, __ATOMIC_ACQUIRE) - consumer;
    for (uint32_t i = 0; i < available && length > 0; i++, length--)
      *to++ = store_ring->rsp[MASK_XENSTORE_IDX(consumer++)];
    if (available > 0) {
      __atomic_store_n(&store_ring->rsp_cons, consumer, __ATOMIC_RELEASE);
      event_send(port);
    } else if (!wait(seen, deadline)) {
      return false;
    }
  }
  return true;
}

/* Takes one message; an event is kept. False when none came in time. */
static bool take_message(struct xsd_sockmsg *header, uint64_t deadline) {
  if (!receive(header, sizeof *header, deadline))
    return false;
  if (header->len > XENSTORE_PAYLOAD_MAX)
    guest_fail("the store sent %u bytes of payload", header->len);
  if (!receive(payload, header->len, clock_ns() + PATIENCE))
    guest_fail("the store sent half a message");
  payload[header->len] = 0;
  if (header->type == XS_WATCH_EVENT && events_waiting < EVENTS && header->len < EVENT_SIZE)
    memcpy(events[events_waiting++], payload, header->len + 1);
  return true;
}

struct store_answer store_request(uint32_t type, uint32_t transaction, const void *bytes, uint32_t length) {
  struct xsd_sockmsg header = {.type = type, .req_id = ++latest_request, .tx_id = transaction, .len = length};
  struct store_answer answer = {NULL, payload, 0};
  store_send(&header, sizeof header);
  store_send(bytes, length);
  do {
    if (!take_message(&header, clock_ns() + PATIENCE))
      guest_fail("the store does not answer request %u", type);
  } while (header.type == XS_WATCH_EVENT);
  if (header.req_id != latest_request || header.tx_id != transaction)
    guest_fail("request %u was answered as %u, transaction %u", latest_request, header.req_id, header.tx_id);
  if (header.type == XS_ERROR)
    answer.error = payload;
  else if (header.type != type)
    guest_fail("a request of type %u was answered with type %u", type, header.type);
  answer.length = header.len;
  return answer;
}

/* Path and value; the value with its NUL byte if it is a string of the protocol. */
static const char *two(uint32_t type, uint32_t transaction, const char *path, const char *value, uint32_t nul) {
  static char request[XENSTORE_PAYLOAD_MAX];
  size_t first = text_length(path) + 1, second = text_length(value) + nul;
  if (first + second > sizeof request)
    guest_fail("a request of %lu bytes", first + second);
  memcpy(request, path, first);
  memcpy(request + first, value, second);
  return store_request(type, transaction, request, first + second).error;
}

static const char *one(uint32_t type, uint32_t transaction, const char *path) {
  return store_request(type, transaction, path, text_length(path) + 1).error;
}

const char *store_write(uint32_t transaction, const char *path, const char *value) {
  return two(XS_WRITE, transaction, path, value, 0);
}

const char *store_mkdir(uint32_t transaction, const char *path) { return one(XS_MKDIR, transaction, path); }

const char *store_remove(uint32_t transaction, const char *path) { return one(XS_RM, transaction, path); }

const char *store_read(uint32_t transaction, const char *path, char *value, uint32_t size) {
  struct store_answer answer = store_request(XS_READ, transaction, path, text_length(path) + 1);
  if (answer.error)
    return answer.error;
  format_text(value, size, "%s", answer.payload);
  return NULL;
}

const char *store_set_permissions(const char *path, const char *permissions) {
  char words[64];
  size_t length = format_text(words, sizeof words, "%s", permissions);
  for (size_t i = 0; i < length; i++)
    words[i] = words[i] == ' ' ? 0 : words[i];
  char request[256];
  size_t first = text_length(path) + 1;
  if (first + length + 1 > sizeof request)
    guest_fail("a path of %lu bytes", first);
  memcpy(request, path, first);
  memcpy(request + first, words, length + 1);
  return store_request(XS_SET_PERMS, 0, request, first + length + 1).error;
}

const char *store_watch(const char *path, const char *token) { return two(XS_WATCH, 0, path, token, 1); }

const char *store_unwatch(const char *path, const char *token) { return two(XS_UNWATCH, 0, path, token, 1); }

const char *store_transaction_start(uint32_t *transaction) {
  struct store_answer answer = store_request(XS_TRANSACTION_START, 0, "", 1);
  *transaction = 0;
  for (const char *digit = answer.payload; !answer.error && *digit; digit++)
    *transaction = *transaction * 10 + *digit - '0';
  return answer.error;
}

const char *store_transaction_end(uint32_t transaction, bool commit) {
  return one(XS_TRANSACTION_END, transaction, commit ? "T" : "F");
}

bool store_event(uint64_t timeout_ns, const char **path, const char **token) {
  uint64_t deadline = clock_ns() + timeout_ns;
  struct xsd_sockmsg header;
  while (events_waiting == 0)
    if (!take_message(&header, deadline))
      return false;
  memcpy(taken, events[0], EVENT_SIZE);
  memcpy(events[0], events[1], sizeof events - EVENT_SIZE);
  events_waiting--;
  *path = taken;
  *token = taken + text_length(taken) + 1;
  return true;
}

bool store_reconnect(void) {
  uint64_t deadline = clock_ns() + PATIENCE;
  store_ring->connection = XENSTORE_RECONNECT;
  event_send(port);
  while (__atomic_load_n(&store_ring->connection, __ATOMIC_ACQUIRE) != XENSTORE_CONNECTED)
    if (!wait(event_count(port), deadline < clock_ns() + 10 * MILLISECOND ? deadline : clock_ns() + 10 * MILLISECOND) &&
        clock_ns() > deadline)
      return false;
  events_waiting = 0;
  return true;
}

bool store_shutdown_asked(void) {
  char request[16];
  if (!store_ring && !store_open())
    return false;
  if (store_read(0, "control/shutdown", request, sizeof request) || request[0] == 0)
    return false;
  store_write(0, "control/shutdown", "");
  return true;
}
