/**
 * LZMA: range-coded literals and matches, decoded a chunk at a time as LZMA2 (lzma2.ts) cuts them.
 *
 * Every probability is that of a 0 bit, in units of 1/2048, and is adjusted by 1/32 of its distance at each use. Position
 * and length symbols are trees of such bits, coded from the top ("tree") or from the bottom ("reverse tree").
 *
 * Source: the LZMA specification (Igor Pavlov, LZMA SDK, lzma-specification.txt).
 */
import { CODEC_DAMAGED, CODEC_DONE } from "../abi/codec";
import { copyMatch } from "./copy";
import { stream } from "./state";

const PROBABILITY_BITS: u32 = 11;
const MOVE_BITS: u32 = 5;
const HALF: u16 = 1024;
const TOP: u32 = 1 << 24;

const STATES: u32 = 12;
const POSITION_STATES: u32 = 16;
/** First state after a match rather than a literal. */
const AFTER_MATCH: u32 = 7;
const MINIMUM_MATCH: u32 = 2;
const DISTANCE_CLASSES: u32 = 4;
const FIRST_CLASS_WITH_BITS: u32 = 4;
const FIRST_CLASS_WITH_DIRECT_BITS: u32 = 14;
const ALIGN_BITS: u32 = 4;

/** Offsets in `probabilities`, in units of one. */
const IS_MATCH: u32 = 0;
const IS_REP: u32 = IS_MATCH + STATES * POSITION_STATES;
const IS_REP0: u32 = IS_REP + STATES;
const IS_REP1: u32 = IS_REP0 + STATES;
const IS_REP2: u32 = IS_REP1 + STATES;
const IS_REP0_LONG: u32 = IS_REP2 + STATES;
const DISTANCE_CLASS: u32 = IS_REP0_LONG + STATES * POSITION_STATES;
const DISTANCE_BITS: u32 = DISTANCE_CLASS + DISTANCE_CLASSES * 64;
const ALIGN: u32 = DISTANCE_BITS + 128;
const LENGTH: u32 = ALIGN + 16;
/** A length coder: choice, second choice, 16 trees of 8, 16 trees of 8, one of 256. */
const LENGTH_SIZE: u32 = 2 + 2 * 16 * 8 + 256;
const REP_LENGTH: u32 = LENGTH + LENGTH_SIZE;
const LITERAL: u32 = REP_LENGTH + LENGTH_SIZE;
/** lc + lp is at most 4 in LZMA2. */
const TOTAL: u32 = LITERAL + (0x300 << 4);

const probabilities: usize = memory.data(2 * 14148, 8);

let literalContextBits: u32 = 0;
let literalPositionMask: u32 = 0;
let positionMask: u32 = 0;
let state: u32 = 0;
let rep0: u32 = 0;
let rep1: u32 = 0;
let rep2: u32 = 0;
let rep3: u32 = 0;

/** The range coder; functions that read several bits keep these in locals. */
let range: u32 = 0;
let code: u32 = 0;
let input: u32 = 0;

/** Takes lc, lp and pb from their common byte; false when it is none. */
export function lzmaProperties(byte: u32): bool {
  if (byte >= 9 * 5 * 5) return false;
  const lc = byte % 9;
  const lp = (byte / 9) % 5;
  if (lc + lp > 4) return false;
  literalContextBits = lc;
  literalPositionMask = (1 << lp) - 1;
  positionMask = (1 << (byte / 45)) - 1;
  return true;
}

/** Forgets all that was learnt. */
export function lzmaReset(): void {
  for (let i: u32 = 0; i < TOTAL; i++) store<u16>(probabilities + (i << 1), HALF);
  state = 0;
  rep0 = 0;
  rep1 = 0;
  rep2 = 0;
  rep3 = 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function place(index: u32): usize {
  return probabilities + ((<usize>index) << 1);
}

/** One bit by the probability at `index`. */
function bit(index: u32): u32 {
  const at = place(index);
  let r = range;
  let c = code;
  if (r < TOP) {
    r <<= 8;
    c = (c << 8) | load<u8>(input++);
  }
  const p: u32 = load<u16>(at);
  const bound = (r >> PROBABILITY_BITS) * p;
  if (c < bound) {
    range = bound;
    code = c;
    store<u16>(at, p + (((1 << PROBABILITY_BITS) - p) >> MOVE_BITS));
    return 0;
  }
  range = r - bound;
  code = c - bound;
  store<u16>(at, p - (p >> MOVE_BITS));
  return 1;
}

/** `count` bits, the highest first, by the tree at `index`. */
function tree(index: u32, count: u32): u32 {
  const base = place(index);
  const limit: u32 = 1 << count;
  let r = range;
  let c = code;
  let from = input;
  let symbol: u32 = 1;
  while (symbol < limit) {
    if (r < TOP) {
      r <<= 8;
      c = (c << 8) | load<u8>(from++);
    }
    const at = base + (symbol << 1);
    const p: u32 = load<u16>(at);
    const bound = (r >> PROBABILITY_BITS) * p;
    symbol <<= 1;
    if (c < bound) {
      r = bound;
      store<u16>(at, p + (((1 << PROBABILITY_BITS) - p) >> MOVE_BITS));
    } else {
      r -= bound;
      c -= bound;
      store<u16>(at, p - (p >> MOVE_BITS));
      symbol++;
    }
  }
  range = r;
  code = c;
  input = from;
  return symbol - limit;
}

/** `count` bits, the lowest first, by the tree at `index` (whose entry 0 is not used). */
function reverseTree(index: u32, count: u32): u32 {
  let symbol: u32 = 1;
  let value: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const b = bit(index + symbol);
    symbol = (symbol << 1) | b;
    value |= b << i;
  }
  return value;
}

