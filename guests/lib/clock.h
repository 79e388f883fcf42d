/*
 * Xen's time: pvclock system time in nanoseconds since its start, and the wall clock.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>

#include "xen.h"

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull

/* System time now, on the calling vCPU. */
uint64_t clock_ns(void);
/* System time that belonged to a TSC value of the calling vCPU. */
uint64_t clock_ns_at(uint64_t tsc);
/* The same by any copy of the time record, e.g. one registered with VCPUOP_register_vcpu_time_memory_area. */
uint64_t clock_ns_by(const struct vcpu_time_info *record, uint64_t tsc);
/* Frequency of the TSC in kHz, from the record's multiplier and shift. */
uint64_t clock_tsc_khz(void);
/* Seconds since 1970 at this moment, from shared info's wc_* and the system time; nanoseconds by the pointer unless null. */
uint64_t clock_wall_seconds(uint32_t *nanoseconds);

#endif
