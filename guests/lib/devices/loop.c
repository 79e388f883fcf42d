/*
 * A source's event handlers only note that something came: all work is done here, with interrupts off.
 */
#include "loop.h"

#include "../guest.h"
#include "sysctl.h"

static struct loop_source *sources;

void loop_add(struct loop_source *source) {
  source->next = sources;
  sources = source;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

void loop_step(uint64_t deadline_ns) {
  bool worked = false;
  for (struct loop_source *source = sources; source; source = source->next)
    worked |= source->work(source->context);
  if (worked)
    return;
  for (struct loop_source *source = sources; source; source = source->next) {
    if (source->may_sleep && !source->may_sleep(source->context))
      return;
    if (source->deadline)
      deadline_ns = earlier(deadline_ns, source->deadline(source->context));
  }
  event_idle(deadline_ns);
}

void loop_obey(void) {
  switch (sysctl_take()) {
    case SYSCTL_POWEROFF:
      guest_pass();
    case SYSCTL_REBOOT:
      guest_reboot();
    case SYSCTL_SUSPEND:
      if (guest_suspend())
        for (struct loop_source *source = sources; source; source = source->next)
          if (source->restore)
            source->restore(source->context);
      break;
    case SYSCTL_NONE:
      break;
  }
}

void loop_run(void) {
  for (;;) {
    loop_obey();
    loop_step(0);
  }
}
