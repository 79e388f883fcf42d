/**
 * The heap snapshot domain 0 starts from: the control bundle is evaluated here, in the very .wasm that boots, and the
 * engine's linear memory is saved. Nothing is parsed on the machine.
 *
 * snapshot.bin: u32 count, u32 size of linear memory in 4 KiB pages, u32 zero[2], count x u32 page number, zeroes up to
 * a multiple of 4096, then count pages of 4096 bytes: those that are not all zero.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  HOST_CALL_ENCODE,
  HOST_CALL_EXCHANGE,
  HOST_CALL_HYPERCALL,
  HOST_CALL_RANDOM,
  HOST_CALL_SANDBOX,
} from "../../abi/software.ts";
import { DOM0_WINDOW, DOM0_WINDOW_END } from "../../abi/domain0-layout.ts";
import { buildFolder, engineLoader, engineWasm, fromRoot, generatedFolder } from "../paths.ts";
import { controlBundle } from "./control.ts";
import { Engine } from "./engine.ts";
import { BuildError, runStep, writeIfChanged } from "./task.ts";

const PAGE = 4096;
/** Bytes of its shadow stack that the engine may use before it throws "stack overflow" (a RangeError). */
const ENGINE_STACK = 256 * 1024;
/** Lines of a JavaScript stack that an error message shows. */
const STACK_LINES = 20;
/** Linear memory set aside for the engine loop: out-parameters of its calls. */
const SCRATCH_BYTES = 64;

export const snapshotFile = path.join(buildFolder, "snapshot.bin");
export const snapshotHeader = path.join(generatedFolder, "snapshot-meta.h");

/** A JSValue on 32-bit targets: a 64-bit number with pointers in its NaNs. */
const JSVALUE_BYTES = 8;

/**
 * Linear pointers that the engine loop needs, the same for every bundle. The values they point to stay allocated for
 * ever.
 */
export interface SnapshotMeta {
  runtime: number;
  context: number;
  /** JSValue of globalThis.turn. */
  turn: number;
  /** JSValue of globalThis. */
  globalThis: number;
  /** SCRATCH_BYTES of zeroed memory for the engine loop. */
  scratch: number;
  /** Value of the stack pointer, the engine's only mutable global. */
  stackPointer: number;
}

/** Globals that are functions of the host. */
const HOST_FUNCTIONS = [
  ["hypercall", HOST_CALL_HYPERCALL],
  ["exchange", HOST_CALL_EXCHANGE],
  ["sandbox", HOST_CALL_SANDBOX],
  ["encode", HOST_CALL_ENCODE],
  ["random", HOST_CALL_RANDOM],
] as const;

/** Throws the exception that `value` stands for, with its JavaScript stack; returns if it stands for none. */
function throwIfException(engine: Engine, context: number, value: number, doing: string): void {
  const error = engine.call("QTS_ResolveException", context, value);
  if (error === 0) return;
  const text = engine.valueText(context, error);
  const stack = engine
    .valueText(context, engine.property(context, error, "stack"))
    .trimEnd()
    .split("\n");
  const shown = stack.slice(0, STACK_LINES);
  if (stack.length > shown.length) shown.push(`    ... ${stack.length - shown.length} more`);
  throw new BuildError(`${doing}: ${text}\n${shown.join("\n")}`);
}

