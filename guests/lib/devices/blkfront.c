/*
 * The ring. A response is copied, then checked: one for no request under way is counted and ignored.
 */
#include "blkfront.h"

#include "../guest.h"

#define PAGE 4096

static unsigned pages_of(const struct blk_request *request) {
  return (request->sectors + BLK_PAGE_SECTORS - 1) / BLK_PAGE_SECTORS;
}

static void put_segments(struct blkif_request_segment *to, const struct blk_request *from) {
  unsigned pages = pages_of(from);
  for (unsigned i = 0; i < pages; i++) {
    uint64_t left = from->sectors - i * BLK_PAGE_SECTORS;
    to[i].gref = from->pages[i].ref;
    to[i].first_sect = 0;
    to[i].last_sect = (left < BLK_PAGE_SECTORS ? left : BLK_PAGE_SECTORS) - 1;
  }
}

static void put_indirect(struct blkfront *device, unsigned id) {
  const struct blk_request *from = device->requests[id];
  blkif_request_indirect_t *to = (void *)RING_GET_REQUEST(&device->ring, device->ring.req_prod_pvt++);
  to->operation = BLKIF_OP_INDIRECT;
  to->indirect_op = from->operation;
  to->nr_segments = pages_of(from);
  to->id = id;
  to->sector_number = from->sector;
  to->handle = device->handle;
  to->indirect_grefs[0] = device->indirect[id].ref;
  put_segments((void *)device->indirect[id].data, from);
}

static bool has_data(const struct blk_request *request) {
  return request->operation == BLK_READ || request->operation == BLK_WRITE;
}

static void put(struct blkfront *device, unsigned id) {
  const struct blk_request *from = device->requests[id];
  if (has_data(from) && pages_of(from) > BLK_PAGES) {
    put_indirect(device, id);
    return;
  }
  blkif_request_t *to = RING_GET_REQUEST(&device->ring, device->ring.req_prod_pvt);
  to->operation = from->operation;
  to->handle = device->handle;
  to->id = id;
  to->sector_number = from->sector;
  to->nr_segments = 0;
  if (from->operation == BLK_DISCARD) {
    struct blkif_request_discard *discard = (void *)to;
    discard->flag = 0;
    discard->nr_sectors = from->sectors;
  } else if (has_data(from)) {
    put_segments(to->seg, from);
    to->nr_segments = pages_of(from);
  }
  device->ring.req_prod_pvt++;
}

void blkfront_ring_init(struct blkfront *device) {
  XEN_FRONT_RING_INIT(&device->ring, device->ring.sring, PAGE);
  device->slots = RING_SIZE(&device->ring);
  device->free_count = 0;
  for (unsigned id = 0; id < device->slots; id++) {
    if (device->requests[id])
      put(device, id);
    else
      device->free[device->free_count++] = id;
  }
  RING_PUSH_REQUESTS(&device->ring);
}

bool blkfront_submit(struct blkfront *device, struct blk_request *request) {
  unsigned most = device->indirect[0].data ? BLK_LARGE_PAGES : BLK_PAGES;
  if (has_data(request) && (request->sectors == 0 || request->sectors > most * BLK_PAGE_SECTORS))
    guest_fail("a block request of %lu sectors", request->sectors);
  if (device->broken || device->free_count == 0)
    return false;
  unsigned id = device->free[--device->free_count];
  device->requests[id] = request;
  put(device, id);
  return true;
}

void blkfront_flush(struct blkfront *device) {
  int wanted;
  if (device->broken || device->ring.req_prod_pvt == device->ring.sring->req_prod)
    return;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&device->ring, wanted);
  if (wanted)
    event_send(device->port);
}

unsigned blkfront_poll(struct blkfront *device) {
  unsigned finished = 0;
  if (device->broken)
    return 0;
  RING_IDX produced = ring_index(&device->ring.sring->rsp_prod);
  if (produced - device->ring.rsp_cons > device->ring.req_prod_pvt - device->ring.rsp_cons) {
    device->broken = true;
    return 0;
  }
  while (device->ring.rsp_cons != produced) {
    blkif_response_t response;
    RING_COPY_RESPONSE(&device->ring, device->ring.rsp_cons, &response);
    device->ring.rsp_cons++;
    struct blk_request *request = response.id < device->slots ? device->requests[response.id] : NULL;
    if (!request) {
      device->errors++;
      continue;
    }
    device->requests[response.id] = NULL;
    device->free[device->free_count++] = response.id;
    if (response.status != BLKIF_RSP_OKAY)
      device->errors++;
    finished++;
    request->done(request, response.status);
  }
  return finished;
}

bool blkfront_may_sleep(struct blkfront *device) {
  if (device->broken)
    return true;
  device->ring.sring->rsp_event = device->ring.rsp_cons + 1;
  xen_mb();
  return ring_index(&device->ring.sring->rsp_prod) == device->ring.rsp_cons;
}

/* Of blkfront_wait's request: whether it is done, and how. */
static void wake(struct blk_request *request, int status) {
  request->status = status;
  request->finished = true;
}

int blkfront_wait(struct blkfront *device, struct blk_request *request) {
  bool submitted = false;
  request->done = wake;
  request->finished = false;
  while (!request->finished) {
    if (device->broken)
      guest_fail("the block device is gone");
    submitted = submitted || blkfront_submit(device, request);
    blkfront_flush(device);
    if (blkfront_poll(device) == 0 && blkfront_may_sleep(device))
      event_idle(0);
  }
  return request->status;
}
