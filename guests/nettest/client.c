/*
 * The client: one test at a time, each with a connection of its own.
 */
#include "nettest.h"

#include "../lib/devices/sysctl.h"

#define PATIENCE (60 * SECOND)
#define PIECE (4 * TCP_MSS)
#define LINE 64
#define DATAGRAM_WAIT (2 * SECOND)
#define DATAGRAMS 64
#define DATAGRAM_SIZE 1200
#define PULSE MILLISECOND
#define PULSE_SIZE 64
#define PULSE_SECONDS 5

static struct run {
  const char *name;
  uint64_t bytes, seed;
  struct tcp_pcb *tcp;
  uint64_t to_send, sent, received, progress_ns;
  uint32_t crc;
  bool sends, compares, connected, ended;
  char line[LINE];
  size_t line_length;
} run;

static bool repeats, asked;
static uint64_t longest_gap;

/* What the operator asks; with `repeat` the test that is under way is finished first. */
static void obey(void) {
  if (!repeats)
    loop_obey();
  else if (sysctl_take() == SYSCTL_POWEROFF)
    asked = true;
}

/* Something has come from the peer. */
static void progress(void) {
  uint64_t now = clock_ns();
  if (now - run.progress_ns > longest_gap)
    longest_gap = now - run.progress_ns;
  run.progress_ns = now;
}

/* Sends the pattern as far as there is room; at its end says so, where the server waits for that. */
static void send_more(void) {
  static uint8_t bytes[PIECE];
  if (!run.sends || !run.connected || run.ended)
    return;
  while (run.sent < run.to_send) {
    size_t length = run.to_send - run.sent < PIECE ? run.to_send - run.sent : PIECE;
    if (tcp_sndbuf(run.tcp) < length)
      return;
    pattern_fill(run.seed, run.sent, bytes, length);
    if (tcp_write(run.tcp, bytes, length, TCP_WRITE_FLAG_COPY) != ERR_OK)
      return;
    run.crc = crc32(run.crc, bytes, length);
    run.sent += length;
  }
  run.sends = false;
  err_t error = tcp_shutdown(run.tcp, 0, 1);
  if (error != ERR_OK)
    guest_fail("%s: shutting down one way: error %d", run.name, error);
}

static void take(const uint8_t *bytes, uint16_t length) {
  if (run.compares) {
    size_t good = pattern_match(run.seed, run.received, bytes, length);
    if (good != length)
      guest_fail("%s: byte %lu is wrong", run.name, run.received + good);
  } else {
    for (uint16_t i = 0; i < length && run.line_length + 1 < LINE; i++)
      run.line[run.line_length++] = bytes[i];
  }
  run.received += length;
}

static err_t on_receive(void *context, struct tcp_pcb *tcp, struct pbuf *packet, err_t error) {
  (void)context;
  (void)error;
  progress();
  if (!packet) {
    run.ended = true;
    return ERR_OK;
  }
  for (struct pbuf *part = packet; part; part = part->next)
    take(part->payload, part->len);
  tcp_recved(tcp, packet->tot_len);
  pbuf_free(packet);
  return ERR_OK;
}

static err_t on_sent(void *context, struct tcp_pcb *tcp, u16_t length) {
  (void)context;
  (void)tcp;
  (void)length;
  progress();
  send_more();
  return ERR_OK;
}

static err_t on_connected(void *context, struct tcp_pcb *tcp, err_t error) {
  (void)context;
  (void)error;
  run.connected = true;
  progress();
  if (run.line_length > 0) {
    tcp_write(tcp, run.line, run.line_length, TCP_WRITE_FLAG_COPY);
    run.line_length = 0;
  }
  send_more();
  return ERR_OK;
}

static void on_error(void *context, err_t error) {
  (void)context;
  guest_fail("%s: the connection broke after %lu bytes sent, %lu received: error %d", run.name, run.sent, run.received,
             error);
}

/* Runs the connection that `run` describes to its end. */
static void run_connection(const ip4_addr_t *peer, uint16_t port) {
  run.tcp = tcp_new();
  if (!run.tcp)
    guest_fail("%s: no memory for a connection", run.name);
  tcp_recv(run.tcp, on_receive);
  tcp_sent(run.tcp, on_sent);
  tcp_err(run.tcp, on_error);
  run.progress_ns = clock_ns();
  err_t error = tcp_connect(run.tcp, peer, port, on_connected);
  if (error != ERR_OK)
    guest_fail("%s: connecting: error %d", run.name, error);
  while (!run.ended) {
    obey();
    send_more();
    loop_step(run.progress_ns + PATIENCE);
    if (clock_ns() > run.progress_ns + PATIENCE)
      guest_fail("%s: nothing moves after %lu bytes sent, %lu received", run.name, run.sent, run.received);
  }
  tcp_recv(run.tcp, NULL);
  tcp_sent(run.tcp, NULL);
  tcp_err(run.tcp, NULL);
  tcp_close(run.tcp);
}

static void begin(const char *name) {
  run = (struct run){
      .name = name, .bytes = option_number("bytes", 1000000), .seed = option_number("seed", 1)};
}

static void test_echo(const ip4_addr_t *peer) {
  run.to_send = run.bytes;
  run.sends = run.compares = true;
  run_connection(peer, PORT_ECHO);
  if (run.received != run.bytes)
    guest_fail("echo: %lu bytes came back of %lu", run.received, run.bytes);
}

