/*
 * Pseudo-random numbers (splitmix64), a generator for each vCPU.
 */
#include "fuzz.h"

static uint64_t state[MAX_CPUS];

void random_seed(uint64_t seed) {
  for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
    state[cpu] = (seed * MAX_CPUS + cpu) * 0x9e3779b97f4a7c15 + 1;
}

uint64_t random_bits(void) {
  uint64_t z = state[here()] += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t random_below(uint64_t limit) { return random_bits() % limit; }

uint64_t random_value(void) {
  switch (random_below(4)) {
    case 0:
      return random_bits();
    case 1:
      return random_bits() >> random_below(64);
    case 2:
      return (1ull << random_below(64)) + random_below(5) - 2;
    default:
      return random_below(256);
  }
}

/* In each byte the three bits that would be ICR's delivery mode: INIT becomes NMI, SIPI becomes ExtINT. */
uint64_t random_store(void) {
  uint64_t value = random_value();
  for (unsigned shift = 0; shift < 64 && !wild; shift += 8) {
    unsigned mode = value >> shift & 7;
    if (mode == 5 || mode == 6)
      value ^= 1ull << shift;
  }
  return value;
}
