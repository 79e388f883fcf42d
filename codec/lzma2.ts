/** LZMA2: chunks of LZMA or of uncompressed bytes, each specifying the state to be reset before it. Source: xz's file format. */
import { CODEC_DAMAGED, CODEC_DONE, CODEC_MORE, CODEC_TOO_LONG, CODEC_TRUNCATED } from "../abi/codec";
import { lzmaChunk, lzmaProperties, lzmaReset } from "./lzma";
import { STEP_BYTES, stream } from "./state";

/** Control bytes. */
const END: u32 = 0;
const PLAIN_RESET: u32 = 1;
const PLAIN: u32 = 2;
const LZMA: u32 = 0x80;
/** Bits 5 and 6 of an LZMA chunk's: what it resets. */
const RESET_STATE: u32 = 1;
const RESET_PROPERTIES: u32 = 2;
const RESET_DICTIONARY: u32 = 3;

/** First byte of what matches may refer to. */
let dictionary: u32 = 0;
/** What the next LZMA chunk must at least reset. */
let needed: u32 = 3;

export function lzma2Begin(): void {
  dictionary = stream.output;
  needed = RESET_DICTIONARY;
}

/** Big-endian. */
function u16At(at: u32): u32 {
  return ((<u32>load<u8>(at)) << 8) | load<u8>(at, 1);
}

/** Decodes chunks until the block ends (CODEC_DONE) or a step's worth is there (CODEC_MORE). */
export function lzma2Step(): u32 {
  const start = stream.output;
  while (stream.output - start < STEP_BYTES) {
    const at = stream.input;
    const left = stream.inputEnd - at;
    if (left < 1) return CODEC_TRUNCATED;
    const control: u32 = load<u8>(at);
    if (control == END) {
      stream.input = at + 1;
      return CODEC_DONE;
    }
    const status = control < LZMA ? plain(control, at, left) : compressed(control, at, left);
    if (status != CODEC_DONE) return status;
  }
  return CODEC_MORE;
}

function plain(control: u32, at: u32, left: u32): u32 {
  if (control > PLAIN) return CODEC_DAMAGED;
  if (left < 3) return CODEC_TRUNCATED;
  const length = u16At(at + 1) + 1;
  if (left - 3 < length) return CODEC_TRUNCATED;
  if (stream.outputEnd - stream.output < length) return CODEC_TOO_LONG;
  if (control == PLAIN_RESET) {
    dictionary = stream.output;
    // State and properties have not been set since.
    if (needed == RESET_DICTIONARY) needed = RESET_PROPERTIES;
  } else if (needed == RESET_DICTIONARY) {
    return CODEC_DAMAGED;
  }
  memory.copy(stream.output, at + 3, length);
  stream.output += length;
  stream.input = at + 3 + length;
  return CODEC_DONE;
}

function compressed(control: u32, at: u32, left: u32): u32 {
  const reset = (control >> 5) & 3;
  if (reset < needed) return CODEC_DAMAGED;
  const header: u32 = reset >= RESET_PROPERTIES ? 6 : 5;
  if (left < header) return CODEC_TRUNCATED;
  const length = (((control & 31) << 16) | u16At(at + 1)) + 1;
  const size = u16At(at + 3) + 1;
  if (left - header < size) return CODEC_TRUNCATED;
  if (stream.outputEnd - stream.output < length) return CODEC_TOO_LONG;
  if (reset == RESET_DICTIONARY) dictionary = stream.output;
  if (reset >= RESET_PROPERTIES && !lzmaProperties(load<u8>(at, 5))) return CODEC_DAMAGED;
  if (reset >= RESET_STATE) lzmaReset();
  needed = 0;
  stream.input = at + header + size;
  return lzmaChunk(at + header, size, length, dictionary);
}
