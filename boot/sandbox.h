/*
 * Sandboxes inside domain 0's: modules compiled by wasm2c that domain 0 calls. They run on domain 0's stack and CPU time, a
 * linear memory of their own is all that they reach, and their faults are returned to domain 0 as a status.
 */
#ifndef TYPEVISOR_SANDBOX_H
#define TYPEVISOR_SANDBOX_H

#include "software.h"

/* All of them: number (abi/software.ts) and name. scripts/build/sandboxes.ts says what each is made from. */
#define SANDBOXES(ENTRY) \
  ENTRY(0, net)          \
  ENTRY(1, tls)          \
  ENTRY(2, codec)

#define SANDBOX_NEW (1u << 31)
enum { SANDBOX_RETURNED = 0, SANDBOX_STOPPED = 1, SANDBOX_ABSENT = 2 };
#define SANDBOX_ARGUMENTS 6

/*
 * Each in its own object file, sandbox-module.c: makes a new instance in its memory; calls the present one. NULL where the
 * image was built without it.
 */
#define SANDBOX_DECLARE(number, name)                                     \
  __attribute__((weak)) void name##_sandbox_start(void);                  \
  __attribute__((weak)) u32 name##_sandbox_call(const u32 *arguments);
SANDBOXES(SANDBOX_DECLARE)

#endif
