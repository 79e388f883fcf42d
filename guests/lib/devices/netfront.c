/*
 * The rings. What a backend writes is copied before it is checked, and checked before it is used: a response with a wrong
 * number or range costs its frame, an impossible index ends the use of the device.
 */
#include "netfront.h"

#include "../bytes.h"
#include "../events.h"

#define PAGE 4096

static bool in_page(uint32_t offset, uint32_t length) { return offset <= PAGE && length <= PAGE - offset; }

static void post(struct netfront *device, unsigned id) {
  netif_rx_request_t *request = RING_GET_REQUEST(&device->rx, device->rx.req_prod_pvt);
  request->id = id;
  request->gref = device->rx_refs[id];
  device->rx_at[device->rx.req_prod_pvt % NETFRONT_RING] = id;
  device->rx_posted[id] = true;
  device->rx.req_prod_pvt++;
}

/* Both rings as they are before the first frame. */
void netfront_rings_init(struct netfront *device) {
  XEN_FRONT_RING_INIT(&device->tx, device->tx.sring, PAGE);
  XEN_FRONT_RING_INIT(&device->rx, device->rx.sring, PAGE);
  device->tx_free_count = device->config.tx_buffers;
  for (unsigned id = 0; id < device->config.tx_buffers; id++) {
    device->tx_free[id] = id;
    device->tx_sent[id] = false;
  }
  for (unsigned id = 0; id < device->config.rx_buffers; id++)
    post(device, id);
  RING_PUSH_REQUESTS(&device->rx);
  device->tx_starved = false;
  device->tx_freed = false;
  device->rx_looked = 0;
  /* No event for what was sent before somebody waits for it. */
  device->tx.sring->rsp_event = NETFRONT_RING;
}

static void notify(struct netfront *device) {
  device->counters.notifications++;
  event_send(device->port);
}

/* --- Sending ------------------------------------------------------------------------------------------------------- */

/* Frees the buffers of frames that the backend has taken. */
static void reclaim(struct netfront *device) {
  RING_IDX produced = ring_index(&device->tx.sring->rsp_prod);
  if (produced - device->tx.rsp_cons > device->tx.req_prod_pvt - device->tx.rsp_cons) {
    device->broken = true;
    return;
  }
  if (device->tx_starved && produced != device->tx.rsp_cons) {
    /* Perhaps all of them: no event may come any more for whoever waits. */
    device->tx_starved = false;
    device->tx_freed = true;
  }
  for (; device->tx.rsp_cons != produced; device->tx.rsp_cons++) {
    netif_tx_response_t response;
    RING_COPY_RESPONSE(&device->tx, device->tx.rsp_cons, &response);
    if (response.status == NETIF_RSP_NULL)
      continue; /* the slot was an extra one */
    if (response.id >= device->config.tx_buffers || !device->tx_sent[response.id]) {
      device->counters.tx_errors++;
      continue;
    }
    if (response.status != NETIF_RSP_OKAY)
      device->counters.tx_errors++;
    device->tx_sent[response.id] = false;
    device->tx_free[device->tx_free_count++] = response.id;
  }
  device->tx.sring->rsp_event = device->tx.rsp_cons + (device->tx_starved ? 1 : NETFRONT_RING);
}

/* Fills a page with the frame's next bytes. */
static uint32_t fill(uint8_t *page, const struct netfront_frame *frame, unsigned *part, uint32_t *offset) {
  uint32_t filled = 0;
  while (filled < PAGE && *part < frame->count) {
    uint32_t left = frame->parts[*part].length - *offset;
    uint32_t length = left < PAGE - filled ? left : PAGE - filled;
    memcpy(page + filled, (const uint8_t *)frame->parts[*part].data + *offset, length);
    filled += length;
    *offset += length;
    if (length == left) {
      ++*part;
      *offset = 0;
    }
  }
  return filled;
}

static void put_gso(struct netfront *device, uint16_t size) {
  struct netif_extra_info *extra = (void *)RING_GET_REQUEST(&device->tx, device->tx.req_prod_pvt++);
  extra->type = XEN_NETIF_EXTRA_TYPE_GSO;
  extra->flags = 0;
  extra->u.gso.size = size;
  extra->u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
  extra->u.gso.pad = 0;
  extra->u.gso.features = 0;
}

