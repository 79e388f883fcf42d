/*
 * Between the files of lib/net.
 */
#ifndef GUEST_NET_INTERNAL_H
#define GUEST_NET_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

/* Chooses the secret that sequence numbers and ports are drawn with; `more` and its bytes make it harder to guess. */
void net_random_init(const void *more, unsigned size);
/* Sum of the 16-bit words as they lie in memory, folded to 16 bits, not complemented. */
uint16_t net_checksum(const void *data, int length);

/* Runs lwIP's timers that are due; true when there was one. */
bool net_timers_run(void);
/* An ARP frame was sent: its timer has something to do, which lwIP does not tell otherwise. */
void net_timers_arp_sent(void);
/* System time in ns of the next one that has something to do; 0 when there is none. */
uint64_t net_timers_deadline(void);

#endif
