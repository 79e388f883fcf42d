#include "calendar.h"

#define DAY (24 * 60 * 60)
/* Days from 0000-03-01 to 1970-01-01, in 400 years, in 100, in 4 and in one. */
#define DAYS_BEFORE_1970 719468
#define DAYS_OF_ERA 146097
#define DAYS_OF_CENTURY 36524
#define DAYS_OF_FOUR 1460
#define DAYS_OF_YEAR 365

/* Years are counted from March, so that a leap day is a year's last, in eras of 400 years. */
static void civil(uint64_t days, struct calendar *date) {
  uint64_t since = days + DAYS_BEFORE_1970, era = since / DAYS_OF_ERA;
  unsigned of_era = since % DAYS_OF_ERA;
  unsigned year = (of_era - of_era / DAYS_OF_FOUR + of_era / DAYS_OF_CENTURY - of_era / (DAYS_OF_ERA - 1)) / DAYS_OF_YEAR;
  unsigned of_year = of_era - (DAYS_OF_YEAR * year + year / 4 - year / 100);
  /* From March on, months of 31 and 30 days alternate so that this line of slope 153/5 tells them apart. */
  unsigned from_march = (5 * of_year + 2) / 153;
  date->day = of_year - (153 * from_march + 2) / 5 + 1;
  date->month = from_march < 10 ? from_march + 3 : from_march - 9;
  date->year = era * 400 + year + (date->month <= 2);
}

void calendar_utc(uint64_t seconds, struct calendar *date) {
  static const char *const weekdays[] = {"Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"};
  static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};
  unsigned of_day = seconds % DAY;
  civil(seconds / DAY, date);
  date->hour = of_day / 3600;
  date->minute = of_day / 60 % 60;
  date->second = of_day % 60;
  date->month_name = months[date->month - 1];
  date->weekday_name = weekdays[seconds / DAY % 7];
}
