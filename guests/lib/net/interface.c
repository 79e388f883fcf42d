/*
 * lwIP's interface over a netfront device. Frames are copied out of lwIP's buffers and into them; checksums of TCP are left to
 * whoever needs them, where the backend takes such frames.
 */
#include "net.h"

#include "internal.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "netif/ethernet.h"

#define FRAME_MOST (1500 + SIZEOF_ETH_HDR)
#define BUDGET 64
/* Buffers: an eighth of the memory for received frames, half of that for sent ones, within these. */
#define RX_LEAST 16
#define RX_MOST 192
#define TX_LEAST 8
#define TX_MOST 96

struct netif net_interface;
struct netfront *net_device;
uint64_t net_first_frame_tsc;

/* Frames that found no memory in lwIP. */
static uint64_t dropped;
static bool output_failed;

/* --- Sending ------------------------------------------------------------------------------------------------------- */

/*
 * A TCP segment without its checksum gets the sum of the pseudo header instead (RFC 793), from which any card goes on. lwIP
 * has a frame's headers in one piece. True when the frame is such a segment.
 */
static bool prepare_checksum(struct pbuf *packet) {
  const struct eth_hdr *ethernet = packet->payload;
  if (packet->len < SIZEOF_ETH_HDR + IP_HLEN || ethernet->type != PP_HTONS(ETHTYPE_IP))
    return false;
  const struct ip_hdr *ip = (const void *)((uint8_t *)packet->payload + SIZEOF_ETH_HDR);
  unsigned header = IPH_HL_BYTES(ip), length = lwip_ntohs(IPH_LEN(ip)) - header;
  if (IPH_PROTO(ip) != IP_PROTO_TCP || packet->len < SIZEOF_ETH_HDR + header + TCP_HLEN)
    return false;
  struct tcp_hdr *tcp = (void *)((uint8_t *)ip + header);
  const struct {
    ip4_addr_p_t from, to;
    uint8_t zero, protocol;
    uint16_t length;
  } pseudo = {ip->src, ip->dest, 0, IP_PROTO_TCP, lwip_htons(length)};
  tcp->chksum = net_checksum(&pseudo, sizeof pseudo);
  return true;
}

static err_t link_output(struct netif *interface, struct pbuf *packet) {
  static uint8_t flat[FRAME_MOST];
  struct netfront_frame frame = {.length = packet->tot_len};
  if (packet->tot_len > FRAME_MOST)
    return ERR_BUF;
  if (((const struct eth_hdr *)packet->payload)->type == PP_HTONS(ETHTYPE_ARP))
    net_timers_arp_sent();
  if (!(interface->chksum_flags & NETIF_CHECKSUM_GEN_TCP))
    frame.blank = prepare_checksum(packet);
  for (struct pbuf *part = packet; part; part = part->next) {
    if (frame.count == NETFRONT_PARTS) {
      pbuf_copy_partial(packet, flat, packet->tot_len, 0);
      frame.parts[0] = (struct netfront_part){flat, packet->tot_len};
      frame.count = 1;
      break;
    }
    frame.parts[frame.count++] = (struct netfront_part){part->payload, part->len};
  }
  if (netfront_send(net_device, &frame))
    return ERR_OK;
  output_failed = true;
  return ERR_MEM;
}

/* Segments that found the ring full wait for a timer otherwise. */
static void output_again(void) {
  output_failed = false;
  for (struct tcp_pcb *connection = tcp_active_pcbs; connection && !output_failed; connection = connection->next)
    tcp_output(connection);
}

/* --- Receiving ----------------------------------------------------------------------------------------------------- */

static void receive(void *context, const struct netfront_frame *frame) {
  struct netif *interface = context;
  if (net_first_frame_tsc == 0)
    net_first_frame_tsc = rdtsc();
  struct pbuf *packet =
      frame->length > 0xffff ? NULL : pbuf_alloc(PBUF_RAW, (uint16_t)frame->length, PBUF_POOL);
  if (!packet) {
    dropped++;
    return;
  }
  uint16_t at = 0;
  for (unsigned i = 0; i < frame->count; i++) {
    pbuf_take_at(packet, frame->parts[i].data, frame->parts[i].length, at);
    at += frame->parts[i].length;
  }
  uint16_t flags = interface->chksum_flags;
  if (frame->checked)
    interface->chksum_flags &= ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
  if (interface->input(packet, interface) != ERR_OK)
    pbuf_free(packet);
  interface->chksum_flags = flags;
}

/* --- The loop's source --------------------------------------------------------------------------------------------- */

static bool work(void *context) {
  (void)context;
  unsigned frames = netfront_poll(net_device, BUDGET);
  bool timers = net_timers_run();
  if (output_failed && net_device->tx_free_count > 0)
    output_again();
  netfront_flush(net_device);
  return frames > 0 || timers;
}

static bool may_sleep(void *context) {
  (void)context;
  netfront_flush(net_device);
  return netfront_may_sleep(net_device);
}

static uint64_t deadline(void *context) {
  (void)context;
  return net_timers_deadline();
}

static void restore(void *context) {
  (void)context;
  netfront_restore(net_device);
  /* The network must learn where the address is now. */
  etharp_gratuitous(&net_interface);
}

static struct loop_source source = {.work = work, .may_sleep = may_sleep, .deadline = deadline, .restore = restore};

/* --- Addresses ----------------------------------------------------------------------------------------------------- */

