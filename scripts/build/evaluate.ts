/**
 * Evaluating scripts in the very .wasm of the engine that boots, on Node, so that its heap can be saved: domain 0's, and those of
 * TypeScript guests. Nothing is parsed where the heap starts.
 */
import { Engine } from "./engine.ts";
import { BuildError } from "./task.ts";

export const PAGE = 4096;
/** Bytes of its shadow stack that the engine may use before it throws "stack overflow" (a RangeError). */
const ENGINE_STACK = 256 * 1024;
/** Lines of a JavaScript stack that an error message shows. */
const STACK_LINES = 20;
/** Linear memory set aside for the loop that runs the engine: out-parameters of its calls. */
const SCRATCH_BYTES = 64;
/** A JSValue on 32-bit targets: a 64-bit number with pointers in its NaNs. */
const JSVALUE_BYTES = 8;

/** What scripts find besides the language. */
export interface Surroundings {
  /** Globals that are functions of the host, with their numbers. */
  functions: readonly (readonly [name: string, reference: number])[];
  /** What is wrong when one of them is called now: there is no host yet. */
  called: (reference: number) => string;
  /** A global ArrayBuffer over memory beyond the engine's own pages; its pages appear where the heap starts. */
  window: { name: string; address: number; bytes: number };
}

export class Evaluation {
  readonly engine: Engine;
  /** Linear pointers that the loop needs. What they point to stays allocated forever. */
  readonly runtime: number;
  readonly context: number;
  /** JSValue of globalThis. */
  readonly global: number;
  /** SCRATCH_BYTES of zeroed memory. */
  readonly scratch: number;
  /** JSValue of globalThis.turn, from `takeTurn` on. */
  readonly turn: number;

  constructor({ functions, called, window }: Surroundings) {
    this.engine = new Engine(
      (_context, _self, _argc, _argv, reference) => {
        throw new BuildError(called(reference));
      },
      (text) => process.stderr.write(text),
    );
    const { engine } = this;
    this.runtime = engine.call("QTS_NewRuntime");
    engine.call("QTS_RuntimeSetMaxStackSize", this.runtime, ENGINE_STACK);
    this.context = engine.call("QTS_NewContext", this.runtime, 0);
    this.global = engine.call("QTS_GetGlobalObject", this.context);
    // Allocated before a script has any influence: their addresses, compiled into the loop, stay when scripts change.
    this.scratch = engine.call("malloc", SCRATCH_BYTES);
    this.turn = engine.call("QTS_NewFloat64", this.context, 0);
    for (const [name, reference] of functions) {
      const host = engine.withText(name, (text) => engine.call("QTS_NewFunction", this.context, text, 0, 0, reference));
      engine.setProperty(this.context, this.global, name, host);
    }
    const buffer = engine.call("QTS_NewArrayBuffer", this.context, window.address, window.bytes);
    // The engine would free() the window when its last reference goes: this second reference never does.
    engine.call("QTS_DupValuePointer", this.context, buffer);
    engine.setProperty(this.context, this.global, window.name, buffer);
  }

  /** Evaluates a script. @throws BuildError with its exception, and JavaScript stack, behind `doing` */
  run(source: string, file: string, doing: string): void {
    const { engine, context } = this;
    const result = engine.withText(source, (text, length) =>
      engine.withText(file, (name) => engine.call("QTS_Eval", context, text, length, name, 0, 0)),
    );
    this.throwIfException(result, doing);
    engine.call("QTS_FreeValuePointer", context, result);
  }

  /** Runs promise jobs until there are none; scratch is zero again. */
  runJobs(doing: string): void {
    const { engine, runtime, context, scratch } = this;
    while (engine.call("QTS_IsJobPending", runtime) !== 0) {
      const job = engine.call("QTS_ExecutePendingJob", runtime, -1, scratch);
      this.throwIfException(job, doing);
      engine.call("QTS_FreeValuePointer", context, job);
    }
    engine.bytes(scratch, SCRATCH_BYTES).fill(0);
  }

  /** Puts globalThis.turn where the loop looks for it. @param who is to define it, for the error */
  takeTurn(who: string): void {
    const { engine, context } = this;
    const found = engine.property(context, this.global, "turn");
    const kind = engine.call("QTS_Typeof", context, found);
    if (engine.text(kind) !== "function") throw new BuildError(`${who} does not define globalThis.turn()`);
    engine.call("free", kind);
    engine.bytes(this.turn, JSVALUE_BYTES).set(engine.bytes(found, JSVALUE_BYTES));
    engine.call("free", found);
  }

  /** The engine's stack pointer, its only mutable global, at rest. @throws BuildError when it is not */
  stackPointer(): number {
    const pointer = this.engine.stackPointer();
    if (pointer !== this.engine.initialStackPointer) {
      throw new BuildError(
        "the engine's stack pointer is not at rest after the evaluation: the snapshot would not start",
      );
    }
    return pointer;
  }

  /** Throws the exception that `value` stands for, with its JavaScript stack; returns if it stands for none. */
  private throwIfException(value: number, doing: string): void {
    const { engine, context } = this;
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
}

/** Pages of a linear memory that are not all zero. */
export function usedPages(memory: ArrayBuffer): number[] {
  const pages: number[] = [];
  for (let page = 0; page < memory.byteLength / PAGE; page++) {
    if (new BigUint64Array(memory, page * PAGE, PAGE / 8).some((word) => word !== 0n)) pages.push(page);
  }
  return pages;
}
