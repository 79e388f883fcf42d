/* For tests, in place of streams.c: connections to somebody else, too, as streams like all others. */
#include "streams.c"

static err_t client_connected(void *argument, struct tcp_pcb *pcb, err_t error) {
  (void)argument;
  return accepted_one(NULL, pcb, error);
}

__attribute__((export_name("connect"))) uint32_t client_connect(uint32_t address, uint32_t port) {
  ip_addr_t peer = {address};
  struct tcp_pcb *pcb = tcp_new();
  if (!pcb)
    return 0;
  if (tcp_connect(pcb, &peer, port, client_connected) == ERR_OK)
    return 1;
  tcp_abort(pcb);
  return 0;
}
