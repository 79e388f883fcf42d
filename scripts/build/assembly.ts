/** AssemblyScript: arch-x86/ and kernel/ become build/hypervisor.wasm, the module that boots and that Node tests. */
import path from "node:path";
import { buildFolder, fromRoot } from "../paths.ts";
import { runStep, runTool } from "./task.ts";

export const hypervisorWasm = path.join(buildFolder, "hypervisor.wasm");

/** Entry of the hypervisor; what it imports is compiled with it. */
const ENTRY = "kernel/main.ts";

/**
 * `--runtime stub`: no garbage collector. Asserts stay in (they are the hypervisor's invariants). `--debug` keeps function
 * names, from which stack traces are made.
 */
const OPTIONS = ["--runtime", "stub", "-O3", "--debug"];

/** Command and arguments of the AssemblyScript compiler for the hypervisor; run it in the repository's root. */
export function ascCommand(more: string[]): [string, string[]] {
  const compiler = fromRoot("node_modules/assemblyscript/bin/asc.js");
  return [process.execPath, [compiler, ENTRY, ...OPTIONS, ...more]];
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
  const [command, args] = ascCommand(["-o", path.relative(fromRoot("."), out)]);
  await runStep({
    name,
    title: "compiled the hypervisor's TypeScript to WebAssembly",
    inputs: () => [
      ...["abi", "arch-x86", "kernel"].map(fromRoot),
      fromRoot("node_modules/assemblyscript/package.json"),
    ],
    key: args.slice(1).join(" "),
    outputs: [out],
    heavy: true,
    run: async () => {
      await runTool(command, args);
    },
  });
}
