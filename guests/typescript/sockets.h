/*
 * The table of sockets. lwIP's callbacks only note what came; the program takes these notes as events in its turns.
 */
#ifndef TYPESCRIPT_SOCKETS_H
#define TYPESCRIPT_SOCKETS_H

#include "typescript.h"

#include "lwip/tcp.h"
#include "lwip/udp.h"

/* As in runtime/guest/host.ts. */
enum socket_event {
  EVENT_ACCEPTED = 1,     /* a new connection, of `listener` */
  EVENT_CONNECTED = 2,
  EVENT_READABLE = 4,
  EVENT_WRITABLE = 8,
  EVENT_PEER_CLOSED = 16, /* nothing more will be readable behind what is */
  EVENT_FAILED = 32,      /* the connection is gone; `error` says why */
  EVENT_NETWORK = 64,     /* handle 0: the network has an address */
  EVENT_RESOLVED = 128,   /* names_result() has the answer */
};

struct socket {
  enum { SOCKET_FREE, SOCKET_LISTENER, SOCKET_STREAM, SOCKET_DATAGRAM, SOCKET_NAME } kind;
  struct tcp_pcb *tcp;  /* null: gone, or a datagram socket */
  struct udp_pcb *udp;
  struct pbuf *pending; /* received, not yet read */
  bool shut, peer_closed, full;
  uint32_t events;
  uint32_t error;    /* lwIP's err_t, negated */
  uint32_t listener; /* handle */
  struct datagrams *datagrams;
  uint32_t resolved; /* a name's address; 0: it has none */
};

/* Socket by handle and kind (a SOCKET_...); null when there is none. */
struct socket *socket_find(uint32_t handle, unsigned kind);
/* A free one, made of this kind; null when all are in use. */
struct socket *socket_new(unsigned kind);
uint32_t socket_handle(const struct socket *socket);
/* Notes an event, and wakes the program. */
void socket_notify(struct socket *socket, uint32_t event);
/* Addresses are numbers to the program, the first byte highest. */
static inline ip_addr_t address_from(uint32_t number) {
  ip_addr_t address;
  ip4_addr_set_u32(&address, lwip_htonl(number));
  return address;
}
static inline uint32_t address_to(const ip_addr_t *address) { return lwip_ntohl(ip4_addr_get_u32(address)); }

/* Gives up a stream or listener: tcp.c; a datagram socket: udp.c. */
void stream_close(struct socket *socket, bool abort);
void datagrams_close(struct socket *socket);

#endif