/** Evaluates `bundle` in a new engine and returns that engine with the pointers needed by the engine loop. */
export function evaluateControl(bundle: string): { engine: Engine; meta: SnapshotMeta } {
  let context = 0;
  const engine: Engine = new Engine(
    (_context, _self, _argc, _argv, reference) => {
      const name = HOST_FUNCTIONS.find(([, number]) => number === reference)?.[0];
      throw new BuildError(
        `the control plane called ${name}() while it was evaluated for the snapshot: there is no machine yet; do it in turn()`,
      );
    },
    (text) => process.stderr.write(text),
  );
  const runtime = engine.call("QTS_NewRuntime");
  engine.call("QTS_RuntimeSetMaxStackSize", runtime, ENGINE_STACK);
  context = engine.call("QTS_NewContext", runtime, 0);
  const global = engine.call("QTS_GetGlobalObject", context);
  // Allocated before the bundle has any influence: their addresses, compiled into the engine, stay when it changes.
  const scratch = engine.call("malloc", SCRATCH_BYTES);
  const turn = engine.call("QTS_NewFloat64", context, 0);

  for (const [name, reference] of HOST_FUNCTIONS) {
    const host = engine.withText(name, (pointer) => engine.call("QTS_NewFunction", context, pointer, 0, 0, reference));
    engine.setProperty(context, global, name, host);
  }
  // The window lies beyond linear memory's own pages; its pages appear on the machine as the hypervisor maps them.
  const window = engine.call("QTS_NewArrayBuffer", context, DOM0_WINDOW, DOM0_WINDOW_END - DOM0_WINDOW);
  // The engine would free() the window when its last reference goes: this second reference never does.
  engine.call("QTS_DupValuePointer", context, window);
  engine.setProperty(context, global, "machineWindow", window);

  const result = engine.withText(bundle, (source, length) =>
    engine.withText("control.js", (file) => engine.call("QTS_Eval", context, source, length, file, 0, 0)),
  );
  throwIfException(engine, context, result, "evaluating the control plane");
  engine.call("QTS_FreeValuePointer", context, result);
  while (engine.call("QTS_IsJobPending", runtime) !== 0) {
    const job = engine.call("QTS_ExecutePendingJob", runtime, -1, scratch);
    throwIfException(engine, context, job, "running the control plane's promise jobs");
    engine.call("QTS_FreeValuePointer", context, job);
  }
  engine.bytes(scratch, SCRATCH_BYTES).fill(0);

  const found = engine.property(context, global, "turn");
  const kind = engine.call("QTS_Typeof", context, found);
  if (engine.text(kind) !== "function") throw new BuildError("the control plane does not define globalThis.turn()");
  engine.call("free", kind);
  engine.bytes(turn, JSVALUE_BYTES).set(engine.bytes(found, JSVALUE_BYTES));
  engine.call("free", found);

  const stackPointer = engine.stackPointer();
  if (stackPointer !== engine.initialStackPointer) {
    throw new BuildError(
      "the engine's stack pointer is not at rest after the evaluation: the snapshot would not start",
    );
  }
  return { engine, meta: { runtime, context, turn, globalThis: global, scratch, stackPointer } };
}

/** Linear memory in the format of snapshot.bin. */
export function encodeSnapshot(memory: ArrayBuffer): Buffer {
  const pages: number[] = [];
  for (let page = 0; page < memory.byteLength / PAGE; page++) {
    if (new BigUint64Array(memory, page * PAGE, PAGE / 8).some((word) => word !== 0n)) pages.push(page);
  }
  const headerBytes = Math.ceil((16 + pages.length * 4) / PAGE) * PAGE;
  const out = Buffer.alloc(headerBytes + pages.length * PAGE);
  out.writeUInt32LE(pages.length, 0);
  out.writeUInt32LE(memory.byteLength / PAGE, 4);
  pages.forEach((page, index) => {
    out.writeUInt32LE(page, 16 + index * 4);
    out.set(new Uint8Array(memory, page * PAGE, PAGE), headerBytes + index * PAGE);
  });
  return out;
}

function metaHeader(meta: SnapshotMeta): string {
  const define = (name: string, value: number) => `#define SNAPSHOT_${name} ${value}u\n`;
  return (
    "/* Made by scripts/build/snapshot.ts: linear pointers into the engine's memory as saved in snapshot.bin. */\n" +
    "#pragma once\n" +
    define("RUNTIME", meta.runtime) +
    define("CONTEXT", meta.context) +
    define("TURN", meta.turn) +
    define("GLOBAL_THIS", meta.globalThis) +
    define("SCRATCH", meta.scratch) +
    define("STACK_POINTER", meta.stackPointer)
  );
}

/** Writes build/snapshot.bin and build/gen/snapshot-meta.h from build/control.js. */
export async function buildSnapshot(): Promise<void> {
  await runStep({
    name: "snapshot",
    title: "evaluated domain 0's TypeScript and saved its heap",
    inputs: () => [
      controlBundle,
      engineWasm,
      engineLoader,
      fromRoot("abi/software.ts"),
      ...["snapshot.ts", "engine.ts", "engine-names.ts"].map((name) => fromRoot(`scripts/build/${name}`)),
    ],
    key: "",
    outputs: [snapshotFile, snapshotHeader],
    run: () => {
      const { engine, meta } = evaluateControl(readFileSync(controlBundle, "utf8"));
      writeIfChanged(snapshotFile, encodeSnapshot(engine.memory.buffer));
      writeIfChanged(snapshotHeader, metaHeader(meta));
    },
  });
}
