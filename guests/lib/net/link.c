/*
 * lwIP's interface over a netfront device. Frames are copied out of lwIP's buffers and into them; checksums of TCP are left to
 * whoever needs them, where the backend takes such frames.
 */
#include "internal.h"

#include "../bytes.h"
#include "../devices/netfront.h"

#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "netif/ethernet.h"

#define FRAME_MOST (1500 + SIZEOF_ETH_HDR)
#define BUDGET 64

static struct netfront *device;

/* Frames that found no memory in lwIP. */
static uint64_t dropped;
static bool output_failed;

/* --- Sending ------------------------------------------------------------------------------------------------------- */

/*
 * A TCP segment without its checksum gets the sum of the pseudo header instead (RFC 793), from which any card goes on. lwIP
 * has a frame's headers in one piece. True when the frame is such a segment.
 */
static bool prepare_checksum(struct pbuf *packet) {
  const struct eth_hdr *ethernet = packet->payload;
  if (packet->len < SIZEOF_ETH_HDR + IP_HLEN || ethernet->type != PP_HTONS(ETHTYPE_IP))
    return false;
  const struct ip_hdr *ip = (const void *)((uint8_t *)packet->payload + SIZEOF_ETH_HDR);
  unsigned header = IPH_HL_BYTES(ip), length = lwip_ntohs(IPH_LEN(ip)) - header;
  if (IPH_PROTO(ip) != IP_PROTO_TCP || packet->len < SIZEOF_ETH_HDR + header + TCP_HLEN)
    return false;
  struct tcp_hdr *tcp = (void *)((uint8_t *)ip + header);
  const struct {
    ip4_addr_p_t from, to;
    uint8_t zero, protocol;
    uint16_t length;
  } pseudo = {ip->src, ip->dest, 0, IP_PROTO_TCP, lwip_htons(length)};
  tcp->chksum = net_checksum(&pseudo, sizeof pseudo);
  return true;
}

static err_t link_output(struct netif *interface, struct pbuf *packet) {
  static uint8_t flat[FRAME_MOST];
  struct netfront_frame frame = {.length = packet->tot_len};
  if (packet->tot_len > FRAME_MOST)
    return ERR_BUF;
  if (((const struct eth_hdr *)packet->payload)->type == PP_HTONS(ETHTYPE_ARP))
    net_timers_arp_sent();
  if (!(interface->chksum_flags & NETIF_CHECKSUM_GEN_TCP))
    frame.blank = prepare_checksum(packet);
  for (struct pbuf *part = packet; part; part = part->next) {
    if (frame.count == NETFRONT_PARTS) {
      pbuf_copy_partial(packet, flat, packet->tot_len, 0);
      frame.parts[0] = (struct netfront_part){flat, packet->tot_len};
      frame.count = 1;
      break;
    }
    frame.parts[frame.count++] = (struct netfront_part){part->payload, part->len};
  }
  if (netfront_send(device, &frame))
    return ERR_OK;
  output_failed = true;
  return ERR_MEM;
}

/* Segments that found the ring full wait for a timer otherwise. */
static void output_again(void) {
  output_failed = false;
  for (struct tcp_pcb *connection = tcp_active_pcbs; connection && !output_failed; connection = connection->next)
    tcp_output(connection);
}

/* --- Receiving ----------------------------------------------------------------------------------------------------- */

void net_link_receive(struct netif *interface, const struct netfront_frame *frame) {
  struct pbuf *packet =
      frame->length > 0xffff ? NULL : pbuf_alloc(PBUF_RAW, (uint16_t)frame->length, PBUF_POOL);
  if (!packet) {
    dropped++;
    return;
  }
  uint16_t at = 0;
  for (unsigned i = 0; i < frame->count; i++) {
    pbuf_take_at(packet, frame->parts[i].data, frame->parts[i].length, at);
    at += frame->parts[i].length;
  }
  uint16_t flags = interface->chksum_flags;
  if (frame->checked)
    interface->chksum_flags &= ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
  if (interface->input(packet, interface) != ERR_OK)
    pbuf_free(packet);
  interface->chksum_flags = flags;
}

/* --- Both ---------------------------------------------------------------------------------------------------------- */

bool net_link_work(void) {
  unsigned frames = netfront_poll(device, BUDGET);
  bool timers = net_timers_run();
  if (output_failed && device->tx_free_count > 0)
    output_again();
  netfront_flush(device);
  return frames > 0 || timers;
}

void net_link_init(struct netif *interface, struct netfront *used) {
  device = used;
  interface->name[0] = 'v';
  interface->name[1] = 'i';
  interface->output = etharp_output;
  interface->linkoutput = link_output;
  interface->mtu = 1500;
  interface->hwaddr_len = ETH_HWADDR_LEN;
  memcpy(interface->hwaddr, device->mac, ETH_HWADDR_LEN);
  interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
  NETIF_SET_CHECKSUM_CTRL(interface, device->checksum_offload ? NETIF_CHECKSUM_ENABLE_ALL & ~NETIF_CHECKSUM_GEN_TCP
                                                              : NETIF_CHECKSUM_ENABLE_ALL);
}
