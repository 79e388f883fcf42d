/**
 * The sequences of a Zstandard block: how many literals, then how long a match from how far back, in three finite state
 * codes that share one bit stream. Source: RFC 8878 sections 3.1.1.3.2, 3.1.1.4, 3.1.1.5 and appendix A.
 */
import { CODEC_DAMAGED, CODEC_DONE, CODEC_TOO_LONG } from "../abi/codec";
import { bitsBelow, bitsIn } from "./bits";
import { copyLiterals, copyMatch } from "./copy";
import {
  EXTRA_SHIFT,
  fseBits,
  fseEnd,
  fseEntry,
  fseLog,
  fseNext,
  fsePredefined,
  fseRead,
  fseSingle,
  fseTable,
} from "./fse";
import { stream } from "./state";

const PREDEFINED: u32 = 0;
const SINGLE: u32 = 1;
const DESCRIBED: u32 = 2;

/** Symbols, bits of states at most, and those of the predefined code. */
const LITERAL_CODES: u32 = 36;
const OFFSET_CODES: u32 = 32;
const MATCH_CODES: u32 = 53;
const LITERAL_LOG: u32 = 9;
const OFFSET_LOG: u32 = 8;
const MATCH_LOG: u32 = 9;

const literalTable: usize = memory.data(8 << 9, 8);
const offsetTable: usize = memory.data(8 << 8, 8);
const matchTable: usize = memory.data(8 << 9, 8);

const literalBase: usize = memory.data<u32>([
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024,
  2048, 4096, 8192, 16384, 32768, 65536,
]);
const literalExtra: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
]);
const literalShares: usize = memory.data<i8>([
  4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
]);
const matchBase: usize = memory.data<u32>([
  3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
  34, 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539,
]);
const matchExtra: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3,
  3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
]);
const matchShares: usize = memory.data<i8>([
  1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
]);
/** An offset code is also the number of its extra bits, and 2^code its base. */
const offsetBase: usize = memory.data(4 * 32, 8);
const offsetExtra: usize = memory.data(32, 8);
const offsetShares: usize = memory.data<i8>([
  1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
]);

/** Bits of states of the tables in use; below 0: there is none yet. */
let literalLog: i32 = -1;
let offsetLog: i32 = -1;
let matchLog: i32 = -1;

/** The latest offsets. */
let rep0: u32 = 0;
let rep1: u32 = 0;
let rep2: u32 = 0;

/** Where reading the tables has got. */
let cursor: u32 = 0;

/** At the start of a frame. */
export function sequencesBegin(): void {
  literalLog = -1;
  offsetLog = -1;
  matchLog = -1;
  rep0 = 1;
  rep1 = 4;
  rep2 = 8;
  for (let i: u32 = 0; i < OFFSET_CODES; i++) {
    store<u32>(offsetBase + (i << 2), 1 << i);
    store<u8>(offsetExtra + i, i);
  }
}

/** Makes one of the three tables by its `mode`. Returns the bits of its states, below 0 when it is damaged. */
function readTable(
  mode: u32,
  end: u32,
  table: usize,
  codes: u32,
  maximumLog: u32,
  bases: usize,
  extras: usize,
  shares: usize,
  sharesCount: u32,
  sharesLog: u32,
  present: i32,
): i32 {
  if (mode == PREDEFINED) {
    fsePredefined(shares, sharesCount, sharesLog);
  } else if (mode == SINGLE) {
    if (cursor >= end) return -1;
    const symbol: u32 = load<u8>(cursor++);
    if (symbol >= codes) return -1;
    fseSingle(table, load<u32>(bases + (symbol << 2)), load<u8>(extras + symbol));
    return 0;
  } else if (mode == DESCRIBED) {
    if (!fseRead(cursor, end, codes, maximumLog)) return -1;
    cursor = fseEnd;
  } else {
    return present;
  }
  fseTable(table, bases, extras);
  return fseLog;
}

/**
 * Carries out the sequences of a block: their section is [from, end), the block's literals are `literals`.
 * @param frame first byte of the frame's output, as far back as matches may go
 */
