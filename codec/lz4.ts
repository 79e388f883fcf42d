/**
 * LZ4's legacy frame: a magic number, then blocks of at most 8 MiB of output, each compressed by itself behind its
 * 32-bit size, up to the end of the input. There is no checksum.
 *
 * Source: lz4's doc/lz4_Frame_format.md (legacy frame) and lz4_Block_format.md.
 */
import { CODEC_DAMAGED, CODEC_DONE, CODEC_MORE, CODEC_NOT_FORMAT, CODEC_TOO_LONG, CODEC_TRUNCATED } from "../abi/codec";
import { copyLiterals, copyMatch } from "./copy";
import { finish, STEP_BYTES, stream } from "./state";

const MAGIC: u32 = 0x184c2102;
const BLOCK_BYTES: u32 = 8 << 20;
const MINIMUM_MATCH: u32 = 4;
/** A length of four bits, continued in bytes up to the first that is not 255. */
const LONG: u32 = 15;

export function lz4Begin(): u32 {
  if (stream.inputEnd - stream.input < 4) return CODEC_TRUNCATED;
  if (load<u32>(stream.input) != MAGIC) return CODEC_NOT_FORMAT;
  stream.input += 4;
  return CODEC_MORE;
}

/** Decodes blocks until a step's worth of output is there; a block is never left half done. */
export function lz4Step(): u32 {
  const start = stream.output;
  while (stream.output - start < STEP_BYTES) {
    const left = stream.inputEnd - stream.input;
    if (left == 0) return finish();
    if (left < 4) return CODEC_TRUNCATED;
    const size = load<u32>(stream.input);
    stream.input += 4;
    if (size == MAGIC) continue; // frames may follow each other
    if (size == 0) return CODEC_DAMAGED;
    if (size > left - 4) return CODEC_TRUNCATED;
    const status = block(stream.input, stream.input + size);
    if (status != CODEC_DONE) return status;
    stream.input += size;
  }
  return CODEC_MORE;
}

function block(from: u32, fromEnd: u32): u32 {
  const start = stream.output;
  const room = stream.outputEnd - start;
  const end = start + (room < BLOCK_BYTES ? room : BLOCK_BYTES);
  const overflow = room < BLOCK_BYTES ? CODEC_TOO_LONG : CODEC_DAMAGED;
  let to = start;
  while (from < fromEnd) {
    const token: u32 = load<u8>(from++);
    let literals = token >> 4;
    if (literals == LONG) {
      let more: u32 = 255;
      while (more == 255) {
        if (from >= fromEnd) return CODEC_DAMAGED;
        more = load<u8>(from++);
        literals += more;
      }
    }
    if (literals > fromEnd - from) return CODEC_DAMAGED;
    if (literals > end - to) return overflow;
    copyLiterals(to, from, literals);
    from += literals;
    to += literals;
    // The last sequence has no match.
    if (from == fromEnd) {
      stream.output = to;
      return CODEC_DONE;
    }
    if (fromEnd - from < 2) return CODEC_DAMAGED;
    const distance: u32 = load<u16>(from);
    from += 2;
    let length = token & 15;
    if (length == LONG) {
      let more: u32 = 255;
      while (more == 255) {
        if (from >= fromEnd) return CODEC_DAMAGED;
        more = load<u8>(from++);
        length += more;
      }
    }
    length += MINIMUM_MATCH;
    if (distance == 0 || distance > to - start) return CODEC_DAMAGED;
    if (length > end - to) return overflow;
    copyMatch(to, distance, length);
    to += length;
  }
  return CODEC_DAMAGED;
}
