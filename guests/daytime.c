/*
 * The Daytime Protocol (RFC 867) on port 13, by TCP and UDP: whoever connects, or sends a datagram, is told the time, in UTC.
 */
#include "lib/data/calendar.h"
#include "lib/devices/sysctl.h"
#include "lib/net/net.h"

#include "lwip/tcp.h"
#include "lwip/udp.h"

const char guest_name[] = "daytime";

#define PORT 13
#define TEXT_SIZE 64

/* "Monday, November 30, 2026 02:40:12-UTC\r\n": one of the two forms that the RFC shows. Returns the length. */
static uint16_t daytime(char *text) {
  struct calendar now;
  calendar_utc(clock_wall_seconds(NULL), &now);
  return format_text(text, TEXT_SIZE, "%s, %s %u, %u %02u:%02u:%02u-UTC\r\n", now.weekday_name, now.month_name, now.day,
                     now.year, now.hour, now.minute, now.second);
}

/* What a connection still sends is not waited for: it is told the time, and closed. */
static err_t on_connection(void *context, struct tcp_pcb *connection, err_t error) {
  char text[TEXT_SIZE];
  (void)context;
  if (error != ERR_OK || !connection)
    return ERR_VAL;
  tcp_write(connection, text, daytime(text), TCP_WRITE_FLAG_COPY);
  if (tcp_close(connection) == ERR_OK)
    return ERR_OK;
  tcp_abort(connection);
  return ERR_ABRT;
}

static void on_datagram(void *context, struct udp_pcb *socket, struct pbuf *packet, const ip_addr_t *from, u16_t port) {
  char text[TEXT_SIZE];
  (void)context;
  pbuf_free(packet);
  uint16_t length = daytime(text);
  struct pbuf *answer = pbuf_alloc(PBUF_TRANSPORT, length, PBUF_RAM);
  if (!answer)
    return;
  pbuf_take(answer, text, length);
  udp_sendto(socket, answer, from, port);
  pbuf_free(answer);
}

static void serve(void) {
  struct tcp_pcb *bound = tcp_new();
  if (!bound || tcp_bind(bound, IP_ANY_TYPE, PORT) != ERR_OK)
    guest_fail("TCP port %u cannot be opened", PORT);
  struct tcp_pcb *listener = tcp_listen(bound);
  if (!listener)
    guest_fail("TCP port %u cannot be listened on", PORT);
  tcp_accept(listener, on_connection);
  struct udp_pcb *socket = udp_new();
  if (!socket || udp_bind(socket, IP_ANY_TYPE, PORT) != ERR_OK)
    guest_fail("UDP port %u cannot be opened", PORT);
  udp_recv(socket, on_datagram, NULL);
}

void guest_main(void) {
  sysctl_open();
  if (!net_open())
    guest_fail("the domain has no network device");
  serve();
  loop_run();
}
