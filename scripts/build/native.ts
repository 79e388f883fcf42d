/** gcc and ld: boot/ and the generated C become build/typevisor.elf. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { buildFolder, fromRoot, generatedFolder, imageFile, root } from "../paths.ts";
import { hypervisorWasm, ioWasm } from "./assembly.ts";
import { ioImageFile } from "./io-image.ts";
import type { Sandbox } from "./sandboxes.ts";
import { snapshotFile } from "./snapshot.ts";
import { symbolsAssembly } from "./symbols.ts";
import { BuildError, runStep, runTool, writeIfChanged } from "./task.ts";
import { translateEngine } from "./wasm2c.ts";

/** Freestanding code at a fixed low address, interrupts on its own stack, frame pointers for stack traces. */
const COMMON = [
  "-std=gnu11",
  "-O2",
  "-g0",
  "-ffreestanding",
  "-mno-red-zone",
  "-fno-pic",
  "-mcmodel=small",
  "-fno-stack-protector",
  "-fcf-protection=none",
  "-fno-strict-aliasing",
  "-fno-omit-frame-pointer",
  "-fno-asynchronous-unwind-tables",
  "-ffunction-sections",
  "-fdata-sections",
  "-fno-tree-loop-distribute-patterns",
  // wasm2c's runtime: guard pages instead of bounds checks, a guarded stack instead of a depth counter.
  "-DWASM_RT_MEMCHECK_SIGNAL_HANDLER=1",
  "-DWASM_RT_SKIP_SIGNAL_RECOVERY=1",
  "-DWASM_RT_USE_STACK_DEPTH_COUNT=0",
  "-DNDEBUG",
];
/** JavaScript needs floating point; its rounding functions are single instructions. */
const ENGINE = ["-msse4.1", "-fno-math-errno", "-fno-trapping-math", "-w"];
/** Everything else leaves the FPU to the guest whose state is in it. */
const GENERAL = ["-mgeneral-regs-only", "-Wall", "-Wextra", "-Werror"];

const LINK = [
  "-nostdlib",
  "-static",
  "-no-pie",
  "--gc-sections",
  "--build-id=none",
  "-z",
  "max-page-size=0x1000",
  "-z",
  "noexecstack",
];

/** What has a step of its own, since it includes what wasm2c generates. */
const WITH_MODULES = ["engine-module.c", "hypervisor.c", "sandbox-module.c", "io.c"];

const bootFolder = fromRoot("boot");
const objectFolder = path.join(buildFolder, "obj");

function flagsFor(file: string): string[] {
  if (file.endsWith(".S")) return ["-Wa,-I,boot,-I,build", "-I", "build"];
  if (file === "engine-module.c") return [...COMMON, ...ENGINE];
  if (WITH_MODULES.includes(file)) return [...COMMON, ...GENERAL, "-Wno-unused", "-Wno-unused-parameter"];
  return [...COMMON, ...GENERAL];
}

/** Flags of a sandbox's generated C. */
export function sandboxFlags(): string[] {
  return flagsFor("sandbox-module.c");
}

/** What an object file was made from, by the dependency file that gcc left, or just `source` before its first run. */
function dependencies(source: string, dependencyFile: string): string[] {
  if (!existsSync(dependencyFile)) return [source];
  const names = readFileSync(dependencyFile, "utf8")
    .replace(/\\\n/g, " ")
    .split(/\s+/)
    .slice(1)
    .filter((name) => name !== "")
    .map((name) => path.resolve(root, name));
  return [source, ...names.filter((name) => name.startsWith(root))];
}

/**
 * Compiles one file.
 * @param more inputs that gcc's dependency file does not name (.incbin)
 * @param name of the object file
 */
async function compile(
  source: string,
  flags: string[],
  title: string,
  more: string[] = [],
  name: string = path.basename(source),
): Promise<string> {
  const object = path.join(objectFolder, `${name}.o`);
  const dependencyFile = `${object}.d`;
  const relative = path.relative(root, source);
  const args = [
    ...flags,
    "-I",
    "boot",
    "-I",
    "build",
    "-I",
    "build/gen",
    "-MMD",
    "-MF",
    dependencyFile,
    "-c",
    relative,
    "-o",
    object,
  ];
  await runStep({
    name: `object-${name}`,
    title,
    inputs: () => [...dependencies(source, dependencyFile), ...more],
    key: args.join(" "),
    outputs: [object],
    heavy: true,
    run: async () => {
      await runTool("gcc", args);
    },
  });
  return object;
}

