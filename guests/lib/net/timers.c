/*
 * lwIP's timers. lwIP's own timers.c runs all of them for ever; these run only while they have something to do, so that a guest
 * without traffic is not woken four times a second. What only waits to be forgotten, such as a neighbour or a connection that has
 * ended, is looked at twice a minute, in as many rounds at once as have passed.
 */
#include "internal.h"

#include "../clock.h"

#include "hooks.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
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

/* Between two looks at what grows old. */
#define LAZY (30 * SECOND)

/* Rounds of the timer of names (a second each) in which one that was looked up may still be remembered, or asked for. */
#define NAME_ROUNDS (DNS_MAX_TTL + 60)

static unsigned fragment_rounds, request_rounds;

int net_hook_input(struct pbuf *packet) {
  const struct ip_hdr *header = packet->payload;
  if (packet->len >= IP_HLEN && IPH_OFFSET(header) & PP_HTONS(IP_OFFMASK | IP_MF))
    fragment_rounds = REASSEMBLY_ROUNDS;
  return 0;
}

static bool tcp_busy(void) { return tcp_active_pcbs || tcp_tw_pcbs; }

static bool tcp_talks(void) { return tcp_active_pcbs != NULL; }

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

static bool arp_asks(void) { return request_rounds > 0; }

#if LWIP_DNS
static unsigned name_rounds, names_asked;

void net_timers_name_asked(void) {
  names_asked++;
  name_rounds = NAME_ROUNDS;
}

void net_timers_name_answered(void) {
  names_asked--;
  name_rounds = NAME_ROUNDS;
}

static bool names_busy(void) { return names_asked > 0 || name_rounds > 0; }

static bool names_wait(void) { return names_asked > 0; }

static void name_timer(void) {
  if (name_rounds > 0)
    name_rounds--;
  dns_tmr();
}
#endif

static const struct dhcp *dhcp(void) { return netif_default ? netif_dhcp_data(netif_default) : NULL; }

/* A lease is being asked for, and each request has its time. */
static bool dhcp_asks(void) { return dhcp() && dhcp()->request_timeout > 0; }

static bool dhcp_runs(void) { return dhcp() != NULL; }

static struct timer {
  uint64_t period;
  void (*run)(void);
  /* Whether it has something to do, now and until it runs; whether that is more than growing old (NULL: always). */
  bool (*wanted)(void), (*urgent)(void);
  uint64_t counted; /* the time that its rounds have come to; 0: it is not counting */
} timers[] = {
    {TCP_TMR_INTERVAL * MILLISECOND, tcp_tmr, tcp_busy, tcp_talks, 0},
    {IP_TMR_INTERVAL * MILLISECOND, reassembly_timer, fragments_wait, NULL, 0},
    {ARP_TMR_INTERVAL * MILLISECOND, arp_timer, arp_busy, arp_asks, 0},
    {DHCP_FINE_TIMER_MSECS * MILLISECOND, dhcp_fine_tmr, dhcp_asks, NULL, 0},
    {DHCP_COARSE_TIMER_MSECS * MILLISECOND, dhcp_coarse_tmr, dhcp_runs, NULL, 0},
#if LWIP_DNS
    {DNS_TMR_INTERVAL * MILLISECOND, name_timer, names_busy, names_wait, 0},
#endif
};

#define TIMERS (sizeof timers / sizeof timers[0])

static bool is_lazy(const struct timer *timer) { return timer->urgent && !timer->urgent(); }

static uint64_t due(const struct timer *timer) { return timer->counted + (is_lazy(timer) ? LAZY : timer->period); }

/* Runs a timer that is due. */
static void run_timer(struct timer *timer, uint64_t now) {
  /* Rounds that a connection did not see are not its own; and a guest that did not run for a while catches up by one. */
  if (!is_lazy(timer)) {
    timer->run();
    timer->counted = timer->counted + 2 * timer->period > now ? timer->counted + timer->period : now;
    return;
  }
  uint64_t rounds = (now - timer->counted) / timer->period;
  timer->counted += rounds * timer->period;
  for (; rounds > 0 && timer->wanted(); rounds--)
    timer->run();
}

bool net_timers_run(void) {
  bool ran = false;
  uint64_t now = clock_ns();
  for (unsigned i = 0; i < TIMERS; i++) {
    struct timer *timer = &timers[i];
    if (!timer->wanted()) {
      timer->counted = 0;
    } else if (timer->counted == 0) {
      timer->counted = now;
    } else if (now >= due(timer)) {
      run_timer(timer, now);
      ran = true;
    }
  }
  return ran;
}

uint64_t net_timers_deadline(void) {
  uint64_t earliest = 0;
  for (unsigned i = 0; i < TIMERS; i++)
    if (timers[i].counted && (earliest == 0 || due(&timers[i]) < earliest))
      earliest = due(&timers[i]);
  return earliest;
}

/* lwIP's side. */

u32_t sys_now(void) { return clock_ns() / MILLISECOND; }

void sys_timeouts_init(void) {}

void tcp_timer_needed(void) {} /* net_timers_run looks by itself */
