/*
 * A block backend over a file. Requests are taken from the ring at one turn and done at a later one, in an order that is not
 * theirs; a restart forgets which were taken, and begins again with those that were not answered.
 */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xen/io/blkif.h>
#include <xen/io/protocols.h>

#define SLOTS 32
#define SECTOR 512
#define INDIRECT_MAX 32

static struct {
  volatile struct noxs_vbd *page;
  evtchn_port_t offered, port;
  int file;
  uint64_t sectors;
  bool read_only, by_store, connected;
  blkif_back_ring_t ring;
  blkif_request_t taken[SLOTS];
  unsigned taken_count;
  uint64_t random;
  grant_ref_t ref;
  unsigned turns;
} blk;

static void ring_event(void *context) { (void)context; }

static void attach(grant_ref_t ref, evtchn_port_t port) {
  struct blkif_sring *ring = host_grant(ref, true);
  BACK_RING_ATTACH(&blk.ring, ring, ring->rsp_prod, 4096);
  blk.ref = ref;
  blk.port = port;
  blk.taken_count = 0;
  host_connect(port, ring_event, NULL);
  blk.connected = true;
}

static void control_event(void *context) {
  (void)context;
  if (blk.page->control.frontend_state != XenbusStateConnected)
    return;
  if (strcmp((const char *)blk.page->protocol, XEN_IO_PROTO_ABI_X86_64) != 0 || blk.page->rings != 1 ||
      blk.page->ring_order != 0)
    host_fail("the vbd's control page: protocol %s, %d rings", (const char *)blk.page->protocol, blk.page->rings);
  attach(blk.page->ring_refs[0], blk.page->ring_port);
  blk.page->control.backend_state = XenbusStateConnected;
  blk.page->control.frontend_watch = NOXS_WATCH_UPDATED;
  host_notify_offered(blk.offered);
}

#define BACK "/local/domain/0/backend/vbd/1/51712/"

static void store_changed(void) {
  uint64_t state = hoststore_number("device/vbd/51712/state");
  if (blk.connected || (state != XenbusStateInitialised && state != XenbusStateConnected))
    return;
  attach(hoststore_number("device/vbd/51712/ring-ref"), hoststore_number("device/vbd/51712/event-channel"));
  hoststore_set_number(BACK "sectors", blk.sectors);
  hoststore_set_number(BACK "sector-size", SECTOR);
  hoststore_set_number(BACK "info", blk.read_only ? VDISK_READONLY : 0);
  hoststore_set_number(BACK "feature-flush-cache", 1);
  hoststore_set_number(BACK "feature-discard", 1);
  hoststore_set_number(BACK "feature-max-indirect-segments", INDIRECT_MAX);
  hoststore_set_number(BACK "state", XenbusStateConnected);
}

/* One request's work; BLKIF_RSP_*. */
static int serve(const blkif_request_t *request) {
  const struct blkif_request_discard *discard = (const void *)request;
  uint64_t at = request->sector_number;
  if (request->operation == BLKIF_OP_FLUSH_DISKCACHE)
    return BLKIF_RSP_OKAY;
  if (request->operation != BLKIF_OP_READ && request->operation != BLKIF_OP_INDIRECT && blk.read_only)
    return BLKIF_RSP_ERROR;
  if (request->operation == BLKIF_OP_DISCARD) {
    if (at > blk.sectors || discard->nr_sectors > blk.sectors - at)
      return BLKIF_RSP_ERROR;
    static const uint8_t anything[SECTOR] = "discarded";
    for (uint64_t i = 0; i < discard->nr_sectors; i++)
      if (pwrite(blk.file, anything, SECTOR, (at + i) * SECTOR) != SECTOR)
        return BLKIF_RSP_ERROR;
    return BLKIF_RSP_OKAY;
  }
  unsigned operation = request->operation, count = request->nr_segments, most = BLKIF_MAX_SEGMENTS_PER_REQUEST;
  const struct blkif_request_segment *segments = request->seg;
  if (operation == BLKIF_OP_INDIRECT) {
    const blkif_request_indirect_t *indirect = (const void *)request;
    operation = indirect->indirect_op;
    count = indirect->nr_segments;
    most = INDIRECT_MAX;
    at = indirect->sector_number;
    segments = host_grant(indirect->indirect_grefs[0], false);
  }
  if ((operation != BLKIF_OP_READ && operation != BLKIF_OP_WRITE) || count == 0 || count > most)
    host_fail("block operation %u with %u segments", operation, count);
  if (operation == BLKIF_OP_WRITE && blk.read_only)
    return BLKIF_RSP_ERROR;
  for (unsigned i = 0; i < count; i++) {
    const struct blkif_request_segment *segment = &segments[i];
    if (segment->last_sect > 7 || segment->first_sect > segment->last_sect)
      host_fail("sectors %u to %u of a page", segment->first_sect, segment->last_sect);
    unsigned sectors = segment->last_sect - segment->first_sect + 1;
    if (at > blk.sectors || sectors > blk.sectors - at)
      return BLKIF_RSP_ERROR;
    uint8_t *bytes = (uint8_t *)host_grant(segment->gref, operation == BLKIF_OP_READ) + segment->first_sect * SECTOR;
    ssize_t wanted = sectors * SECTOR, got = operation == BLKIF_OP_READ
                                                 ? pread(blk.file, bytes, wanted, at * SECTOR)
                                                 : pwrite(blk.file, bytes, wanted, at * SECTOR);
    if (got != wanted)
      return BLKIF_RSP_ERROR;
    at += sectors;
  }
  return BLKIF_RSP_OKAY;
}

