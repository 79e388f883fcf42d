/**
 * Zstandard's bit streams, which are read backwards: the last byte's highest 1 bit marks their start. A position is
 * the number of bits still unread. Memory before the stream may be read, and its bits are never used by a valid stream.
 */

/** Bits in the stream [from, from + size); below 0 when it has no mark. */
export function bitsIn(from: u32, size: u32): i32 {
  if (!size) return -1;
  const last: u32 = load<u8>(from + size - 1);
  return last ? <i32>(size << 3) - <i32>clz<u32>(last) + 23 : -1;
}

/** The `count` (at most 56) bits below `position`; whether they are there is for the caller to check afterwards. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function bitsBelow(from: u32, position: i32, count: u32): u32 {
  const lowest = position - <i32>count;
  return <u32>((load<u64>(from + (lowest >> 3)) >> (lowest & 7)) & (((<u64>1) << count) - 1));
}

/** As bitsBelow, with zeroes for bits that are not there. */
export function bitsOrZeroes(from: u32, position: i32, count: u32): u32 {
  if (position >= <i32>count) return bitsBelow(from, position, count);
  if (position <= 0) return 0;
  return bitsBelow(from, position, position) << (count - position);
}
