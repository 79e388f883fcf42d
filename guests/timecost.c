/*
 * Reports its own start: how long it took from its first instruction to each step. With peer=A.B.C.D it sends a datagram to port
 * 13 (port=N: another) there as soon as it can, and waits for the first frame that arrives. Each line is
 *   timecost STEP TICKS ticks NS ns
 * counted from the first instruction; `start` tells Xen's system time at that instruction. Under QEMU's -icount ticks are
 * instructions. Options: seconds=N (10), the longest wait for a step; stay: goes on until the operator ends it.
 */
#include "lib/devices/sysctl.h"
#include "lib/net/net.h"

#include "lwip/udp.h"

const char guest_name[] = "timecost";

/* The moments are noted as they pass and printed at the end: printing takes longer than most of them. */
static struct {
  const char *step;
  uint64_t tsc;
} moments[16];
static unsigned count;

static void note_at(const char *step, uint64_t tsc) {
  moments[count].step = step;
  moments[count++].tsc = tsc;
}

static void note(const char *step) { note_at(step, rdtsc()); }

static void report(void) {
  uint64_t start_ns = clock_ns_at(first_tsc);
  print("timecost start 0 ticks %lu ns\n", start_ns);
  for (unsigned i = 0; i < count; i++)
    print("timecost %s %lu ticks %lu ns\n", moments[i].step, moments[i].tsc - first_tsc,
          clock_ns_at(moments[i].tsc) - start_ns);
}

/* Runs the loop until a condition holds; false when that takes too long. */
static bool await(bool (*condition)(void), uint64_t end) {
  while (!condition() && clock_ns() < end) {
    loop_obey();
    loop_step(end);
  }
  return condition();
}

static bool connected(void) { return netfront_connected(net_device); }

static bool frame_came(void) { return net_first_frame_tsc != 0; }

static void send_datagram(const char *peer) {
  static const char text[] = "timecost";
  ip4_addr_t address;
  if (!net_parse_address(peer, &address))
    guest_fail("peer=%s is no address", peer);
  struct udp_pcb *socket = udp_new();
  struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, sizeof text, PBUF_RAM);
  if (!socket || !packet)
    guest_fail("no memory for a datagram");
  pbuf_take(packet, text, sizeof text);
  err_t error = udp_sendto(socket, packet, &address, option_number("port", 13));
  if (error != ERR_OK)
    guest_fail("the datagram was not sent: error %d", error);
  pbuf_free(packet);
}

void guest_main(void) {
  uint64_t end = clock_ns() + option_number("seconds", 10) * SECOND;
  note("main");
  sysctl_open();
  note("sysctl");
  noxs_count(DEVICE_VIF);
  note("devices-found");
  if (!net_open())
    guest_fail("the domain has no network device");
  note("network-opened");
  if (!await(connected, end))
    guest_fail("the network device's backend does not connect");
  note("network-connected");
  if (!net_await(end > clock_ns() ? end - clock_ns() : 0))
    guest_fail("no address");
  note("network-up");
  const char *peer = option_text("peer");
  if (peer) {
    send_datagram(peer);
    note("datagram-sent");
    if (!await(frame_came, end))
      guest_fail("no frame came");
  }
  if (net_first_frame_tsc)
    note_at("first-frame", net_first_frame_tsc);
  report();
  if (option_present("stay"))
    loop_run();
  net_drain(SECOND);
}
