/*
 * A guest that does what its operator asks through the store, as Linux does.
 */
#include "store.h"

static void end(unsigned reason) {
  struct sched_shutdown shutdown = {.reason = reason};
  console_flush();
  sched_op(SCHEDOP_shutdown, &shutdown);
}

static void obey_shutdown(void) {
  char request[16];
  OK(store_read(0, "control/shutdown", request, sizeof request));
  if (request[0] == 0)
    return;
  print("asked to %s\n", request);
  if (option_present("deaf"))
    return;
  OK(store_write(0, "control/shutdown", ""));
  if (text_equal(request, "reboot"))
    end(SHUTDOWN_reboot);
  guest_pass();
}

static void obey_sysrq(void) {
  char key[4];
  OK(store_read(0, "control/sysrq", key, sizeof key));
  if (key[0] == 0)
    return;
  print("sysrq %s\n", key);
  OK(store_write(0, "control/sysrq", ""));
  if (option_present("crash"))
    end(SHUTDOWN_crash);
}

void role_obey(void) {
  const char *path, *token;
  char value[32];
  OK(store_write(0, "control/feature-poweroff", "1"));
  OK(store_write(0, "control/feature-reboot", "1"));
  OK(store_watch("control/shutdown", "shutdown"));
  OK(store_watch("control/sysrq", "sysrq"));
  OK(store_watch("memory/target", "target"));
  OK(store_watch("cpu", "cpu"));
  print("obeying\n");
  if (option_present("quick"))
    end(SHUTDOWN_reboot);
  for (;;) {
    if (!store_event(3600ull * 1000 * MILLISECOND, &path, &token))
      continue;
    char heard[16], node[48];
    format_text(heard, sizeof heard, "%s", token);
    format_text(node, sizeof node, "%s", path);
    if (text_equal(heard, "shutdown"))
      obey_shutdown();
    else if (text_equal(heard, "sysrq"))
      obey_sysrq();
    else if (!store_read(0, node, value, sizeof value) && value[0])
      print("%s is %s\n", node, value);
  }
}
