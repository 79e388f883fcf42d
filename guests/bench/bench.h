/*
 * The benchmark guest: declarations shared by its files.
 */
#ifndef BENCH_H
#define BENCH_H

#include "../lib/guest.h"

#define SAMPLES 1001

/* Room for the samples of one row. */
extern uint64_t samples[SAMPLES];

/* Sorts the first `count` samples and prints the middle one as `bench NAME value unit`. */
void report(const char *name, unsigned count, const char *unit);
/*
 * Ticks between two RDTSC with nothing in between, to be taken off each measurement: a hypervisor that emulates RDTSC (Xen
 * does where it does not trust the TSC) makes an exit of each.
 */
extern uint64_t tick_overhead;
void measure_overhead(void);

/* operations.c: what one domain can measure by itself. */
void bench_operations(void);
/* pair.c: two domains, or two vCPUs, that wake each other. */
void bench_vcpu_pair(void);
void bench_ping(domid_t remote);
void bench_pong(domid_t remote);
/* child.c: makes the other domain itself. */
void bench_parent(void);

#endif
