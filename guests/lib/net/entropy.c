/* Where a guest's random numbers begin: the processor's own where it has some, and what nobody outside can measure. */
#include "internal.h"

#include "../guest.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define RDRAND_TRIES 16

static uint64_t rdrand(void) {
  uint64_t value = 0;
  uint8_t ok = 0;
  for (int tries = 0; !ok && tries < RDRAND_TRIES; tries++)
    __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
  return ok ? value : 0;
}

void net_random_init(const void *more, unsigned size) {
  bool has_rdrand = cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND;
  uint64_t words[8] = {clock_wall_seconds(NULL), clock_ns(), first_tsc, rdtsc()}, hardware[2];
  memcpy(&words[4], more, size < 32 ? size : 32);
  for (unsigned i = 0; i < 2; i++)
    hardware[i] = (has_rdrand ? rdrand() : 0) ^ rdtsc() << 32;
  net_random_seed(words, hardware);
}
