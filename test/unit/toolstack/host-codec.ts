/** The host function `codec` where the window is not one memory: input and output are copied to the real module's. */
import { CODEC_CONTINUE, CODEC_DONE, CODEC_SLACK, CODEC_TRAPPED } from "../../../abi/codec.ts";
import { CallPage } from "../../../abi/software.ts";
import { DOM0_CALL_PAGE, DOM0_CODEC } from "../../../abi/domain0-layout.ts";
import type { MachineWindow } from "../../../toolstack/control/window.ts";
import { codecModule, type CodecExports } from "../codec/codec.ts";

const WASM_PAGE = 65536;
const module = await codecModule();

export class HostCodec {
  private exports: CodecExports | null = null;
  private memory = new WebAssembly.Memory({ initial: 1 });
  private output = 0;
  private outputSize = 0;

  constructor(private readonly window: MachineWindow) {}

  /** What the shim does for HOST_CALL_CODEC. */
  call(): void {
    let status = CODEC_TRAPPED;
    try {
      status = this.run();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    }
    if (status === CODEC_DONE) {
      this.window.write(DOM0_CODEC + this.output, new Uint8Array(this.memory.buffer, this.output, this.outputSize));
    }
    this.window.store32(DOM0_CALL_PAGE + CallPage.codecStatus, status);
  }

  private run(): number {
    const words = [0, 1, 2, 3, 4].map((i) => this.window.load32(DOM0_CALL_PAGE + CallPage.codecArguments + 4 * i));
    const [format, input, inputSize, output, outputSize] = words as [number, number, number, number, number];
    if (format === CODEC_CONTINUE) return this.exports === null ? CODEC_TRAPPED : this.exports.step();
    const bytes = output + outputSize + CODEC_SLACK;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE) });
    new Uint8Array(this.memory.buffer).set(this.window.read(DOM0_CODEC + input, inputSize), input);
    // Domain 0 must have given memory up to the end of what the codec may touch.
    this.window.load8(DOM0_CODEC + bytes - 1);
    this.output = output;
    this.outputSize = outputSize;
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.exports = instance.exports as unknown as CodecExports;
    return this.exports.begin(format, input, inputSize, output, outputSize);
  }
}
