/*
 * pvclock (xen.h, struct vcpu_time_info) and the wall clock (struct shared_info, wc_version).
 */
#include "guest.h"

/* Distance in ns; the counter is compared as a signed number, since its offset may make either side wrap below zero. */
static uint64_t scale(int64_t ticks, uint32_t multiplier, int8_t shift) {
  ticks = shift < 0 ? ticks >> -shift : ticks << shift;
  return (uint64_t)((__int128)ticks * multiplier >> 32);
}

static uint64_t read_record(const volatile struct vcpu_time_info *record, uint64_t tsc) {
  return record->system_time + scale((int64_t)(tsc - record->tsc_timestamp), record->tsc_to_system_mul, record->tsc_shift);
}

uint64_t clock_ns_by(const struct vcpu_time_info *record, uint64_t tsc) {
  const volatile uint32_t *version = &record->version;
  uint32_t before;
  uint64_t result;
  do {
    before = *version & ~1u;
    __asm__ volatile("" : : : "memory");
    result = read_record(record, tsc);
    __asm__ volatile("" : : : "memory");
  } while (before != *version);
  return result;
}

uint64_t clock_ns_at(uint64_t tsc) { return clock_ns_by(&this_cpu()->info->time, tsc); }

uint64_t clock_ns(void) {
  const struct vcpu_time_info *record = &this_cpu()->info->time;
  const volatile uint32_t *version = &record->version;
  uint32_t before;
  uint64_t result;
  do {
    before = *version & ~1u;
    __asm__ volatile("lfence" : : : "memory");
    result = read_record(record, rdtsc());
    __asm__ volatile("" : : : "memory");
  } while (before != *version);
  return result;
}

uint64_t clock_tsc_khz(void) {
  const struct vcpu_time_info *time = &this_cpu()->info->time;
  uint64_t khz = ((uint64_t)1000000 << 32) / time->tsc_to_system_mul;
  return time->tsc_shift < 0 ? khz << -time->tsc_shift : khz >> time->tsc_shift;
}

uint64_t clock_wall_seconds(uint32_t *nanoseconds) {
  const volatile struct shared_info *info = shared_info;
  uint32_t version;
  uint64_t seconds, fraction;
  do {
    version = info->wc_version & ~1u;
    __asm__ volatile("" : : : "memory");
    seconds = info->wc_sec | (uint64_t)info->wc_sec_hi << 32;
    fraction = info->wc_nsec;
    __asm__ volatile("" : : : "memory");
  } while (version != info->wc_version);
  fraction += clock_ns();
  if (nanoseconds)
    *nanoseconds = fraction % SECOND;
  return seconds + fraction / SECOND;
}
