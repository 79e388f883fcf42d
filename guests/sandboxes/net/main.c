/*
 * Domain 0's TCP/IP: lwIP over a network frontend whose rings and buffers are in the sandbox's memory. Domain 0 grants those pages,
 * tells the back end of them, sends its events and calls this module; it sees streams, never packets. It trusts nothing here: the
 * module can spoil domain 0's connections, and nothing else.
 */
#include "mailbox.h"
#include "streams.h"

#include "../../lib/bytes.h"
#include "../../lib/clock.h"
#include "../../lib/devices/netfront.h"
#include "../../lib/events.h"
#include "../../lib/net/internal.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "netif/ethernet.h"

#define PAGE 4096
/* Frames that are waited for at once, and how long: what else comes waits with them, and the sender may wait for an answer. */
#define FRAMES_MOST 12
#define PATIENCE_NS 1000000

/* In one page: domain 0 has one view of it. */
struct net_mailbox mailbox __attribute__((aligned(PAGE)));

static uint8_t shared[NET_SHARED_PAGES][PAGE] __attribute__((aligned(PAGE)));
static struct netfront device;
static struct netif interface;
static uint64_t now;

/* The processor's random numbers; 0 where it has none. */
uint64_t sandbox_random(void) __attribute__((import_module("env"), import_name("random")));

/* --- What lib/ asks of its surroundings ------------------------------------------------------------------------------- */

uint64_t clock_ns(void) { return now; }

long event_send(evtchn_port_t port) {
  (void)port;
  mailbox.notify = 1;
  return 0;
}

void net_assert(const char *message, const char *file, int line) {
  (void)message;
  (void)file;
  (void)line;
  __builtin_trap();
}

/* --- Operations ------------------------------------------------------------------------------------------------------- */

static void receive(void *context, const struct netfront_frame *frame) { net_link_receive(context, frame); }

static err_t interface_init(struct netif *made) {
  made->hostname = "typevisor";
  net_link_init(made, &device);
  return ERR_OK;
}

static void status_changed(struct netif *changed) {
  mailbox.address = ip4_addr_get_u32(netif_ip4_addr(changed));
  mailbox.mask = ip4_addr_get_u32(netif_ip4_netmask(changed));
  mailbox.gateway = ip4_addr_get_u32(netif_ip4_gw(changed));
}

static void open_interface(void) {
  device.config = (struct netfront_config){
      .rx_buffers = NET_RX_BUFFERS,
      .tx_buffers = NET_TX_BUFFERS,
      .receive = receive,
      .context = &interface,
  };
  device.checksum_offload = true;
  memcpy(device.mac, mailbox.mac, sizeof device.mac);
  device.tx.sring = (void *)shared[0];
  device.rx.sring = (void *)shared[1];
  device.tx_pages = shared[2];
  device.rx_pages = shared[2 + NET_TX_BUFFERS];
  for (unsigned i = 0; i < NET_TX_BUFFERS; i++)
    device.tx_refs[i] = mailbox.first_ref + 2 + i;
  for (unsigned i = 0; i < NET_RX_BUFFERS; i++)
    device.rx_refs[i] = mailbox.first_ref + 2 + NET_TX_BUFFERS + i;
  netfront_rings_init(&device);
  uint64_t hardware[2] = {sandbox_random(), sandbox_random()};
  net_random_seed(mailbox.seed, hardware);
  lwip_init();
  netif_add_noaddr(&interface, NULL, interface_init, ethernet_input);
  netif_set_default(&interface);
  netif_set_status_callback(&interface, status_changed);
  netif_set_up(&interface);
}

static void configure(uint32_t address, uint32_t mask, uint32_t gateway) {
  ip4_addr_t own = {address}, network = {mask}, router = {gateway};
  if (address == 0)
    dhcp_start(&interface);
  else
    netif_set_addr(&interface, &own, &network, &router);
}

static void reconnect(void) {
  device.broken = false;
  netfront_rings_init(&device);
  if (mailbox.address != 0)
    etharp_gratuitous(&interface);
}

/* While a stream waits for many frames, the back end is asked for one event for all of them: each costs domain 0 a turn. */
static void await_frames(uint32_t frames) {
  device.rx.sring->rsp_event = device.rx_looked + frames;
  uint64_t patience = now + PATIENCE_NS;
  if (mailbox.deadline == 0 || mailbox.deadline > patience)
    mailbox.deadline = patience;
}

static uint32_t poll(void) {
  net_link_work();
  PBUF_CHECK_FREE_OOSEQ();
  uint32_t lacking = streams_look() / TCP_MSS;
  netfront_flush(&device);
  mailbox.deadline = net_timers_deadline();
  bool sleeps = netfront_may_sleep(&device);
  if (sleeps && lacking > 1)
    await_frames(lacking < FRAMES_MOST ? lacking : FRAMES_MOST);
  return !sleeps;
}

/* The module's entry point: abi/net.ts. */
__attribute__((export_name("call"))) uint32_t call(uint32_t operation, uint32_t time_low, uint32_t time_high, uint32_t a,
                                                   uint32_t b, uint32_t c) {
  now = time_low | (uint64_t)time_high << 32;
  switch (operation) {
  case NET_INIT:
    mailbox.shared = (uint32_t)(uintptr_t)shared;
    streams_init();
    return (uint32_t)(uintptr_t)&mailbox;
  case NET_OPEN:
    open_interface();
    return 0;
  case NET_CONFIGURE:
    configure(a, b, c);
    return 0;
  case NET_RECONNECT:
    reconnect();
    return 0;
  case NET_POLL:
    return poll();
  case NET_LISTEN:
    return streams_listen(a);
  case NET_UNLISTEN:
    streams_unlisten(a);
    return 0;
  case NET_CONSUMED:
    stream_consumed(a, b);
    return 0;
  case NET_WRITE:
    return stream_write(a, b);
  case NET_CLOSE:
    stream_close(a);
    return 0;
  case NET_ABORT:
    stream_abort(a);
    return 0;
  case NET_CONNECT:
    return stream_connect(a, b);
  case NET_END:
    stream_end(a);
    return 0;
  default:
    return 0;
  }
}
