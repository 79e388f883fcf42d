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
import type { Engine } from "./engine.ts";
import { Evaluation, PAGE, usedPages } from "./evaluate.ts";
import { runStep, writeIfChanged } from "./task.ts";

export const snapshotFile = path.join(buildFolder, "snapshot.bin");
export const snapshotHeader = path.join(generatedFolder, "snapshot-meta.h");

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
  /** Zeroed memory for the engine loop. */
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

/** Evaluates `bundle` in a new engine and returns that engine with the pointers needed by the engine loop. */
export function evaluateControl(bundle: string): { engine: Engine; meta: SnapshotMeta } {
  const evaluation = new Evaluation({
    functions: HOST_FUNCTIONS,
    called: (reference) => {
      const name = HOST_FUNCTIONS.find(([, number]) => number === reference)?.[0];
      return `the control plane called ${name}() while it was evaluated for the snapshot: there is no machine yet; do it in turn()`;
    },
    window: { name: "machineWindow", address: DOM0_WINDOW, bytes: DOM0_WINDOW_END - DOM0_WINDOW },
  });
  evaluation.run(bundle, "control.js", "evaluating the control plane");
  evaluation.runJobs("running the control plane's promise jobs");
  evaluation.takeTurn("the control plane");
  const { engine, runtime, context, turn, global: globalThis, scratch } = evaluation;
  return { engine, meta: { runtime, context, turn, globalThis, scratch, stackPointer: evaluation.stackPointer() } };
}

/** Linear memory in the format of snapshot.bin. */
export function encodeSnapshot(memory: ArrayBuffer): Buffer {
  const pages = usedPages(memory);
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
      ...["snapshot.ts", "evaluate.ts", "engine.ts", "engine-names.ts"].map((name) =>
        fromRoot(`scripts/build/${name}`),
      ),
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
