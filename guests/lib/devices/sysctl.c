/*
 * A request is an event and something to read; what is read is the latest, whatever became of earlier events.
 */
#include "sysctl.h"

#include "../guest.h"
#include "grants.h"
#include "noxs.h"

static struct noxs_device device;
static bool opened, by_noxs, by_store;
/* The store or the backend has sent an event. */
static volatile bool news;

static void event(evtchn_port_t port) {
  (void)port;
  news = true;
}

static bool open_noxs(void) {
  if (noxs_count(DEVICE_SYSCTL) == 0)
    return false;
  noxs_attach(DEVICE_SYSCTL, 0, &device);
  event_handle(device.port, event);
  volatile struct noxs_sysctl *page = device.page;
  page->features = NOXS_SYSCTL_POWEROFF | NOXS_SYSCTL_REBOOT | NOXS_SYSCTL_SUSPEND;
  noxs_connect(&device);
  return true;
}

static bool open_store(void) {
  if (!store_ring && !store_open())
    return false;
  if (store_watch("control/shutdown", "shutdown"))
    return false;
  store_on_event(event);
  return true;
}

bool sysctl_open(void) {
  opened = true;
  by_noxs = open_noxs();
  by_store = !by_noxs && open_store();
  news = true; /* it may have come before */
  return by_noxs || by_store;
}

static enum sysctl_request take_noxs(void) {
  volatile struct noxs_sysctl *page = device.page;
  uint8_t bits = page->request;
  /* Taken in one step, so that a request which comes now is kept. */
  if (bits)
    bits = __atomic_exchange_n(&page->request, 0, __ATOMIC_ACQ_REL);
  page->control.frontend_watch = NOXS_WATCH_REQUESTED;
  return bits & NOXS_SYSCTL_POWEROFF  ? SYSCTL_POWEROFF
         : bits & NOXS_SYSCTL_REBOOT  ? SYSCTL_REBOOT
         : bits & NOXS_SYSCTL_SUSPEND ? SYSCTL_SUSPEND
                                      : SYSCTL_NONE;
}

static enum sysctl_request take_store(void) {
  static const struct {
    const char *word;
    enum sysctl_request request;
  } words[] = {
      {"poweroff", SYSCTL_POWEROFF}, {"halt", SYSCTL_POWEROFF}, {"reboot", SYSCTL_REBOOT}, {"suspend", SYSCTL_SUSPEND}};
  const char *path, *token;
  char word[16];
  bool any = false;
  /* Each says only that the node is to be read. Without one the news was an answer of the store's. */
  while (store_event(0, &path, &token))
    any = true;
  if (!any || store_read(0, "control/shutdown", word, sizeof word) || word[0] == 0)
    return SYSCTL_NONE;
  store_write(0, "control/shutdown", "");
  for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
    if (text_equal(word, words[i].word))
      return words[i].request;
  return SYSCTL_NONE;
}

enum sysctl_request sysctl_take(void) {
  if (!news)
    return SYSCTL_NONE;
  news = false;
  return by_noxs ? take_noxs() : by_store ? take_store() : SYSCTL_NONE;
}

bool guest_suspend(void) {
  struct sched_shutdown suspend = {.reason = SHUTDOWN_suspend};
  console_flush();
  if (sched_op(SCHEDOP_shutdown, &suspend) > 0)
    return false;
  events_init();
  console_init();
  grants_restore();
  noxs_restore();
  if (store_ring)
    store_open();
  if (opened)
    sysctl_open();
  return true;
}
