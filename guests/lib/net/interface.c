/* A guest's interface: its device, its address from the command line, the control page or DHCP, and its part in the loop. */
#include "net.h"

#include "internal.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "netif/ethernet.h"

/* Buffers: an eighth of the memory for received frames, half of that for sent ones, within these. */
#define RX_LEAST 16
#define RX_MOST 192
#define TX_LEAST 8
#define TX_MOST 96

struct netif net_interface;
struct netfront *net_device;
uint64_t net_first_frame_tsc;

/* --- The loop's source --------------------------------------------------------------------------------------------- */

static void receive(void *context, const struct netfront_frame *frame) {
  if (net_first_frame_tsc == 0)
    net_first_frame_tsc = rdtsc();
  net_link_receive(context, frame);
}

static bool work(void *context) {
  (void)context;
  return net_link_work();
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

/* Option dns: one server, or two with a comma between them, in the place of what DHCP has given. */
static void set_name_servers(void) {
  const char *given = option_text("dns");
  char text[16];
  for (unsigned server = 0; given && *given && server < DNS_MAX_SERVERS; server++) {
    unsigned length = 0;
    while (given[length] && given[length] != ',')
      length++;
    ip4_addr_t address;
    memcpy(text, given, length < sizeof text ? length : 0);
    text[length < sizeof text ? length : 0] = 0;
    if (!net_parse_address(text, &address))
      guest_fail("dns=%s is no address, nor two", option_text("dns"));
    dns_setserver(server, &address);
    given += given[length] ? length + 1 : length;
  }
}

static void status_changed(struct netif *interface) {
  if (!net_ready())
    return;
  set_name_servers();
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
  interface->hostname = guest_name;
  net_link_init(interface, net_device);
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
