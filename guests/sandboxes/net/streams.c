/*
 * TCP connections as streams. Received bytes are copied into a buffer of the stream's own, as large as the window that is announced,
 * so that what a connection can hold of lwIP's buffers is bounded whatever its reader does. Sent ones are lwIP's: TCP_SND_BUF.
 */
#include "streams.h"

#include "mailbox.h"

#include "../../lib/bytes.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

/* A connection that is silent is asked whether it is still there, and given up after as many seconds without an answer. */
#define KEEP_IDLE_MS 60000u
#define KEEP_INTERVAL_MS 10000u
#define KEEP_COUNT 6u
/* Half-open connections of a port; the oldest ones make way. */
#define BACKLOG 64
/* What a closed stream's peer has not taken after so long is dropped, in ticks of TCP_SLOW_INTERVAL. */
#define LINGER_TICKS (60000 / TCP_SLOW_INTERVAL)

_Static_assert(TCP_WND <= NET_RECEIVE_BYTES, "a stream's buffer holds what was announced");

static uint8_t received[NET_STREAMS][NET_RECEIVE_BYTES];
static uint8_t staging[NET_STAGING_BYTES];
static struct tcp_pcb *pcbs[NET_STREAMS];
/* When each was accepted, counted; 0 of a free one. */
static uint32_t ages[NET_STREAMS], accepted;
/* Nothing more will be written to it: stream_end. */
static bool ended_here[NET_STREAMS];
/* Something could not be written for want of memory: it is to be tried again. */
static bool starved[NET_STREAMS];

static struct net_stream *stream_of(uint32_t number) {
  if (number >= NET_STREAMS || mailbox.streams[number].state == STREAM_FREE)
    return NULL;
  return &mailbox.streams[number];
}

static void changed(uint32_t number) { mailbox.changed[number / 32] |= 1u << number % 32; }

static uint32_t number_of(void *argument) { return (struct net_stream *)argument - mailbox.streams; }

static void measure(uint32_t number) {
  struct tcp_pcb *pcb = pcbs[number];
  bool full = !pcb || tcp_sndqueuelen(pcb) >= TCP_SND_QUEUELEN;
  mailbox.streams[number].room = full ? 0 : tcp_sndbuf(pcb);
}

/* Bytes without which its reader can do nothing. */
static uint32_t lacks(const struct net_stream *stream) {
  uint32_t there = stream->produced - stream->consumed;
  return stream->state != STREAM_OPEN || there >= stream->wanted ? 0 : stream->wanted - there;
}

/* --- lwIP's callbacks ------------------------------------------------------------------------------------------------- */

static void ended(void *argument, err_t error) {
  uint32_t number = number_of(argument);
  struct net_stream *stream = argument;
  pcbs[number] = NULL; /* it is gone */
  if (stream->state == STREAM_CONNECTING && error == ERR_RST)
    stream->state = STREAM_REFUSED;
  else if (error != ERR_CLSD) /* that is the end of one that both sides have ended */
    stream->state = STREAM_RESET;
  measure(number);
  changed(number);
}

static void abandon(uint32_t number);

static err_t arrived(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
  (void)pcb;
  (void)error;
  uint32_t number = number_of(argument);
  struct net_stream *stream = argument;
  if (!packet) {
    stream->state = STREAM_CLOSED;
    changed(number);
    if (ended_here[number])
      abandon(number);
    return ERR_OK;
  }
  for (struct pbuf *part = packet; part; part = part->next) {
    const uint8_t *data = part->payload;
    for (uint32_t left = part->len; left > 0;) {
      uint32_t at = stream->produced % NET_RECEIVE_BYTES, piece = NET_RECEIVE_BYTES - at;
      if (piece > left)
        piece = left;
      memcpy(received[number] + at, data, piece);
      data += piece;
      left -= piece;
      stream->produced += piece;
    }
  }
  pbuf_free(packet);
  if (lacks(stream) == 0)
    changed(number);
  return ERR_OK;
}

static err_t acknowledged(void *argument, struct tcp_pcb *pcb, u16_t bytes) {
  (void)pcb;
  (void)bytes;
  uint32_t number = number_of(argument);
  bool full = mailbox.streams[number].room == 0;
  measure(number);
  if (full)
    changed(number);
  return ERR_OK;
}

/* Lets lwIP go on without us. */
static void let_go(struct tcp_pcb *pcb) {
  tcp_arg(pcb, NULL);
  tcp_recv(pcb, NULL);
  tcp_sent(pcb, NULL);
  tcp_err(pcb, NULL);
}

