/**
 * The symbol table for the shim's stack traces: address and name, with wasm2c's C names converted back to
 * the names in the source: "kernel/main/step" or "codec/lzma/tree", "QTS_Call" or "engine function 150" for the engine.
 */
import { readEngineNames } from "./engine-names.ts";
import { BuildError } from "./task.ts";

/** Reads an unsigned LEB128 number; returns it and the offset behind it. */
function readLeb(bytes: Uint8Array, offset: number): [number, number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[offset++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, offset];
  }
}

/** Function names of a module's "name" section (subsection 1), by function index. */
export function wasmFunctionNames(wasm: Uint8Array): Map<number, string> {
  const module = new WebAssembly.Module(wasm as BufferSource);
  const [section] = WebAssembly.Module.customSections(module, "name");
  const names = new Map<number, string>();
  if (section === undefined) return names;
  const bytes = new Uint8Array(section);
  let offset = 0;
  while (offset < bytes.length) {
    const kind = bytes[offset++];
    let size: number;
    [size, offset] = readLeb(bytes, offset);
    const end = offset + size;
    if (kind === 1) {
      let count: number;
      [count, offset] = readLeb(bytes, offset);
      for (let i = 0; i < count; i++) {
        let index: number;
        let length: number;
        [index, offset] = readLeb(bytes, offset);
        [length, offset] = readLeb(bytes, offset);
        names.set(index, Buffer.from(bytes.subarray(offset, offset + length)).toString("utf8"));
        offset += length;
      }
    }
    offset = end;
  }
  return names;
}

/** One of our own modules: its name for wasm2c, the C that wasm2c made of it, and the module. */
export interface OwnModule {
  name: string;
  generated: string;
  wasm: Uint8Array;
}

/** C name -> TypeScript name: wasm2c declares the module's own functions in the order of their indexes. */
export function typeScriptNames({ name: moduleName, generated, wasm }: OwnModule): Map<string, string> {
  const module = new WebAssembly.Module(wasm as BufferSource);
  const imported = WebAssembly.Module.imports(module).filter((item) => item.kind === "function").length;
  const names = wasmFunctionNames(wasm);
  const declaration = new RegExp(`^static \\w+ (w2c_\\w+)\\(Z_${moduleName}_instance_t\\*[^{\\n]*\\);$`, "gm");
  const declared = [...generated.matchAll(declaration)];
  const result = new Map<string, string>();
  declared.forEach((match, index) => {
    const name = names.get(imported + index);
    if (name !== undefined) result.set(match[1], name);
  });
  if (result.size === 0) {
    throw new BuildError(`build/gen/${moduleName}.c declares no functions as wasm2c 1.0.32 does`);
  }
  return result;
}

/** The name a stack trace shows for C function `name`. */
function displayName(name: string, ours: Map<string, string>, engine: Map<string, string>): string {
  // gcc's clones: name.part.0, name.constprop.1, name.cold
  const [plain] = name.split(".");
  const own = ours.get(plain);
  if (own !== undefined) return own;
  const public_ = engine.get(plain);
  if (public_ !== undefined) return public_;
  const numbered = /^w2c_f(\d+)$/.exec(plain);
  if (numbered !== null) return `engine function ${numbered[1]}`;
  return plain.replace(/^Z_[a-z]+Z_/, "export ");
}

/**
 * build/gen/symbols.S.
 * @param lines `nm -n` lines of code symbols, ascending
 * @param modules those written in AssemblyScript
 */
export function symbolsAssembly(lines: string[], modules: OwnModule[]): string {
  const ours = new Map(modules.flatMap((module) => [...typeScriptNames(module)]));
  const engine = new Map<string, string>();
  for (const [name, letter] of readEngineNames().exports) engine.set(`w2c_${letter}`, name);

  const table = ["\t.balign 4", "symbol_table:"];
  const names = ["symbol_names:"];
  let count = 0;
  let offset = 0;
  let latest = "";
  for (const line of lines) {
    const [address, , name] = line.split(" ");
    if (address === latest) continue;
    latest = address;
    const shown = displayName(name, ours, engine);
    table.push(`\t.long 0x${address.slice(-8)}, ${offset}`);
    names.push(`\t.asciz "${shown}"`);
    offset += Buffer.byteLength(shown) + 1;
    count += 1;
  }
  return [
    "/* Made by scripts/build/symbols.ts. */",
    '\t.section .symbols, "a"',
    "\t.globl symbol_count, symbol_table, symbol_names",
    "\t.balign 4",
    "symbol_count:",
    `\t.long ${count}`,
    ...table,
    ...names,
    "",
  ].join("\n");
}
