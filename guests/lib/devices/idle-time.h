/*
 * How long nobody else needed the CPU: a guest of the lowest weight spins and counts its own ticks in a page that it grants to
 * another, which takes them off what it measures. Where time is counted in instructions, what is left are those of everybody else.
 */
#ifndef GUEST_IDLE_TIME_H
#define GUEST_IDLE_TIME_H

#include <stdint.h>

#include "../xen.h"

/* Spins for ever and counts for `reader`; the page is the domain's first grant. */
void idle_time_count(domid_t reader) __attribute__((noreturn));
/* Maps the page of a domain that counts; guest_fail when it does not for half a minute. */
void idle_time_open(domid_t spinner);
/* TSC ticks that it has counted; 0 when no page was mapped. */
uint64_t idle_time(void);

#endif
