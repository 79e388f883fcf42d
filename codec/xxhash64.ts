/** XXH64 with seed 0, zstd's checksum. Source: xxHash's doc/xxhash_spec.md. */
const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;
const STRIPE: u32 = 32;

@unmanaged
class Sum {
  a: u64;
  b: u64;
  c: u64;
  d: u64;
}

const sum: Sum = changetype<Sum>(memory.data(offsetof<Sum>(), 8));

export function xxhashBegin(): void {
  sum.a = P1 + P2;
  sum.b = P2;
  sum.c = 0;
  sum.d = 0 - P1;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function round(lane: u64, word: u64): u64 {
  return rotl<u64>(lane + word * P2, 31) * P1;
}

/** Takes in whole stripes from `from` on, as many as end before `end`; returns where it stopped. */
export function xxhashStripes(from: u32, end: u32): u32 {
  let a = sum.a;
  let b = sum.b;
  let c = sum.c;
  let d = sum.d;
  while (end - from >= STRIPE) {
    a = round(a, load<u64>(from));
    b = round(b, load<u64>(from, 8));
    c = round(c, load<u64>(from, 16));
    d = round(d, load<u64>(from, 24));
    from += STRIPE;
  }
  sum.a = a;
  sum.b = b;
  sum.c = c;
  sum.d = d;
  return from;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * P1 + P4;
}

/** The hash: `from` is where xxhashStripes stopped, `total` the number of bytes in all. */
export function xxhashEnd(from: u32, end: u32, total: u64): u64 {
  let hash = P5;
  if (total >= STRIPE) {
    hash = rotl<u64>(sum.a, 1) + rotl<u64>(sum.b, 7) + rotl<u64>(sum.c, 12) + rotl<u64>(sum.d, 18);
    hash = merge(merge(merge(merge(hash, sum.a), sum.b), sum.c), sum.d);
  }
  hash += total;
  for (; end - from >= 8; from += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(from)), 27) * P1 + P4;
  if (end - from >= 4) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(from) * P1), 23) * P2 + P3;
    from += 4;
  }
  for (; from < end; from++) hash = rotl<u64>(hash ^ (<u64>load<u8>(from) * P5), 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}
