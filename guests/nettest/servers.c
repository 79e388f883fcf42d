/*
 * The services. What a peer sends faster than it takes stays unacknowledged: it then waits, and nothing here grows.
 */
#include "nettest.h"

#define CONNECTIONS 16
#define PIECE (4 * TCP_MSS)
#define LINE 64

struct connection {
  bool used;
  uint16_t port;
  struct tcp_pcb *tcp;
  struct pbuf *pending; /* echo: received, not yet sent */
  uint64_t bytes, left, start_ns;
  uint64_t seed;
  uint32_t crc;
  char line[LINE];
  size_t line_length;
  bool sending; /* source: the line was read */
  bool peer_closed;
};

static struct connection connections[CONNECTIONS];

static err_t finish(struct connection *c) {
  struct tcp_pcb *tcp = c->tcp;
  tcp_arg(tcp, NULL);
  tcp_recv(tcp, NULL);
  tcp_sent(tcp, NULL);
  tcp_err(tcp, NULL);
  if (c->pending)
    pbuf_free(c->pending);
  c->pending = NULL;
  c->used = false;
  if (tcp_close(tcp) == ERR_OK)
    return ERR_OK;
  tcp_abort(tcp);
  return ERR_ABRT;
}

/* Sends back what there is room for. */
static err_t echo(struct connection *c) {
  while (c->pending) {
    uint16_t room = tcp_sndbuf(c->tcp) < PIECE ? tcp_sndbuf(c->tcp) : PIECE;
    uint16_t length = c->pending->len < room ? c->pending->len : room;
    if (length == 0 || tcp_write(c->tcp, c->pending->payload, length, TCP_WRITE_FLAG_COPY) != ERR_OK)
      return ERR_OK;
    c->pending = pbuf_free_header(c->pending, length);
    tcp_recved(c->tcp, length);
  }
  return c->peer_closed ? finish(c) : ERR_OK;
}

static void sink(struct connection *c, const struct pbuf *packet) {
  for (; packet; packet = packet->next) {
    c->crc = crc32(c->crc, packet->payload, packet->len);
    c->bytes += packet->len;
  }
}

static err_t sink_end(struct connection *c) {
  char text[LINE];
  uint64_t ns = clock_ns() - c->start_ns;
  size_t length = format_text(text, sizeof text, "%lu %08x %lu\n", c->bytes, c->crc, ns / 1000000);
  tcp_write(c->tcp, text, length, TCP_WRITE_FLAG_COPY);
  return finish(c);
}

static err_t source(struct connection *c) {
  static uint8_t bytes[PIECE];
  while (c->left > 0) {
    size_t length = c->left < PIECE ? c->left : PIECE;
    if (tcp_sndbuf(c->tcp) < length)
      return ERR_OK;
    pattern_fill(c->seed, c->bytes, bytes, length);
    if (tcp_write(c->tcp, bytes, length, TCP_WRITE_FLAG_COPY) != ERR_OK)
      return ERR_OK;
    c->bytes += length;
    c->left -= length;
  }
  return finish(c);
}

/* "BYTES SEED" or "BYTES"; false for anything else. */
static bool parse_line(struct connection *c) {
  size_t blank = 0;
  while (c->line[blank] && c->line[blank] != ' ')
    blank++;
  bool has_seed = c->line[blank];
  c->line[blank] = 0;
  c->seed = 1;
  return text_number(c->line, &c->left) && (!has_seed || text_number(c->line + blank + 1, &c->seed));
}

static err_t source_input(struct connection *c, const struct pbuf *packet) {
  for (uint16_t i = 0; packet && i < packet->tot_len && !c->sending; i++) {
    char byte = pbuf_get_at(packet, i);
    if (byte == '\n') {
      c->line[c->line_length] = 0;
      if (!parse_line(c))
        return finish(c);
      c->sending = true;
    } else if (byte != '\r' && c->line_length + 1 < LINE) {
      c->line[c->line_length++] = byte;
    }
  }
  return c->sending ? source(c) : ERR_OK;
}

static err_t on_receive(void *context, struct tcp_pcb *tcp, struct pbuf *packet, err_t error) {
  struct connection *c = context;
  (void)error;
  if (!packet) {
    c->peer_closed = true;
    return c->port == PORT_ECHO ? echo(c) : c->port == PORT_SINK ? sink_end(c) : c->sending ? ERR_OK : finish(c);
  }
  if (c->port == PORT_ECHO) {
    if (c->pending)
      return ERR_MEM;
    c->pending = packet;
    return echo(c);
  }
  err_t result = ERR_OK;
  tcp_recved(tcp, packet->tot_len);
  if (c->port == PORT_SINK)
    sink(c, packet);
  else
    result = source_input(c, packet);
  pbuf_free(packet);
  return result;
}

static err_t on_sent(void *context, struct tcp_pcb *tcp, u16_t length) {
  struct connection *c = context;
  (void)tcp;
  (void)length;
  return c->port == PORT_ECHO ? echo(c) : c->port == PORT_SOURCE && c->sending ? source(c) : ERR_OK;
}

static void on_error(void *context, err_t error) {
  struct connection *c = context;
  (void)error;
  if (!c)
    return;
  if (c->pending)
    pbuf_free(c->pending);
  c->pending = NULL;
  c->used = false;
}

static err_t on_connection(void *context, struct tcp_pcb *tcp, err_t error) {
  (void)context;
  if (error != ERR_OK || !tcp)
    return ERR_VAL;
  for (unsigned i = 0; i < CONNECTIONS; i++) {
    struct connection *c = &connections[i];
    if (c->used)
      continue;
    *c = (struct connection){.used = true, .port = tcp->local_port, .tcp = tcp, .start_ns = clock_ns()};
    tcp_arg(tcp, c);
    tcp_recv(tcp, on_receive);
    tcp_sent(tcp, on_sent);
    tcp_err(tcp, on_error);
    return ERR_OK;
  }
  tcp_abort(tcp);
  return ERR_ABRT;
}

static void on_datagram(void *context, struct udp_pcb *socket, struct pbuf *packet, const ip_addr_t *from, u16_t port) {
  (void)context;
  udp_sendto(socket, packet, from, port);
  pbuf_free(packet);
}

void servers_begin(void) {
  struct udp_pcb *socket = udp_new();
  listen_on(PORT_ECHO, on_connection);
  listen_on(PORT_SINK, on_connection);
  listen_on(PORT_SOURCE, on_connection);
  if (!socket || udp_bind(socket, IP_ANY_TYPE, PORT_ECHO) != ERR_OK)
    guest_fail("UDP port %u cannot be opened", PORT_ECHO);
  udp_recv(socket, on_datagram, NULL);
  print("nettest: serving\n");
}
