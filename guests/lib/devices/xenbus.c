/*
 * Only one watch is registered at a time, on the backend's state.
 */
#include "xenbus.h"

#include "../guest.h"

#define PATIENCE (30 * SECOND)

static void join(char *path, const char *folder, const char *name) {
  if (text_length(folder) + 1 + text_length(name) >= XENBUS_PATH)
    guest_fail("too long a path: %s/%s", folder, name);
  format_text(path, XENBUS_PATH, "%s/%s", folder, name);
}

/*
 * The n-th name in a folder's listing, copied into `name`, which has XENBUS_PATH bytes; false when there are not so many.
 * Counts them all into `total` unless it is null.
 */
static bool child(const char *folder, unsigned n, char *name, unsigned *total) {
  unsigned count = 0;
  bool found = false;
  if (store_ring || store_open()) {
    struct store_answer answer = store_request(XS_DIRECTORY, 0, folder, text_length(folder) + 1);
    uint32_t length = answer.error ? 0 : answer.length;
    for (uint32_t at = 0; at < length; at += text_length(answer.payload + at) + 1)
      if (count++ == n) {
        format_text(name, XENBUS_PATH, "%s", answer.payload + at);
        found = true;
      }
  }
  if (total)
    *total = count;
  return found;
}

unsigned xenbus_count(const char *type) {
  char folder[XENBUS_PATH], name[XENBUS_PATH];
  unsigned total;
  join(folder, "device", type);
  child(folder, 0, name, &total);
  return total;
}

void xenbus_attach(const char *type, unsigned n, struct xenbus_device *device) {
  char folder[XENBUS_PATH], name[XENBUS_PATH], text[16];
  uint64_t number;
  join(folder, "device", type);
  if (!child(folder, n, name, NULL))
    guest_fail("no device %u in %s", n, folder);
  join(device->path, folder, name);
  if (!xenbus_text(device, "backend", device->backend_path, sizeof device->backend_path) ||
      !xenbus_text(device, "backend-id", text, sizeof text) || !text_number(text, &number))
    guest_fail("%s does not name its backend", device->path);
  device->backend = number;
}

bool xenbus_text(const struct xenbus_device *device, const char *name, char *text, uint32_t size) {
  char path[XENBUS_PATH];
  join(path, device->path, name);
  return store_read(0, path, text, size) == NULL;
}

bool xenbus_backend_text(const struct xenbus_device *device, const char *name, char *text, uint32_t size) {
  char path[XENBUS_PATH];
  join(path, device->backend_path, name);
  return store_read(0, path, text, size) == NULL;
}

uint64_t xenbus_backend_number(const struct xenbus_device *device, const char *name, uint64_t otherwise) {
  char text[24];
  uint64_t number;
  return xenbus_backend_text(device, name, text, sizeof text) && text_number(text, &number) ? number : otherwise;
}

void xenbus_write(const struct xenbus_device *device, const char *name, const char *text) {
  char path[XENBUS_PATH];
  join(path, device->path, name);
  const char *error = store_write(0, path, text);
  if (error)
    guest_fail("writing %s: %s", path, error);
}

void xenbus_write_number(const struct xenbus_device *device, const char *name, uint64_t number) {
  char text[24];
  format_text(text, sizeof text, "%lu", number);
  xenbus_write(device, name, text);
}

void xenbus_switch(const struct xenbus_device *device, enum xenbus_state state) {
  xenbus_write_number(device, "state", state);
}

enum xenbus_state xenbus_backend_state(const struct xenbus_device *device) {
  return xenbus_backend_number(device, "state", XenbusStateUnknown);
}

void xenbus_await(const struct xenbus_device *device, enum xenbus_state first, enum xenbus_state second) {
  char path[XENBUS_PATH];
  const char *event_path, *token;
  uint64_t deadline = clock_ns() + PATIENCE;
  join(path, device->backend_path, "state");
  const char *error = store_watch(path, "backend");
  if (error)
    guest_fail("watching %s: %s", path, error);
  for (;;) {
    enum xenbus_state state = xenbus_backend_state(device);
    if (state == first || state == second)
      break;
    if (state == XenbusStateClosing || state == XenbusStateClosed)
      guest_fail("%s: the backend closed", device->path);
    uint64_t now = clock_ns();
    if (now >= deadline)
      guest_fail("%s: the backend stays in state %u", device->path, state);
    store_event(deadline - now, &event_path, &token);
  }
  store_unwatch(path, "backend");
}
