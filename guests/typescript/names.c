/*
 * Names of a program, looked up by lwIP: a lookup under way is a socket without a connection.
 */
#include "sockets.h"

#include "../lib/net/internal.h"

#include "lwip/dns.h"

static void on_found(const char *name, const ip_addr_t *address, void *context) {
  struct socket *socket = context;
  (void)name;
  net_timers_name_answered();
  socket->resolved = address ? address_to(address) : 0;
  socket_notify(socket, EVENT_RESOLVED);
}

/*
 * words: bytes of the name in the transfer buffer. Returns a handle: EVENT_RESOLVED comes; 0: words[0] is the address, which is known; or an
 * err_t: ERR_VAL no server is known, ERR_MEM too many are under way, ERR_ARG no name.
 */
int32_t names_lookup(uint32_t *words) {
  uint32_t length = words[0];
  ip_addr_t address;
  if (length == 0 || length >= DNS_MAX_NAME_LENGTH)
    return ERR_ARG;
  engine_transfer[length] = 0;
  struct socket *socket = socket_new(SOCKET_NAME);
  if (!socket)
    return ERR_MEM;
  net_timers_name_asked();
  err_t error = dns_gethostbyname((const char *)engine_transfer, &address, on_found, socket);
  if (error == ERR_INPROGRESS)
    return (int32_t)socket_handle(socket);
  net_timers_name_answered();
  socket->kind = SOCKET_FREE;
  if (error != ERR_OK)
    return error;
  words[0] = address_to(&address);
  return 0;
}

/* words: handle, which is free afterwards. 0: words[0] is the address; -1: the name has none, or nobody knew. */
int32_t names_result(uint32_t *words) {
  struct socket *socket = socket_find(words[0], SOCKET_NAME);
  if (!socket)
    return -1;
  socket->kind = SOCKET_FREE;
  words[0] = socket->resolved;
  return socket->resolved ? 0 : -1;
}
