/*
 * The domain's xenstore: requests over its ring, one at a time, and the events of watches. Answers are byte strings; a
 * refused request gives the store's name of the error, such as "EACCES".
 */
#ifndef GUEST_XENSTORE_H
#define GUEST_XENSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "events.h"
#include "xen.h"

/* Finds the ring through HVM_PARAM_STORE_PFN and HVM_PARAM_STORE_EVTCHN; false when the domain has none. */
bool store_open(void);
/* A handler for the store's event channel: of answers, and of watches' events. */
void store_on_event(event_handler handler);
/* The ring page, for tests that spoil it. */
extern struct xenstore_domain_interface *store_ring;

/* What came back: error is null for success. The payload has a NUL byte behind it and is good until the next request. */
struct store_answer {
  const char *error;
  const char *payload;
  uint32_t length;
};

/* Makes a request and waits for its answer; guest_fail after some seconds without one. */
struct store_answer store_request(uint32_t type, uint32_t transaction, const void *payload, uint32_t length);
/* Puts bytes into the ring without waiting for anything but room, and notifies. */
void store_send(const void *bytes, uint32_t length);

/* Requests with one path, or path and value. In transaction 0: outside of any. Each returns null or the error's name. */
const char *store_write(uint32_t transaction, const char *path, const char *value);
const char *store_mkdir(uint32_t transaction, const char *path);
const char *store_remove(uint32_t transaction, const char *path);
/* The value, up to size - 1 bytes of it. */
const char *store_read(uint32_t transaction, const char *path, char *value, uint32_t size);
/* Permissions as text, such as "n1 r2": one blank between entries. */
const char *store_set_permissions(const char *path, const char *permissions);
const char *store_watch(const char *path, const char *token);
const char *store_unwatch(const char *path, const char *token);
const char *store_transaction_start(uint32_t *transaction);
const char *store_transaction_end(uint32_t transaction, bool commit);

/* Takes the next event of a watch, waiting up to a time for one; the path and token are good until the next call. */
bool store_event(uint64_t timeout_ns, const char **path, const char **token);
/* Whether the operator has asked the domain to shut down (control/shutdown); the request is taken. */
bool store_shutdown_asked(void);
/* Asks for a fresh connection (xs_wire.h, XENSTORE_RECONNECT) and waits for it; false when it does not come. */
bool store_reconnect(void);

#endif
