/* How lwIP is built for domain 0: as for guests, but for its memory and windows, which are such that 64 connections can all be stuck. */
#ifndef NET_LWIPOPTS_H
#define NET_LWIPOPTS_H

#include "../../../lib/net/port/lwipopts.h"

/* Domain 0 looks no names up. */
#undef LWIP_DNS
#define LWIP_DNS 0

/* A receive window is a stream's buffer (streams.c). */
#undef TCP_WND
#define TCP_WND (22 * TCP_MSS)
/* Data to be sent are copied into the heap: 64 connections' fit, in as many pieces as each may have, with their headers. */
#undef TCP_SND_BUF
#define TCP_SND_BUF (16 * TCP_MSS)
#undef TCP_SND_QUEUELEN
#define TCP_SND_QUEUELEN 32
#undef TCP_SNDLOWAT
#define TCP_SNDLOWAT (4 * TCP_MSS)
#define TCP_OVERSIZE 0
#undef MEM_SIZE
#define MEM_SIZE (80 * (TCP_SND_BUF + TCP_SND_QUEUELEN * 128))
#undef MEMP_NUM_TCP_SEG
#define MEMP_NUM_TCP_SEG (64 * TCP_SND_QUEUELEN)
#undef TCP_OOSEQ_MAX_PBUFS
#define TCP_OOSEQ_MAX_PBUFS 24

/* Open ones, half-open ones, and those that wait for their end. */
#undef MEMP_NUM_TCP_PCB
#define MEMP_NUM_TCP_PCB 176
#undef PBUF_POOL_SIZE
#define PBUF_POOL_SIZE 128
#undef MEMP_NUM_UDP_PCB
#define MEMP_NUM_UDP_PCB 2

#endif
