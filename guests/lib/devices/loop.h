/*
 * The loop of a guest that serves devices: each source does what it has to do, and when none has anything, the guest sleeps until
 * an event or the earliest deadline.
 */
#ifndef GUEST_LOOP_H
#define GUEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop_source {
  /* Does a bounded piece of what there is to do; false when there was nothing. */
  bool (*work)(void *context);
  /* Makes sure that an event will come for what comes next; false when something is there already. Null: nothing to ask. */
  bool (*may_sleep)(void *context);
  /* System time in ns at which work is to be called at the latest; 0: no such time. Null: never. */
  uint64_t (*deadline)(void *context);
  /* The domain was restored: its devices are to be connected again. Null: nothing to do. */
  void (*restore)(void *context);
  void *context;
  struct loop_source *next;
};

/* Adds a source for good; the loop keeps the record itself. */
void loop_add(struct loop_source *source);
/* One round: all sources work; when none did anything, sleeps once, until `deadline_ns` at the latest (0: no such time). */
void loop_step(uint64_t deadline_ns);
/*
 * Rounds for ever. What the operator asks of the domain is done between them: power off, with the verdict that the guest has
 * passed; reboot; suspend, after which the sources are connected again.
 */
void loop_run(void) __attribute__((noreturn));
/* Looks for such a request and does it, for guests with a loop of their own. */
void loop_obey(void);

#endif
