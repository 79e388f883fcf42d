/*
 * Connects its devices and sleeps, without a timer, until its operator asks it to end: what a domain costs that does nothing.
 */
#include "lib/devices/blkfront.h"
#include "lib/devices/loop.h"
#include "lib/devices/netfront.h"
#include "lib/devices/sysctl.h"
#include "lib/guest.h"

const char guest_name[] = "idle";

#define BUFFERS 2

static void drop(void *context, const struct netfront_frame *frame) {
  (void)context;
  (void)frame;
}

static bool network_work(void *device) { return netfront_poll(device, NETFRONT_RING) > 0; }

static bool network_may_sleep(void *device) { return netfront_may_sleep(device); }

static void network_restore(void *device) { netfront_restore(device); }

void guest_main(void) {
  static struct loop_source sources[NETFRONTS];
  const struct netfront_config config = {.rx_buffers = BUFFERS, .tx_buffers = BUFFERS, .receive = drop};
  unsigned networks = 0, disks = 0;
  struct netfront *network;
  sysctl_open();
  while (networks < NETFRONTS && (network = netfront_open(networks, &config)) != NULL) {
    sources[networks] = (struct loop_source){
        .work = network_work, .may_sleep = network_may_sleep, .restore = network_restore, .context = network};
    loop_add(&sources[networks++]);
  }
  while (disks < BLKFRONTS && blkfront_open(disks))
    disks++;
  print("idle: %u network devices, %u disks\n", networks, disks);
  loop_run();
}
