/** Where things are in the repository. */
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Absolute path of a file named relative to the repository's root. */
export function fromRoot(name: string): string {
  return path.join(root, name);
}

export const buildFolder = fromRoot("build");
export const generatedFolder = fromRoot("build/gen");
export const guestsFolder = fromRoot("build/guests");

/** The bootable image: Multiboot 2 and PVH. */
export const imageFile = fromRoot("build/typevisor.elf");

const engineFolder = fromRoot("node_modules/@jitl/quickjs-wasmfile-release-sync");
/** quickjs-emscripten's engine, and the loader script that tells its exports' names. */
export const engineWasm = path.join(engineFolder, "dist/emscripten-module.wasm");
export const engineLoader = path.join(engineFolder, "dist/emscripten-module.cjs");
