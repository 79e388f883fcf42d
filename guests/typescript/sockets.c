#include "sockets.h"

/* lwIP's own tables (lib/net/port/lwipopts.h) are smaller: they are what runs out. */
#define SOCKETS 96
#define DRAIN (2 * SECOND)

static struct socket sockets[SOCKETS];
static struct socket network = {.kind = SOCKET_FREE};
static bool opened, has_network, was_ready;
/* Where the next event is looked for: every socket has its turn. */
static unsigned turn;

struct socket *socket_find(uint32_t handle, unsigned kind) {
  struct socket *socket = handle >= 1 && handle <= SOCKETS ? &sockets[handle - 1] : NULL;
  return socket && socket->kind == kind ? socket : NULL;
}

struct socket *socket_new(unsigned kind) {
  for (unsigned i = 0; i < SOCKETS; i++)
    if (sockets[i].kind == SOCKET_FREE) {
      sockets[i] = (struct socket){.kind = kind};
      return &sockets[i];
    }
  return NULL;
}

uint32_t socket_handle(const struct socket *socket) { return (uint32_t)(socket - sockets) + 1; }

void socket_notify(struct socket *socket, uint32_t event) {
  socket->events |= event;
  program_wake();
}

/* 1 when the domain has a network device; its address may come later, with EVENT_NETWORK. */
int32_t network_open(uint32_t *words) {
  (void)words;
  if (!opened) {
    opened = true;
    has_network = net_open();
  }
  return has_network;
}

void network_work(void) {
  if (has_network && !was_ready && net_ready()) {
    was_ready = true;
    socket_notify(&network, EVENT_NETWORK);
  }
}

void network_drain(void) {
  if (has_network)
    net_drain(DRAIN);
}

static bool take(struct socket *socket, uint32_t handle, uint32_t *words) {
  if (!socket->events)
    return false;
  words[0] = handle;
  words[1] = socket->events;
  words[2] = socket->error;
  words[3] = socket->listener;
  socket->events = 0;
  return true;
}

/* 1: words are a handle, its events, error and listener. 0: there is none. */
int32_t network_take_event(uint32_t *words) {
  if (take(&network, 0, words))
    return 1;
  for (unsigned i = 0; i < SOCKETS; i++) {
    unsigned index = (turn + i) % SOCKETS;
    if (sockets[index].kind != SOCKET_FREE && take(&sockets[index], index + 1, words)) {
      turn = index + 1;
      return 1;
    }
  }
  return 0;
}

/* words: handle, 1 to abort. */
int32_t network_close(uint32_t *words) {
  struct socket *socket = words[0] >= 1 && words[0] <= SOCKETS ? &sockets[words[0] - 1] : NULL;
  if (!socket || socket->kind == SOCKET_FREE)
    return -1;
  if (socket->kind == SOCKET_DATAGRAM)
    datagrams_close(socket);
  else
    stream_close(socket, words[1] != 0);
  socket->kind = SOCKET_FREE;
  socket->events = 0;
  return 0;
}

/* words: handle. Becomes local address and port, remote address and port; of handle 0 address, mask, gateway. */
int32_t network_names(uint32_t *words) {
  if (words[0] == 0) {
    if (!has_network || !net_ready())
      return -1;
    words[0] = lwip_ntohl(ip4_addr_get_u32(netif_ip4_addr(&net_interface)));
    words[1] = lwip_ntohl(ip4_addr_get_u32(netif_ip4_netmask(&net_interface)));
    words[2] = lwip_ntohl(ip4_addr_get_u32(netif_ip4_gw(&net_interface)));
    return 0;
  }
  struct socket *socket = words[0] <= SOCKETS ? &sockets[words[0] - 1] : NULL;
  if (!socket || (!socket->tcp && !socket->udp))
    return -1;
  words[0] = address_to(socket->tcp ? &socket->tcp->local_ip : &socket->udp->local_ip);
  words[1] = socket->tcp ? socket->tcp->local_port : socket->udp->local_port;
  bool stream = socket->kind == SOCKET_STREAM;
  words[2] = stream ? address_to(&socket->tcp->remote_ip) : 0;
  words[3] = stream ? socket->tcp->remote_port : 0;
  return 0;
}
