/*
 * TCP of a program: lwIP's raw connections. What was received stays in lwIP's buffers, and in the window that the other side sees,
 * until the program reads it.
 */
#include "sockets.h"

/* lwIP's slow timer (500 ms) calls that often: who found no memory tries again. */
#define POLL_TICKS 1

static void detach(struct socket *socket) {
  struct tcp_pcb *tcp = socket->tcp;
  tcp_arg(tcp, NULL);
  if (socket->kind != SOCKET_LISTENER) {
    tcp_recv(tcp, NULL);
    tcp_sent(tcp, NULL);
    tcp_err(tcp, NULL);
    tcp_poll(tcp, NULL, 0);
  }
  socket->tcp = NULL;
}

static err_t on_received(void *context, struct tcp_pcb *tcp, struct pbuf *packet, err_t error) {
  struct socket *socket = context;
  (void)tcp;
  (void)error;
  if (!packet) {
    socket->peer_closed = true;
    /* Both have ended: lwIP may forget the connection at any time, without a word. */
    if (socket->shut)
      detach(socket);
    socket_notify(socket, EVENT_PEER_CLOSED);
    return ERR_OK;
  }
  if (socket->pending)
    pbuf_cat(socket->pending, packet);
  else
    socket->pending = packet;
  socket_notify(socket, EVENT_READABLE);
  return ERR_OK;
}

static err_t on_sent(void *context, struct tcp_pcb *tcp, u16_t length) {
  struct socket *socket = context;
  (void)tcp;
  (void)length;
  if (socket->full)
    socket_notify(socket, EVENT_WRITABLE);
  return ERR_OK;
}

static err_t on_poll(void *context, struct tcp_pcb *tcp) { return on_sent(context, tcp, 0); }

static void on_error(void *context, err_t error) {
  struct socket *socket = context;
  socket->tcp = NULL;
  socket->error = (uint32_t)-error;
  socket_notify(socket, EVENT_FAILED);
}

static void attach(struct socket *socket, struct tcp_pcb *tcp) {
  socket->tcp = tcp;
  tcp_arg(tcp, socket);
  tcp_recv(tcp, on_received);
  tcp_sent(tcp, on_sent);
  tcp_err(tcp, on_error);
  tcp_poll(tcp, on_poll, POLL_TICKS);
}

static err_t on_accepted(void *context, struct tcp_pcb *tcp, err_t error) {
  struct socket *listener = context;
  if (error != ERR_OK || !tcp)
    return ERR_VAL;
  struct socket *socket = listener ? socket_new(SOCKET_STREAM) : NULL;
  if (!socket) {
    tcp_abort(tcp);
    return ERR_ABRT;
  }
  attach(socket, tcp);
  tcp_nagle_disable(tcp); /* the program passes what belongs together in one piece */
  socket->listener = socket_handle(listener);
  socket_notify(socket, EVENT_ACCEPTED);
  return ERR_OK;
}

/* words: address, port (0: any), backlog. Returns a handle, or an err_t. */
int32_t network_listen(uint32_t *words) {
  ip_addr_t address = address_from(words[0]);
  struct tcp_pcb *bound = tcp_new();
  if (!bound)
    return ERR_MEM;
  err_t error = tcp_bind(bound, &address, words[1]);
  if (error != ERR_OK) {
    tcp_close(bound);
    return error;
  }
  struct socket *socket = socket_new(SOCKET_LISTENER);
  struct tcp_pcb *listener = socket ? tcp_listen_with_backlog(bound, words[2] < 255 ? words[2] : 255) : NULL;
  if (!listener) {
    tcp_close(bound);
    if (socket)
      socket->kind = SOCKET_FREE;
    return ERR_MEM;
  }
  socket->tcp = listener;
  tcp_arg(listener, socket);
  tcp_accept(listener, on_accepted);
  return (int32_t)socket_handle(socket);
}

static err_t on_connected(void *context, struct tcp_pcb *tcp, err_t error) {
  (void)tcp;
  (void)error; /* always ERR_OK */
  socket_notify(context, EVENT_CONNECTED);
  return ERR_OK;
}

/* words: address, port. Returns a handle, or an err_t. */
int32_t network_connect(uint32_t *words) {
  ip_addr_t address = address_from(words[0]);
  struct socket *socket = socket_new(SOCKET_STREAM);
  struct tcp_pcb *tcp = socket ? tcp_new() : NULL;
  if (!tcp) {
    if (socket)
      socket->kind = SOCKET_FREE;
    return ERR_MEM;
  }
  attach(socket, tcp);
  tcp_nagle_disable(tcp);
  err_t error = tcp_connect(tcp, &address, words[1], on_connected);
  if (error == ERR_OK)
    return (int32_t)socket_handle(socket);
  detach(socket);
  tcp_abort(tcp);
  socket->kind = SOCKET_FREE;
  return error;
}

/* words: handle, bytes in the transfer buffer. Returns how many were taken: when not all, EVENT_WRITABLE will come. */
int32_t network_write(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_STREAM);
  if (!socket || !socket->tcp || words[1] > PROGRAM_TRANSFER_SIZE)
    return ERR_CONN;
  uint32_t length = words[1], room = tcp_sndbuf(socket->tcp);
  length = length < room ? length : room;
  err_t error = ERR_MEM;
  while (length > 0 && (error = tcp_write(socket->tcp, engine_transfer, length, TCP_WRITE_FLAG_COPY)) == ERR_MEM)
    length /= 2;
  if (length > 0 && error != ERR_OK)
    return error;
  socket->full = length < words[1];
  tcp_output(socket->tcp);
  return (int32_t)length;
}

/* words: handle, room. Returns how many bytes are in the transfer buffer; 0: nothing is there now. */
int32_t network_read(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_STREAM);
  if (!socket)
    return ERR_CONN;
  if (!socket->pending)
    return 0;
  uint16_t room = words[1] < PROGRAM_TRANSFER_SIZE ? words[1] : PROGRAM_TRANSFER_SIZE;
  uint16_t length = pbuf_copy_partial(socket->pending, engine_transfer, room, 0);
  socket->pending = pbuf_free_header(socket->pending, length);
  if (socket->tcp)
    tcp_recved(socket->tcp, length);
  return length;
}

/* words: handle. Nothing more will be written; what was, is still sent. */
int32_t network_shutdown(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_STREAM);
  if (!socket || !socket->tcp)
    return ERR_CONN;
  if (socket->peer_closed) {
    stream_close(socket, false);
    return ERR_OK;
  }
  err_t error = tcp_shutdown(socket->tcp, 0, 1);
  socket->shut = error == ERR_OK;
  return error;
}

void stream_close(struct socket *socket, bool abort) {
  struct tcp_pcb *tcp = socket->tcp;
  if (tcp) {
    if (socket->pending && !abort)
      tcp_recved(tcp, socket->pending->tot_len); /* unread bytes would make lwIP reset it */
    detach(socket);
    if (abort || tcp_close(tcp) != ERR_OK)
      tcp_abort(tcp);
  }
  if (socket->pending)
    pbuf_free(socket->pending);
  socket->pending = NULL;
}
