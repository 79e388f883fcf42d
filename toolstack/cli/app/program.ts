/**
 * A program as a guest starts from it: runtime and bundle are evaluated here, in the very .wasm that runs in the guest, and the
 * engine's linear memory is saved. Nothing is parsed in the guest. guests/lib/engine/program.h has the format.
 */
import type { ProgramInfo } from "../../../guests/typescript/runtime/guest/host.ts";
import { Evaluation, PAGE, usedPages } from "../../../scripts/build/evaluate.ts";
import { BuildError } from "../../../scripts/build/task.ts";
import { type Bundle, BUNDLE_NAME, RUNTIME_NAME } from "./bundle.ts";

const MAGIC = Buffer.from("\0TVPROG1", "latin1");
const WASM_PAGE = 65536;
/** The allocator grows by this much, whose end it has not necessarily written to. */
const SPARE_WASM_PAGES = 2;
const WINDOW = 0xc000_0000;
const WINDOW_FILES = 0x1_0000;
const FILES_MOST = 0x3ff0_0000;
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

/** Evaluates runtime and bundle in a new engine; the loop's stack is made for it (guests/lib/engine/linear.h). */
function evaluate(parts: ProgramParts, info: ProgramInfo, windowBytes: number): Evaluation {
  const evaluation = new Evaluation({
    functions: [["system", 1]],
    called: () => "the runtime asked for something of the guest while it was evaluated: there is no guest yet",
    window: { name: "machine", address: WINDOW, bytes: windowBytes },
  });
  const run = (source: string, name: string) => evaluation.run(source, name, `evaluating ${name}`);
  run(`globalThis.program = ${JSON.stringify(info)};`, "program.js");
  run(parts.runtime, RUNTIME_NAME);
  run(parts.bundle.code, BUNDLE_NAME);
  evaluation.runJobs("running promise jobs");
  evaluation.takeTurn("the runtime");
  run("delete globalThis.turn;", "program.js");
  return evaluation;
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
  const evaluation = evaluate(parts, info, WINDOW_FILES + filesSize);
  const { engine, runtime, context, turn, scratch } = evaluation;

  const memory = engine.memory.buffer;
  const used = usedPages(memory);
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
  [...fields, evaluation.stackPointer()].forEach((value, i) => out.writeUInt32LE(value, 16 + i * 4));
  used.forEach((page, i) => {
    out.writeUInt32LE(pages / PAGE + i, table + page * 4);
    out.set(new Uint8Array(memory, page * PAGE, PAGE), pages + i * PAGE);
  });
  contents.forEach((data, i) => out.set(data, filesAt + places[i]![0]));
  return out;
}
