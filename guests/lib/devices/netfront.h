/*
 * Network frontend (Xen's public/io/netif.h): one queue, one event channel for both rings. Frames are copied into and out of
 * pages that stay granted to the backend, so that no grant changes per frame and a page that the backend can still write is
 * never looked at twice. If the backend restarts, the rings just go on.
 */
#ifndef GUEST_NETFRONT_H
#define GUEST_NETFRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "noxs.h"
#include "ring.h"
#include "xenbus.h"

#include <xen/io/netif.h>

/* Pages of the largest frame: 64 KiB and its header, or as many slots as any backend takes. */
#define NETFRONT_PARTS XEN_NETIF_NR_SLOTS_MIN
#define NETFRONT_RING 256
#define NETFRONTS 2

struct netfront_part {
  const void *data;
  uint32_t length;
};

/* What is sent or was received: the parts in order. */
struct netfront_frame {
  struct netfront_part parts[NETFRONT_PARTS];
  unsigned count;
  uint32_t length; /* of all parts */
  /* The TCP or UDP checksum covers only the pseudo header: the data were never in danger, or a card fills it in. */
  bool blank;
  /* Received: somebody has checked it. Blank ones are checked, too. */
  bool checked;
  /* TCP over IPv4 to be cut into segments with so much data; 0: no such frame. */
  uint16_t gso_size;
};

struct netfront_config {
  unsigned rx_buffers, tx_buffers; /* pages for frames in each direction, at most NETFRONT_RING */
  bool large;                      /* frames of more than a page, if the backend can */
  /* Takes a frame; its parts are valid until the function returns. */
  void (*receive)(void *context, const struct netfront_frame *frame);
  void *context;
};

/* What happened; errors are frames that a side could not take. */
struct netfront_counters {
  uint64_t rx_frames, rx_bytes, rx_errors, tx_frames, tx_bytes, tx_errors, tx_full, events, notifications;
};

struct netfront {
  struct netfront_config config;
  struct netif_tx_front_ring tx;
  struct netif_rx_front_ring rx;
  evtchn_port_t port;
  domid_t backend;
  uint8_t mac[6];
  uint32_t address;      /* IPv4, network byte order; 0 when none was configured */
  bool checksum_offload; /* the backend takes blank checksums */
  bool large;            /* frames of several pages, with gso_size, may be sent and will come */
  bool broken;           /* the backend's ring index was impossible, or it closed: the device is not used any more */
  struct netfront_counters counters;

  bool by_noxs;
  struct noxs_device noxs;
  struct xenbus_device xenbus;
  grant_ref_t tx_ring_ref, rx_ring_ref;
  uint8_t *rx_pages, *tx_pages;
  grant_ref_t rx_refs[NETFRONT_RING], tx_refs[NETFRONT_RING];
  RING_IDX rx_looked; /* responses before this one were taken, or are part of a frame that is not whole yet */
  bool rx_posted[NETFRONT_RING], tx_sent[NETFRONT_RING];
  uint16_t rx_at[NETFRONT_RING];   /* number of the buffer posted at each place of the ring */
  uint16_t tx_free[NETFRONT_RING]; /* numbers of free buffers */
  unsigned tx_free_count;
  bool tx_starved; /* a frame could not be sent: somebody waits for buffers */
  bool tx_freed;   /* some have come, and whoever waits has not tried again */
};

/*
 * Opens the n-th network device, over NoXS where the domain has such devices, else over xenbus; null when there is none. Over
 * NoXS it returns without waiting for the backend; frames can be sent at once, and are taken once it is connected.
 */
struct netfront *netfront_open(unsigned n, const struct netfront_config *config);
/* Whether the backend has said that it is connected. */
bool netfront_connected(const struct netfront *device);
/* Takes what arrived, at most `budget` frames, and frees what was sent. Returns the number of frames. */
unsigned netfront_poll(struct netfront *device, unsigned budget);
/* Puts a frame on the ring; false when there is no room now (netfront_poll makes some). Only netfront_flush tells the backend. */
bool netfront_send(struct netfront *device, const struct netfront_frame *frame);
void netfront_flush(struct netfront *device);
/*
 * To be called before sleeping: true when there is nothing to do, and an event will come for the next frame, or for the next
 * free buffer if a frame could not be sent. False once when buffers have come since: the frame is to be sent again.
 */
bool netfront_may_sleep(struct netfront *device);
/* A MAC address of six numbers with two hexadecimal digits each and colons between them; false when the text is none. */
bool netfront_parse_mac(const char *text, uint8_t *mac);
/* For netfront-connect.c: the rings as they are before the first frame, with all receive buffers posted. */
void netfront_rings_init(struct netfront *device);
/* Connects again: after the domain was restored. Frames under way are lost. */
void netfront_restore(struct netfront *device);

#endif