/* Both sides have ended it, or nobody wants it any more: lwIP has a while to send what was accepted, then forgets it without a word. */
static void abandon(uint32_t number) {
  struct tcp_pcb *pcb = pcbs[number];
  let_go(pcb);
  pcbs[number] = NULL;
  /* Without an owner it only waits for its end: the field has the tick of that. */
  pcb->so_options &= ~SOF_KEEPALIVE;
  pcb->keep_idle = tcp_ticks + LINGER_TICKS;
}

static void reset(uint32_t number) {
  struct tcp_pcb *pcb = pcbs[number];
  pcbs[number] = NULL;
  if (!pcb)
    return;
  let_go(pcb);
  tcp_abort(pcb);
}

/* A free stream; or that of the oldest connection that may be dropped for another one; NET_STREAMS: none. */
static uint32_t find_place(void) {
  uint32_t best = NET_STREAMS;
  for (uint32_t i = 0; i < NET_STREAMS; i++) {
    const struct net_stream *stream = &mailbox.streams[i];
    if (stream->state == STREAM_FREE)
      return i;
    if (!stream->trusted && (best == NET_STREAMS || (int32_t)(ages[i] - ages[best]) < 0))
      best = i;
  }
  return best;
}

/* Makes a connection the stream of a place that was found. */
static void adopt(uint32_t number, struct tcp_pcb *pcb, enum net_stream_state state) {
  reset(number);
  struct net_stream *stream = &mailbox.streams[number];
  *stream = (struct net_stream){
      .state = state,
      .generation = ++accepted,
      .address = ip4_addr_get_u32(ip_2_ip4(&pcb->remote_ip)),
      .port = pcb->remote_port | (uint32_t)pcb->local_port << 16,
  };
  ages[number] = accepted;
  ended_here[number] = false;
  pcbs[number] = pcb;
  tcp_arg(pcb, stream);
  tcp_recv(pcb, arrived);
  tcp_sent(pcb, acknowledged);
  tcp_err(pcb, ended);
  tcp_nagle_disable(pcb);
  pcb->so_options |= SOF_KEEPALIVE;
  pcb->keep_idle = KEEP_IDLE_MS;
  pcb->keep_intvl = KEEP_INTERVAL_MS;
  pcb->keep_cnt = KEEP_COUNT;
  measure(number);
}

static err_t accepted_one(void *argument, struct tcp_pcb *pcb, err_t error) {
  (void)argument;
  if (error != ERR_OK || !pcb)
    return ERR_VAL;
  uint32_t number = find_place();
  if (number == NET_STREAMS) {
    tcp_abort(pcb);
    return ERR_ABRT;
  }
  adopt(number, pcb, STREAM_OPEN);
  changed(number);
  return ERR_OK;
}

static err_t connected(void *argument, struct tcp_pcb *pcb, err_t error) {
  (void)pcb;
  (void)error; /* always ERR_OK */
  uint32_t number = number_of(argument);
  mailbox.streams[number].state = STREAM_OPEN;
  measure(number);
  changed(number);
  return ERR_OK;
}

/* --- Operations ------------------------------------------------------------------------------------------------------- */

static struct tcp_pcb_listen *listener_of(uint32_t port) {
  struct tcp_pcb_listen *listener = tcp_listen_pcbs.listen_pcbs;
  while (listener && listener->local_port != port)
    listener = listener->next;
  return listener;
}

void streams_init(void) {
  mailbox.received = (uint32_t)(uintptr_t)received;
  mailbox.staging = (uint32_t)(uintptr_t)staging;
}

bool streams_listen(uint32_t port) {
  if (port == 0 || port > 65535 || listener_of(port))
    return false;
  struct tcp_pcb *pcb = tcp_new();
  if (!pcb)
    return false;
  if (tcp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK) {
    tcp_abort(pcb);
    return false;
  }
  struct tcp_pcb *listener = tcp_listen_with_backlog(pcb, BACKLOG);
  if (!listener) {
    tcp_abort(pcb);
    return false;
  }
  tcp_accept(listener, accepted_one);
  return true;
}

void streams_unlisten(uint32_t port) {
  struct tcp_pcb_listen *listener = listener_of(port);
  if (listener)
    tcp_close((struct tcp_pcb *)listener);
}

void stream_consumed(uint32_t number, uint32_t bytes) {
  struct net_stream *stream = stream_of(number);
  if (!stream || bytes > stream->produced - stream->consumed)
    return;
  stream->consumed += bytes;
  if (pcbs[number])
    tcp_recved(pcbs[number], bytes);
}

