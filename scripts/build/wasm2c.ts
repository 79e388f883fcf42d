/**
 * WebAssembly to C by Debian's wasm2c, and the few places of its output that the shim's runtime replaces: loads and
 * stores use the linear memory's fixed address instead of a pointer kept in a structure.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { engineLoader, engineWasm, fromRoot, generatedFolder } from "../paths.ts";
import { hypervisorWasm, ioWasm } from "./assembly.ts";
import { engineExportsHeader, readEngineNames } from "./engine-names.ts";
import type { Sandbox } from "./sandboxes.ts";
import { BuildError, runStep, runTool, writeIfChanged } from "./task.ts";

/** The version whose output these rewrites and the shim's runtime were made for (Debian 12's wabt). */
const WASM2C_VERSION = "1.0.32";

/** A replacement in wasm2c's output: `count` occurrences, no more and no fewer. */
interface Rewrite {
  from: string;
  to: string;
  count: number;
}

function rewritesFor(base: string): Rewrite[] {
  return [
    // The little-endian DEFINE_LOAD and DEFINE_STORE.
    { from: "&mem->data[addr]", to: `&((u8*)${base})[addr]`, count: 2 },
    // Keeping every load, needed or not, for its trap: a load that is not needed may go.
    { from: "#define wasm_asm __asm__\n", to: "#define wasm_asm(X)\n", count: 1 },
  ];
}

/** wasm2c's output made fit for boot/; throws BuildError when the output is not what the rewrites expect. */
export function rewriteGeneratedC(source: string, base: string): string {
  for (const { from, to, count } of rewritesFor(base)) {
    const parts = source.split(from);
    if (parts.length - 1 !== count) {
      throw new BuildError(
        `wasm2c's output has ${parts.length - 1} times ${JSON.stringify(from)} instead of ${count}: see scripts/build/wasm2c.ts`,
      );
    }
    source = parts.join(to);
  }
  return source;
}

async function checkVersion(): Promise<void> {
  const version = (await runTool("wasm2c", ["--version"])).trim();
  if (version !== WASM2C_VERSION) {
    throw new BuildError(
      `wasm2c is version ${version}; ${WASM2C_VERSION} (package wabt of Debian 12) is needed, because its output is post-processed`,
    );
  }
}

/** Makes build/gen/NAME.c and NAME.h. */
async function translate(name: string, wasm: string, base: string): Promise<void> {
  const source = path.join(generatedFolder, `${name}.c`);
  await runStep({
    name: `wasm2c-${name}`,
    title: `translated ${path.basename(wasm)} to C`,
    inputs: () => [wasm, fromRoot("scripts/build/wasm2c.ts")],
    key: WASM2C_VERSION,
    outputs: [source, path.join(generatedFolder, `${name}.h`)],
    heavy: true,
    run: async () => {
      await checkVersion();
      await runTool("wasm2c", [wasm, "-n", name, "-o", source]);
      writeFileSync(source, rewriteGeneratedC(readFileSync(source, "utf8"), base));
    },
  });
}

export async function translateHypervisor(): Promise<void> {
  await translate("hypervisor", hypervisorWasm, "HYPERVISOR_BASE");
}

export async function translateSandbox({ name, wasm, base }: Sandbox): Promise<void> {
  await translate(name, wasm, base);
}

/** Called noxs there: "io" is the module that it imports from (drivers/host/host.ts). */
export async function translateIo(): Promise<void> {
  await translate("noxs", ioWasm, "IO_BASE");
}

/**
 * Place of the promise rejection hook in the engine's runtime structure, where nothing exported sets it (QuickJS:
 * host_promise_rejection_tracker; its argument follows). Read off its two calls, which have a type of their own.
 */
export function rejectionTracker(generated: string): number {
  const parts = generated.split(/CALL_INDIRECT\(instance->w2c_T0, void \(\*\)\(void\*, u32, u64, u64, u32, u32\),/);
  const places = parts.slice(0, -1).map((before) => {
    const loads = [...before.slice(-1000).matchAll(/i32_load\(instance->Z_aZ_a, \(u64\)\(w2c_i\d\) \+ (\d+)u\)/g)];
    const [hook, argument] = loads.slice(-2).map(([, place]) => Number(place));
    return argument === hook! + 4 ? hook! : Number.NaN;
  });
  if (places.length !== 2 || places[0] !== places[1]) {
    throw new BuildError(
      "the engine's calls of its promise rejection hook are not found: quickjs-emscripten changed, see scripts/build/wasm2c.ts",
    );
  }
  return places[0]!;
}

/** Also writes build/gen/engine-exports.h. Who asks while it runs waits for the same. */
let engine: Promise<void> | undefined;
export function translateEngine(): Promise<void> {
  engine ??= translateEngineNow().finally(() => (engine = undefined));
  return engine;
}

async function translateEngineNow(): Promise<void> {
  await translate("engine", engineWasm, "ENGINE_BASE");
  const header = path.join(generatedFolder, "engine-exports.h");
  const source = path.join(generatedFolder, "engine.c");
  await runStep({
    name: "engine-exports",
    title: "read the engine's export names",
    inputs: () => [
      engineLoader,
      source,
      ...["engine-names.ts", "wasm2c.ts"].map((name) => fromRoot(`scripts/build/${name}`)),
    ],
    key: "",
    outputs: [header],
    run: () => {
      const hook = rejectionTracker(readFileSync(source, "utf8"));
      writeIfChanged(header, engineExportsHeader(readEngineNames(), { rejection_tracker: hook }));
    },
  });
}
