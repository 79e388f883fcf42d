/*
 * lwIP's timers. lwIP's own timers.c runs all of them for ever; these run only while they have something to do, so that a guest
 * without traffic is not woken four times a second.
 */
#include "internal.h"

#include "../guest.h"

#include "hooks.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"

/* Fragments wait no longer than this for the rest (ip4_frag.c gives them up), in rounds of the timer. */
#define REASSEMBLY_ROUNDS (IP_REASS_MAXAGE + 2)

/* A request for a neighbour's address is repeated so often (etharp.c, ARP_MAXPENDING). */
#define REQUEST_ROUNDS 8

static unsigned fragment_rounds, request_rounds;

int net_hook_input(struct pbuf *packet) {
  const struct ip_hdr *header = packet->payload;
  if (packet->len >= IP_HLEN && IPH_OFFSET(header) & PP_HTONS(IP_OFFMASK | IP_MF))
    fragment_rounds = REASSEMBLY_ROUNDS;
  return 0;
}

static bool tcp_busy(void) { return tcp_active_pcbs || tcp_tw_pcbs; }

static bool fragments_wait(void) { return fragment_rounds > 0; }

static void reassembly_timer(void) {
  fragment_rounds--;
  ip_reass_tmr();
}

void net_timers_arp_sent(void) { request_rounds = REQUEST_ROUNDS; }

static void arp_timer(void) {
  if (request_rounds > 0)
    request_rounds--;
  etharp_tmr();
}

/* Neighbours are asked for, or known ones grow old. */
static bool arp_busy(void) {
  if (request_rounds > 0)
    return true;
  for (size_t i = 0; i < ARP_TABLE_SIZE; i++) {
    ip4_addr_t *address;
    struct netif *interface;
    struct eth_addr *ethernet;
    if (etharp_get_entry(i, &address, &interface, &ethernet))
      return true;
  }
  return false;
}

static const struct dhcp *dhcp(void) { return netif_default ? netif_dhcp_data(netif_default) : NULL; }

/* A lease is being asked for, and each request has its time. */
static bool dhcp_asks(void) { return dhcp() && dhcp()->request_timeout > 0; }

static bool dhcp_runs(void) { return dhcp() != NULL; }

static struct timer {
  uint64_t period;
  void (*run)(void);
  /* Whether it has something to do, now and until it runs. */
  bool (*wanted)(void);
  uint64_t due; /* 0: it is not counting */
} timers[] = {
    {TCP_TMR_INTERVAL * MILLISECOND, tcp_tmr, tcp_busy, 0},
    {IP_TMR_INTERVAL * MILLISECOND, reassembly_timer, fragments_wait, 0},
    {ARP_TMR_INTERVAL * MILLISECOND, arp_timer, arp_busy, 0},
    {DHCP_FINE_TIMER_MSECS * MILLISECOND, dhcp_fine_tmr, dhcp_asks, 0},
    {DHCP_COARSE_TIMER_MSECS * MILLISECOND, dhcp_coarse_tmr, dhcp_runs, 0},
};

#define TIMERS (sizeof timers / sizeof timers[0])

bool net_timers_run(void) {
  bool ran = false;
  uint64_t now = clock_ns();
  for (unsigned i = 0; i < TIMERS; i++) {
    struct timer *timer = &timers[i];
    if (!timer->wanted()) {
      timer->due = 0;
    } else if (timer->due == 0) {
      timer->due = now + timer->period;
    } else if (now >= timer->due) {
      timer->run();
      /* A guest that did not run for a while catches up by one round, not by all that it missed. */
      timer->due = timer->due + timer->period > now ? timer->due + timer->period : now + timer->period;
      ran = true;
    }
  }
  return ran;
}

uint64_t net_timers_deadline(void) {
  uint64_t earliest = 0;
  for (unsigned i = 0; i < TIMERS; i++)
    if (timers[i].due && (earliest == 0 || timers[i].due < earliest))
      earliest = timers[i].due;
  return earliest;
}

/* lwIP's side. */

u32_t sys_now(void) { return clock_ns() / MILLISECOND; }

void sys_timeouts_init(void) {}

void tcp_timer_needed(void) {} /* net_timers_run looks by itself */
