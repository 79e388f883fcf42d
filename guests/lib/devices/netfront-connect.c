/*
 * How a network device is found and connected: by its NoXS control page, or by its nodes in xenstore.
 */
#include "../guest.h"
#include "grants.h"
#include "netfront.h"

static struct netfront devices[NETFRONTS];

/* An event of the rings; whoever sleeps is awake by it. */
static void ring_event(evtchn_port_t port) {
  for (unsigned i = 0; i < NETFRONTS; i++)
    if (devices[i].port == port)
      devices[i].counters.events++;
}

/* News on a control page: a backend that closes is answered, and its device is not used any more. */
static void control_event(evtchn_port_t port) {
  for (unsigned i = 0; i < NETFRONTS; i++)
    if (devices[i].by_noxs && devices[i].noxs.port == port && noxs_follow_close(&devices[i].noxs))
      devices[i].broken = true;
}

static void grant_buffers(struct netfront *device) {
  for (unsigned id = 0; id < device->config.rx_buffers; id++)
    device->rx_refs[id] = grant_begin(device->backend, device->rx_pages + id * 4096, false);
  for (unsigned id = 0; id < device->config.tx_buffers; id++)
    device->tx_refs[id] = grant_begin(device->backend, device->tx_pages + id * 4096, true);
  device->tx_ring_ref = grant_begin(device->backend, device->tx.sring, false);
  device->rx_ring_ref = grant_begin(device->backend, device->rx.sring, false);
}

static void open_port(struct netfront *device) {
  long port = event_alloc_unbound(DOMID_SELF, device->backend);
  if (port < 0)
    guest_fail("a port for the network device: error %ld", port);
  device->port = port;
  event_handle(port, ring_event);
}

/* What the backend says, and what the frontend wants to know before it connects. */
static void read_noxs(struct netfront *device) {
  const volatile struct noxs_vif *vif = device->noxs.page;
  for (unsigned i = 0; i < sizeof device->mac; i++)
    device->mac[i] = vif->mac[i];
  device->address = vif->address;
  uint16_t features = vif->backend_features;
  device->checksum_offload = !(features & NOXS_VIF_BACKEND_NO_CSUM_OFFLOAD);
  device->large = device->config.large && features & NOXS_VIF_BACKEND_SG && features & NOXS_VIF_BACKEND_GSO_TCPV4;
}

static void connect_noxs(struct netfront *device) {
  volatile struct noxs_vif *vif = device->noxs.page;
  vif->queues = 1;
  vif->tx_ring = device->tx_ring_ref;
  vif->rx_ring = device->rx_ring_ref;
  vif->tx_port = vif->rx_port = device->port;
  vif->request_rx_copy = 1;
  vif->frontend_features = NOXS_VIF_FRONTEND_RX_NOTIFY |
                           (device->large ? NOXS_VIF_FRONTEND_SG | NOXS_VIF_FRONTEND_GSO_TCPV4 : 0);
  noxs_connect(&device->noxs);
}

/* Six numbers of two hexadecimal digits with colons between them. */
bool netfront_parse_mac(const char *text, uint8_t *mac) {
  for (unsigned i = 0; i < 17; i++) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 16;
    if (i % 3 == 2 ? c != ':' : digit == 16)
      return false;
    if (i % 3 != 2)
      mac[i / 3] = (i % 3 ? mac[i / 3] << 4 : 0) | digit;
  }
  return text[17] == 0;
}

static void read_xenbus(struct netfront *device) {
  char text[24];
  xenbus_await(&device->xenbus, XenbusStateInitWait, XenbusStateConnected);
  if (!xenbus_text(&device->xenbus, "mac", text, sizeof text) || !netfront_parse_mac(text, device->mac))
    guest_fail("%s/mac is no MAC address", device->xenbus.path);
  device->checksum_offload = true; /* for IPv4 every backend takes them */
  device->large = device->config.large && xenbus_backend_number(&device->xenbus, "feature-sg", 0) &&
                  xenbus_backend_number(&device->xenbus, "feature-gso-tcpv4", 0);
}

static void connect_xenbus(struct netfront *device) {
  const struct xenbus_device *bus = &device->xenbus;
  xenbus_write_number(bus, "tx-ring-ref", device->tx_ring_ref);
  xenbus_write_number(bus, "rx-ring-ref", device->rx_ring_ref);
  xenbus_write_number(bus, "event-channel", device->port);
  xenbus_write_number(bus, "request-rx-copy", 1);
  xenbus_write_number(bus, "feature-rx-notify", 1);
  xenbus_write_number(bus, "feature-sg", device->large);
  xenbus_write_number(bus, "feature-gso-tcpv4", device->large);
  xenbus_switch(bus, XenbusStateConnected);
}

static void attach(struct netfront *device, unsigned n) {
  if (device->by_noxs) {
    noxs_attach(DEVICE_VIF, n, &device->noxs);
    device->backend = device->noxs.backend;
    event_handle(device->noxs.port, control_event);
    read_noxs(device);
  } else {
    xenbus_attach("vif", n, &device->xenbus);
    device->backend = device->xenbus.backend;
    read_xenbus(device);
  }
}

static void connect(struct netfront *device) {
  netfront_rings_init(device);
  open_port(device);
  if (device->by_noxs)
    connect_noxs(device);
  else
    connect_xenbus(device);
}

struct netfront *netfront_open(unsigned n, const struct netfront_config *config) {
  struct netfront *device = &devices[n];
  if (n >= NETFRONTS)
    return NULL;
  device->by_noxs = noxs_count(DEVICE_VIF) > 0;
  if (n >= (device->by_noxs ? noxs_count(DEVICE_VIF) : xenbus_count("vif")))
    return NULL;
  device->config = *config;
  attach(device, n);
  device->tx.sring = pages_take(1);
  device->rx.sring = pages_take(1);
  device->rx_pages = pages_take_raw(config->rx_buffers);
  device->tx_pages = pages_take_raw(config->tx_buffers);
  grant_buffers(device);
  connect(device);
  return device;
}

bool netfront_connected(const struct netfront *device) {
  enum xenbus_state state =
      device->by_noxs ? (enum xenbus_state)noxs_backend_state(&device->noxs) : xenbus_backend_state(&device->xenbus);
  return !device->broken && state == XenbusStateConnected;
}

void netfront_restore(struct netfront *device) {
  device->broken = false;
  attach(device, device - devices);
  connect(device);
}
