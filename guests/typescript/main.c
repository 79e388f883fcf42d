/*
 * Runs a TypeScript program (lib/engine/program.h): its turns are a source of the loop, beside the network's.
 */
#include "../lib/engine/linear.h"
#include "typescript.h"

const char guest_name[] = "typescript";

/* Something is there for the program; and when it wants to be called at the latest (system time, ns; 0: no such time). */
static bool wanted = true;
static uint64_t program_deadline;

void program_wake(void) { wanted = true; }

/* Option cost: what the start took, when the program waits for the first time, or ends. */
static void report_cost(void) {
  static bool reported;
  if (reported || !option_present("cost"))
    return;
  reported = true;
  print("cost: %lu ticks since the first instruction; image %lu KiB, %lu pages given to heap and stack, %lu of %lu left\n",
        rdtsc() - first_tsc, ((uint64_t)image_end - (uint64_t)image_start + image_appended) / 1024, linear_frames,
        engine_pages_left(), memory_bytes() >> 12);
}

static bool work(void *context) {
  (void)context;
  network_work();
  if (!wanted && (program_deadline == 0 || clock_ns() < program_deadline))
    return false;
  wanted = false;
  engine_turn();
  program_deadline = engine_calls->deadline[0] | (uint64_t)engine_calls->deadline[1] << 32;
  if (engine_calls->turn == ENGINE_MORE || engine_has_rejections())
    wanted = true;
  else
    report_cost();
  return true;
}

static uint64_t deadline(void *context) {
  (void)context;
  return program_deadline;
}

static struct loop_source source = {.work = work, .deadline = deadline};

void program_end(unsigned reason) {
  report_cost();
  network_drain();
  guest_shut_down(reason);
}

void guest_main(void) {
  engine_open();
  sysctl_open();
  loop_add(&source);
  loop_run();
}
