/*
 * Numbers that a stranger cannot guess: SipHash-2-4 (Aumasson, Bernstein) of a counter, under a secret chosen at the start.
 * Sequence numbers of connections begin as RFC 6528 says: a hash of both ends, plus a clock.
 */
#include "internal.h"

#include "../clock.h"

#include "hooks.h"

static uint64_t secret[2], counter;

static uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static void rounds(uint64_t v[4], unsigned count) {
  while (count-- > 0) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
  }
}

/* Of whole words, with their number where the algorithm has the number of bytes. */
static uint64_t siphash(const uint64_t *words, unsigned count) {
  uint64_t v[4] = {
      secret[0] ^ 0x736f6d6570736575,
      secret[1] ^ 0x646f72616e646f6d,
      secret[0] ^ 0x6c7967656e657261,
      secret[1] ^ 0x7465646279746573,
  };
  for (unsigned i = 0; i <= count; i++) {
    uint64_t word = i < count ? words[i] : (uint64_t)(count * 8) << 56;
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
  }
  v[2] ^= 0xff;
  rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void net_random_seed(const uint64_t words[8], const uint64_t hardware[2]) {
  for (unsigned i = 0; i < 2; i++) {
    secret[i] = hardware[i];
    secret[i] ^= siphash(words, 8);
  }
}

uint32_t net_random(void) {
  uint64_t words[2] = {++counter, 0};
  return siphash(words, 2);
}

u32_t net_hook_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote, u16_t remote_port) {
  uint64_t words[2] = {
      ip4_addr_get_u32(ip_2_ip4(local)) | (uint64_t)ip4_addr_get_u32(ip_2_ip4(remote)) << 32,
      local_port | (uint64_t)remote_port << 16 | 1ull << 63,
  };
  return siphash(words, 2) + clock_ns() / 4096;
}
