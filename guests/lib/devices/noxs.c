/*
 * What the page says is checked before it is used: it is the hypervisor's, but its entries' numbers are the toolstack's.
 */
#include "noxs.h"

#include "../guest.h"
#include "grants.h"

#define OFFSET(structure, field, offset) _Static_assert(offsetof(struct structure, field) == (offset), #field)

OFFSET(devctl, page, 16);
_Static_assert(sizeof(struct devctl) == 664, "struct devctl");
_Static_assert(sizeof(struct noxs_entry) == 20, "struct noxs_entry");
_Static_assert(sizeof(struct noxs_page) == 648, "struct noxs_page");
_Static_assert(sizeof(struct noxs_control) == 20, "struct noxs_control");
OFFSET(noxs_sysctl, request, 21);
OFFSET(noxs_vif, backend_features, 24);
OFFSET(noxs_vif, tx_ring, 36);
OFFSET(noxs_vif, frontend_features, 56);
OFFSET(noxs_vif, mac, 68);
OFFSET(noxs_vif, address, 76);
_Static_assert(sizeof(struct noxs_vif) == 96, "struct noxs_vif");
OFFSET(noxs_vbd, backend_features, 22);
OFFSET(noxs_vbd, major, 24);
OFFSET(noxs_vbd, sectors, 48);
OFFSET(noxs_vbd, discard, 72);
OFFSET(noxs_vbd, protocol, 89);
OFFSET(noxs_vbd, max_rings, 156);
OFFSET(noxs_vbd, ring_port, 172);
OFFSET(noxs_vbd, ring_refs, 176);

/* How long a backend's domain may take to be there again, and how often it is looked for. */
#define PATIENCE (30 * SECOND)
#define RETRY (10 * MILLISECOND)

static const volatile struct noxs_page *devices;
static bool asked;

/* The device page, or null. */
static const volatile struct noxs_page *device_page(void) {
  if (!asked) {
    struct devctl get = {.version = DEVCTL_VERSION, .command = DEVCTL_GET, .domain = DOMID_SELF};
    asked = true;
    /* Another hypervisor has another call of this number, or none: each refuses this one. */
    if (hypercall(HYPERVISOR_devctl, (uint64_t)&get, 0, 0, 0, 0) == 0 && get.page && get.page < 1ull << 32)
      devices = (const volatile struct noxs_page *)get.page;
  }
  return devices;
}

void noxs_restore(void) {
  asked = false;
  devices = NULL;
}

/* Copies the n-th entry of a type; false when there are not so many. Counts them all into `total` unless it is null. */
static bool find(enum device_type type, unsigned n, struct noxs_entry *found, unsigned *total) {
  const volatile struct noxs_page *page = device_page();
  unsigned count = page ? page->count : 0, matching = 0;
  bool result = false;
  for (unsigned i = 0; i < count && i < NOXS_DEVICES; i++) {
    struct noxs_entry entry = {
        .type = page->entries[i].type,
        .id = page->entries[i].id,
        .backend = page->entries[i].backend,
        .grant = page->entries[i].grant,
        .port = page->entries[i].port,
    };
    if (entry.type != type)
      continue;
    if (matching++ == n) {
      *found = entry;
      result = true;
    }
  }
  if (total)
    *total = matching;
  return result;
}

unsigned noxs_count(enum device_type type) {
  struct noxs_entry entry;
  unsigned total;
  find(type, 0, &entry, &total);
  return total;
}

/* Maps the control page and binds the port; 0, or an error while the backend's domain is being restarted. */
static long take(const struct noxs_entry *entry, struct noxs_device *device) {
  device->backend = entry->backend;
  if (!device->page)
    device->page = grant_map(entry->backend, entry->grant);
  if (!device->page)
    return -XEN_EAGAIN;
  long port = event_bind_interdomain(entry->backend, entry->port);
  if (port > 0)
    device->port = port;
  return port > 0 ? 0 : port;
}

void noxs_attach(enum device_type type, unsigned n, struct noxs_device *device) {
  uint64_t deadline = clock_ns() + PATIENCE;
  device->page = NULL;
  for (;;) {
    struct noxs_entry entry;
    if (!find(type, n, &entry, NULL))
      guest_fail("no device %u of type %u", n, type);
    long error = take(&entry, device);
    if (!error)
      return;
    if (clock_ns() > deadline)
      guest_fail("device %u of type %u, grant %u and port %u of domain %u: error %ld", entry.id, type, entry.grant, entry.port,
                 entry.backend, error);
    event_idle(clock_ns() + RETRY);
  }
}

void noxs_connect(struct noxs_device *device) {
  volatile struct noxs_control *control = device->page;
  __atomic_store_n(&control->frontend_watch, NOXS_WATCH_REQUESTED, __ATOMIC_RELEASE);
  __atomic_store_n(&control->frontend_state, XenbusStateConnected, __ATOMIC_RELEASE);
  event_send(device->port);
}

int noxs_backend_state(const struct noxs_device *device) {
  const volatile struct noxs_control *control = device->page;
  return __atomic_load_n(&control->backend_state, __ATOMIC_ACQUIRE);
}

bool noxs_follow_close(struct noxs_device *device) {
  volatile struct noxs_control *control = device->page;
  int state = noxs_backend_state(device);
  if (state != XenbusStateClosing && state != XenbusStateClosed)
    return false;
  if (control->frontend_state != state) {
    __atomic_store_n(&control->frontend_state, state, __ATOMIC_RELEASE);
    event_send(device->port);
  }
  return true;
}