bool netfront_send(struct netfront *device, const struct netfront_frame *frame) {
  unsigned pages = (frame->length + PAGE - 1) / PAGE, slots = pages + (frame->gso_size ? 1 : 0);
  if (device->broken || pages == 0 || frame->length > XEN_NETIF_MAX_TX_SIZE ||
      ((pages > 1 || frame->gso_size) && !device->large) || pages > NETFRONT_PARTS || pages > device->config.tx_buffers) {
    device->counters.tx_errors++;
    return true; /* no use in trying again */
  }
  if (device->tx_free_count < pages || RING_FREE_REQUESTS(&device->tx) < slots)
    reclaim(device);
  if (device->tx_free_count < pages || RING_FREE_REQUESTS(&device->tx) < slots) {
    device->counters.tx_full++;
    device->tx_starved = true;
    device->tx_freed = false;
    return false;
  }
  unsigned part = 0;
  uint32_t offset = 0;
  for (unsigned i = 0; i < pages; i++) {
    unsigned id = device->tx_free[--device->tx_free_count];
    uint32_t filled = fill(device->tx_pages + id * PAGE, frame, &part, &offset);
    netif_tx_request_t *request = RING_GET_REQUEST(&device->tx, device->tx.req_prod_pvt++);
    request->gref = device->tx_refs[id];
    request->offset = 0;
    request->id = id;
    request->flags = i + 1 < pages ? NETTXF_more_data : 0;
    /* The first slot has the whole length, the others their own. */
    request->size = i == 0 ? frame->length : filled;
    if (i == 0 && frame->blank)
      request->flags |= NETTXF_csum_blank | NETTXF_data_validated;
    device->tx_sent[id] = true;
    if (i == 0 && frame->gso_size) {
      request->flags |= NETTXF_extra_info;
      put_gso(device, frame->gso_size);
    }
  }
  device->tx_starved = false;
  device->tx_freed = false;
  device->counters.tx_frames++;
  device->counters.tx_bytes += frame->length;
  return true;
}

void netfront_flush(struct netfront *device) {
  int wanted;
  if (device->broken || device->tx.req_prod_pvt == device->tx.sring->req_prod)
    return;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&device->tx, wanted);
  if (wanted)
    notify(device);
}

/* --- Receiving ----------------------------------------------------------------------------------------------------- */

/* A frame's slots: where they begin, how many, and the buffers in them. */
struct chain {
  RING_IDX next;
  unsigned count;
  uint16_t ids[NETFRONT_PARTS + XEN_NETIF_EXTRA_TYPE_MAX];
  bool bad;
};

/* Takes a buffer out of the backend's hands; false when the backend does not have it. */
static bool take(struct netfront *device, struct chain *chain, unsigned id) {
  if (id >= device->config.rx_buffers || !device->rx_posted[id] ||
      chain->count == sizeof chain->ids / sizeof chain->ids[0]) {
    chain->bad = true;
    return false;
  }
  device->rx_posted[id] = false;
  chain->ids[chain->count++] = id;
  return true;
}

static void add_part(struct netfront *device, struct chain *chain, struct netfront_frame *frame,
                     const netif_rx_response_t *response) {
  if (!take(device, chain, response->id))
    return;
  if (response->status < 0 || !in_page(response->offset, response->status) || frame->count == NETFRONT_PARTS) {
    chain->bad = true;
    return;
  }
  frame->parts[frame->count++] = (struct netfront_part){
      .data = device->rx_pages + response->id * PAGE + response->offset,
      .length = response->status,
  };
  frame->length += response->status;
}

static struct netif_extra_info extra_slot(struct netfront *device, RING_IDX at) {
  struct netif_extra_info extra;
  _Static_assert(sizeof extra <= sizeof(netif_rx_response_t), "an extra slot");
  memcpy(&extra, RING_GET_RESPONSE(&device->rx, at), sizeof extra);
  return extra;
}

