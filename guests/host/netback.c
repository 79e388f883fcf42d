/*
 * A network backend: what the guest sends goes to standard output, what comes by standard input to the guest. Frames that it has
 * taken from the ring are answered only at its next turn, so that a restart finds some that were not; with host_answers_at_once before
 * the guest's notification returns.
 */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include <xen/io/netif.h>

#define QUEUE 2048
#define HELD 64
#define FRAME 65536
#define PAGE 4096

static struct {
  volatile struct noxs_vif *page;
  evtchn_port_t offered, port;
  bool by_store, connected, notified;
  netif_tx_back_ring_t tx;
  netif_rx_back_ring_t rx;
  /* Taken from the ring, to be answered. */
  netif_tx_response_t held[HELD * 4];
  unsigned held_count;
  enum lie lie;
  grant_ref_t tx_ref, rx_ref;
  unsigned turns;
} net;

/* Frames that wait for receive buffers. */
static struct {
  struct message header;
  uint8_t *bytes;
} queue[QUEUE];
static unsigned queue_first, queue_count;

static bool work(void);

static void ring_event(void *context) {
  (void)context;
  net.notified = true;
  if (host_answers_at_once)
    while (work())
      ;
}

static void attach(grant_ref_t tx, grant_ref_t rx, evtchn_port_t port) {
  struct netif_tx_sring *tx_ring = host_grant(tx, true);
  struct netif_rx_sring *rx_ring = host_grant(rx, true);
  /* What was answered is done; what was not is taken again. */
  BACK_RING_ATTACH(&net.tx, tx_ring, tx_ring->rsp_prod, PAGE);
  BACK_RING_ATTACH(&net.rx, rx_ring, rx_ring->rsp_prod, PAGE);
  net.tx_ref = tx;
  net.rx_ref = rx;
  net.port = port;
  net.held_count = 0;
  host_connect(port, ring_event, NULL);
  net.connected = net.notified = true;
}

static void connect_noxs(void) {
  if (net.page->queues != 1 || net.page->request_rx_copy != 1 || net.page->tx_port != net.page->rx_port)
    host_fail("the vif's control page: %d queues, request_rx_copy %u", net.page->queues, net.page->request_rx_copy);
  attach(net.page->tx_ring, net.page->rx_ring, net.page->tx_port);
  net.page->control.backend_state = XenbusStateConnected;
  if (net.page->control.frontend_watch != NOXS_WATCH_REQUESTED)
    host_fail("the frontend asks for no news");
  net.page->control.frontend_watch = NOXS_WATCH_UPDATED;
  host_notify_offered(net.offered);
}

static void control_event(void *context) {
  (void)context;
  if (net.page->control.frontend_state == XenbusStateConnected && net.page->control.backend_state != XenbusStateClosing)
    connect_noxs();
}

static void store_changed(void) {
  if (net.connected || hoststore_number("device/vif/0/state") != XenbusStateConnected)
    return;
  if (hoststore_number("device/vif/0/request-rx-copy") != 1)
    host_fail("the frontend does not take copies");
  attach(hoststore_number("device/vif/0/tx-ring-ref"), hoststore_number("device/vif/0/rx-ring-ref"),
         hoststore_number("device/vif/0/event-channel"));
  hoststore_set_number("/local/domain/0/backend/vif/1/0/state", XenbusStateConnected);
}

static void push_rx(void) {
  int wanted;
  RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&net.rx, wanted);
  if (wanted)
    host_notify(net.port);
}

static void respond_rx(unsigned id, unsigned offset, unsigned flags, int status) {
  *RING_GET_RESPONSE(&net.rx, net.rx.rsp_prod_pvt) =
      (netif_rx_response_t){.id = id, .offset = offset, .flags = flags, .status = status};
  net.rx.rsp_prod_pvt++;
}

static void put_extra(unsigned gso) {
  struct netif_extra_info *extra = (void *)RING_GET_RESPONSE(&net.rx, net.rx.rsp_prod_pvt++);
  *extra = (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_GSO};
  extra->u.gso.size = gso;
  extra->u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
}

