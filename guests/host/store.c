/*
 * A xenstore (public/io/xs_wire.h) for the one guest, in its ring page: reading, writing, directories, watches. Paths that do not
 * begin with a slash are the guest's.
 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 128
#define WATCHES 16
#define PATH 128
#define RING_AT 0xfeffc000ull

static struct {
  char path[PATH], value[PATH];
} nodes[NODES];
static unsigned node_count;
static struct {
  char path[PATH], token[PATH];
  void (*changed)(void); /* null: the guest's */
} watches[WATCHES];
static evtchn_port_t port;
static struct xenstore_domain_interface *ring;
static uint8_t input[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
static size_t filled;
/* Answers and events that did not fit into the ring. */
static uint8_t output[1 << 16];
static size_t waiting;

static const char *full(const char *path) {
  static char text[PATH * 2];
  snprintf(text, sizeof text, path[0] == '/' ? "%s" : "/local/domain/1/%s", path);
  return text;
}

static void send(uint32_t type, uint32_t id, uint32_t transaction, const void *bytes, uint32_t length) {
  struct xsd_sockmsg header = {.type = type, .req_id = id, .tx_id = transaction, .len = length};
  if (waiting + sizeof header + length > sizeof output)
    host_fail("the store's output is full");
  memcpy(output + waiting, &header, sizeof header);
  memcpy(output + waiting + sizeof header, bytes, length);
  waiting += sizeof header + length;
}

const char *hoststore_get(const char *path) {
  for (unsigned i = 0; i < node_count; i++)
    if (strcmp(nodes[i].path, full(path)) == 0)
      return nodes[i].value;
  return NULL;
}

static void changed(const char *path) {
  char text[PATH * 2 + 2];
  for (unsigned i = 0; i < WATCHES; i++) {
    if (!watches[i].path[0])
      continue;
    char watched[PATH];
    snprintf(watched, sizeof watched, "%s", full(watches[i].path));
    if (strncmp(watched, full(path), strlen(watched)) != 0)
      continue;
    if (watches[i].changed) {
      watches[i].changed();
      continue;
    }
    size_t length = snprintf(text, sizeof text, "%s", path) + 1;
    length += snprintf(text + length, sizeof text - length, "%s", watches[i].token) + 1;
    send(XS_WATCH_EVENT, 0, 0, text, length);
    host_notify(port);
  }
}

void hoststore_set(const char *path, const char *value) {
  unsigned i = 0;
  while (i < node_count && strcmp(nodes[i].path, full(path)) != 0)
    i++;
  if (i == node_count && ++node_count > NODES)
    host_fail("the store is full");
  snprintf(nodes[i].path, PATH, "%s", full(path));
  snprintf(nodes[i].value, PATH, "%s", value);
  changed(path);
}

void hoststore_set_number(const char *path, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lu", value);
  hoststore_set(path, text);
}

uint64_t hoststore_number(const char *path) {
  const char *text = hoststore_get(path);
  return text ? strtoul(text, NULL, 10) : 0;
}

static void watch(const char *path, const char *token, void (*function)(void)) {
  for (unsigned i = 0; i < WATCHES; i++)
    if (!watches[i].path[0]) {
      snprintf(watches[i].path, PATH, "%s", path);
      snprintf(watches[i].token, PATH, "%s", token);
      watches[i].changed = function;
      return;
    }
  host_fail("too many watches");
}

void hoststore_watch(const char *path, void (*function)(void)) { watch(path, "", function); }

/* Names below a path, each with its NUL byte; their length. */
static size_t list(const char *path, char *names, size_t size) {
  char folder[PATH];
  size_t length = 0;
  snprintf(folder, sizeof folder, "%s/", full(path));
  for (unsigned i = 0; i < node_count; i++) {
    if (strncmp(nodes[i].path, folder, strlen(folder)) != 0)
      continue;
    const char *name = nodes[i].path + strlen(folder);
    size_t end = strcspn(name, "/");
    bool known = false;
    for (size_t at = 0; at < length; at += strlen(names + at) + 1)
      known |= strlen(names + at) == end && memcmp(names + at, name, end) == 0;
    if (!known)
      length += snprintf(names + length, size - length, "%.*s", (int)end, name) + 1;
  }
  return length;
}

static void answer(const struct xsd_sockmsg *header, const char *payload) {
  char names[1024];
  const char *second = payload + strlen(payload) + 1, *value;
  switch (header->type) {
    case XS_READ:
      value = hoststore_get(payload);
      if (value)
        send(XS_READ, header->req_id, header->tx_id, value, strlen(value));
      else
        send(XS_ERROR, header->req_id, header->tx_id, "ENOENT", 7);
      return;
    case XS_DIRECTORY:
      send(XS_DIRECTORY, header->req_id, header->tx_id, names, list(payload, names, sizeof names));
      return;
    case XS_WRITE:
      send(XS_WRITE, header->req_id, header->tx_id, "OK", 3);
      hoststore_set(payload, second);
      return;
    case XS_WATCH:
      watch(payload, second, NULL);
      send(XS_WATCH, header->req_id, header->tx_id, "OK", 3);
      changed(payload);
      return;
    case XS_UNWATCH:
      for (unsigned i = 0; i < WATCHES; i++)
        if (strcmp(watches[i].path, payload) == 0 && !watches[i].changed)
          watches[i].path[0] = 0;
      send(XS_UNWATCH, header->req_id, header->tx_id, "OK", 3);
      return;
    default:
      host_fail("a request of type %u to the store", header->type);
  }
}

static void take_input(void) {
  while (ring->req_cons != ring->req_prod && filled < sizeof input)
    input[filled++] = ring->req[MASK_XENSTORE_IDX(ring->req_cons++)];
  struct xsd_sockmsg header;
  while (filled >= sizeof header) {
    memcpy(&header, input, sizeof header);
    if (header.len > XENSTORE_PAYLOAD_MAX)
      host_fail("a request of %u bytes to the store", header.len);
    size_t length = sizeof header + header.len;
    if (filled < length)
      return;
    char payload[XENSTORE_PAYLOAD_MAX + 1];
    memcpy(payload, input + sizeof header, header.len);
    payload[header.len] = 0;
    answer(&header, payload);
    memmove(input, input + length, filled - length);
    filled -= length;
  }
}

static bool work(void) {
  size_t done = 0;
  bool worked = ring->req_cons != ring->req_prod;
  take_input();
  while (done < waiting && ring->rsp_prod - ring->rsp_cons < sizeof ring->rsp)
    ring->rsp[MASK_XENSTORE_IDX(ring->rsp_prod++)] = output[done++];
  memmove(output, output + done, waiting - done);
  waiting -= done;
  if (worked || done > 0)
    host_notify(port);
  return worked || done > 0;
}

static void notified(void *context) { (void)context; }

uint64_t hoststore_frame(void) { return ring ? RING_AT >> 12 : 0; }

evtchn_port_t hoststore_port(void) {
  if (ring && !port) {
    port = event_alloc_unbound(DOMID_SELF, BACKEND);
    host_connect(port, notified, NULL);
  }
  return port;
}

void store_begin_host(void) {
  ring = (void *)RING_AT;
  host_add_work(work);
}
