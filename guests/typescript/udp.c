/*
 * UDP of a program. What comes waits in a short queue; what finds it full is lost, as datagrams may be.
 */
#include "sockets.h"

#define QUEUE 32

struct datagrams {
  bool used;
  unsigned first, count;
  struct {
    struct pbuf *packet;
    ip_addr_t from;
    uint16_t port;
  } entries[QUEUE];
};

static struct datagrams queues[MEMP_NUM_UDP_PCB];

static void on_datagram(void *context, struct udp_pcb *udp, struct pbuf *packet, const ip_addr_t *from, u16_t port) {
  struct socket *socket = context;
  struct datagrams *queue = socket->datagrams;
  (void)udp;
  if (queue->count == QUEUE) {
    pbuf_free(packet);
    return;
  }
  unsigned at = (queue->first + queue->count++) % QUEUE;
  queue->entries[at].packet = packet;
  queue->entries[at].from = *from;
  queue->entries[at].port = port;
  socket_notify(socket, EVENT_READABLE);
}

static struct datagrams *queue_new(void) {
  for (unsigned i = 0; i < MEMP_NUM_UDP_PCB; i++)
    if (!queues[i].used) {
      queues[i] = (struct datagrams){.used = true};
      return &queues[i];
    }
  return NULL;
}

/* words: address, port (0: any). Returns a handle, or an err_t. */
int32_t network_datagrams(uint32_t *words) {
  ip_addr_t address = address_from(words[0]);
  struct datagrams *queue = queue_new();
  struct socket *socket = queue ? socket_new(SOCKET_DATAGRAM) : NULL;
  struct udp_pcb *udp = socket ? udp_new() : NULL;
  err_t error = udp ? udp_bind(udp, &address, words[1]) : ERR_MEM;
  if (error != ERR_OK) {
    if (udp)
      udp_remove(udp);
    if (socket)
      socket->kind = SOCKET_FREE;
    if (queue)
      queue->used = false;
    return error;
  }
  socket->udp = udp;
  socket->datagrams = queue;
  udp_recv(udp, on_datagram, socket);
  return (int32_t)socket_handle(socket);
}

/* words: handle, address, port, bytes in the transfer buffer. */
int32_t network_send(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_DATAGRAM);
  if (!socket || words[3] > PROGRAM_TRANSFER_SIZE)
    return ERR_CONN;
  ip_addr_t address = address_from(words[1]);
  struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, words[3], PBUF_RAM);
  if (!packet)
    return ERR_MEM;
  pbuf_take(packet, engine_transfer, words[3]);
  err_t error = udp_sendto(socket->udp, packet, &address, words[2]);
  pbuf_free(packet);
  return error;
}

/* words: handle. Returns the bytes in the transfer buffer, -1 when there is no datagram; words: address and port of the sender. */
int32_t network_receive(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_DATAGRAM);
  if (!socket || socket->datagrams->count == 0)
    return -1;
  struct datagrams *queue = socket->datagrams;
  unsigned at = queue->first;
  queue->first = (at + 1) % QUEUE;
  queue->count--;
  struct pbuf *packet = queue->entries[at].packet;
  uint16_t length = pbuf_copy_partial(packet, engine_transfer, PROGRAM_TRANSFER_SIZE, 0);
  words[0] = address_to(&queue->entries[at].from);
  words[1] = queue->entries[at].port;
  pbuf_free(packet);
  return length;
}

void datagrams_close(struct socket *socket) {
  struct datagrams *queue = socket->datagrams;
  udp_remove(socket->udp);
  for (; queue->count > 0; queue->count--, queue->first = (queue->first + 1) % QUEUE)
    pbuf_free(queue->entries[queue->first].packet);
  queue->used = false;
}
