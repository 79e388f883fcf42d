/** The codec module itself in Node: memory as domain 0 provides it, complete runs, and their results. */
import { readFileSync } from "node:fs";
import { buildCodecWasm, codecWasm } from "../../../scripts/build/assembly.ts";
import {
  CODEC_CONTINUE,
  CODEC_GZIP,
  CODEC_LZ4,
  CODEC_MORE,
  CODEC_OWN_BYTES,
  CODEC_SLACK,
  CODEC_TRAPPED,
  CODEC_XZ,
  CODEC_ZSTD,
} from "../../../abi/codec.ts";

const WASM_PAGE = 65536;
const PAGE = 4096;
const UNTOUCHED = Buffer.alloc(PAGE, 0xa5);

/** What the module exports. */
export interface CodecExports {
  call(kind: number, input: number, inputSize: number, output: number, outputSize: number, unused: number): number;
}

export const FORMATS = { gzip: CODEC_GZIP, lz4: CODEC_LZ4, xz: CODEC_XZ, zstd: CODEC_ZSTD } as const;
export type Format = keyof typeof FORMATS;

export interface Outcome {
  status: number;
  /** The output as far as it was announced; what is not written is zero. */
  output: Uint8Array;
  steps: number;
}

/** The codec as it boots, brought up to date. */
export async function codecModule(): Promise<WebAssembly.Module> {
  await buildCodecWasm();
  return new WebAssembly.Module(readFileSync(codecWasm));
}

export class Codec {
  constructor(private readonly module: WebAssembly.Module) {}

  /**
   * Decompresses `input`, of which `size` bytes are expected, in a fresh instance.
   * @throws Error when the codec touches memory beyond its slack; a trap is an outcome, CODEC_TRAPPED
   */
  run(format: Format, input: Uint8Array, size: number): Outcome {
    const inputAt = CODEC_OWN_BYTES;
    const output = Math.ceil((inputAt + input.length + CODEC_SLACK) / PAGE) * PAGE;
    const end = output + size + CODEC_SLACK;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / WASM_PAGE) + 1 });
    const bytes = new Uint8Array(memory.buffer);
    const codec = new WebAssembly.Instance(this.module, { env: { memory } }).exports as unknown as CodecExports;
    bytes.set(input, inputAt);
    // What must stay as it is: a page behind the slack.
    bytes.set(UNTOUCHED, end);
    let steps = 0;
    let status = CODEC_MORE;
    try {
      status = codec.call(FORMATS[format], inputAt, input.length, output, size, 0);
      for (; status === CODEC_MORE; steps++) status = codec.call(CODEC_CONTINUE, 0, 0, 0, 0, 0);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      status = CODEC_TRAPPED;
    }
    if (!UNTOUCHED.equals(bytes.subarray(end, end + PAGE))) throw new Error("written beyond the slack");
    if (!Buffer.from(bytes.buffer, inputAt, input.length).equals(input)) throw new Error("the input was changed");
    return { status, output: bytes.slice(output, output + size), steps };
  }
}
