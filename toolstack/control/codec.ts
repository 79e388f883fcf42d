/** Interface to the codec: decompression in a separate sandbox, a step at a time, through the call page. */
import { CODEC_CONTINUE } from "../../abi/codec.ts";
import { CallPage } from "../../abi/software.ts";
import { DOM0_CALL_PAGE, DOM0_CODEC } from "../../abi/domain0-layout.ts";
import { hostCodec, memory } from "./host.ts";

function call(): number {
  hostCodec();
  return memory.load32(DOM0_CALL_PAGE + CallPage.codecStatus);
}

/**
 * Starts a run: decompresses `inputSize` bytes at `input` to `outputSize` bytes at `output`. Both are in the codec's memory
 * (abi/codec.ts), which has RAM from its start to CODEC_SLACK bytes after the output, all zeroes except for the input.
 * @param format CODEC_GZIP, ...
 * @param input address in the window, as `output`
 * @returns CODEC_MORE, or an error status
 */
export function beginCodec(
  format: number,
  input: number,
  inputSize: number,
  output: number,
  outputSize: number,
): number {
  const words = [format, input - DOM0_CODEC, inputSize, output - DOM0_CODEC, outputSize];
  words.forEach((word, i) => memory.store32(DOM0_CALL_PAGE + CallPage.codecArguments + 4 * i, word));
  return call();
}

/** Continues the run for some milliseconds: CODEC_MORE, CODEC_DONE, or an error status. */
export function stepCodec(): number {
  memory.store32(DOM0_CALL_PAGE + CallPage.codecArguments, CODEC_CONTINUE);
  return call();
}