/* An extra slot has the place of a response whose buffer stays unused. */
static bool add_extra(struct netfront *device, struct chain *chain, struct netfront_frame *frame) {
  struct netif_extra_info extra = extra_slot(device, chain->next);
  take(device, chain, device->rx_at[chain->next % NETFRONT_RING]);
  if (extra.type == XEN_NETIF_EXTRA_TYPE_GSO && extra.u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4)
    frame->gso_size = extra.u.gso.size;
  chain->next++;
  return extra.flags & XEN_NETIF_EXTRA_FLAG_MORE;
}

/* Whether all slots of the frame that begins at `at` are there. */
static bool whole(struct netfront *device, RING_IDX at, RING_IDX produced) {
  bool extra = false, more = true, first = true;
  for (; more || extra; at++) {
    if (at == produced)
      return false;
    netif_rx_response_t response;
    if (extra) {
      extra = extra_slot(device, at).flags & XEN_NETIF_EXTRA_FLAG_MORE;
      continue;
    }
    RING_COPY_RESPONSE(&device->rx, at, &response);
    more = response.flags & NETRXF_more_data;
    extra = first && response.flags & NETRXF_extra_info;
    first = false;
  }
  return true;
}

/* Takes the frame at the ring's front, of which some slot may have changed since whole() looked: it is bounded by `produced`. */
static void take_chain(struct netfront *device, RING_IDX produced, struct chain *chain, struct netfront_frame *frame) {
  netif_rx_response_t response;
  bool first = true, more;
  do {
    RING_COPY_RESPONSE(&device->rx, chain->next, &response);
    chain->next++;
    add_part(device, chain, frame, &response);
    more = response.flags & NETRXF_more_data;
    if (first) {
      frame->blank = response.flags & NETRXF_csum_blank;
      frame->checked = response.flags & (NETRXF_csum_blank | NETRXF_data_validated);
      bool extra = response.flags & NETRXF_extra_info;
      while (extra && chain->next != produced)
        extra = add_extra(device, chain, frame);
      first = false;
    }
  } while (more && chain->next != produced);
  if (more)
    chain->bad = true;
}

/* Takes one frame; false when there is no whole one. */
static bool receive(struct netfront *device, RING_IDX produced) {
  struct chain chain = {.next = device->rx.rsp_cons};
  struct netfront_frame frame = {.count = 0};
  if (chain.next == produced || !whole(device, chain.next, produced))
    return false;
  take_chain(device, produced, &chain, &frame);
  device->rx.rsp_cons = chain.next;
  if (chain.bad || frame.length == 0) {
    device->counters.rx_errors++;
  } else {
    device->counters.rx_frames++;
    device->counters.rx_bytes += frame.length;
    device->config.receive(device->config.context, &frame);
  }
  for (unsigned i = 0; i < chain.count; i++)
    post(device, chain.ids[i]);
  return true;
}

unsigned netfront_poll(struct netfront *device, unsigned budget) {
  unsigned frames = 0;
  if (device->broken)
    return 0;
  if (device->tx_free_count < device->config.tx_buffers)
    reclaim(device);
  RING_IDX produced = ring_index(&device->rx.sring->rsp_prod);
  if (produced - device->rx.rsp_cons > device->rx.req_prod_pvt - device->rx.rsp_cons)
    device->broken = true;
  bool more = true;
  while (!device->broken && frames < budget && (more = receive(device, produced)))
    frames++;
  /* What is left is part of a frame, or for the next call. */
  device->rx_looked = more ? device->rx.rsp_cons : produced;
  if (!more && produced - device->rx.rsp_cons == RING_SIZE(&device->rx))
    device->broken = true; /* a frame without an end */
  if (device->rx.req_prod_pvt != device->rx.sring->req_prod) {
    int wanted;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&device->rx, wanted);
    if (wanted)
      notify(device);
  }
  return frames;
}

bool netfront_may_sleep(struct netfront *device) {
  if (device->broken)
    return true;
  if (device->tx_freed) {
    device->tx_freed = false;
    return false;
  }
  device->rx.sring->rsp_event = device->rx_looked + 1;
  device->tx.sring->rsp_event = device->tx.rsp_cons + (device->tx_starved ? 1 : NETFRONT_RING);
  xen_mb();
  return ring_index(&device->rx.sring->rsp_prod) == device->rx_looked &&
         !(device->tx_starved && ring_index(&device->tx.sring->rsp_prod) != device->tx.rsp_cons);
}
