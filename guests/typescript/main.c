/*
 * Runs a TypeScript program (lib/engine/program.h): its turns are a source of the loop, beside the network's.
 */
#include "typescript.h"

const char guest_name[] = "typescript";

/* Something is there for the program; and when it wants to be called at the latest (system time, ns; 0: no such time). */
static bool wanted = true;
static uint64_t program_deadline;

void program_wake(void) { wanted = true; }

static bool work(void *context) {
  (void)context;
  network_work();
  if (!wanted && (program_deadline == 0 || clock_ns() < program_deadline))
    return false;
  wanted = false;
  engine_turn();
  program_deadline = engine_calls->deadline[0] | (uint64_t)engine_calls->deadline[1] << 32;
  if (engine_calls->turn == ENGINE_MORE)
    wanted = true;
  return true;
}

static uint64_t deadline(void *context) {
  (void)context;
  return program_deadline;
}

static struct loop_source source = {.work = work, .deadline = deadline};

void program_end(unsigned reason) {
  network_drain();
  guest_shut_down(reason);
}

void guest_main(void) {
  engine_open();
  sysctl_open();
  loop_add(&source);
  loop_run();
}
