/** Deflate (RFC 1951), in steps: bit buffer and the block's codes are kept between steps. */
import { CODEC_DAMAGED, CODEC_DONE, CODEC_MORE, CODEC_TOO_LONG, CODEC_TRUNCATED } from "../abi/codec";
import { copyMatch } from "./copy";
import { Code, codeBuild, codeLong } from "./huffman";
import { STEP_BYTES, stream } from "./state";

const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 9;
const LENGTH_BITS: u32 = 7;
const LITERALS: u32 = 288;
const DISTANCES: u32 = 30;
const END_OF_BLOCK: u32 = 256;
/** A code's bits are at most this many. */
const LONGEST: u64 = 15;

// codeBytes() of each, which static data cannot be sized by: counts and symbols, then the table.
const literals: usize = memory.data(608 + 4096, 8);
const distances: usize = memory.data(608 + 1024, 8);
const lengths: usize = memory.data(608 + 256, 8);
/** Code lengths of both codes of a block, one byte each. */
const given: usize = memory.data(320, 8);

/** Length symbols 257..285: least length; distance symbols: least distance. Then each one's extra bits. */
const lengthBase: usize = memory.data<u16>([
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]);
const lengthExtra: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
]);
const distanceBase: usize = memory.data<u16>([
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
]);
const distanceExtra: usize = memory.data<u8>([
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
]);
/** The order in which a dynamic block tells the lengths of its length code. */
const lengthOrder: usize = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

/** Bits taken from the input and not used yet, the next one lowest, and how many they are. */
let bits: u64 = 0;
let count: u32 = 0;
/** In the middle of a compressed block; bytes left of a stored block; the last block has begun. */
let inBlock: bool = false;
let stored: u32 = 0;
let last: bool = false;

export function inflateBegin(): void {
  bits = 0;
  count = 0;
  inBlock = false;
  stored = 0;
  last = false;
}

/** Makes sure of 56 bits or more; what lies behind the input's end is noticed by `overrun`. */
function refill(): void {
  bits |= load<u64>(stream.input) << count;
  stream.input += (63 - count) >> 3;
  count |= 56;
}

/** Whether bits from behind the input's end have been used. */
function overrun(): bool {
  return stream.input - (count >> 3) > stream.inputEnd;
}

function take(n: u32): u32 {
  const value = (<u32>bits) & ((1 << n) - 1);
  bits >>= n;
  count -= n;
  return value;
}

/** Gives whole unused bytes back to the input, and drops the rest of the present byte. */
function toByte(): void {
  stream.input -= count >> 3;
  bits = 0;
  count = 0;
}

/** CODEC_DONE at the end of the last block, `stream.input` then at the byte behind it. */
export function inflateStep(): u32 {
  const start = stream.output;
  while (true) {
    if (stored) {
      const room = STEP_BYTES - (stream.output - start);
      const length = stored < room ? stored : room;
      memory.copy(stream.output, stream.input, length);
      stream.input += length;
      stream.output += length;
      stored -= length;
    } else if (inBlock) {
      const status = compressed(start + STEP_BYTES);
      if (status != CODEC_DONE) return status;
    } else if (last) {
      toByte();
      return CODEC_DONE;
    } else {
      const status = header();
      if (status != CODEC_DONE) return status;
    }
    if (stream.output - start >= STEP_BYTES) return CODEC_MORE;
  }
}

/** Reads a block's header: CODEC_DONE when its contents follow. */
function header(): u32 {
  refill();
  last = take(1) != 0;
  const kind = take(2);
  if (kind == 0) return storedHeader();
  if (kind == 3) return overrun() ? CODEC_TRUNCATED : CODEC_DAMAGED;
  if (kind == 1) fixedCodes();
  else {
    const status = dynamicCodes();
    if (status != CODEC_DONE) return status;
  }
  inBlock = true;
  return overrun() ? CODEC_TRUNCATED : CODEC_DONE;
}

function storedHeader(): u32 {
  toByte();
  if (stream.input > stream.inputEnd || stream.inputEnd - stream.input < 4) return CODEC_TRUNCATED;
  const length: u32 = load<u16>(stream.input);
  if ((length ^ (<u32>load<u16>(stream.input, 2))) != 0xffff) return CODEC_DAMAGED;
  stream.input += 4;
  if (stream.inputEnd - stream.input < length) return CODEC_TRUNCATED;
  if (stream.outputEnd - stream.output < length) return CODEC_TOO_LONG;
  stored = length;
  return CODEC_DONE;
}

function fixedCodes(): void {
  memory.fill(given, 8, 144);
  memory.fill(given + 144, 9, 112);
  memory.fill(given + 256, 7, 24);
  memory.fill(given + 280, 8, 8);
  codeBuild(literals, LITERAL_BITS, given, LITERALS);
  memory.fill(given, 5, DISTANCES);
  codeBuild(distances, DISTANCE_BITS, given, DISTANCES);
}

