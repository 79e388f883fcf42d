/*
 * The vCPUs' work: steps, until time or count is over, and one of them gives the verdict.
 */
#ifndef WORKER_H
#define WORKER_H

#include "fuzz.h"

struct limits {
  uint64_t end_ns; /* system time */
  uint64_t steps;  /* of each vCPU */
};

/* Takes over interrupts and exceptions of all vCPUs, and starts their timers. */
void workers_prepare(void);
/* Starts all vCPUs. Whichever of them is there at the end prints the verdict and ends the domain. */
void workers_run(const struct limits *limits) __attribute__((noreturn));
/* main.c: ends the guest with a report if something is not as it was. */
void check_all(void);

#endif
