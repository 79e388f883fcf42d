/*
 * Other vCPUs: brought up with VCPUOP_initialise, each then runs functions passed to it.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdbool.h>

/* vCPUs that the domain may have (not necessarily up), counted by VCPUOP_is_up. */
unsigned smp_count(void);
/* Starts a vCPU; 0, or a negative errno of VCPUOP_initialise or VCPUOP_up. */
long smp_start(unsigned cpu);
/* Runs a function on a started vCPU with interrupts off there; returns at once. */
void smp_run(unsigned cpu, void (*function)(void));
/* Waits until it is done; false when that takes longer than ten seconds. */
bool smp_wait(unsigned cpu);

#endif
