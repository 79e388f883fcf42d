/** Where things are: in a clone, or in the package that `npm pack` makes of one. */
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The root folder: this file is in scripts/ of a clone, and within what is in dist/ of the package. */
export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Absolute path of a file named relative to the root. */
export function fromRoot(name: string): string {
  return path.join(root, name);
}

/** The package has no sources and nothing to build with: its images are ready (scripts/package/). */
export const inClone = existsSync(fromRoot("scripts/bootstrap.mjs"));

/** What users type to start a machine, with these options if there are any. */
export function startCommand(options = ""): string {
  const words = inClone ? ["npm start", ...(options === "" ? [] : ["--"])] : ["npx typevisor"];
  return [...words, options].join(" ").trimEnd();
}

/** What was built: in the package, the part of it that users need. */
export const buildFolder = fromRoot(inClone ? "build" : "dist");
export const generatedFolder = path.join(buildFolder, "gen");
export const guestsFolder = path.join(buildFolder, "guests");

/** The bootable image: Multiboot 2 and PVH. */
export const imageFile = path.join(buildFolder, "typevisor.elf");

/** The user's folder for data of programs (XDG base directory specification). */
function userDataFolder(): string {
  const given = process.env.XDG_DATA_HOME;
  const base = given !== undefined && path.isAbsolute(given) ? given : path.join(os.homedir(), ".local/share");
  return path.join(base, "typevisor");
}

/** What stays from session to session: disks, what was fetched. A package may be read-only, and is replaced by its next version. */
export const keptFolder = inClone ? buildFolder : userDataFolder();

/** A file's name for messages: in a clone relative to its root. */
export function shownName(file: string): string {
  return inClone ? path.relative(root, file) : file;
}

const ENGINE_PACKAGE = "node_modules/@jitl/quickjs-wasmfile-release-sync/dist";
const engineFolder = inClone ? fromRoot(ENGINE_PACKAGE) : path.join(buildFolder, "engine");
/** quickjs-emscripten's engine, and the loader script that tells its exports' names. */
export const engineWasm = path.join(engineFolder, "emscripten-module.wasm");
export const engineLoader = path.join(engineFolder, "emscripten-module.cjs");
