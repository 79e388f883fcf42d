/**
 * State of every decoder between two steps: positions in input and output. It is in linear memory, not in
 * globals, so that a decoder may keep a copy in locals while it runs.
 *
 * Bounds: decoders may read up to CODEC_SLACK bytes past `inputEnd` (and then detect it), and write as many past
 * `outputEnd`; but the advance of `output` is checked before writing.
 */
import { CODEC_DONE, CODEC_TOO_SHORT } from "../abi/codec";

@unmanaged
export class Stream {
  /** Next byte to read, end of the input. */
  input: u32;
  inputEnd: u32;
  /** First byte of the output, next byte to write, end of the room for it: the announced size. */
  outputStart: u32;
  output: u32;
  outputEnd: u32;
}

export const stream: Stream = changetype<Stream>(memory.data(offsetof<Stream>(), 8));

/** Output of one step, about: some milliseconds' work. */
export const STEP_BYTES: u32 = 1 << 20;

/** The status of a decoder that has reached the regular end. */
export function finish(): u32 {
  return stream.output == stream.outputEnd ? CODEC_DONE : CODEC_TOO_SHORT;
}