/** `count` bits, the highest first, each as likely 0 as 1. */
function direct(count: u32): u32 {
  let r = range;
  let c = code;
  let value: u32 = 0;
  for (; count; count--) {
    if (r < TOP) {
      r <<= 8;
      c = (c << 8) | load<u8>(input++);
    }
    r >>= 1;
    const one: u32 = c >= r ? 1 : 0;
    if (one) c -= r;
    value = (value << 1) | one;
  }
  range = r;
  code = c;
  return value;
}

/** A literal after a match is coded relative to the byte with which the match would have continued. */
function matchedLiteral(index: u32, expected: u32): u32 {
  let offset: u32 = 0x100;
  let symbol: u32 = 1;
  while (symbol < 0x100) {
    expected <<= 1;
    const match = expected & offset;
    if (bit(index + offset + match + symbol)) {
      symbol = (symbol << 1) | 1;
      offset &= match;
    } else {
      symbol <<= 1;
      offset &= ~match;
    }
  }
  return symbol & 0xff;
}

function matchLength(index: u32, positionState: u32): u32 {
  if (!bit(index)) return tree(index + 2 + positionState * 8, 3);
  if (!bit(index + 1)) return 8 + tree(index + 2 + 128 + positionState * 8, 3);
  return 16 + tree(index + 2 + 256, 8);
}

/** Distance - 1 of a match of `length` bytes beyond the least. */
function matchDistance(length: u32): u32 {
  const kind = tree(DISTANCE_CLASS + (length < DISTANCE_CLASSES ? length : DISTANCE_CLASSES - 1) * 64, 6);
  if (kind < FIRST_CLASS_WITH_BITS) return kind;
  const bits = (kind >> 1) - 1;
  const base = (2 | (kind & 1)) << bits;
  if (kind < FIRST_CLASS_WITH_DIRECT_BITS) return base + reverseTree(DISTANCE_BITS + base - kind, bits);
  return base + (direct(bits - ALIGN_BITS) << ALIGN_BITS) + reverseTree(ALIGN, ALIGN_BITS);
}

/**
 * Decodes a chunk.
 * @param from first byte of the chunk, which has `size` bytes
 * @param length bytes of output that it makes, for which there is room
 * @param dictionary first byte of the output that matches may refer to
 */
export function lzmaChunk(from: u32, size: u32, length: u32, dictionary: u32): u32 {
  // The range coder's first byte is always 0.
  if (size < 5 || load<u8>(from)) return CODEC_DAMAGED;
  code = bswap<u32>(load<u32>(from, 1));
  range = 0xffffffff;
  input = from + 5;
  const inputEnd = from + size;
  const end = stream.output + length;
  let to = stream.output;
  while (to < end) {
    if (input > inputEnd) return CODEC_DAMAGED;
    const position = to - dictionary;
    const positionState = position & positionMask;
    if (!bit(IS_MATCH + state * POSITION_STATES + positionState)) {
      const before: u32 = to > dictionary ? load<u8>(to - 1) : 0;
      const context = ((position & literalPositionMask) << literalContextBits) + (before >> (8 - literalContextBits));
      const index = LITERAL + context * 0x300;
      if (state < AFTER_MATCH) {
        store<u8>(to, tree(index, 8));
      } else {
        if (rep0 >= to - dictionary) return CODEC_DAMAGED;
        store<u8>(to, matchedLiteral(index, load<u8>(to - rep0 - 1)));
      }
      to++;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    let count: u32 = 0;
    if (!bit(IS_REP + state)) {
      count = matchLength(LENGTH, positionState);
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      rep0 = matchDistance(count);
      state = state < AFTER_MATCH ? 7 : 10;
    } else {
      if (!bit(IS_REP0 + state)) {
        if (!bit(IS_REP0_LONG + state * POSITION_STATES + positionState)) {
          if (rep0 >= to - dictionary) return CODEC_DAMAGED;
          store<u8>(to, load<u8>(to - rep0 - 1));
          to++;
          state = state < AFTER_MATCH ? 9 : 11;
          continue;
        }
      } else {
        let distance = rep1;
        if (bit(IS_REP1 + state)) {
          distance = rep2;
          if (bit(IS_REP2 + state)) {
            distance = rep3;
            rep3 = rep2;
          }
          rep2 = rep1;
        }
        rep1 = rep0;
        rep0 = distance;
      }
      count = matchLength(REP_LENGTH, positionState);
      state = state < AFTER_MATCH ? 8 : 11;
    }
    count += MINIMUM_MATCH;
    // In LZMA2 no match crosses a chunk's end, and there is no end marker.
    if (rep0 >= to - dictionary || count > end - to) return CODEC_DAMAGED;
    copyMatch(to, rep0 + 1, count);
    to += count;
  }
  stream.output = to;
  // The encoder leaves the coder at rest: all input used, nothing in it.
  if (range < TOP) {
    range <<= 8;
    code = (code << 8) | load<u8>(input++);
  }
  return input == inputEnd && code == 0 ? CODEC_DONE : CODEC_DAMAGED;
}
