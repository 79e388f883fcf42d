/** The host function `sandbox` where the window is not one memory: the codec's input and output are copied to the real module's. */
import { CODEC_CONTINUE, CODEC_DONE, CODEC_SLACK } from "../../../abi/codec.ts";
import {
  CallPage,
  SANDBOX_ABSENT,
  SANDBOX_CODEC,
  SANDBOX_NEW,
  SANDBOX_RETURNED,
  SANDBOX_STOPPED,
} from "../../../abi/software.ts";
import { DOM0_CALL_PAGE, DOM0_CODEC } from "../../../abi/domain0-layout.ts";
import type { MachineWindow } from "../../../toolstack/control/window.ts";
import { codecModule, type CodecExports } from "../codec/codec.ts";

const WASM_PAGE = 65536;
const module = await codecModule();

export class HostSandbox {
  private codec: CodecExports | null = null;
  private memory = new WebAssembly.Memory({ initial: 1 });
  private output = 0;
  private outputSize = 0;

  constructor(private readonly window: MachineWindow) {}

  /** What the shim does for HOST_CALL_SANDBOX. */
  call(): void {
    const sandbox = this.window.load32(DOM0_CALL_PAGE + CallPage.sandbox);
    let status = SANDBOX_ABSENT;
    if ((sandbox & ~SANDBOX_NEW) >>> 0 === SANDBOX_CODEC) status = this.callCodec((sandbox & SANDBOX_NEW) !== 0);
    this.window.store32(DOM0_CALL_PAGE + CallPage.sandboxStatus, status);
  }

  private callCodec(fresh: boolean): number {
    if (!fresh && this.codec === null) return SANDBOX_ABSENT;
    const arguments_ = DOM0_CALL_PAGE + CallPage.sandboxArguments;
    const words = [0, 1, 2, 3, 4].map((i) => this.window.load32(arguments_ + 4 * i));
    try {
      if (fresh) this.instantiate(words as [number, number, number, number, number]);
      const [kind, input, inputSize, output, outputSize] = words;
      const result = this.codec!.call(kind!, input!, inputSize!, output!, outputSize!, 0);
      this.window.store32(DOM0_CALL_PAGE + CallPage.sandboxResult, result);
      if (result !== CODEC_DONE) return SANDBOX_RETURNED;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.codec = null;
      return SANDBOX_STOPPED;
    }
    this.window.write(DOM0_CODEC + this.output, new Uint8Array(this.memory.buffer, this.output, this.outputSize));
    return SANDBOX_RETURNED;
  }

  private instantiate([kind, input, inputSize, output, outputSize]: [number, number, number, number, number]): void {
    this.codec = null;
    if (kind === CODEC_CONTINUE) throw new WebAssembly.RuntimeError("no memory is known for it");
    const bytes = output + outputSize + CODEC_SLACK;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE) });
    new Uint8Array(this.memory.buffer).set(this.window.read(DOM0_CODEC + input, inputSize), input);
    // Domain 0 must have given memory up to the end of what the codec may touch.
    this.window.load8(DOM0_CODEC + bytes - 1);
    this.output = output;
    this.outputSize = outputSize;
    this.codec = new WebAssembly.Instance(module, { env: { memory: this.memory } }).exports as unknown as CodecExports;
  }
}
