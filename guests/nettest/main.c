/*
 * Tests a network. Without options: a server, for another guest or a computer outside, of
 *   TCP and UDP port 7    echo (RFC 862)
 *   TCP port 9            takes everything; when the other side has closed: "BYTES CRC32 MILLISECONDS"
 *   TCP port 19           reads a line "BYTES SEED" and sends that much of the pattern (lib/data/pattern.h), then closes
 * With peer=A.B.C.D a client of such a server: test=echo|sink|source|udp (all of them), bytes=N (1000000), seed=N (1). What comes
 * back is compared byte by byte. test=pulse sends a small datagram every millisecond for seconds=N (5) and compares nothing. With `repeat`
 * the tests are done again and again until the operator asks the domain to end. A line for each:
 *   nettest TEST BYTES bytes MS ms TICKS ticks
 * and at the end, by Xen's system time, the longest that nothing came while one was under way:
 *   nettest did N tests, waited US us at most
 * role=send and role=receive pass frames between two guests without TCP/IP (frames.c).
 */
#include "nettest.h"

#include "../lib/devices/sysctl.h"

const char guest_name[] = "nettest";

#define ADDRESS_PATIENCE (30 * SECOND)

struct tcp_pcb *listen_on(uint16_t port, tcp_accept_fn accept) {
  struct tcp_pcb *bound = tcp_new();
  if (!bound || tcp_bind(bound, IP_ANY_TYPE, port) != ERR_OK)
    guest_fail("TCP port %u cannot be opened", port);
  struct tcp_pcb *listener = tcp_listen(bound);
  if (!listener)
    guest_fail("TCP port %u cannot be listened on", port);
  tcp_accept(listener, accept);
  return listener;
}

void guest_main(void) {
  char role[16] = "", peer[24] = "";
  if (option_text("role"))
    format_text(role, sizeof role, "%s", option_text("role"));
  if (option_text("peer"))
    format_text(peer, sizeof peer, "%s", option_text("peer"));
  sysctl_open();
  if (text_equal(role, "send"))
    frames_send();
  else if (text_equal(role, "receive"))
    frames_receive();
  else if (text_equal(role, "watch"))
    frames_watch();
  else if (role[0])
    guest_fail("no role %s", role);
  else if (!net_open())
    guest_fail("the domain has no network device");
  else if (!peer[0])
    servers_begin(), loop_run();
  else if (!net_await(ADDRESS_PATIENCE))
    guest_fail("no address");
  else
    clients_run(peer), net_drain(SECOND);
}