/* Tells a lie in place of a frame. */
static void tell_lie(void) {
  netif_rx_request_t request;
  RING_COPY_REQUEST(&net.rx, net.rx.req_cons, &request);
  net.rx.req_cons++;
  switch (net.lie) {
    case LIE_ID:
      respond_rx(60000, 0, 0, 60);
      break;
    case LIE_RANGE:
      respond_rx(request.id, 4090, 0, 60);
      break;
    case LIE_STATUS:
      respond_rx(request.id, 0, 0, -1);
      break;
    case LIE_TWICE:
      respond_rx(request.id, 0, NETRXF_more_data, 60);
      net.rx.req_cons++;
      respond_rx(request.id, 0, 0, 60);
      break;
    case LIE_CHAIN:
      for (unsigned i = 0; i < 24; i++) {
        respond_rx(request.id, 0, i < 23 ? NETRXF_more_data : 0, 60);
        if (i < 23) {
          RING_COPY_REQUEST(&net.rx, net.rx.req_cons, &request);
          net.rx.req_cons++;
        }
      }
      break;
    case LIE_INDEX:
      net.rx.rsp_prod_pvt += 1000;
      break;
    case LIE_EXTRA:
      respond_rx(request.id, 0, NETRXF_extra_info, 60);
      net.rx.req_cons++;
      put_extra(0xffff);
      break;
    case LIE_TX_ID:
      break; /* answer() */
  }
  net.lie = 0;
}

/* Puts the queue's first frame into receive buffers; false when there are too few. */
static bool give(void) {
  const struct message *header = &queue[queue_first].header;
  const uint8_t *bytes = queue[queue_first].bytes;
  unsigned pages = (header->length + PAGE - 1) / PAGE, slots = pages + (header->size ? 1 : 0);
  if (RING_HAS_UNCONSUMED_REQUESTS(&net.rx) < slots)
    return false;
  for (unsigned page = 0; page < pages; page++) {
    netif_rx_request_t request;
    RING_COPY_REQUEST(&net.rx, net.rx.req_cons, &request);
    net.rx.req_cons++;
    unsigned length = page + 1 < pages ? PAGE : header->length - page * PAGE;
    /* Frames of one page are put anywhere in it. */
    unsigned offset = pages == 1 ? (queue_first * 64) % (PAGE - length + 1) : 0;
    memcpy((uint8_t *)host_grant(request.gref, true) + offset, bytes + page * PAGE, length);
    respond_rx(request.id, offset,
               (page + 1 < pages ? NETRXF_more_data : 0) | (page == 0 ? header->flags : 0) |
                   (page == 0 && header->size ? NETRXF_extra_info : 0),
               length);
    if (page == 0 && header->size) {
      net.rx.req_cons++;
      put_extra(header->size);
    }
  }
  free(queue[queue_first].bytes);
  queue_first = (queue_first + 1) % QUEUE;
  queue_count--;
  return true;
}

/* Takes a frame of the guest's off the ring and sends it on. */
static void take(void) {
  static uint8_t frame[FRAME + PAGE];
  netif_tx_request_t request;
  RING_COPY_REQUEST(&net.tx, net.tx.req_cons, &request);
  net.tx.req_cons++;
  struct message header = {.length = request.size, .kind = MESSAGE_FRAME, .flags = request.flags};
  bool extra = request.flags & NETTXF_extra_info, first = true;
  uint32_t done = 0, rest = request.size;
  unsigned held = net.held_count;
  for (;;) {
    net.held[net.held_count++] = (netif_tx_response_t){.id = request.id, .status = NETIF_RSP_OKAY};
    if (extra) {
      struct netif_extra_info info;
      memcpy(&info, RING_GET_REQUEST(&net.tx, net.tx.req_cons++), sizeof info);
      header.size = info.u.gso.size;
      net.held[net.held_count++] = (netif_tx_response_t){.status = NETIF_RSP_NULL};
      extra = info.flags & XEN_NETIF_EXTRA_FLAG_MORE;
    }
    /* The first slot tells the whole length: its own is what the others leave. */
    uint32_t length = !first ? request.size : request.flags & NETTXF_more_data ? PAGE - request.offset : request.size;
    if (request.offset + length > PAGE || done + length > sizeof frame)
      host_fail("a slot of %u bytes at %u", length, request.offset);
    memcpy(frame + done, (uint8_t *)host_grant(request.gref, false) + request.offset, length);
    done += length;
    first = false;
    if (!(request.flags & NETTXF_more_data))
      break;
    if (!RING_HAS_UNCONSUMED_REQUESTS(&net.tx))
      host_fail("a frame without its end");
    RING_COPY_REQUEST(&net.tx, net.tx.req_cons, &request);
    net.tx.req_cons++;
  }
  if (done != rest || net.held_count - held > XEN_NETIF_NR_SLOTS_MIN + 1)
    host_fail("a frame of %u bytes in slots of %u", rest, done);
  host_send(&header, frame);
}

