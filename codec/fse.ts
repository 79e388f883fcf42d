/**
 * Finite state entropy codes: a table of states, each with a symbol, a number of bits to read and what to add to them
 * for the next state.
 *
 * Source: RFC 8878 section 4.1.
 */
import { bitsBelow } from "./bits";

/** Entry: bits 0..31 what the symbol stands for, 32..39 extra bits behind it, 40..47 bits to read, 48..63 next base. */
export const ENTRY_SHIFT: u32 = 3;
export const EXTRA_SHIFT: u64 = 32;
export const READ_SHIFT: u64 = 40;
export const NEXT_SHIFT: u64 = 48;

/** Shares of the symbols, i16 each; -1: less than one. */
const shares: usize = memory.data(2 * 256, 8);
const nextState: usize = memory.data(2 * 256, 8);

/** Bits of states of the code read last, and where its description ended. */
export let fseLog: u32 = 0;
export let fseEnd: u32 = 0;
let symbols: u32 = 0;

/** Sets the shares of a predefined code: i8 at `from`. */
export function fsePredefined(from: usize, count: u32, log: u32): void {
  for (let i: u32 = 0; i < count; i++) store<i16>(shares + (i << 1), load<i8>(from + i));
  symbols = count;
  fseLog = log;
}

/**
 * Reads the description of a code at `from`, which must end before `end`, into the shares.
 * @returns false when it is damaged
 */
export function fseRead(from: u32, end: u32, maximumSymbols: u32, maximumLog: u32): bool {
  const size = end - from;
  if (size < 1) return false;
  const log = ((<u32>load<u8>(from)) & 15) + 5;
  if (log > maximumLog) return false;
  let position: u32 = 4;
  let remaining: i32 = (1 << log) + 1;
  let symbol: u32 = 0;
  while (remaining > 1) {
    if (symbol >= maximumSymbols || position > size << 3) return false;
    // A value up to `remaining`: the lower ones take a bit less.
    const width = 32 - clz<u32>(remaining);
    const lowerCount: i32 = (1 << width) - 1 - remaining;
    const bits = <i32>forward(from, position, width);
    const short = bits & ((1 << (width - 1)) - 1);
    let value = bits;
    if (short < lowerCount) {
      value = short;
      position += width - 1;
    } else {
      if (value >= 1 << (width - 1)) value -= lowerCount;
      position += width;
    }
    const share = value - 1;
    remaining -= share < 0 ? 1 : share;
    store<i16>(shares + (symbol++ << 1), share);
    if (share) continue;
    let repeat: u32 = 3;
    while (repeat == 3) {
      repeat = forward(from, position, 2);
      position += 2;
      if (position > size << 3 || symbol + repeat > maximumSymbols) return false;
      for (let i: u32 = 0; i < repeat; i++) store<i16>(shares + (symbol++ << 1), 0);
    }
  }
  if (remaining != 1 || position > size << 3) return false;
  symbols = symbol;
  fseLog = log;
  fseEnd = from + ((position + 7) >> 3);
  return true;
}

function forward(from: u32, position: u32, count: u32): u32 {
  return (load<u32>(from + (position >> 3)) >> (position & 7)) & ((1 << count) - 1);
}

/**
 * Makes the table of the shares set last. Entry meanings: u32 at `meanings` by symbol, bytes at `extras`; 0: the symbol
 * itself.
 */
export function fseTable(table: usize, meanings: usize, extras: usize): void {
  const log = fseLog;
  const size: u32 = 1 << log;
  const mask = size - 1;
  let high = mask;
  for (let s: u32 = 0; s < symbols; s++) {
    const share: i32 = load<i16>(shares + (s << 1));
    store<u16>(nextState + (s << 1), share < 0 ? 1 : share);
    if (share < 0) {
      store<u64>(table + (high << ENTRY_SHIFT), s);
      high--;
    }
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let at: u32 = 0;
  for (let s: u32 = 0; s < symbols; s++) {
    const share: i32 = load<i16>(shares + (s << 1));
    for (let i: i32 = 0; i < share; i++) {
      store<u64>(table + ((<usize>at) << ENTRY_SHIFT), s);
      do at = (at + step) & mask;
      while (at > high);
    }
  }
  for (let i: u32 = 0; i < size; i++) {
    const entry = table + (i << ENTRY_SHIFT);
    const s = load<u32>(entry);
    const next: u32 = load<u16>(nextState + (s << 1));
    store<u16>(nextState + (s << 1), next + 1);
    const read = log - (31 - clz<u32>(next));
    const meaning = meanings ? load<u32>(meanings + (s << 2)) : s;
    const extra: u64 = extras ? <u64>load<u8>(extras + s) : 0;
    store<u64>(
      entry,
      (<u64>meaning) |
        (extra << EXTRA_SHIFT) |
        ((<u64>read) << READ_SHIFT) |
        ((<u64>((next << read) - size)) << NEXT_SHIFT),
    );
  }
}

/** A table of the one symbol that always comes. */
export function fseSingle(table: usize, meaning: u32, extra: u32): void {
  store<u64>(table, (<u64>meaning) | ((<u64>extra) << EXTRA_SHIFT));
  fseLog = 0;
}

/** Entry of `state` in `table`. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function fseEntry(table: usize, state: u32): u64 {
  return load<u64>(table + ((<usize>state) << ENTRY_SHIFT));
}

/** The state behind `entry`, with its bits from `position` in the stream `from` on. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function fseNext(entry: u64, from: u32, position: i32): u32 {
  return <u32>(entry >> NEXT_SHIFT) + bitsBelow(from, position, fseBits(entry));
}

/** How many bits `fseNext` reads. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function fseBits(entry: u64): u32 {
  return (<u32>(entry >> READ_SHIFT)) & 255;
}
