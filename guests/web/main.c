/*
 * Serves files by HTTP on port 80: those of an archive (lib/data/archive.h), which is the domain's ramdisk or on its first volume.
 * Option log: a line for each answer.
 */
#include "../lib/devices/sysctl.h"
#include "../lib/net/net.h"
#include "web.h"

const char guest_name[] = "web";

void guest_main(void) {
  sysctl_open();
  if (!net_open())
    guest_fail("the domain has no network device");
  files_begin();
  connections_begin();
  loop_run();
}
