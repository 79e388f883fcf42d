/**
 * C for a sandbox: compiled by Debian's clang to a WebAssembly module that imports its memory (env.memory) and nothing else but what
 * `imports` names, with a stack that overflows into an address that faults.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { buildFolder, root } from "../paths.ts";
import { BuildError, compilers, filesBeneath, runStep, runTool } from "./task.ts";

export interface CModule {
  /** Short unique name: build/NAME.wasm. */
  name: string;
  title: string;
  /** Files and folders that it depends on. */
  inputs: () => string[];
  /** Our own C, of which every warning is an error, and another project's, whose warnings are not ours to mend. */
  own: string[];
  foreign: string[];
  /** Definitions and include folders, for all of it. */
  flags: string[];
  /** Its stack, bytes: the first of its memory. */
  stackBytes: number;
}

/** WebAssembly's own features that wasm2c translates; no C library but what `flags` name. */
const COMPILE = [
  "--target=wasm32",
  "-mbulk-memory",
  "-msign-ext",
  "-O2",
  "-std=gnu11",
  "-ffreestanding",
  "-nostdlibinc",
  "-fvisibility=hidden",
];
/** The memory's size is not the module's to say: whoever instantiates it gives one. */
const LINK = ["--target=wasm32", "-nostdlib", "-Wl,--no-entry,--import-memory,--stack-first,--gc-sections"];
const OWN = ["-Wall", "-Wextra", "-Werror"];

/** The module's file. */
export function cModuleFile(name: string): string {
  return path.join(buildFolder, `${name}.wasm`);
}

/** Brings the module up to date; returns its file. */
export async function buildCModule(module: CModule): Promise<string> {
  const out = cModuleFile(module.name);
  const folder = path.join(buildFolder, "obj", `wasm-${module.name}`);
  const link = [...LINK, `-Wl,-z,stack-size=${module.stackBytes}`];
  const all = [
    ...module.own.map((file) => ({ file, warn: OWN })),
    ...module.foreign.map((file) => ({ file, warn: ["-w"] })),
  ];
  const names = all.map(({ file }) => path.relative(root, file));
  await runStep({
    name: `wasm-${module.name}`,
    title: module.title,
    inputs: () => module.inputs().flatMap(filesBeneath),
    key: [...COMPILE, ...module.flags, ...link, ...names].join(" "),
    outputs: [out],
    run: async () => {
      for (const tool of ["/usr/bin/clang", "/usr/bin/wasm-ld"]) {
        if (!existsSync(tool)) throw new BuildError(`${tool} is missing: install the Debian packages clang and lld`);
      }
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const objects = await Promise.all(
        all.map(async ({ warn }, index) => {
          const object = path.join(folder, `${names[index].replace(/[^\w.-]/g, "_")}.o`);
          const args = [...COMPILE, ...warn, ...module.flags, "-c", names[index], "-o", object];
          await compilers.run(() => runTool("clang", args));
          return object;
        }),
      );
      await runTool("clang", [...link, ...objects, "-o", out]);
    },
  });
  return out;
}
