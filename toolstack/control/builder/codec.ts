/** Interface to the codec: decompression in a separate sandbox, a step at a time. */
import { CODEC_CONTINUE, CODEC_TRAPPED } from "../../../abi/codec.ts";
import { DOM0_CODEC } from "../../../abi/domain0-layout.ts";
import { SANDBOX_CODEC } from "../../../abi/software.ts";
import { callSandbox, startSandbox } from "../sandbox.ts";

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
  // Every run begins with a new instance.
  const words = [format, input - DOM0_CODEC, inputSize, output - DOM0_CODEC, outputSize];
  return startSandbox(SANDBOX_CODEC, ...words) ?? CODEC_TRAPPED;
}

/** Continues the run for some milliseconds: CODEC_MORE, CODEC_DONE, or an error status. */
export function stepCodec(): number {
  return callSandbox(SANDBOX_CODEC, CODEC_CONTINUE) ?? CODEC_TRAPPED;
}
