/**
 * AssemblyScript: arch-x86/ and kernel/ become build/hypervisor.wasm, codec/ becomes build/codec.wasm, drivers/ and noxs/
 * become build/io.wasm: the modules that boot and that Node tests.
 */
import path from "node:path";
import { buildFolder, fromRoot } from "../paths.ts";
import { runStep, runTool } from "./task.ts";

export const hypervisorWasm = path.join(buildFolder, "hypervisor.wasm");
export const codecWasm = path.join(buildFolder, "codec.wasm");
export const ioWasm = path.join(buildFolder, "io.wasm");

/** `--runtime stub`: no garbage collector. `--debug` keeps function names, from which stack traces are made. */
const OPTIONS = ["--runtime", "stub", "-O3", "--debug"];

/** A module's entry (what it imports is compiled with it) and its own options. */
export interface AssemblyModule {
  entry: string;
  options: string[];
}

/** Asserts stay in: they are the hypervisor's invariants. */
export const HYPERVISOR: AssemblyModule = { entry: "kernel/main.ts", options: [] };
/** Its memory is imported, zeroed; it imports no function, so that its only output besides memory is its status. */
export const CODEC: AssemblyModule = {
  entry: "codec/main.ts",
  options: ["--importMemory", "--zeroFilledMemory", "--use", "abort="],
};

/**
 * Its memory is imported (abi/io/layout.ts). What initialises its module variables is an export, `start`, which is called
 * whenever the domain starts; a failed assertion goes to drivers/host/log.ts, which ends the domain's run.
 */
export const IO: AssemblyModule = {
  entry: "noxs/main.ts",
  options: ["--importMemory", "--exportTable", "--exportStart", "start", "--use", "abort=drivers/host/log/abort"],
};

/** Command and arguments of the AssemblyScript compiler for a module; run it in the repository's root. */
export function ascCommand(module: AssemblyModule, more: string[]): [string, string[]] {
  const compiler = fromRoot("node_modules/assemblyscript/bin/asc.js");
  return [process.execPath, [compiler, module.entry, ...OPTIONS, ...module.options, ...more]];
}

/**
 * Compiles the hypervisor.
 * @param out where the module goes, by default build/hypervisor.wasm
 * @param name state name; a test build with another output needs its own
 */
export async function buildHypervisorWasm(
  out: string = hypervisorWasm,
  name: string = "hypervisor-wasm",
): Promise<void> {
  await compile(HYPERVISOR, out, name, "compiled the hypervisor's TypeScript to WebAssembly", [
    "abi",
    "arch-x86",
    "kernel",
  ]);
}

/** Compiles the codec. */
export async function buildCodecWasm(): Promise<void> {
  await compile(CODEC, codecWasm, "codec-wasm", "compiled the codec's TypeScript to WebAssembly", ["abi", "codec"]);
}

/** Compiles the I/O domain. */
export async function buildIoWasm(): Promise<void> {
  await compile(IO, ioWasm, "io-wasm", "compiled the I/O domain's TypeScript to WebAssembly", [
    "abi",
    "drivers",
    "noxs",
  ]);
}

async function compile(
  module: AssemblyModule,
  out: string,
  name: string,
  title: string,
  folders: string[],
): Promise<void> {
  const [command, args] = ascCommand(module, ["-o", path.relative(fromRoot("."), out)]);
  await runStep({
    name,
    title,
    inputs: () => [...folders.map(fromRoot), fromRoot("node_modules/assemblyscript/package.json")],
    key: args.slice(1).join(" "),
    outputs: [out],
    heavy: true,
    run: async () => {
      await runTool(command, args);
    },
  });
}
