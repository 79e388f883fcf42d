/**
 * The codec module: one run at a time, started with its format and addresses, then continued step by step, so that its caller
 * can do other work in between.
 */
import {
  CODEC_CONTINUE,
  CODEC_GZIP,
  CODEC_LZ4,
  CODEC_MORE,
  CODEC_NOT_BEGUN,
  CODEC_UNSUPPORTED,
  CODEC_XZ,
  CODEC_ZSTD,
} from "../abi/codec";
import { gzipBegin, gzipStep } from "./gzip";
import { lz4Begin, lz4Step } from "./lz4";
import { stream } from "./state";
import { xzBegin, xzStep } from "./xz";
import { zstdBegin, zstdStep } from "./zstd";

/** The run's format, 0 when there is none. */
let format: u32 = 0;

/**
 * The module's entry point.
 * @param kind CODEC_CONTINUE: continues the run, and the other arguments are ignored; otherwise begins one of that format
 * @returns CODEC_MORE, CODEC_DONE or an error status
 */
export function call(kind: u32, input: u32, inputSize: u32, output: u32, outputSize: u32, unused: u32): u32 {
  return kind == CODEC_CONTINUE ? step() : begin(kind, input, inputSize, output, outputSize);
}

/**
 * Starts a run: decompresses `inputSize` bytes at `input` to exactly `outputSize` bytes at `output`, both above
 * CODEC_OWN_BYTES and followed by CODEC_SLACK bytes.
 * @returns CODEC_MORE, or an error status
 */
function begin(kind: u32, input: u32, inputSize: u32, output: u32, outputSize: u32): u32 {
  stream.input = input;
  stream.inputEnd = input + inputSize;
  stream.outputStart = output;
  stream.output = output;
  stream.outputEnd = output + outputSize;
  format = 0;
  const status = beginFormat(kind);
  if (status == CODEC_MORE) format = kind;
  return status;
}

function beginFormat(kind: u32): u32 {
  switch (kind) {
    case CODEC_GZIP:
      return gzipBegin();
    case CODEC_LZ4:
      return lz4Begin();
    case CODEC_XZ:
      return xzBegin();
    case CODEC_ZSTD:
      return zstdBegin();
    default:
      return CODEC_UNSUPPORTED;
  }
}

/** Continues the run for about STEP_BYTES of output: CODEC_MORE, CODEC_DONE, or an error status. */
function step(): u32 {
  const status = stepFormat();
  if (status != CODEC_MORE) format = 0;
  return status;
}

function stepFormat(): u32 {
  switch (format) {
    case CODEC_GZIP:
      return gzipStep();
    case CODEC_LZ4:
      return lz4Step();
    case CODEC_XZ:
      return xzStep();
    case CODEC_ZSTD:
      return zstdStep();
    default:
      return CODEC_NOT_BEGUN;
  }
}