/** Files of boot/ that gcc compiles. */
export function bootSources(): string[] {
  const names = existsSync(bootFolder) ? readdirSync(bootFolder).filter((name) => /\.[cS]$/.test(name)) : [];
  if (names.length === 0) throw new BuildError("boot/ has no sources");
  return names;
}

/** Compiles the engine's module alone: the longest step, begun before anything else is ready. */
async function compileEngine(): Promise<string> {
  await translateEngine();
  const name = "engine-module.c";
  return await compile(path.join(bootFolder, name), flagsFor(name), "compiled the JavaScript engine");
}

/** The engine's object, for the image and for guests: who asks while it is being compiled waits for the same. */
let engine: Promise<string> | undefined;
export function engineObject(): Promise<string> {
  engine ??= compileEngine().finally(() => (engine = undefined));
  return engine;
}

/** Compiles the hypervisor's generated C. */
export async function compileHypervisor(): Promise<string> {
  return await compile(path.join(bootFolder, "hypervisor.c"), flagsFor("hypervisor.c"), "compiled the hypervisor");
}

/** Compiles a sandbox's generated C. */
export async function compileSandbox({ name, base, size }: Sandbox): Promise<string> {
  const source = "sandbox-module.c";
  const definitions = { MODULE: name, MODULE_SOURCE: `"gen/${name}.c"`, MODULE_BASE: base, MODULE_SIZE: size };
  const flags = Object.entries(definitions).map(([macro, value]) => `-D${macro}=${value}`);
  const all = [...flagsFor(source), ...flags];
  return await compile(path.join(bootFolder, source), all, `compiled the ${name} sandbox`, [], `sandbox-${name}`);
}

/** Compiles the I/O domain's generated C. */
export async function compileIo(): Promise<string> {
  return await compile(path.join(bootFolder, "io.c"), flagsFor("io.c"), "compiled the I/O domain");
}

/** Compiles the rest of boot/. */
export async function compileShim(): Promise<string[]> {
  const rest = bootSources().filter((name) => !WITH_MODULES.includes(name));
  return await Promise.all(
    rest.map((name) =>
      compile(
        path.join(bootFolder, name),
        flagsFor(name),
        `compiled boot/${name}`,
        name === "snapshot.S" ? [snapshotFile, ioImageFile] : [],
      ),
    ),
  );
}

async function linkInto(out: string, objects: string[]): Promise<void> {
  await runTool("ld", [...LINK, "-T", "boot/typevisor.ld", "-o", out, ...objects]);
}

/** Code addresses and names, as `nm` prints them, sorted by address. */
async function codeSymbols(elf: string): Promise<string[]> {
  const lines = (await runTool("nm", ["-n", "--defined-only", elf])).split("\n");
  return lines.filter((line) => /^[0-9a-f]+ [tTwW] /.test(line));
}

/**
 * Links twice: the first link determines the address of every function, the second one includes that table. The table is
 * placed after the code, so no function moves; this is checked.
 */
export async function linkImage(objects: string[], sandboxes: { sandbox: Sandbox; object: string }[]): Promise<void> {
  const script = path.join(bootFolder, "typevisor.ld");
  const sorted = [...objects, ...sandboxes.map(({ object }) => object)].sort();
  await runStep({
    name: "link",
    title: "linked the bootable image",
    inputs: () => [...sorted, script, fromRoot("scripts/build/symbols.ts")],
    key: LINK.join(" "),
    outputs: [imageFile],
    run: async () => {
      const first = path.join(objectFolder, "first-link.elf");
      await linkInto(first, sorted);
      const before = await codeSymbols(first);
      const assembly = path.join(generatedFolder, "symbols.S");
      const ours = [
        { name: "hypervisor", wasm: hypervisorWasm },
        { name: "noxs", wasm: ioWasm },
        ...sandboxes.map(({ sandbox }) => sandbox),
      ];
      const modules = ours.map(({ name, wasm }) => ({
        name,
        generated: readFileSync(path.join(generatedFolder, `${name}.c`), "utf8"),
        wasm: readFileSync(wasm),
      }));
      writeIfChanged(assembly, symbolsAssembly(before, modules));
      const table = path.join(objectFolder, "symbols.o");
      await runTool("gcc", ["-c", assembly, "-o", table]);
      await linkInto(imageFile, [...sorted, table]);
      if ((await codeSymbols(imageFile)).join("\n") !== before.join("\n")) {
        throw new BuildError(
          "functions moved between the two links: .symbols must come after the code in boot/typevisor.ld",
        );
      }
    },
  });
}
