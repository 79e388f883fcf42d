/*
 * A guest as a process of the developer's computer: what stands in for the hypervisor and for the backends. For tests.
 */
#ifndef HOST_H
#define HOST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/devices/grants.h"
#include "../lib/devices/noxs.h"
#include "../lib/devices/ring.h"
#include "../lib/events.h"
#include "../lib/xen.h"

/* The domain of the backends. */
#define BACKEND 0x7fef

/* Messages on standard input and output: this header, then `length` bytes. */
struct message {
  uint32_t length;
  uint8_t kind, flags;
  uint16_t size;
};

enum message_kind {
  MESSAGE_FRAME = 1,       /* both ways; flags: NETTXF_* or NETRXF_*; size: of a GSO segment */
  MESSAGE_SYSCTL = 4,    /* flags: bits of the NoXS request */
  MESSAGE_CLOSE_NET = 5, /* the network backend closes its device */
  MESSAGE_LIE = 6,       /* flags: which wrong thing the network backend writes into its ring */
};

enum lie {
  LIE_ID = 1,        /* a response for a buffer that does not exist */
  LIE_RANGE = 2,     /* bytes behind the end of the page */
  LIE_STATUS = 3,    /* an error */
  LIE_TWICE = 4,     /* the same buffer in two responses */
  LIE_CHAIN = 5,     /* a frame of more slots than there may be */
  LIE_INDEX = 6,     /* an index that cannot be */
  LIE_EXTRA = 7,     /* an extra slot that nobody asked for */
  LIE_TX_ID = 8,     /* an answer for a frame that was not sent */
};

/* Ends the process: the guest did what it must not do. Status 4. */
void host_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* xen.c: pages that backends share with the guest, by the number that is the grant's; their side of it. */
#define HOST_PAGES 16
#define HOST_GRANT 100 /* reference of page 0 */
void host_begin(void);
void *host_page(unsigned page);
/* A page that the guest granted to the backends; fails the run when it did not. */
void *host_grant(grant_ref_t ref, bool write);
/* Fills in an entry of the device page; the control page's number and the port of its channel. */
void host_add_device(enum device_type type, uint32_t id, unsigned page, evtchn_port_t port);
/* The guest was suspended and is another domain now: its grant table and mappings are gone, and its backends wait for it. */
void host_new_domain(void);

/* events.c */
/* A port of the guest's whose events call `notified` with `context`; -1 when there is none. */
void host_connect(evtchn_port_t port, void (*notified)(void *context), void *context);
/* A port of a backend's, to be bound by the guest: `notified` is called for what it sends then. */
evtchn_port_t host_offer(void (*notified)(void *context), void *context);
/* Sends an event to the guest: on a port of its own, or on the one that it bound to an offered one. */
void host_notify(evtchn_port_t port);
void host_notify_offered(evtchn_port_t offered);
/* Called when the guest sleeps: does a backend's work; true when there was some. */
void host_add_work(bool (*work)(void));

/* messages.c */
void host_send(const struct message *header, const void *bytes);
/* Waits at most so long for a message, and passes it on; false when there was none. Ends the process at the end of input. */
bool host_receive(int timeout_ms);

/*
 * Backends. `by_store`: over xenbus. Every host_restart_every turns (0: never) each forgets all that it knows, and begins again from
 * what it was connected with.
 */
extern unsigned host_restart_every, host_restarts;
/* The network backend works while the guest notifies it, as one does that has the CPU in that moment. */
extern bool host_answers_at_once;
void netback_begin(unsigned page, bool by_store);
void netback_message(const struct message *header, const uint8_t *bytes);
void netback_forget(void);
void blkback_forget(void);
void blkback_begin(unsigned page, const char *file, bool read_only, bool by_store);
void sysctlback_begin(unsigned page);
void sysctlback_request(uint8_t bits);

/* store.c: a xenstore in the guest's ring page. */
void store_begin_host(void);
const char *hoststore_get(const char *path);
void hoststore_set(const char *path, const char *value);
void hoststore_set_number(const char *path, uint64_t value);
uint64_t hoststore_number(const char *path);
/* Calls a function when a node below a path changed. */
void hoststore_watch(const char *path, void (*changed)(void));
/* Page and port of the ring, for HVM parameters. */
uint64_t hoststore_frame(void);
evtchn_port_t hoststore_port(void);

#endif
