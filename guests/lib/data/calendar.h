/*
 * Dates of the Gregorian calendar, in UTC.
 */
#ifndef GUEST_CALENDAR_H
#define GUEST_CALENDAR_H

#include <stdint.h>

struct calendar {
  unsigned year, month, day; /* from 1 */
  unsigned hour, minute, second;
  const char *month_name, *weekday_name;
};

/* Of a number of seconds since 1970-01-01 00:00 UTC. */
void calendar_utc(uint64_t seconds, struct calendar *date);

#endif