uint32_t stream_write(uint32_t number, uint32_t bytes) {
  struct net_stream *stream = stream_of(number);
  if (!stream || !pcbs[number] || bytes > NET_STAGING_BYTES || ended_here[number] || stream->state == STREAM_CONNECTING)
    return 0;
  struct tcp_pcb *pcb = pcbs[number];
  measure(number);
  if (bytes > stream->room)
    bytes = stream->room;
  if (bytes == 0)
    return 0;
  if (tcp_write(pcb, staging, bytes, TCP_WRITE_FLAG_COPY) != ERR_OK) {
    starved[number] = true;
    return 0;
  }
  tcp_output(pcb);
  measure(number);
  return bytes;
}

static void release(uint32_t number) {
  pcbs[number] = NULL;
  ages[number] = 0;
  mailbox.streams[number].state = STREAM_FREE;
}

void stream_close(uint32_t number) {
  struct net_stream *stream = stream_of(number);
  if (!stream)
    return;
  struct tcp_pcb *pcb = pcbs[number];
  if (pcb) {
    /* What nobody will read any more would make lwIP reset the connection, and forget what is to be sent. */
    tcp_recved(pcb, stream->produced - stream->consumed);
    abandon(number);
    if (tcp_close(pcb) != ERR_OK)
      tcp_abort(pcb);
  }
  release(number);
}

void stream_abort(uint32_t number) {
  if (!stream_of(number))
    return;
  reset(number);
  release(number);
}

uint32_t stream_connect(uint32_t address, uint32_t port) {
  ip_addr_t peer = {address};
  uint32_t number = find_place();
  struct tcp_pcb *pcb = number < NET_STREAMS && port - 1 < 65535 ? tcp_new() : NULL;
  if (!pcb)
    return 0;
  if (tcp_connect(pcb, &peer, port, connected) != ERR_OK) {
    tcp_abort(pcb);
    return 0;
  }
  adopt(number, pcb, STREAM_CONNECTING);
  mailbox.streams[number].trusted = 1; /* it is domain 0's own */
  return number + 1;
}

void stream_end(uint32_t number) {
  struct net_stream *stream = stream_of(number);
  struct tcp_pcb *pcb = stream ? pcbs[number] : NULL;
  if (!pcb || stream->state == STREAM_CONNECTING || ended_here[number])
    return;
  ended_here[number] = true;
  if (stream->state == STREAM_CLOSED) {
    tcp_recved(pcb, stream->produced - stream->consumed);
    abandon(number);
    if (tcp_close(pcb) != ERR_OK)
      tcp_abort(pcb);
  } else if (tcp_shutdown(pcb, 0, 1) != ERR_OK)
    reset(number);
  measure(number);
}

/* The oldest half-open connection of a port whose backlog is full makes way for the next one. */
static void trim(const struct tcp_pcb_listen *listener) {
  struct tcp_pcb *oldest = NULL;
  if (listener->accepts_pending < listener->backlog)
    return;
  for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
    if (pcb->state == SYN_RCVD && pcb->local_port == listener->local_port &&
        (!oldest || (int32_t)(pcb->tmr - oldest->tmr) <= 0))
      oldest = pcb; /* new ones are at the list's front */
  if (oldest)
    tcp_abandon(oldest, 0);
}

uint32_t streams_look(void) {
  uint32_t least = 0;
  for (const struct tcp_pcb_listen *listener = tcp_listen_pcbs.listen_pcbs; listener; listener = listener->next)
    trim(listener);
  for (struct tcp_pcb *pcb = tcp_active_pcbs, *next; pcb; pcb = next) {
    next = pcb->next;
    bool closing = pcb->state >= FIN_WAIT_1 || pcb->flags & TF_CLOSEPEND;
    if (!pcb->callback_arg && closing && (int32_t)(tcp_ticks - pcb->keep_idle) > 0)
      tcp_abort(pcb);
  }
  for (uint32_t number = 0; number < NET_STREAMS; number++) {
    uint32_t before = mailbox.streams[number].room;
    if (!pcbs[number])
      continue;
    measure(number);
    uint32_t lacking = lacks(&mailbox.streams[number]);
    if (lacking > 0 && (least == 0 || lacking < least))
      least = lacking;
    if ((before == 0 || starved[number]) && mailbox.streams[number].room > 0)
      changed(number);
    starved[number] = false;
  }
  return least;
}
