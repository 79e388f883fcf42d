/**
 * The .xz container: blocks of filtered LZMA2, each with a checksum of its output, then an index of them.
 *
 * The x86 filter can only be undone when a block's LZMA2 has ended, because its matches refer to the filtered bytes.
 *
 * Source: The .xz File Format, version 1.1.0 (tukaani.org/xz/xz-file-format.txt).
 */
import {
  CODEC_CHECKSUM,
  CODEC_DAMAGED,
  CODEC_DONE,
  CODEC_MORE,
  CODEC_NOT_FORMAT,
  CODEC_TRUNCATED,
  CODEC_UNSUPPORTED,
} from "../abi/codec";
import { crc32, crc32Init } from "./crc32";
import { crc64, crc64Init } from "./crc64";
import { lzma2Begin, lzma2Step } from "./lzma2";
import { finish, STEP_BYTES, stream } from "./state";
import { x86Begin, x86Step } from "./x86-filter";

const HEADER_BYTES: u32 = 12;
const FOOTER_BYTES: u32 = 12;
/** "\xfd7zXZ\0", as a u32 and a u16. */
const MAGIC: u32 = 0x587a37fd;
const MAGIC_END: u32 = 0x005a;
const FOOTER_MAGIC: u32 = 0x5a59;

const CHECK_NONE: u32 = 0;
const CHECK_CRC32: u32 = 1;
const CHECK_CRC64: u32 = 4;

const FILTER_X86: u64 = 4;
const FILTER_LZMA2: u64 = 0x21;
const HAS_COMPRESSED_SIZE: u32 = 0x40;
const HAS_UNCOMPRESSED_SIZE: u32 = 0x80;
const FLAGS_RESERVED: u32 = 0x3c;
const UNKNOWN: u64 = ~0;

const enum Phase {
  Block,
  Lzma2,
  Filter,
  Check,
}

let phase: u32 = Phase.Block;
let check: u32 = 0;
let sum: u64 = 0;
/** Output up to here is in `sum`. */
let summed: u32 = 0;
let filtered: bool = false;
/** Where the present block's header, its LZMA2 and its output begin, and the sizes its header tells. */
let blockAt: u32 = 0;
let dataAt: u32 = 0;
let outputAt: u32 = 0;
let compressedSize: u64 = 0;
let uncompressedSize: u64 = 0;
/** Blocks so far, and what the index must say of them in all. */
let blocks: u64 = 0;
let unpaddedTotal: u64 = 0;

/** Reading a header: the place, its end, and whether all was well. */
let cursor: u32 = 0;
let limit: u32 = 0;
let damaged: bool = false;

/** A number in 7-bit pieces, lowest first. */
function variable(): u64 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 63; shift += 7) {
    if (cursor >= limit) break;
    const byte: u64 = load<u8>(cursor++);
    value |= (byte & 127) << shift;
    // No number ends in a byte of zeroes.
    if (byte < 128) {
      if (byte == 0 && shift > 0) break;
      return value;
    }
  }
  damaged = true;
  return 0;
}

export function xzBegin(): u32 {
  const at = stream.input;
  if (stream.inputEnd - at < HEADER_BYTES) return CODEC_TRUNCATED;
  if (load<u32>(at) != MAGIC || load<u16>(at, 4) != MAGIC_END) return CODEC_NOT_FORMAT;
  crc32Init();
  if (load<u32>(at, 8) != crc32(0, at + 6, at + 8)) return CODEC_CHECKSUM;
  check = load<u8>(at, 7);
  if (load<u8>(at, 6) || (check != CHECK_NONE && check != CHECK_CRC32 && check != CHECK_CRC64)) {
    return CODEC_UNSUPPORTED;
  }
  if (check == CHECK_CRC64) crc64Init();
  stream.input = at + HEADER_BYTES;
  phase = Phase.Block;
  blocks = 0;
  unpaddedTotal = 0;
  return CODEC_MORE;
}

export function xzStep(): u32 {
  if (phase == Phase.Block) {
    if (stream.input >= stream.inputEnd) return CODEC_TRUNCATED;
    if (load<u8>(stream.input) == 0) return index();
    const status = blockHeader();
    if (status != CODEC_DONE) return status;
    phase = Phase.Lzma2;
  }
  if (phase == Phase.Lzma2) {
    const status = lzma2Step();
    if (status != CODEC_DONE) return status;
    if (compressedSize != UNKNOWN && compressedSize != stream.input - dataAt) return CODEC_DAMAGED;
    if (uncompressedSize != UNKNOWN && uncompressedSize != stream.output - outputAt) return CODEC_DAMAGED;
    if (filtered) x86Begin(outputAt, stream.output);
    phase = Phase.Filter;
  }
  if (phase == Phase.Filter) {
    if (filtered && x86Step()) return CODEC_MORE;
    summed = outputAt;
    sum = 0;
    phase = Phase.Check;
  }
  return checkStep();
}

