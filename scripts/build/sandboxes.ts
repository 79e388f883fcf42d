/** The sandboxes inside domain 0's: what each is made from. Their numbers are in boot/sandbox.h and abi/software.ts. */
import { buildCodecWasm, codecWasm } from "./assembly.ts";

export interface Sandbox {
  /** Its name in reports, and for wasm2c. */
  name: string;
  /** The module, which `build` brings up to date: it exports `call`, and imports a memory and what boot/sandbox-module.c has. */
  wasm: string;
  build: () => Promise<void>;
  /** Its linear memory, in terms of boot/layout.h. */
  base: string;
  size: string;
}

export const SANDBOXES: Sandbox[] = [
  { name: "codec", wasm: codecWasm, build: buildCodecWasm, base: "CODEC_BASE", size: "CODEC_SIZE" },
];