const char *net_address_text(const ip4_addr_t *address) {
  static char texts[4][16];
  static unsigned next;
  char *text = texts[next++ % 4];
  format_text(text, 16, "%u.%u.%u.%u", ip4_addr1(address), ip4_addr2(address), ip4_addr3(address), ip4_addr4(address));
  return text;
}

static void status_changed(struct netif *interface) {
  if (!net_ready())
    return;
  unsigned prefix = 0;
  for (uint32_t mask = lwip_ntohl(ip4_addr_get_u32(netif_ip4_netmask(interface))); mask; mask <<= 1)
    prefix++;
  print("network: %s/%u, gateway %s, %s\n", net_address_text(netif_ip4_addr(interface)), prefix,
        net_address_text(netif_ip4_gw(interface)), netif_dhcp_data(interface) ? "by DHCP" : "as configured");
}

/* Takes a number of at most `most` and of one to three digits off the front of a text. */
static bool take_number(const char **text, unsigned most, unsigned *number) {
  unsigned digits = 0;
  for (*number = 0; digits < 3 && **text >= '0' && **text <= '9'; digits++)
    *number = *number * 10 + (unsigned)(*(*text)++ - '0');
  return digits > 0 && *number <= most;
}

/* Four numbers, not fewer as ip4addr_aton() takes them, and nothing behind them but "/N" where a prefix may be. */
static bool parse_address(const char *text, ip4_addr_t *address, unsigned *prefix) {
  uint32_t value = 0;
  for (unsigned i = 0, number; i < 4; i++) {
    if ((i > 0 && *text++ != '.') || !take_number(&text, 255, &number))
      return false;
    value = value << 8 | number;
  }
  ip4_addr_set_u32(address, lwip_htonl(value));
  if (prefix && *text == '/') {
    text++;
    if (!take_number(&text, 32, prefix))
      return false;
  }
  return *text == 0;
}

bool net_parse_address(const char *text, ip4_addr_t *address) { return parse_address(text, address, NULL); }

static void configure(struct netif *interface) {
  ip4_addr_t address = {net_device->address}, mask, gateway = {0};
  unsigned prefix = 24;
  const char *given = option_text("ip");
  bool by_dhcp = given ? text_equal(given, "dhcp") : ip4_addr_isany_val(address);
  if (by_dhcp) {
    if (dhcp_start(interface) != ERR_OK)
      guest_fail("DHCP cannot be started");
    return;
  }
  if (given && !parse_address(given, &address, &prefix))
    guest_fail("ip=%s is no address", given);
  const char *router = option_text("gw");
  if (router && !net_parse_address(router, &gateway))
    guest_fail("gw=%s is no address", router);
  ip4_addr_set_u32(&mask, lwip_htonl(prefix ? ~0u << (32 - prefix) : 0));
  netif_set_addr(interface, &address, &mask, &gateway);
}

static err_t interface_init(struct netif *interface) {
  interface->name[0] = 'v';
  interface->name[1] = 'i';
  interface->hostname = guest_name;
  interface->output = etharp_output;
  interface->linkoutput = link_output;
  interface->mtu = 1500;
  interface->hwaddr_len = ETH_HWADDR_LEN;
  memcpy(interface->hwaddr, net_device->mac, ETH_HWADDR_LEN);
  interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
  NETIF_SET_CHECKSUM_CTRL(interface, net_device->checksum_offload ? NETIF_CHECKSUM_ENABLE_ALL & ~NETIF_CHECKSUM_GEN_TCP
                                                                  : NETIF_CHECKSUM_ENABLE_ALL);
  return ERR_OK;
}

static unsigned within(uint64_t value, unsigned least, unsigned most) {
  return value < least ? least : value > most ? most : value;
}

bool net_open(void) {
  uint64_t pages = memory_bytes() >> 12;
  struct netfront_config config = {
      .rx_buffers = within(option_number("rx", within(pages / 8, RX_LEAST, RX_MOST)), 2, NETFRONT_RING),
      .tx_buffers = within(option_number("tx", within(pages / 16, TX_LEAST, TX_MOST)), 2, NETFRONT_RING),
      .receive = receive,
      .context = &net_interface,
  };
  net_device = netfront_open(0, &config);
  if (!net_device)
    return false;
  net_random_init(net_device->mac, sizeof net_device->mac);
  lwip_init();
  netif_add_noaddr(&net_interface, NULL, interface_init, ethernet_input);
  netif_set_default(&net_interface);
  netif_set_status_callback(&net_interface, status_changed);
  netif_set_up(&net_interface);
  configure(&net_interface);
  loop_add(&source);
  return true;
}

bool net_ready(void) { return !ip4_addr_isany(netif_ip4_addr(&net_interface)); }

bool net_await(uint64_t timeout_ns) {
  uint64_t end = clock_ns() + timeout_ns;
  while (!net_ready() && clock_ns() < end) {
    loop_obey();
    loop_step(end);
  }
  return net_ready();
}

void net_drain(uint64_t timeout_ns) {
  uint64_t end = clock_ns() + timeout_ns;
  while (net_device->tx_free_count < net_device->config.tx_buffers && !net_device->broken && clock_ns() < end) {
    net_device->tx_starved = true; /* an event comes for the next buffer */
    loop_step(end);
  }
}

void net_assert(const char *message, const char *file, int line) { guest_fail("lwIP: %s (%s:%d)", message, file, line); }