export function sequencesRun(from: u32, end: u32, literals: u32, literalsSize: u32, frame: u32): u32 {
  if (end - from < 1) return CODEC_DAMAGED;
  let count: u32 = load<u8>(from);
  if (count < 128) {
    cursor = from + 1;
  } else if (count < 255) {
    count = ((count - 128) << 8) + load<u8>(from, 1);
    cursor = from + 2;
  } else {
    count = <u32>load<u16>(from, 1) + 0x7f00;
    cursor = from + 3;
  }
  if (count) {
    const modes: u32 = load<u8>(cursor++);
    if (cursor > end || modes & 3) return CODEC_DAMAGED;
    literalLog = readTable(
      modes >> 6,
      end,
      literalTable,
      LITERAL_CODES,
      LITERAL_LOG,
      literalBase,
      literalExtra,
      literalShares,
      36,
      6,
      literalLog,
    );
    if (literalLog < 0) return CODEC_DAMAGED;
    offsetLog = readTable(
      (modes >> 4) & 3,
      end,
      offsetTable,
      OFFSET_CODES,
      OFFSET_LOG,
      offsetBase,
      offsetExtra,
      offsetShares,
      29,
      5,
      offsetLog,
    );
    if (offsetLog < 0) return CODEC_DAMAGED;
    matchLog = readTable(
      (modes >> 2) & 3,
      end,
      matchTable,
      MATCH_CODES,
      MATCH_LOG,
      matchBase,
      matchExtra,
      matchShares,
      53,
      6,
      matchLog,
    );
    if (matchLog < 0 || cursor > end) return CODEC_DAMAGED;
  } else if (cursor != end) {
    return CODEC_DAMAGED;
  }
  const literalsEnd = literals + literalsSize;
  if (count) {
    literals = run(cursor, end - cursor, count, literals, literalsEnd, frame);
    if (literals <= CODEC_TOO_LONG) return literals;
  }
  // What is left of the literals comes behind the last match.
  const left = literalsEnd - literals;
  if (left > stream.outputEnd - stream.output) return CODEC_TOO_LONG;
  copyLiterals(stream.output, literals, left);
  stream.output += left;
  return CODEC_DONE;
}

/** Carries out `count` sequences; returns the first literal that is left, or CODEC_DAMAGED, CODEC_TOO_LONG. */
function run(bits: u32, size: u32, count: u32, literals: u32, literalsEnd: u32, frame: u32): u32 {
  let position = bitsIn(bits, size);
  if (position < literalLog + offsetLog + matchLog) return CODEC_DAMAGED;
  let literalState = bitsBelow(bits, position, literalLog);
  position -= literalLog;
  let offsetState = bitsBelow(bits, position, offsetLog);
  position -= offsetLog;
  let matchState = bitsBelow(bits, position, matchLog);
  position -= matchLog;
  let to = stream.output;
  const end = stream.outputEnd;
  while (true) {
    const literalEntry = fseEntry(literalTable, literalState);
    const offsetEntry = fseEntry(offsetTable, offsetState);
    const matchEntry = fseEntry(matchTable, matchState);
    let extra = (<u32>(offsetEntry >> EXTRA_SHIFT)) & 255;
    let offset = <u32>offsetEntry + bitsBelow(bits, position, extra);
    position -= extra;
    extra = (<u32>(matchEntry >> EXTRA_SHIFT)) & 255;
    const match = <u32>matchEntry + bitsBelow(bits, position, extra);
    position -= extra;
    extra = (<u32>(literalEntry >> EXTRA_SHIFT)) & 255;
    const plain = <u32>literalEntry + bitsBelow(bits, position, extra);
    position -= extra;
    if (position < 0) return CODEC_DAMAGED;

    if (offset > 3) {
      offset -= 3;
      rep2 = rep1;
      rep1 = rep0;
      rep0 = offset;
    } else {
      // Without literals the latest offset makes no sense: the numbers are shifted by one.
      const which = offset + (plain ? 0 : 1);
      if (which == 1) {
        offset = rep0;
      } else {
        offset = which == 2 ? rep1 : which == 3 ? rep2 : rep0 - 1;
        if (which > 2) rep2 = rep1;
        rep1 = rep0;
        rep0 = offset;
      }
    }

    if (plain > literalsEnd - literals) return CODEC_DAMAGED;
    if (plain > end - to) return CODEC_TOO_LONG;
    copyLiterals(to, literals, plain);
    literals += plain;
    to += plain;
    if (offset == 0 || offset > to - frame) return CODEC_DAMAGED;
    if (match > end - to) return CODEC_TOO_LONG;
    copyMatch(to, offset, match);
    to += match;

    if (--count == 0) break;
    literalState = fseNext(literalEntry, bits, position);
    position -= fseBits(literalEntry);
    matchState = fseNext(matchEntry, bits, position);
    position -= fseBits(matchEntry);
    offsetState = fseNext(offsetEntry, bits, position);
    position -= fseBits(offsetEntry);
    if (position < 0) return CODEC_DAMAGED;
  }
  stream.output = to;
  return position == 0 ? literals : CODEC_DAMAGED;
}