function blockHeader(): u32 {
  const at = stream.input;
  const size = (<u32>load<u8>(at) + 1) << 2;
  if (stream.inputEnd - at < size) return CODEC_TRUNCATED;
  limit = at + size - 4;
  if (load<u32>(limit) != crc32(0, at, limit)) return CODEC_CHECKSUM;
  const flags: u32 = load<u8>(at, 1);
  if (flags & FLAGS_RESERVED) return CODEC_UNSUPPORTED;
  cursor = at + 2;
  damaged = false;
  compressedSize = flags & HAS_COMPRESSED_SIZE ? variable() : UNKNOWN;
  uncompressedSize = flags & HAS_UNCOMPRESSED_SIZE ? variable() : UNKNOWN;
  // At most the x86 filter without options, and always LZMA2 with its dictionary's size as the last.
  const filters = (flags & 3) + 1;
  if (filters > 2) return CODEC_UNSUPPORTED;
  filtered = filters == 2;
  if (filtered && (variable() != FILTER_X86 || variable() != 0)) return damaged ? CODEC_DAMAGED : CODEC_UNSUPPORTED;
  if (variable() != FILTER_LZMA2) return damaged ? CODEC_DAMAGED : CODEC_UNSUPPORTED;
  if (variable() != 1 || cursor >= limit) return CODEC_DAMAGED;
  // Matches may go as far back as there is output: the dictionary is the output itself.
  for (cursor++; cursor < limit; cursor++) if (load<u8>(cursor)) return CODEC_UNSUPPORTED;
  if (damaged) return CODEC_DAMAGED;
  blockAt = at;
  dataAt = at + size;
  outputAt = stream.output;
  stream.input = dataAt;
  lzma2Begin();
  return CODEC_DONE;
}

function checkStep(): u32 {
  const left = stream.output - summed;
  const end = left > 4 * STEP_BYTES ? summed + 4 * STEP_BYTES : stream.output;
  if (check == CHECK_CRC32) sum = crc32(<u32>sum, summed, end);
  else if (check == CHECK_CRC64) sum = crc64(sum, summed, end);
  summed = end;
  if (summed != stream.output) return CODEC_MORE;

  let at = stream.input;
  for (; ((at - dataAt) & 3) != 0; at++) {
    if (at >= stream.inputEnd) return CODEC_TRUNCATED;
    if (load<u8>(at)) return CODEC_DAMAGED;
  }
  const size: u32 = check == CHECK_CRC32 ? 4 : check == CHECK_CRC64 ? 8 : 0;
  if (stream.inputEnd - at < size) return CODEC_TRUNCATED;
  if (check == CHECK_CRC32 && load<u32>(at) != <u32>sum) return CODEC_CHECKSUM;
  if (check == CHECK_CRC64 && load<u64>(at) != sum) return CODEC_CHECKSUM;
  blocks++;
  unpaddedTotal += stream.input - blockAt + size;
  stream.input = at + size;
  phase = Phase.Block;
  return CODEC_MORE;
}

/** The index and the footer, against what was found. */
function index(): u32 {
  const at = stream.input;
  limit = stream.inputEnd;
  cursor = at + 1;
  damaged = false;
  if (variable() != blocks) return cursor >= limit ? CODEC_TRUNCATED : CODEC_DAMAGED;
  let unpadded: u64 = 0;
  let uncompressed: u64 = 0;
  for (let i: u64 = 0; i < blocks && !damaged; i++) {
    unpadded += variable();
    uncompressed += variable();
  }
  if (damaged) return cursor >= limit ? CODEC_TRUNCATED : CODEC_DAMAGED;
  if (unpadded != unpaddedTotal || uncompressed != stream.output - stream.outputStart) return CODEC_DAMAGED;
  for (; ((cursor - at) & 3) != 0; cursor++) {
    if (cursor >= limit) return CODEC_TRUNCATED;
    if (load<u8>(cursor)) return CODEC_DAMAGED;
  }
  if (limit - cursor < 4 + FOOTER_BYTES) return CODEC_TRUNCATED;
  if (load<u32>(cursor) != crc32(0, at, cursor)) return CODEC_CHECKSUM;
  const footer = cursor + 4;
  if (load<u32>(footer) != crc32(0, footer + 4, footer + 10)) return CODEC_CHECKSUM;
  if (load<u16>(footer, 10) != FOOTER_MAGIC || <u32>load<u8>(footer, 9) != check) return CODEC_DAMAGED;
  if ((load<u32>(footer, 4) + 1) << 2 != footer - at) return CODEC_DAMAGED;
  if (limit - footer != FOOTER_BYTES) return CODEC_DAMAGED;
  return finish();
}
