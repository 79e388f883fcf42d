/** The sandboxes inside domain 0's: what each is made from. Their numbers are in boot/sandbox.h and abi/software.ts. */
import { buildCodecWasm, codecWasm } from "./assembly.ts";
import { buildNetWasm, netWasm } from "./net-sandbox.ts";
import { buildTlsWasm, tlsWasm } from "./tls.ts";

export interface Sandbox {
  /** Its name in reports, and for wasm2c. */
  name: string;
  /**
   * The module, which `build` brings up to date, unless what it is made of cannot be had: the image is then without it. It exports
   * `call`, and imports a memory and what boot/sandbox-module.c has.
   */
  wasm: string;
  build: () => Promise<{ missing: string } | undefined>;
  /** Its linear memory, in terms of boot/layout.h. */
  base: string;
  size: string;
}

export const SANDBOXES: Sandbox[] = [
  { name: "net", wasm: netWasm, build: buildNetWasm, base: "SANDBOX_BASE(0)", size: "SANDBOX_SIZE" },
  { name: "tls", wasm: tlsWasm, build: buildTlsWasm, base: "SANDBOX_BASE(1)", size: "SANDBOX_SIZE" },
  {
    name: "codec",
    wasm: codecWasm,
    build: async () => {
      await buildCodecWasm();
      return undefined;
    },
    base: "CODEC_BASE",
    size: "CODEC_SIZE",
  },
];