function dynamicCodes(): u32 {
  const literalCount = take(5) + 257;
  const distanceCount = take(5) + 1;
  const lengthCount = take(4) + 4;
  if (literalCount > 286 || distanceCount > DISTANCES) return CODEC_DAMAGED;
  memory.fill(given, 0, 19);
  for (let i: u32 = 0; i < lengthCount; i++) {
    refill();
    store<u8>(given + load<u8>(lengthOrder + i), take(3));
  }
  if (codeBuild(lengths, LENGTH_BITS, given, 19) != 0) return CODEC_DAMAGED;

  const total = literalCount + distanceCount;
  for (let i: u32 = 0; i < total;) {
    refill();
    if (overrun()) return CODEC_TRUNCATED;
    // At most 7 bits: always in the table, for the code is complete.
    const entry: u32 = load<u16>(lengths + Code.table + (((<usize>bits) & 127) << 1));
    take(entry & 15);
    const symbol = entry >> 4;
    if (symbol < 16) {
      store<u8>(given + i++, symbol);
      continue;
    }
    let value: u32 = 0;
    if (symbol == 16) {
      if (i == 0) return CODEC_DAMAGED;
      value = load<u8>(given + i - 1);
    }
    const repeat = symbol == 16 ? take(2) + 3 : symbol == 17 ? take(3) + 3 : take(7) + 11;
    if (repeat > total - i) return CODEC_DAMAGED;
    memory.fill(given + i, <u8>value, repeat);
    i += repeat;
  }
  if (!load<u8>(given + END_OF_BLOCK)) return CODEC_DAMAGED;
  if (codeBuild(distances, DISTANCE_BITS, given + literalCount, distanceCount) != 0) {
    if (!sparse(distances)) return CODEC_DAMAGED;
  }
  if (codeBuild(literals, LITERAL_BITS, given, literalCount) != 0) {
    if (!sparse(literals)) return CODEC_DAMAGED;
  }
  return CODEC_DONE;
}

/** Incomplete codes are allowed when they have at most one symbol, of one bit. */
function sparse(code: usize): bool {
  if (load<u16>(code, 2) > 1) return false;
  for (let length: u32 = 2; length <= <u32>LONGEST; length++) if (load<u16>(code + (length << 1))) return false;
  return true;
}

/** Decodes until the block ends (CODEC_DONE) or `output` has passed `stop` (CODEC_MORE). */
function compressed(stop: u32): u32 {
  let b = bits;
  let n = count;
  let from = stream.input;
  let to = stream.output;
  const start = stream.outputStart;
  const end = stream.outputEnd;
  const inputStop = stream.inputEnd + 8;
  let status: u32 = CODEC_MORE;
  while (to < stop) {
    // 56 bits or more: enough for a length (15 + 5) and a distance (15 + 13).
    b |= load<u64>(from) << n;
    from += (63 - n) >> 3;
    n |= 56;
    if (from > inputStop) {
      status = CODEC_TRUNCATED;
      break;
    }
    let entry: u32 = load<u16>(literals + Code.table + (((<usize>b) & ((1 << LITERAL_BITS) - 1)) << 1));
    if (!entry) entry = codeLong(literals, b);
    if (!entry) {
      status = CODEC_DAMAGED;
      break;
    }
    b >>= entry & 15;
    n -= entry & 15;
    const symbol = entry >> 4;
    if (symbol < END_OF_BLOCK) {
      if (to == end) {
        status = CODEC_TOO_LONG;
        break;
      }
      store<u8>(to++, symbol);
      continue;
    }
    if (symbol == END_OF_BLOCK) {
      inBlock = false;
      status = CODEC_DONE;
      break;
    }
    if (symbol > 285) {
      status = CODEC_DAMAGED;
      break;
    }
    const lengthAt = symbol - 257;
    let extra: u32 = load<u8>(lengthExtra + lengthAt);
    const length = load<u16>(lengthBase + (lengthAt << 1)) + ((<u32>b) & ((1 << extra) - 1));
    b >>= extra;
    n -= extra;

    entry = load<u16>(distances + Code.table + (((<usize>b) & ((1 << DISTANCE_BITS) - 1)) << 1));
    if (!entry) entry = codeLong(distances, b);
    if (!entry) {
      status = CODEC_DAMAGED;
      break;
    }
    b >>= entry & 15;
    n -= entry & 15;
    const distanceAt = entry >> 4;
    extra = load<u8>(distanceExtra + distanceAt);
    const distance = load<u16>(distanceBase + (distanceAt << 1)) + ((<u32>b) & ((1 << extra) - 1));
    b >>= extra;
    n -= extra;
    if (distance > to - start) {
      status = CODEC_DAMAGED;
      break;
    }
    if (length > end - to) {
      status = CODEC_TOO_LONG;
      break;
    }
    copyMatch(to, distance, length);
    to += length;
  }
  bits = b;
  count = n;
  stream.input = from;
  stream.output = to;
  return overrun() ? CODEC_TRUNCATED : status;
}
