/*
 * Functions that lwIP calls where its users may want a say.
 */
#ifndef HOOKS_H
#define HOOKS_H

#include "lwip/ip_addr.h"
#include "lwip/pbuf.h"

u32_t net_hook_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote, u16_t remote_port);
int net_hook_input(struct pbuf *packet);

#endif