static void test_sink(const ip4_addr_t *peer) {
  char expected[LINE];
  run.to_send = run.bytes;
  run.sends = true;
  run_connection(peer, PORT_SINK);
  size_t length = format_text(expected, sizeof expected, "%lu %08x ", run.bytes, run.crc);
  if (run.line_length < length || memcmp(run.line, expected, length) != 0)
    guest_fail("sink: it says \"%s\" instead of \"%s\"", run.line, expected);
}

static void test_source(const ip4_addr_t *peer) {
  run.line_length = format_text(run.line, sizeof run.line, "%lu %lu\n", run.bytes, run.seed);
  run.compares = true;
  run_connection(peer, PORT_SOURCE);
  if (run.received != run.bytes)
    guest_fail("source: %lu bytes came of %lu", run.received, run.bytes);
}

static void on_datagram(void *context, struct udp_pcb *socket, struct pbuf *packet, const ip_addr_t *from, u16_t port) {
  static uint8_t bytes[DATAGRAM_SIZE];
  (void)context;
  (void)socket;
  (void)from;
  (void)port;
  uint16_t length = pbuf_copy_partial(packet, bytes, sizeof bytes, 0);
  pbuf_free(packet);
  if (length != DATAGRAM_SIZE || pattern_match(run.seed, run.received, bytes, length) != length)
    return; /* late, from an earlier try */
  run.received += length;
}

/* Datagrams one at a time; one that is lost is sent again, and there may not be many of these. */
static void test_udp(const ip4_addr_t *peer) {
  static uint8_t bytes[DATAGRAM_SIZE];
  unsigned again = 0;
  struct udp_pcb *socket = udp_new();
  if (!socket || udp_bind(socket, IP_ANY_TYPE, 0) != ERR_OK)
    guest_fail("udp: no socket");
  udp_recv(socket, on_datagram, NULL);
  run.bytes = DATAGRAMS * DATAGRAM_SIZE;
  while (run.received < run.bytes) {
    uint64_t before = run.received, end = clock_ns() + DATAGRAM_WAIT;
    struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, DATAGRAM_SIZE, PBUF_RAM);
    if (!packet)
      guest_fail("udp: no memory");
    pattern_fill(run.seed, run.received, bytes, sizeof bytes);
    pbuf_take(packet, bytes, sizeof bytes);
    udp_sendto(socket, packet, peer, PORT_ECHO);
    pbuf_free(packet);
    while (run.received == before && clock_ns() < end) {
      obey();
      loop_step(end);
    }
    if (run.received == before && ++again > DATAGRAMS / 2)
      guest_fail("udp: %u datagrams were lost, with %lu bytes come back", again, run.received);
  }
  udp_remove(socket);
}

static uint64_t answered;

static void on_pulse(void *context, struct udp_pcb *socket, struct pbuf *packet, const ip_addr_t *from, u16_t port) {
  (void)context;
  (void)socket;
  (void)from;
  (void)port;
  pbuf_free(packet);
  answered++;
  progress();
}

/* A small datagram every millisecond, whatever comes back: what is measured is how long nothing does. */
static void test_pulse(const ip4_addr_t *peer) {
  static const uint8_t bytes[PULSE_SIZE];
  uint64_t sent = 0, end = clock_ns() + option_number("seconds", PULSE_SECONDS) * SECOND, next = clock_ns();
  struct udp_pcb *socket = udp_new();
  if (!socket || udp_bind(socket, IP_ANY_TYPE, 0) != ERR_OK)
    guest_fail("pulse: no socket");
  udp_recv(socket, on_pulse, NULL);
  answered = 0;
  run.progress_ns = next;
  while (repeats ? !asked : clock_ns() < end) {
    uint64_t now = clock_ns();
    obey();
    if (now >= next) {
      struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, sizeof bytes, PBUF_RAM);
      if (packet) {
        pbuf_take(packet, bytes, sizeof bytes);
        /* Without room on the ring it is lost. */
        udp_sendto(socket, packet, peer, PORT_ECHO);
        pbuf_free(packet);
        sent++;
      }
      next = now + PULSE;
    }
    loop_step(next);
    if (clock_ns() > run.progress_ns + PATIENCE)
      guest_fail("pulse: nothing comes back after %lu of %lu datagrams", answered, sent);
  }
  udp_remove(socket);
  run.bytes = answered * sizeof bytes;
  print("nettest pulse %lu datagrams %lu answered\n", sent, answered);
}

void clients_run(const char *peer) {
  static const struct {
    const char *name;
    void (*test)(const ip4_addr_t *peer);
    bool by_name; /* only when it is asked for */
  } tests[] = {{"echo", test_echo, false},
               {"sink", test_sink, false},
               {"source", test_source, false},
               {"udp", test_udp, false},
               {"pulse", test_pulse, true}};
  char only[16] = "";
  ip4_addr_t address;
  if (!net_parse_address(peer, &address))
    guest_fail("peer=%s is no address", peer);
  if (option_text("test"))
    format_text(only, sizeof only, "%s", option_text("test"));
  repeats = option_present("repeat");
  unsigned done = 0;
  do {
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
      if (only[0] ? !text_equal(only, tests[i].name) : tests[i].by_name)
        continue;
      begin(tests[i].name);
      uint64_t start_ns = clock_ns(), start_tsc = rdtsc();
      tests[i].test(&address);
      uint64_t ticks = rdtsc() - start_tsc, ns = clock_ns() - start_ns;
      print("nettest %s %lu bytes %lu ms %lu ticks\n", run.name, run.bytes, ns / 1000000, ticks);
      done++;
    }
    if (done == 0)
      guest_fail("no test %s", only);
  } while (repeats && !asked);
  print("nettest did %u tests, waited %lu us at most\n", done, (uint64_t)(longest_gap / MICROSECOND));
}