static bool work(void) {
  if (!blk.connected)
    return false;
  bool worked = blk.taken_count > 0;
  /* Everything not answered is still in the ring: no response has taken its place. */
  if (worked && host_restart_every && ++blk.turns % host_restart_every == 0) {
    attach(blk.ref, blk.port);
    host_restarts++;
  }
  /* A flush is answered after what was taken before it. */
  while (blk.taken_count > 0) {
    unsigned pick = 0;
    blk.random = blk.random * 6364136223846793005 + 1442695040888963407;
    if (blk.taken[0].operation != BLKIF_OP_FLUSH_DISKCACHE)
      for (pick = (blk.random >> 33) % blk.taken_count; blk.taken[pick].operation == BLKIF_OP_FLUSH_DISKCACHE;)
        pick = 0;
    blkif_request_t request = blk.taken[pick];
    memmove(&blk.taken[pick], &blk.taken[pick + 1], (--blk.taken_count - pick) * sizeof request);
    *RING_GET_RESPONSE(&blk.ring, blk.ring.rsp_prod_pvt) =
        (blkif_response_t){.id = request.id, .operation = request.operation, .status = serve(&request)};
    blk.ring.rsp_prod_pvt++;
  }
  int wanted;
  RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&blk.ring, wanted);
  if (wanted)
    host_notify(blk.port);
  int more;
  do {
    while (RING_HAS_UNCONSUMED_REQUESTS(&blk.ring)) {
      RING_COPY_REQUEST(&blk.ring, blk.ring.req_cons, &blk.taken[blk.taken_count]);
      blk.taken_count++;
      blk.ring.req_cons++;
      worked = true;
    }
    RING_FINAL_CHECK_FOR_REQUESTS(&blk.ring, more);
  } while (more);
  return worked;
}

void blkback_forget(void) {
  blk.connected = false;
  if (blk.page)
    blk.page->control.backend_state = XenbusStateInitWait;
}

void blkback_begin(unsigned page, const char *file, bool read_only, bool by_store) {
  struct stat status;
  blk.file = open(file, read_only ? O_RDONLY : O_RDWR);
  if (blk.file < 0 || fstat(blk.file, &status))
    host_fail("%s: %s", file, strerror(errno));
  blk.sectors = status.st_size / SECTOR;
  blk.read_only = read_only;
  blk.by_store = by_store;
  blk.random = 1;
  host_add_work(work);
  if (by_store) {
    hoststore_set("device/vbd/51712/backend", "/local/domain/0/backend/vbd/1/51712");
    hoststore_set_number("device/vbd/51712/backend-id", BACKEND);
    hoststore_set_number("device/vbd/51712/virtual-device", 51712);
    hoststore_set_number("device/vbd/51712/state", XenbusStateInitialising);
    hoststore_set_number(BACK "state", XenbusStateInitWait);
    hoststore_watch("device/vbd/51712/state", store_changed);
    return;
  }
  blk.page = host_page(page);
  blk.page->control.id = 51712;
  blk.page->control.backend_state = XenbusStateInitWait;
  blk.page->backend_features = NOXS_VBD_PERSISTENT | NOXS_VBD_FLUSH | NOXS_VBD_DISCARD;
  blk.page->max_indirect_segments = INDIRECT_MAX;
  blk.page->mode = read_only ? NOXS_VBD_READ_ONLY : NOXS_VBD_READ_WRITE;
  blk.page->sectors = blk.sectors;
  blk.page->sector_size = SECTOR;
  blk.offered = host_offer(control_event, NULL);
  host_add_device(DEVICE_VBD, 51712, page, blk.offered);
}
