/*
 * Between the files of lib/net.
 */
#ifndef GUEST_NET_INTERNAL_H
#define GUEST_NET_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

struct netfront;
struct netfront_frame;
struct netif;

/* Chooses the secret that sequence numbers and ports are drawn with; `more` and its bytes make it harder to guess. */
void net_random_init(const void *more, unsigned size);
/* The same from numbers that the caller has: some that differ, and two that are as random as there are. */
void net_random_seed(const uint64_t words[8], const uint64_t hardware[2]);
/* Sum of the 16-bit words as they lie in memory, folded to 16 bits, not complemented. */
uint16_t net_checksum(const void *data, int length);

/* Runs lwIP's timers that are due; true when there was one. */
bool net_timers_run(void);
/* An ARP frame was sent: its timer has something to do, which lwIP does not tell otherwise. */
void net_timers_arp_sent(void);
/* A name is being looked up; it was, well or not: lwIP's timer of names has something to do until it is forgotten. */
void net_timers_name_asked(void);
void net_timers_name_answered(void);
/* System time in ns of the next one that has something to do; 0 when there is none. */
uint64_t net_timers_deadline(void);

/* lwIP's link over a device (link.c): takes it into use for an interface whose other properties the caller sets. */
void net_link_init(struct netif *interface, struct netfront *device);
/* Gives lwIP a received frame; its parts may be gone afterwards. */
void net_link_receive(struct netif *interface, const struct netfront_frame *frame);
/* One round: received frames, timers, what could not be sent before. False when there was nothing to do. */
bool net_link_work(void);

#endif