static void answer(void) {
  int wanted;
  if (net.lie == LIE_TX_ID && net.held_count > 0) {
    net.held[0].id = 50000;
    net.lie = 0;
  }
  for (unsigned i = 0; i < net.held_count; i++)
    *RING_GET_RESPONSE(&net.tx, net.tx.rsp_prod_pvt++) = net.held[i];
  net.held_count = 0;
  RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&net.tx, wanted);
  if (wanted)
    host_notify(net.port);
}

static bool work(void) {
  if (!net.connected)
    return false;
  bool worked = net.held_count > 0 || net.notified;
  if (worked && host_restart_every && ++net.turns % host_restart_every == 0) {
    attach(net.tx_ref, net.rx_ref, net.port);
    host_restarts++;
  }
  net.notified = false;
  answer();
  int more;
  do {
    while (net.held_count < HELD && RING_HAS_UNCONSUMED_REQUESTS(&net.tx)) {
      take();
      worked = true;
    }
    more = 0;
    if (net.held_count < HELD)
      RING_FINAL_CHECK_FOR_REQUESTS(&net.tx, more);
  } while (more);
  if (net.lie && net.lie != LIE_TX_ID && RING_HAS_UNCONSUMED_REQUESTS(&net.rx) > 24)
    tell_lie();
  while (queue_count > 0 && give())
    worked = true;
  net.rx.sring->req_event = net.rx.req_cons + 1;
  push_rx();
  return worked;
}

void netback_message(const struct message *header, const uint8_t *bytes) {
  switch (header->kind) {
    case MESSAGE_FRAME:
      if (queue_count == QUEUE)
        return;
      queue[(queue_first + queue_count) % QUEUE].header = *header;
      queue[(queue_first + queue_count) % QUEUE].bytes = memcpy(malloc(header->length), bytes, header->length);
      queue_count++;
      break;
    case MESSAGE_CLOSE_NET:
      net.connected = false;
      net.page->control.backend_state = XenbusStateClosing;
      host_notify_offered(net.offered);
      break;
    case MESSAGE_LIE:
      net.lie = header->flags;
      break;
    default:
      host_fail("a message of kind %u", header->kind);
  }
}

void netback_forget(void) {
  net.connected = false;
  if (net.page)
    net.page->control.backend_state = XenbusStateInitWait;
}

void netback_begin(unsigned page, bool by_store) {
  static const uint8_t mac[6] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};
  net.by_store = by_store;
  host_add_work(work);
  if (by_store) {
    hoststore_set("device/vif/0/backend", "/local/domain/0/backend/vif/1/0");
    hoststore_set_number("device/vif/0/backend-id", BACKEND);
    hoststore_set("device/vif/0/mac", "00:16:3e:12:34:56");
    hoststore_set_number("device/vif/0/state", XenbusStateInitialising);
    hoststore_set_number("/local/domain/0/backend/vif/1/0/feature-sg", 1);
    hoststore_set_number("/local/domain/0/backend/vif/1/0/feature-gso-tcpv4", 1);
    hoststore_set_number("/local/domain/0/backend/vif/1/0/state", XenbusStateInitWait);
    hoststore_watch("device/vif/0/state", store_changed);
    return;
  }
  net.page = host_page(page);
  net.page->control.backend_state = XenbusStateInitWait;
  net.page->backend_features = NOXS_VIF_BACKEND_SG | NOXS_VIF_BACKEND_GSO_TCPV4;
  net.page->max_queues = 1;
  memcpy((void *)net.page->mac, mac, sizeof mac);
  net.offered = host_offer(control_event, NULL);
  host_add_device(DEVICE_VIF, 0, page, net.offered);
}
