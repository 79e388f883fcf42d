/*
 * Block frontend (Xen's public/io/blkif.h): one ring of one page. Data are in pages taken with blkfront_pages(), which stay
 * granted to the backend ("persistent grants": it may keep them mapped). If the backend restarts, it finishes what was under
 * way, and the ring just goes on.
 */
#ifndef GUEST_BLKFRONT_H
#define GUEST_BLKFRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "noxs.h"
#include "ring.h"
#include "xenbus.h"

#include <xen/io/blkif.h>

#define BLKFRONTS 4
#define BLK_SECTOR 512
#define BLK_PAGE_SECTORS 8
/* Pages of one request, and of one after blkfront_large(). */
#define BLK_PAGES BLKIF_MAX_SEGMENTS_PER_REQUEST
#define BLK_LARGE_PAGES 32
#define BLK_SLOTS 64

/* A page of data, and by which reference the backend has it. */
struct blk_page {
  uint8_t *data;
  grant_ref_t ref;
};

enum blk_operation {
  BLK_READ = BLKIF_OP_READ,
  BLK_WRITE = BLKIF_OP_WRITE,
  BLK_FLUSH = BLKIF_OP_FLUSH_DISKCACHE,
  BLK_DISCARD = BLKIF_OP_DISCARD,
};

struct blk_request {
  enum blk_operation operation;
  uint64_t sector; /* of 512 bytes, whatever the device's own sectors are */
  uint64_t sectors;
  const struct blk_page *pages; /* read, write: of the data, each full but the last */
  /* Called from blkfront_poll(); status is BLKIF_RSP_*. The request may be submitted again by it. */
  void (*done)(struct blk_request *request, int status);
  void *context, *user; /* the caller's */
  /* For blkfront_wait(). */
  bool finished;
  int status;
};

struct blkfront {
  struct blkif_front_ring ring;
  evtchn_port_t port;
  domid_t backend;
  uint64_t sectors; /* of 512 bytes */
  uint32_t sector_size; /* in which the device reads and writes, a multiple of 512 */
  bool read_only, flush, discard;
  bool broken; /* the backend's ring index was impossible, or it closed: the device is not used any more */
  uint64_t errors, events;

  bool by_noxs;
  struct noxs_device noxs;
  struct xenbus_device xenbus;
  uint16_t handle;
  grant_ref_t ring_ref;
  unsigned slots, free_count;
  struct blk_request *requests[BLK_SLOTS];
  uint8_t free[BLK_SLOTS];
  unsigned indirect_max;              /* segments that the backend takes in an indirect request */
  struct blk_page indirect[BLK_SLOTS]; /* for the segments of each slot's request; none before blkfront_large() */
};

/*
 * Opens the n-th block device, over NoXS where the domain has such devices, else over xenbus; null when there is none. Waits
 * until the backend is connected; guest_fail when that takes half a minute.
 */
struct blkfront *blkfront_open(unsigned n);
/* Has requests of up to BLK_LARGE_PAGES pages taken, each with a page for its segments; false when the backend takes none such. */
bool blkfront_large(struct blkfront *device);
/* Takes pages of RAM and grants them to the device's backend. */
void blkfront_pages(struct blkfront *device, struct blk_page *pages, unsigned count);
/*
 * Puts a request on the ring, which holds it until it is done; false when the ring is full. The range and what the device can
 * do are the caller's to check: the backend answers with an error. Only blkfront_flush tells the backend.
 */
bool blkfront_submit(struct blkfront *device, struct blk_request *request);
void blkfront_flush(struct blkfront *device);
/* Finishes requests; their number. */
unsigned blkfront_poll(struct blkfront *device);
/* To be called before sleeping: true when nothing has come, and an event will tell when something does. */
bool blkfront_may_sleep(struct blkfront *device);
/* Submits and waits; BLKIF_RSP_*. Other requests are finished meanwhile. */
int blkfront_wait(struct blkfront *device, struct blk_request *request);
/* Connects again after the domain was restored, and submits again what was under way. */
void blkfront_restore(struct blkfront *device);
/* For blkfront-connect.c: the ring with the requests under way in it, if any. */
void blkfront_ring_init(struct blkfront *device);

#endif
