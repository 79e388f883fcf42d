/* The table of sandboxes inside domain 0's, and calls of them. */
#include "sandbox.h"

static struct sandbox {
  const char *name;
  void (*start)(void);
  u32 (*call)(const u32 *arguments);
  bool present; /* it has an instance */
} sandboxes[] = {
#define SANDBOX_ENTRY(number, name) [number] = {#name, name##_sandbox_start, name##_sandbox_call, false},
  SANDBOXES(SANDBOX_ENTRY)
};

/* What a call needs, in memory that the sandbox does not reach. */
struct run {
  struct sandbox *sandbox;
  bool begin;
  u32 arguments[SANDBOX_ARGUMENTS], result;
};

static void work(void *context) {
  struct run *run = context;
  if (run->begin) run->sandbox->start();
  run->result = run->sandbox->call(run->arguments);
}

void sandbox_call(struct call_page *call) {
  u32 number = call->sandbox & ~SANDBOX_NEW;
  struct run run = {.begin = call->sandbox & SANDBOX_NEW};
  if (number < LENGTH(sandboxes)) run.sandbox = &sandboxes[number];
  call->sandbox_status = SANDBOX_ABSENT;
  if (!run.sandbox || !run.sandbox->call || !(run.begin || run.sandbox->present)) return;
  memcpy(run.arguments, call->sandbox_arguments, sizeof(run.arguments));
  run.sandbox->present = software_nest(run.sandbox->name, work, &run);
  call->sandbox_status = run.sandbox->present ? SANDBOX_RETURNED : SANDBOX_STOPPED;
  if (run.sandbox->present) call->sandbox_result = run.result;
}

void sandboxes_reset(void) {
  for (u32 i = 0; i < LENGTH(sandboxes); i++) sandboxes[i].present = false;
}
