/**
 * The literals of a Zstandard block: plain, one byte repeated, or in a prefix code whose table may be that of the block
 * before. Source: RFC 8878 sections 3.1.1.3.1 and 4.2.
 */
import { bitsBelow, bitsIn, bitsOrZeroes } from "./bits";
import { fseBits, fseEnd, fseEntry, fseLog, fseRead, fseTable, NEXT_SHIFT } from "./fse";

/** Kinds of a literals section: 1 is a byte that is repeated, 3 compressed with the code of the block before. */
const PLAIN: u32 = 0;
const COMPRESSED: u32 = 2;

const LITERALS_MAXIMUM: u32 = 128 << 10;
const CODE_BITS_MAXIMUM: u32 = 11;
const WEIGHT_LOG_MAXIMUM: u32 = 6;
const WEIGHTS_MAXIMUM: u32 = 255;
const STREAM_TABLE_BYTES: u32 = 6;
/** Symbols decoded from one load of 56 bits or more. */
const GROUP: u32 = 5;

/** Where literals are made: the most there can be, and room for copies by words. */
const buffer: usize = memory.data((128 << 10) + 64, 8);
/** symbol | bits << 8, by the next codeBits bits. */
const table: usize = memory.data(2 << 11, 8);
const weights: usize = memory.data(256, 8);
const weightTable: usize = memory.data(8 << 6, 8);
/** Next table index for symbols of each weight. */
const ranks: usize = memory.data(4 * 16, 8);

let codeBits: u32 = 0;

/** The literals of the block read last, and where their section ended. */
export let literalsAt: u32 = 0;
export let literalsSize: u32 = 0;
export let literalsEnd: u32 = 0;

/** No table yet: at the start of a frame. */
export function literalsBegin(): void {
  codeBits = 0;
}

/** Reads the literals section at `from`, within a block that ends at `end`; false when it is damaged. */
export function literalsRead(from: u32, end: u32): bool {
  if (end - from < 1) return false;
  const first: u32 = load<u8>(from);
  const kind = first & 3;
  return kind < COMPRESSED ? simple(kind, from, end) : compressed(kind, from, end);
}

function simple(kind: u32, from: u32, end: u32): bool {
  const format = ((<u32>load<u8>(from)) >> 2) & 3;
  const header: u32 = format == 1 ? 2 : format == 3 ? 3 : 1;
  const size = header == 1 ? (<u32>load<u8>(from)) >> 3 : (load<u32>(from) & ((1 << (header << 3)) - 1)) >> 4;
  if (size > LITERALS_MAXIMUM) return false;
  const stored: u32 = kind == PLAIN ? size : 1;
  if (end - from < header || end - from - header < stored) return false;
  literalsSize = size;
  literalsEnd = from + header + stored;
  if (kind == PLAIN) {
    literalsAt = from + header;
  } else {
    memory.fill(buffer, load<u8>(from + header), size);
    literalsAt = <u32>buffer;
  }
  return true;
}

function compressed(kind: u32, from: u32, end: u32): bool {
  const format = ((<u32>load<u8>(from)) >> 2) & 3;
  const header: u32 = format < 2 ? 3 : format + 2;
  const width: u64 = format < 2 ? 10 : format == 2 ? 14 : 18;
  if (end - from < header) return false;
  const fields = load<u64>(from) >> 4;
  const mask = ((<u64>1) << width) - 1;
  const size = <u32>(fields & mask);
  const stored = <u32>((fields >> width) & mask);
  if (size > LITERALS_MAXIMUM || end - from - header < stored) return false;
  let at = from + header;
  const stop = at + stored;
  if (kind == COMPRESSED) {
    at = readCode(at, stop);
    if (!at) return false;
  } else if (!codeBits) {
    return false;
  }
  literalsAt = <u32>buffer;
  literalsSize = size;
  literalsEnd = stop;
  if (format == 0) return decode(at, stop - at, <u32>buffer, size);

  if (stop - at < STREAM_TABLE_BYTES) return false;
  const each: u32 = (size + 3) >> 2;
  if (each * 3 > size) return false;
  let stream = at + STREAM_TABLE_BYTES;
  let to = <u32>buffer;
  for (let i: u32 = 0; i < 3; i++) {
    const length: u32 = load<u16>(at + (i << 1));
    if (stop - stream < length || !decode(stream, length, to, each)) return false;
    stream += length;
    to += each;
  }
  return decode(stream, stop - stream, to, size - each * 3);
}

