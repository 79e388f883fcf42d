/** The module under simulation: the one that boots, or a copy of its sources broken on purpose. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  ascCommand,
  buildHypervisorWasm,
  buildIoWasm,
  HYPERVISOR,
  hypervisorWasm,
  ioWasm,
} from "../../scripts/build/assembly.ts";
import { runTool } from "../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../scripts/paths.ts";

/** build/hypervisor.wasm, built first if a source has changed. */
export async function hypervisorModule(): Promise<WebAssembly.Module> {
  await buildHypervisorWasm();
  return new WebAssembly.Module(readFileSync(hypervisorWasm));
}

/** build/io.wasm, likewise. */
export async function ioModule(): Promise<WebAssembly.Module> {
  await buildIoWasm();
  return new WebAssembly.Module(readFileSync(ioWasm));
}

/** One deliberate mistake: in `file`, the single occurrence of `find` becomes `replace`. */
export interface Mutation {
  name: string;
  file: string;
  find: string;
  replace: string;
}

/** Compiles the hypervisor with one mutation. Throws if the text to break is not there exactly once. */
export async function mutatedModule(mutation: Mutation): Promise<WebAssembly.Module> {
  mkdirSync(buildFolder, { recursive: true });
  const folder = mkdtempSync(path.join(buildFolder, "mutation-"));
  try {
    for (const part of ["abi", "arch-x86", "kernel"])
      cpSync(fromRoot(part), path.join(folder, part), { recursive: true });
    const file = path.join(folder, mutation.file);
    const source = readFileSync(file, "utf8");
    const parts = source.split(mutation.find);
    if (parts.length !== 2) {
      throw new Error(`mutation "${mutation.name}": its text occurs ${parts.length - 1} times in ${mutation.file}`);
    }
    writeFileSync(file, parts.join(mutation.replace));
    const out = path.join(folder, "hypervisor.wasm");
    const [command, args] = ascCommand(HYPERVISOR, ["--baseDir", folder, "-o", "hypervisor.wasm"]);
    await runTool(command, args);
    return new WebAssembly.Module(readFileSync(out));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
