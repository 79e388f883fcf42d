/*
 * How a block device is found and connected: by its NoXS control page, or by its nodes in xenstore.
 */
#include "../guest.h"
#include "blkfront.h"
#include "grants.h"

#include <xen/io/protocols.h>

#define PATIENCE (30 * SECOND)

static struct blkfront devices[BLKFRONTS];

static void ring_event(evtchn_port_t port) {
  for (unsigned i = 0; i < BLKFRONTS; i++)
    if (devices[i].port == port)
      devices[i].events++;
}

/* News on a control page: a backend that closes is answered, and its device is not used any more. */
static void control_event(evtchn_port_t port) {
  for (unsigned i = 0; i < BLKFRONTS; i++)
    if (devices[i].by_noxs && devices[i].noxs.port == port && noxs_follow_close(&devices[i].noxs))
      devices[i].broken = true;
}

static void open_port(struct blkfront *device) {
  long port = event_alloc_unbound(DOMID_SELF, device->backend);
  if (port < 0)
    guest_fail("a port for the block device: error %ld", port);
  device->port = port;
  event_handle(port, ring_event);
}

static void set_geometry(struct blkfront *device, uint64_t sectors, uint64_t sector_size) {
  if (sector_size < BLK_SECTOR || sector_size > 4096 || sector_size % BLK_SECTOR)
    guest_fail("block device with sectors of %lu bytes", sector_size);
  device->sector_size = sector_size;
  device->sectors = sectors;
}

static void connect_noxs(struct blkfront *device) {
  volatile struct noxs_vbd *vbd = device->noxs.page;
  uint64_t deadline = clock_ns() + PATIENCE;
  device->handle = vbd->control.id;
  for (unsigned i = 0; i < sizeof XEN_IO_PROTO_ABI_X86_64; i++)
    vbd->protocol[i] = XEN_IO_PROTO_ABI_X86_64[i];
  vbd->frontend_features = NOXS_VBD_PERSISTENT;
  vbd->rings = 1;
  vbd->ring_order = 0;
  vbd->ring_port = device->port;
  vbd->ring_refs[0] = device->ring_ref;
  noxs_connect(&device->noxs);
  for (int state; (state = noxs_backend_state(&device->noxs)) != XenbusStateConnected;) {
    if (device->broken || clock_ns() > deadline)
      guest_fail("block device %u: its backend stays in state %d", device->handle, state);
    event_idle(deadline);
  }
  set_geometry(device, vbd->sectors, vbd->sector_size);
  device->read_only = vbd->mode == NOXS_VBD_READ_ONLY;
  uint8_t features = vbd->backend_features;
  device->flush = features & NOXS_VBD_FLUSH;
  device->discard = features & NOXS_VBD_DISCARD;
  device->indirect_max = vbd->max_indirect_segments;
}

static void connect_xenbus(struct blkfront *device) {
  const struct xenbus_device *bus = &device->xenbus;
  char text[24];
  uint64_t number;
  if (xenbus_text(bus, "virtual-device", text, sizeof text) && text_number(text, &number))
    device->handle = number;
  xenbus_await(bus, XenbusStateInitWait, XenbusStateConnected);
  xenbus_write_number(bus, "ring-ref", device->ring_ref);
  xenbus_write_number(bus, "event-channel", device->port);
  xenbus_write(bus, "protocol", XEN_IO_PROTO_ABI_X86_64);
  xenbus_write_number(bus, "feature-persistent", 1);
  xenbus_switch(bus, XenbusStateInitialised);
  xenbus_await(bus, XenbusStateConnected, XenbusStateConnected);
  set_geometry(device, xenbus_backend_number(bus, "sectors", 0), xenbus_backend_number(bus, "sector-size", BLK_SECTOR));
  device->read_only = xenbus_backend_number(bus, "info", 0) & VDISK_READONLY;
  device->flush = xenbus_backend_number(bus, "feature-flush-cache", 0);
  device->discard = xenbus_backend_number(bus, "feature-discard", 0);
  device->indirect_max = xenbus_backend_number(bus, "feature-max-indirect-segments", 0);
  xenbus_switch(bus, XenbusStateConnected);
}

static void attach(struct blkfront *device, unsigned n) {
  if (device->by_noxs) {
    noxs_attach(DEVICE_VBD, n, &device->noxs);
    device->backend = device->noxs.backend;
    event_handle(device->noxs.port, control_event);
  } else {
    xenbus_attach("vbd", n, &device->xenbus);
    device->backend = device->xenbus.backend;
  }
}

static void connect(struct blkfront *device) {
  blkfront_ring_init(device);
  open_port(device);
  if (device->by_noxs)
    connect_noxs(device);
  else
    connect_xenbus(device);
}

struct blkfront *blkfront_open(unsigned n) {
  struct blkfront *device = &devices[n];
  if (n >= BLKFRONTS)
    return NULL;
  device->by_noxs = noxs_count(DEVICE_VBD) > 0;
  if (n >= (device->by_noxs ? noxs_count(DEVICE_VBD) : xenbus_count("vbd")))
    return NULL;
  attach(device, n);
  device->ring.sring = pages_take(1);
  device->ring_ref = grant_begin(device->backend, device->ring.sring, false);
  connect(device);
  return device;
}

void blkfront_pages(struct blkfront *device, struct blk_page *pages, unsigned count) {
  uint8_t *memory = pages_take(count);
  for (unsigned i = 0; i < count; i++) {
    pages[i].data = memory + i * 4096;
    pages[i].ref = grant_begin(device->backend, pages[i].data, false);
  }
}

bool blkfront_large(struct blkfront *device) {
  if (device->indirect_max < BLK_LARGE_PAGES)
    return false;
  if (!device->indirect[0].data)
    blkfront_pages(device, device->indirect, device->slots);
  return true;
}

void blkfront_restore(struct blkfront *device) {
  device->broken = false;
  attach(device, device - devices);
  connect(device);
}
