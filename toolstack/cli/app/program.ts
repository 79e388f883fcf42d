/**
 * A program as a guest starts from it: runtime and bundle are evaluated here, in the very .wasm that runs in the guest, and the
 * engine's linear memory is saved. Nothing is parsed in the guest. guests/lib/engine/program.h has the format.
 */
import type { ProgramInfo } from "../../../guests/typescript/runtime/guest/host.ts";
import { Engine } from "../../../scripts/build/engine.ts";
import { BuildError } from "../../../scripts/build/task.ts";
import { type Bundle, BUNDLE_NAME, RUNTIME_NAME } from "./bundle.ts";

const PAGE = 4096;
const MAGIC = Buffer.from("\0TVPROG1", "latin1");
const WASM_PAGE = 65536;
/** The allocator grows by this much, whose end it has not necessarily written to. */
const SPARE_WASM_PAGES = 2;
const WINDOW = 0xc000_0000;
const WINDOW_FILES = 0x1_0000;
const FILES_MOST = 0x3ff0_0000;
/** Bytes of its own stack that the engine may use before it throws; its native stack is made for that (lib/engine/linear.h). */
const ENGINE_STACK = 256 * 1024;
const SCRATCH_BYTES = 64;
const JSVALUE_BYTES = 8;
const STACK_LINES = 20;

export interface ProgramFile {
  /** Absolute path in the guest. */
  path: string;
  data: Uint8Array;
}

export interface ProgramParts {
  runtime: string;
  bundle: Bundle;
  name: string;
  arguments: string[];
  environment: Record<string, string>;
  files: ProgramFile[];
  builtAt: number;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** Throws the exception that `value` stands for; returns if it stands for none. */
function throwIfException(engine: Engine, context: number, value: number, doing: string): void {
  const error = engine.call("QTS_ResolveException", context, value);
  if (error === 0) return;
  const stack = engine
    .valueText(context, engine.property(context, error, "stack"))
    .trimEnd()
    .split("\n");
  throw new BuildError(`${doing}: ${[engine.valueText(context, error), ...stack.slice(0, STACK_LINES)].join("\n")}`);
}

interface Snapshot {
  engine: Engine;
  runtime: number;
  context: number;
  turn: number;
  scratch: number;
}

/** Evaluates runtime and bundle in a new engine. */
function evaluate(parts: ProgramParts, info: ProgramInfo, windowBytes: number): Snapshot {
  let context = 0;
  const engine: Engine = new Engine(
    () => {
      throw new BuildError(
        "the runtime asked for something of the guest while it was evaluated: there is no guest yet",
      );
    },
    (text) => process.stderr.write(text),
  );
  const runtime = engine.call("QTS_NewRuntime");
  engine.call("QTS_RuntimeSetMaxStackSize", runtime, ENGINE_STACK);
  context = engine.call("QTS_NewContext", runtime, 0);
  const global = engine.call("QTS_GetGlobalObject", context);
  const scratch = engine.call("malloc", SCRATCH_BYTES);
  const turn = engine.call("QTS_NewFloat64", context, 0);

  const system = engine.withText("system", (name) => engine.call("QTS_NewFunction", context, name, 0, 0, 1));
  engine.setProperty(context, global, "system", system);
  const window = engine.call("QTS_NewArrayBuffer", context, WINDOW, windowBytes);
  // The engine would free() the window when its last reference goes: this second reference never does.
  engine.call("QTS_DupValuePointer", context, window);
  engine.setProperty(context, global, "machine", window);

  const run = (source: string, name: string) => {
    const result = engine.withText(source, (text, length) =>
      engine.withText(name, (file) => engine.call("QTS_Eval", context, text, length, file, 0, 0)),
    );
    throwIfException(engine, context, result, `evaluating ${name}`);
    engine.call("QTS_FreeValuePointer", context, result);
  };
  run(`globalThis.program = ${JSON.stringify(info)};`, "program.js");
  run(parts.runtime, RUNTIME_NAME);
  run(parts.bundle.code, BUNDLE_NAME);
  while (engine.call("QTS_IsJobPending", runtime) !== 0) {
    const job = engine.call("QTS_ExecutePendingJob", runtime, -1, scratch);
    throwIfException(engine, context, job, "running promise jobs");
    engine.call("QTS_FreeValuePointer", context, job);
  }
  engine.bytes(scratch, SCRATCH_BYTES).fill(0);
  const found = engine.property(context, global, "turn");
  engine.bytes(turn, JSVALUE_BYTES).set(engine.bytes(found, JSVALUE_BYTES));
  engine.call("free", found);
  run("delete globalThis.turn;", "program.js");
  if (engine.stackPointer() !== engine.initialStackPointer) {
    throw new BuildError("the engine's stack pointer is not at rest after the evaluation");
  }
  return { engine, runtime, context, turn, scratch };
}

/** Where each file will be among the files, behind each other at whole pages; the source map is one of them. */
function placeFiles(files: Uint8Array[]): { places: [number, number][]; size: number } {
  let at = 0;
  const places = files.map((data): [number, number] => {
    const place: [number, number] = [at, data.length];
    at += roundUp(data.length);
    return place;
  });
  return { places, size: at };
}

/** The program's bytes, a multiple of 4096. @throws BuildError for scripts that the engine refuses, or too many files */
export function makeProgram(parts: ProgramParts): Buffer {
  const contents = [Buffer.from(parts.bundle.map, "utf8"), ...parts.files.map(({ data }) => data)];
  const { places, size: filesSize } = placeFiles(contents);
  if (filesSize > FILES_MOST)
    throw new BuildError(`the files have ${filesSize} bytes: at most ${FILES_MOST} can be packed in`);
  const info: ProgramInfo = {
    name: parts.name,
    arguments: parts.arguments,
    environment: parts.environment,
    files: Object.fromEntries(parts.files.map(({ path: name }, i) => [name, places[i + 1]!])),
    sourceMap: places[0]!,
    builtAt: parts.builtAt,
  };
  const { engine, runtime, context, turn, scratch } = evaluate(parts, info, WINDOW_FILES + filesSize);

  const memory = engine.memory.buffer;
  const used: number[] = [];
  for (let page = 0; page < memory.byteLength / PAGE; page++) {
    if (new BigUint64Array(memory, page * PAGE, PAGE / 8).some((word) => word !== 0n)) used.push(page);
  }
  const heapPages = (used.at(-1) ?? -1) + 1;
  // What the engine's allocator has is covered; beyond, it asks the guest for more, which knows how much there is.
  const memoryPages = Math.ceil((heapPages * PAGE) / WASM_PAGE) + SPARE_WASM_PAGES;
  const table = PAGE;
  const pages = table + roundUp(heapPages * 4);
  const filesAt = pages + used.length * PAGE;
  const out = Buffer.alloc(filesAt + filesSize);
  MAGIC.copy(out);
  out.writeBigUInt64LE(BigInt(out.length), 8);
  const fields = [memoryPages, heapPages, table, filesAt, filesSize, runtime, context, turn, scratch];
  [...fields, engine.stackPointer()].forEach((value, i) => out.writeUInt32LE(value, 16 + i * 4));
  used.forEach((page, i) => {
    out.writeUInt32LE(pages / PAGE + i, table + page * 4);
    out.set(new Uint8Array(memory, page * PAGE, PAGE), pages + i * PAGE);
  });
  contents.forEach((data, i) => out.set(data, filesAt + places[i]![0]));
  return out;
}
