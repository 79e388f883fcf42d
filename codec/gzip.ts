/** gzip's member around deflate: header, CRC-32, size. Source: RFC 1952. */
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
import { inflateBegin, inflateStep } from "./inflate";
import { finish, stream } from "./state";

const MAGIC: u32 = 0x8b1f;
const DEFLATE: u32 = 8;
const FHCRC: u32 = 2;
const FEXTRA: u32 = 4;
const FNAME: u32 = 8;
const FCOMMENT: u32 = 16;
const FLAGS_RESERVED: u32 = 0xe0;
const HEADER_BYTES: u32 = 10;

let sum: u32 = 0;

export function gzipBegin(): u32 {
  const at = stream.input;
  const end = stream.inputEnd;
  if (end - at < HEADER_BYTES) return CODEC_TRUNCATED;
  if (load<u16>(at) != MAGIC) return CODEC_NOT_FORMAT;
  if (load<u8>(at, 2) != DEFLATE) return CODEC_UNSUPPORTED;
  const flags: u32 = load<u8>(at, 3);
  if (flags & FLAGS_RESERVED) return CODEC_UNSUPPORTED;
  let from = at + HEADER_BYTES;
  if (flags & FEXTRA) {
    if (end - from < 2) return CODEC_TRUNCATED;
    const length: u32 = load<u16>(from);
    if (end - from - 2 < length) return CODEC_TRUNCATED;
    from += 2 + length;
  }
  if (flags & FNAME) from = behindText(from, end);
  if (flags & FCOMMENT) from = behindText(from, end);
  if (flags & FHCRC) from += 2;
  if (from > end) return CODEC_TRUNCATED;
  stream.input = from;
  sum = 0;
  crc32Init();
  inflateBegin();
  return CODEC_MORE;
}

/** Behind the NUL that ends the text at `from`; beyond `end` when there is none. */
function behindText(from: u32, end: u32): u32 {
  while (from < end && load<u8>(from)) from++;
  return from + 1;
}

export function gzipStep(): u32 {
  const from = stream.output;
  const status = inflateStep();
  sum = crc32(sum, from, stream.output);
  if (status != CODEC_DONE) return status;
  const at = stream.input;
  if (stream.inputEnd - at < 8) return CODEC_TRUNCATED;
  if (load<u32>(at) != sum) return CODEC_CHECKSUM;
  if (load<u32>(at, 4) != stream.output - stream.outputStart) return CODEC_DAMAGED;
  if (stream.inputEnd - at != 8) return CODEC_DAMAGED;
  return finish();
}
