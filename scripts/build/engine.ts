/**
 * quickjs-emscripten's engine by its raw exports, as the machine's engine loop uses it: instantiated without the
 * package's own loader, so that its linear memory is exactly what a snapshot of it restores.
 */
import { readFileSync } from "node:fs";
import { engineWasm } from "../paths.ts";
import { readEngineNames } from "./engine-names.ts";
import { BuildError } from "./task.ts";

/** Pages of 64 KiB: what the module itself declares. */
const MEMORY_PAGES = 256;
const MEMORY_MAXIMUM = 32768;

/** What a host function gets: pointers to JSValues; it returns a pointer to a new one. */
export type HostCall = (context: number, self: number, argc: number, argv: number, reference: number) => number;

export class Engine {
  readonly memory: WebAssembly.Memory;
  readonly initialStackPointer: number;
  private readonly functions = new Map<string, (...args: number[]) => number>();
  private readonly readStackPointer: () => number;

  /**
   * @param hostCall answers calls of functions made with QTS_NewFunction
   * @param print gets what the engine writes to its file descriptors 1 and 2
   */
  constructor(hostCall: HostCall, print: (text: string) => void) {
    const names = readEngineNames();
    this.memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_MAXIMUM });

    const byName: Record<string, (...args: never[]) => unknown> = {
      assertFail: (condition: number, file: number, line: number) => {
        throw new BuildError(`the engine's assertion failed: ${this.text(condition)}, ${this.text(file)}:${line}`);
      },
      abort: () => {
        throw new BuildError("the engine aborted");
      },
      procExit: (status: number) => {
        throw new BuildError(`the engine exited with status ${status}`);
      },
      hostCall,
      freeHostRef: () => {},
      // A fixed time: the same sources make the same snapshot.
      dateNow: () => Date.UTC(2026, 0, 1),
      resizeHeap: (bytes: number) => this.grow(bytes >>> 0),
      fdWrite: (_fd: number, vectors: number, count: number, written: number) =>
        this.write(vectors, count, written, print),
      fdClose: () => 52,
      fdSeek: () => 70,
      environGet: () => 0,
      environSizesGet: (count: number, size: number) => {
        this.view().setUint32(count, 0, true);
        this.view().setUint32(size, 0, true);
        return 0;
      },
      localTime: (seconds: bigint, tm: number) => this.localTime(seconds, tm),
      tzSet: (timezone: number, daylight: number, standardName: number, daylightName: number) => {
        for (const pointer of [timezone, daylight]) this.view().setUint32(pointer, 0, true);
        for (const pointer of [standardName, daylightName]) this.bytes(pointer, 4).set([0x55, 0x54, 0x43, 0]);
      },
      setTimer: () => 0,
      keepaliveClear: () => {},
      shouldInterrupt: () => 0,
      loadModuleSource: () => 0,
      normalizeModule: () => 0,
    };
    const imports: Record<string, WebAssembly.ImportValue> = { a: this.memory };
    for (const [name, letter] of names.imports) imports[letter] = byName[name] as WebAssembly.ImportValue;

    const module = new WebAssembly.Module(readFileSync(engineWasm));
    const exports = new WebAssembly.Instance(module, { a: imports }).exports;
    const constructors = exports[names.constructors] as () => void;
    // The one export without a public name and without parameters besides the constructors reads the stack pointer.
    const named = new Set([...names.exports.values(), names.constructors]);
    const readers = Object.entries(exports).filter(
      ([name, value]) => !named.has(name) && typeof value === "function" && value.length === 0,
    );
    if (readers.length !== 1) throw new BuildError("the engine's stack pointer has no single reader any more");
    this.readStackPointer = readers[0][1] as () => number;
    for (const [name, letter] of names.exports) {
      this.functions.set(name, exports[letter] as (...args: number[]) => number);
    }
    this.initialStackPointer = this.readStackPointer();
    constructors();
  }

  /** Calls an export by its public name: "QTS_Call", "malloc", ... */
  call(name: string, ...args: number[]): number {
    const target = this.functions.get(name);
    if (target === undefined) throw new BuildError(`the engine has no export ${name}`);
    return target(...args);
  }

  stackPointer(): number {
    return this.readStackPointer();
  }

  view(): DataView {
    return new DataView(this.memory.buffer);
  }

  bytes(pointer: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, length);
  }

  /** The NUL-terminated UTF-8 text at `pointer`. */
  text(pointer: number): string {
    const all = new Uint8Array(this.memory.buffer);
    return Buffer.from(all.subarray(pointer, all.indexOf(0, pointer))).toString("utf8");
  }

  /** Calls `use` with a NUL-terminated copy of `text` in linear memory; wipes and frees it afterwards. */
  withText<T>(text: string, use: (pointer: number, length: number) => T): T {
    const encoded = Buffer.from(`${text}\0`, "utf8");
    const pointer = this.call("malloc", encoded.length);
    this.bytes(pointer, encoded.length).set(encoded);
    try {
      return use(pointer, encoded.length - 1);
    } finally {
      this.bytes(pointer, encoded.length).fill(0);
      this.call("free", pointer);
    }
  }

  /** Text of a JavaScript value, as String(value) gives it. */
  valueText(context: number, value: number): string {
    const pointer = this.call("QTS_GetString", context, value);
    const text = this.text(pointer);
    this.call("QTS_FreeCString", context, pointer);
    return text;
  }

  /** Property `name` of `object`: a new JSValue pointer. */
  property(context: number, object: number, name: string): number {
    return this.withText(name, (pointer) => {
      const key = this.call("QTS_NewString", context, pointer);
      const value = this.call("QTS_GetProp", context, object, key);
      this.call("QTS_FreeValuePointer", context, key);
      return value;
    });
  }

  /** Sets property `name` of `object`; the value's pointer is freed. */
  setProperty(context: number, object: number, name: string, value: number): void {
    this.withText(name, (pointer) => {
      const key = this.call("QTS_NewString", context, pointer);
      this.call("QTS_SetProp", context, object, key, value);
      this.call("QTS_FreeValuePointer", context, key);
      this.call("QTS_FreeValuePointer", context, value);
    });
  }

  private grow(bytes: number): number {
    const wanted = Math.ceil((bytes - this.memory.buffer.byteLength) / 65536);
    if (wanted > 0) this.memory.grow(wanted);
    return 1;
  }

  private write(vectors: number, count: number, written: number, print: (text: string) => void): number {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const pointer = this.view().getUint32(vectors + i * 8, true);
      const length = this.view().getUint32(vectors + i * 8 + 4, true);
      print(Buffer.from(this.bytes(pointer, length)).toString("utf8"));
      total += length;
    }
    this.view().setUint32(written, total, true);
    return 0;
  }

  /** struct tm in UTC: the machine has no time zone. */
  private localTime(seconds: bigint, tm: number): void {
    const date = new Date(Number(seconds) * 1000);
    const yearDay = Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000);
    const fields = [
      date.getUTCSeconds(),
      date.getUTCMinutes(),
      date.getUTCHours(),
      date.getUTCDate(),
      date.getUTCMonth(),
      date.getUTCFullYear() - 1900,
      date.getUTCDay(),
      yearDay,
      0,
      0,
    ];
    fields.forEach((value, index) => this.view().setInt32(tm + index * 4, value, true));
  }
}
