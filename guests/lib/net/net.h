/*
 * TCP/IP over the guest's first network device: lwIP's raw API (lwip/tcp.h, lwip/udp.h), served by the loop of
 * devices/loop.h. A guest that includes this file is linked with lwIP.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include <stdbool.h>

#include "../devices/loop.h"
#include "../devices/netfront.h"
#include "../guest.h"

#include "lwip/ip4_addr.h"
#include "lwip/netif.h"

/*
 * Opens the device and begins to configure its address: ip=A.B.C.D[/N] and gw=A.B.C.D on the command line, else the address in
 * the NoXS control page (a /24), else by DHCP, as with ip=dhcp. dns=A.B.C.D[,A.B.C.D] are the servers of names, else DHCP's. The
 * interface joins the loop. False when the domain has no
 * network device. Options rx=N and tx=N set the numbers of buffers, each a page; few for a domain with little memory.
 */
bool net_open(void);
/* Whether the interface has an address. */
bool net_ready(void);
/* Runs the loop until the interface has an address, obeying the operator; false when that takes longer than a time. */
bool net_await(uint64_t timeout_ns);
/* Runs the loop until the backend has taken all that was sent, before the domain ends; gives up after a time. */
void net_drain(uint64_t timeout_ns);
/* The interface and its device, for counters and addresses. */
extern struct netif net_interface;
extern struct netfront *net_device;
/* TSC when the first frame arrived; 0 before. */
extern uint64_t net_first_frame_tsc;
/* An address of four numbers; false when the text is none. */
bool net_parse_address(const char *text, ip4_addr_t *address);
/* "10.0.0.2", good until the next call but three. */
const char *net_address_text(const ip4_addr_t *address);

#endif