/** Decodes `count` symbols from a stream of `size` bytes that holds just these. */
function decode(from: u32, size: u32, to: u32, count: u32): bool {
  let position = bitsIn(from, size);
  if (position < 0) return false;
  const bits = codeBits;
  const mask: u64 = (1 << bits) - 1;
  const end = to + count;
  while (end - to >= GROUP) {
    const byte = (position >> 3) - 7;
    const word = load<u64>(from + byte);
    const available: u64 = (position & 7) + 56;
    let left = available;
    for (let i: u32 = 0; i < GROUP; i++) {
      const entry: u32 = load<u16>(table + ((<usize>((word >> (left - bits)) & mask)) << 1));
      store<u8>(to + i, entry);
      left -= entry >> 8;
    }
    to += GROUP;
    position -= <i32>(available - left);
    if (position < 0) return false;
  }
  while (to < end) {
    const entry: u32 = load<u16>(table + ((<usize>bitsBelow(from, position, bits)) << 1));
    store<u8>(to++, entry);
    position -= entry >> 8;
    if (position < 0) return false;
  }
  return position == 0;
}

/** Reads the description of a prefix code and makes its table; returns where it ends, 0 when it is damaged. */
function readCode(from: u32, end: u32): u32 {
  if (end - from < 1) return 0;
  const header: u32 = load<u8>(from++);
  let count: u32 = 0;
  if (header < 128) {
    if (end - from < header) return 0;
    count = packedWeights(from, from + header);
    from += header;
  } else {
    count = header - 127;
    if (end - from < (count + 1) >> 1) return 0;
    for (let i: u32 = 0; i < count; i++) {
      const pair: u32 = load<u8>(from + (i >> 1));
      store<u8>(weights + i, i & 1 ? pair & 15 : pair >> 4);
    }
    from += (count + 1) >> 1;
  }
  return count && buildTable(count) ? from : 0;
}

/** Weights in a finite state code, two states in turn; returns how many, 0 when they are damaged. */
function packedWeights(from: u32, end: u32): u32 {
  if (!fseRead(from, end, CODE_BITS_MAXIMUM + 2, WEIGHT_LOG_MAXIMUM)) return 0;
  fseTable(weightTable, 0, 0);
  const log = fseLog;
  const start = fseEnd;
  let position = bitsIn(start, end - start);
  if (position < <i32>(2 * log)) return 0;
  let state = bitsBelow(start, position, log);
  position -= log;
  let other = bitsBelow(start, position, log);
  position -= log;
  let count: u32 = 0;
  while (true) {
    if (count >= WEIGHTS_MAXIMUM - 1) return 0;
    const entry = fseEntry(weightTable, state);
    store<u8>(weights + count++, <u32>entry);
    const bits = fseBits(entry);
    const next = <u32>(entry >> NEXT_SHIFT) + bitsOrZeroes(start, position, bits);
    position -= bits;
    if (position < 0) {
      store<u8>(weights + count++, <u32>fseEntry(weightTable, other));
      return count;
    }
    state = other;
    other = next;
  }
}

/** A symbol of weight w has 2^(w-1) places in the table; the last symbol's weight is what makes the sum a power of 2. */
function buildTable(count: u32): bool {
  memory.fill(ranks, 0, 64);
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const weight: u32 = load<u8>(weights + i);
    if (weight > CODE_BITS_MAXIMUM) return false;
    if (weight) sum += 1 << (weight - 1);
    const rank = ranks + (weight << 2);
    store<u32>(rank, load<u32>(rank) + 1);
  }
  if (!sum) return false;
  const bits: u32 = 32 - clz<u32>(sum);
  const rest: u32 = (1 << bits) - sum;
  if (bits > CODE_BITS_MAXIMUM || (rest & (rest - 1)) != 0) return false;
  const last: u32 = 32 - clz<u32>(rest);
  store<u8>(weights + count, last);
  store<u32>(ranks + (last << 2), load<u32>(ranks + (last << 2)) + 1);
  let start: u32 = 0;
  for (let weight: u32 = 1; weight <= bits; weight++) {
    const rank = ranks + (weight << 2);
    const symbols = load<u32>(rank);
    store<u32>(rank, start);
    start += symbols << (weight - 1);
  }
  for (let i: u32 = 0; i <= count; i++) {
    const weight: u32 = load<u8>(weights + i);
    if (!weight) continue;
    const rank = ranks + (weight << 2);
    const at = load<u32>(rank);
    const places: u32 = 1 << (weight - 1);
    const entry = i | ((bits + 1 - weight) << 8);
    for (let k: u32 = 0; k < places; k++) store<u16>(table + ((at + k) << 1), entry);
    store<u32>(rank, at + places);
  }
  codeBits = bits;
  return true;
}
