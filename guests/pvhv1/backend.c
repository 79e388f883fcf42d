/*
 * The other side of a NoXS device, for other guests to be tested with: the backend of a sysctl device, by which a guest is told
 * to end. Domain 0 makes the device's entry of the grant and the port that this guest prints.
 */
#include "pvhv1.h"

enum { state_init_wait = 2, state_connected = 4, state_closing, state_closed };

#define SYSCTL_poweroff 1

static struct noxs_sysctl_ctrl_page page_memory __attribute__((aligned(4096)));
static volatile struct noxs_sysctl_ctrl_page *const page = &page_memory;
static evtchn_port_t port;

/* Tells the frontend of a change, whether it has asked to be told or not: see abi/io/noxs.ts. */
static void notify(void) {
  __atomic_store_n(&page->hdr.fe_watch_state, noxs_watch_updated, __ATOMIC_RELEASE);
  CHECK(event_send(port) == 0);
}

/* The frontend's next state. */
static int wait_for_state(int old) {
  for (;;) {
    uint64_t count = event_count(port);
    if (page->hdr.fe_state != old)
      return page->hdr.fe_state;
    CHECK(event_wait(port, count, 60ull * 1000 * MILLISECOND));
  }
}

static void no_work(evtchn_port_t ignored) { (void)ignored; }

void sysctl_backend(domid_t frontend) {
  page->hdr.be_state = state_init_wait;
  grant_page((uint64_t)page >> 12, frontend);
  long unbound = event_alloc_unbound(DOMID_SELF, frontend);
  CHECK(unbound > 0);
  port = (evtchn_port_t)unbound;
  event_handle(port, no_work);
  print("sysctl for domain %u: grant %u, port %u\n", frontend, GRANT_REF, port);
  CHECK(wait_for_state(0) == state_connected);
  print("connected\n");
  page->hdr.be_state = state_connected;
  notify();
  page->status = SYSCTL_poweroff;
  notify();
  for (int state = state_connected; state >= state_connected;) {
    state = wait_for_state(state);
    page->hdr.be_state = state >= state_connected ? state : state_init_wait;
    print("frontend's state: %d\n", state);
    notify();
  }
}
