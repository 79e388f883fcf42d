/**
 * What the I/O domain's memory holds when it starts: its module's data segments, in the format of snapshot.bin. The module is
 * instantiated here without running any of its code, which needs the machine.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { IO_RAM_END } from "../../abi/io/layout.ts";
import { buildFolder, fromRoot } from "../paths.ts";
import { ioWasm } from "./assembly.ts";
import { encodeSnapshot } from "./snapshot.ts";
import { BuildError, runStep, writeIfChanged } from "./task.ts";

const WASM_PAGE = 65536;

export const ioImageFile = path.join(buildFolder, "io.bin");

/** The memory of `wasm` after instantiation; throws BuildError for a module that the shim could not start. */
export function ioImage(wasm: Uint8Array): Buffer {
  const module = new WebAssembly.Module(wasm as BufferSource);
  const exported = WebAssembly.Module.exports(module).map(({ name }) => name);
  for (const name of ["start", "turn"]) {
    if (!exported.includes(name)) throw new BuildError(`the I/O domain's module exports no ${name}()`);
  }
  const memory = new WebAssembly.Memory({ initial: IO_RAM_END / WASM_PAGE });
  const refuse = (name: string) => () => {
    throw new BuildError(`the I/O domain's module called ${name}() while it was instantiated: there is no machine yet`);
  };
  const io: Record<string, WebAssembly.ImportValue> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (from === "io") io[name] = refuse(name);
    else if (from !== "env" || name !== "memory") {
      throw new BuildError(`the I/O domain's module imports ${from}.${name}, which the shim does not have`);
    }
  }
  new WebAssembly.Instance(module, { env: { memory }, io });
  return encodeSnapshot(memory.buffer);
}

/** Writes build/io.bin from build/io.wasm. */
export async function buildIoImage(): Promise<void> {
  await runStep({
    name: "io-image",
    title: "saved the I/O domain's initial memory",
    inputs: () => [ioWasm, fromRoot("abi/io/layout.ts"), fromRoot("scripts/build/io-image.ts")],
    key: "",
    outputs: [ioImageFile],
    run: () => writeIfChanged(ioImageFile, ioImage(readFileSync(ioWasm))),
  });
}
