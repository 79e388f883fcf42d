/** Zstandard frames and blocks. Source: RFC 8878 section 3.1. */
import {
  CODEC_CHECKSUM,
  CODEC_DAMAGED,
  CODEC_DONE,
  CODEC_MORE,
  CODEC_NOT_FORMAT,
  CODEC_TOO_LONG,
  CODEC_TRUNCATED,
  CODEC_UNSUPPORTED,
} from "../abi/codec";
import { finish, STEP_BYTES, stream } from "./state";
import { xxhashBegin, xxhashEnd, xxhashStripes } from "./xxhash64";
import { literalsAt, literalsBegin, literalsEnd, literalsRead, literalsSize } from "./zstd-literals";
import { sequencesBegin, sequencesRun } from "./zstd-sequences";

const MAGIC: u32 = 0xfd2fb528;
const SKIPPABLE: u32 = 0x184d2a50;
const SKIPPABLE_MASK: u32 = 0xfffffff0;
const BLOCK_BYTES: u32 = 128 << 10;

const PLAIN: u32 = 0;
const REPEATED: u32 = 1;
const COMPRESSED: u32 = 2;

const HAS_CHECKSUM: u32 = 4;
const RESERVED: u32 = 8;
const SINGLE_SEGMENT: u32 = 0x20;
const UNKNOWN: u64 = ~0;

let inFrame: bool = false;
let hasChecksum: bool = false;
/** The frame's output: where it begins, its size by the header, how far it is in the checksum. */
let frameAt: u32 = 0;
let frameSize: u64 = 0;
let hashed: u32 = 0;

export function zstdBegin(): u32 {
  inFrame = false;
  if (stream.inputEnd - stream.input < 4) return CODEC_TRUNCATED;
  return isMagic(load<u32>(stream.input)) ? CODEC_MORE : CODEC_NOT_FORMAT;
}

function isMagic(word: u32): bool {
  return word == MAGIC || (word & SKIPPABLE_MASK) == SKIPPABLE;
}

export function zstdStep(): u32 {
  const start = stream.output;
  while (stream.output - start < STEP_BYTES) {
    if (!inFrame && stream.input == stream.inputEnd) return finish();
    const status = inFrame ? block() : header();
    if (status != CODEC_DONE) return status;
  }
  return CODEC_MORE;
}

function header(): u32 {
  const at = stream.input;
  const left = stream.inputEnd - at;
  if (left < 5) return CODEC_TRUNCATED;
  const magic = load<u32>(at);
  if (!isMagic(magic)) return CODEC_DAMAGED;
  if (magic != MAGIC) {
    if (left < 8 || left - 8 < load<u32>(at, 4)) return CODEC_TRUNCATED;
    stream.input = at + 8 + load<u32>(at, 4);
    return CODEC_DONE;
  }
  const flags: u32 = load<u8>(at, 4);
  if (flags & RESERVED) return CODEC_UNSUPPORTED;
  const single = (flags & SINGLE_SEGMENT) != 0;
  const dictionaryBytes: u32 = (1 << (flags & 3)) >> 1;
  const sizeKind = flags >> 6;
  const sizeBytes: u32 = sizeKind == 0 ? (single ? 1 : 0) : 1 << sizeKind;
  const dictionaryAt = at + 5 + (single ? 0 : 1);
  const sizeAt = dictionaryAt + dictionaryBytes;
  if (stream.inputEnd - at < sizeAt + sizeBytes - at) return CODEC_TRUNCATED;
  for (let i: u32 = 0; i < dictionaryBytes; i++) if (load<u8>(dictionaryAt + i)) return CODEC_UNSUPPORTED;
  frameSize = UNKNOWN;
  if (sizeBytes == 1) frameSize = load<u8>(sizeAt);
  if (sizeBytes == 2) frameSize = <u64>load<u16>(sizeAt) + 256;
  if (sizeBytes == 4) frameSize = load<u32>(sizeAt);
  if (sizeBytes == 8) frameSize = load<u64>(sizeAt);
  if (frameSize != UNKNOWN && frameSize > stream.outputEnd - stream.output) return CODEC_TOO_LONG;
  hasChecksum = (flags & HAS_CHECKSUM) != 0;
  frameAt = stream.output;
  hashed = frameAt;
  inFrame = true;
  stream.input = sizeAt + sizeBytes;
  xxhashBegin();
  literalsBegin();
  sequencesBegin();
  return CODEC_DONE;
}

function block(): u32 {
  const at = stream.input;
  const left = stream.inputEnd - at;
  if (left < 3) return CODEC_TRUNCATED;
  const fields = load<u32>(at) & 0xffffff;
  const kind = (fields >> 1) & 3;
  const size = fields >> 3;
  const stored: u32 = kind == REPEATED ? 1 : size;
  if (kind > COMPRESSED || size > BLOCK_BYTES) return CODEC_DAMAGED;
  if (left - 3 < stored) return CODEC_TRUNCATED;
  if (kind == COMPRESSED) {
    const end = at + 3 + size;
    if (!literalsRead(at + 3, end)) return CODEC_DAMAGED;
    const status = sequencesRun(literalsEnd, end, literalsAt, literalsSize, frameAt);
    if (status != CODEC_DONE) return status;
  } else {
    if (size > stream.outputEnd - stream.output) return CODEC_TOO_LONG;
    if (kind == PLAIN) memory.copy(stream.output, at + 3, size);
    else memory.fill(stream.output, load<u8>(at, 3), size);
    stream.output += size;
  }
  stream.input = at + 3 + stored;
  if (hasChecksum) hashed = xxhashStripes(hashed, stream.output);
  return fields & 1 ? frameEnd() : CODEC_DONE;
}

function frameEnd(): u32 {
  const size = stream.output - frameAt;
  if (frameSize != UNKNOWN && frameSize != size) return CODEC_DAMAGED;
  if (hasChecksum) {
    if (stream.inputEnd - stream.input < 4) return CODEC_TRUNCATED;
    if (load<u32>(stream.input) != <u32>xxhashEnd(hashed, stream.output, size)) return CODEC_CHECKSUM;
    stream.input += 4;
  }
  inFrame = false;
  return CODEC_DONE;
}
