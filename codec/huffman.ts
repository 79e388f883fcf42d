/**
 * Deflate's prefix codes: canonical codes of at most 15 bits, first bit lowest. Codes of at most `bits` bits are found in
 * a table by the next bits of the input; the few longer ones by counting.
 *
 * Source: RFC 1951 section 3.2.2.
 */

const LONGEST: u32 = 15;

/** A code as it lies in memory: offsets of u16 fields. */
export namespace Code {
  /** Codes of each length 0..15. */
  export const counts: u32 = 0;
  /** Symbols by ascending code. */
  export const symbols: u32 = 32;
  /** 2^bits entries: symbol << 4 | length, 0: longer than that. */
  export const table: u32 = 32 + 2 * 288;
}

/** Bytes that a code with a table for `bits` bits takes. */
export function codeBytes(bits: u32): u32 {
  return Code.table + (2 << bits);
}

const next: usize = memory.data(32, 8);

/**
 * Makes the code in which symbol i has the length in byte i of `lengths`.
 * @returns bit patterns left over: 0 for a complete code, below 0 for an impossible one
 */
export function codeBuild(code: usize, bits: u32, lengths: usize, symbols: u32): i32 {
  memory.fill(code, 0, 32);
  for (let i: u32 = 0; i < symbols; i++) {
    const count = code + ((<usize>load<u8>(lengths + i)) << 1);
    store<u16>(count, load<u16>(count) + 1);
  }
  let left: i32 = 1;
  for (let length: u32 = 1; length <= LONGEST; length++) {
    left = (left << 1) - <i32>load<u16>(code + (length << 1));
    if (left < 0) return left;
  }
  store<u16>(next + 2, 0);
  for (let length: u32 = 1; length < LONGEST; length++) {
    store<u16>(next + (length << 1) + 2, load<u16>(next + (length << 1)) + load<u16>(code + (length << 1)));
  }
  for (let i: u32 = 0; i < symbols; i++) {
    const length: u32 = load<u8>(lengths + i);
    if (!length) continue;
    const place = next + (length << 1);
    store<u16>(code + Code.symbols + ((<usize>load<u16>(place)) << 1), i);
    store<u16>(place, load<u16>(place) + 1);
  }
  fillTable(code, bits);
  return left;
}

function fillTable(code: usize, bits: u32): void {
  const table = code + Code.table;
  memory.fill(table, 0, 2 << bits);
  let value: u32 = 0;
  let index: u32 = 0;
  for (let length: u32 = 1; length <= bits; length++) {
    const count: u32 = load<u16>(code + (length << 1));
    for (let i: u32 = 0; i < count; i++, index++, value++) {
      const entry = ((<u32>load<u16>(code + Code.symbols + (index << 1))) << 4) | length;
      for (let at = reversed(value, length); at < 1 << bits; at += 1 << length) store<u16>(table + (at << 1), entry);
    }
    value <<= 1;
  }
}

function reversed(value: u32, length: u32): u32 {
  let result: u32 = 0;
  for (; length; length--, value >>= 1) result = (result << 1) | (value & 1);
  return result;
}

/** A code longer than the table's: symbol << 4 | length, 0 when the bits are no code. */
export function codeLong(code: usize, bits: u64): u32 {
  let value: i32 = 0;
  let first: i32 = 0;
  let index: i32 = 0;
  for (let length: u32 = 1; length <= LONGEST; length++) {
    value |= <i32>(bits & 1);
    bits >>= 1;
    const count: i32 = load<u16>(code + (length << 1));
    if (value - count < first) {
      return ((<u32>load<u16>(code + Code.symbols + ((<usize>(index + value - first)) << 1))) << 4) | length;
    }
    index += count;
    first = (first + count) << 1;
    value <<= 1;
  }
  return 0;
}
