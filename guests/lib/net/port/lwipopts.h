/*
 * How lwIP is built for guests: IPv4 over Ethernet without threads, called from one loop. Its memory is static, so that a guest
 * of 2 MiB has room for it, and what a peer can take of it is bounded.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

/* One loop, no interrupts: nothing to protect, no sockets. */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

/* lib/net/timers.c runs lwIP's timers, and only those that have something to do: an idle guest sleeps without a timer. */
#define LWIP_TIMERS 1
#define LWIP_TIMERS_CUSTOM 1

/* Protocols. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ICMP 1
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_DHCP 1
#define LWIP_RAW 0
#define LWIP_DNS 1
/* Names under way or remembered, none for longer than this (s): timers.c has the timer run so long. */
#define DNS_TABLE_SIZE 8
#define DNS_MAX_TTL 600
#define LWIP_IGMP 0
#define LWIP_AUTOIP 0
#define IP_FORWARD 0
#define IP_REASSEMBLY 1
#define IP_FRAG 1
#define IP_REASS_MAX_PBUFS 16
#define ARP_TABLE_SIZE 32
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
/* The link never changes, and the address is the guest's alone: no time is lost by asking. */
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_DHCP_CHECK_LINK_UP 0

/* Memory: a heap for headers and for data that are copied, pools for everything else. */
#define MEM_ALIGNMENT 8
#define MEM_SIZE (160 * 1024)
#define MEMP_NUM_PBUF 512
#define PBUF_POOL_SIZE 96
#define PBUF_POOL_BUFSIZE 1536
#define MEMP_NUM_TCP_PCB 64
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 768
/* Eight of the program's, one for DHCP, one for each name under way. */
#define MEMP_NUM_UDP_PCB (8 + 1 + DNS_TABLE_SIZE)
#define MEMP_NUM_REASSDATA 8
#define MEMP_NUM_ARP_QUEUE 32

/*
 * TCP. Windows of other hosts above 64 KiB are used, which needs window scaling; our own stays below 64 KiB, since what it
 * announces must fit into the pool.
 */
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 0
#define TCP_WND (44 * TCP_MSS)
#define TCP_SND_BUF (96 * TCP_MSS)
#define TCP_SND_QUEUELEN (4 * TCP_SND_BUF / TCP_MSS)
#define TCP_SNDLOWAT (16 * TCP_MSS)
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 48
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_KEEPALIVE 1
/* A connection is remembered for 60 s after its end, as by Linux. */
#define TCP_MSL 30000

/* The card may compute checksums; which, is decided per interface and per received frame (interface.c). */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM net_checksum
/* Sums while it copies are no faster here. */
#define LWIP_CHECKSUM_ON_COPY 0

/* Not to be guessed: the sequence number a connection begins with. To be noticed: fragments, for their timer. */
#define LWIP_HOOK_FILENAME "hooks.h"
#define LWIP_HOOK_TCP_ISN(local, local_port, remote, remote_port) net_hook_isn(local, local_port, remote, remote_port)
#define LWIP_HOOK_IP4_INPUT(packet, interface) net_hook_input(packet)
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1

#define LWIP_STATS 0
#define LWIP_NOASSERT 0

#endif
