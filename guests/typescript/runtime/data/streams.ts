/** Streams: of Node's `stream` what its users call, on byte chunks or, with objectMode, any values. */
import EventEmitter from "events";
import { toBuffer, type Buffer } from "./buffer.ts";
import { codedError } from "../program/errors.ts";
import { addTick } from "../guest/ticks.ts";
import { TextDecoder } from "./text.ts";
import { joined } from "./join.ts";

type Done = (error?: Error | null) => void;
/** Bytes that wait before a writer is asked to stop, and before a reader asks for more. */
const HIGH_WATER = 64 * 1024;

export interface ReadableOptions {
  objectMode?: boolean;
  highWaterMark?: number;
  read?: (this: Readable, size: number) => void;
  destroy?: (this: EventEmitter, error: Error | null, done: Done) => void;
}

export interface WritableOptions {
  objectMode?: boolean;
  highWaterMark?: number;
  write?: (this: Writable, chunk: Buffer, encoding: string, done: Done) => void;
  final?: (this: Writable, done: Done) => void;
  destroy?: (this: EventEmitter, error: Error | null, done: Done) => void;
}

const sizeOf = (chunk: unknown, objects: boolean) => (objects ? 1 : (chunk as Uint8Array).length);

export class Readable extends EventEmitter {
  readable = true;
  destroyed = false;
  readableEnded = false;
  readableFlowing: boolean | null = null;
  errored: Error | null = null;
  protected readonly objectMode: boolean;
  private readonly limit: number;
  private chunks: unknown[] = [];
  private waiting = 0;
  private ending = false;
  private decoder: TextDecoder | undefined;
  private scheduled = false;
  private asked = false;

  constructor(options: ReadableOptions = {}) {
    super();
    this.objectMode = options.objectMode ?? false;
    this.limit = options.highWaterMark ?? (this.objectMode ? 16 : HIGH_WATER);
    if (options.read) this._read = options.read;
    if (options.destroy) this._destroy = options.destroy;
  }
  static from(source: Iterable<unknown> | AsyncIterable<unknown>): Readable {
    const iterator =
      Symbol.asyncIterator in source
        ? source[Symbol.asyncIterator]()
        : (source as Iterable<unknown>)[Symbol.iterator]();
    return new Readable({
      objectMode: true,
      read() {
        Promise.resolve(iterator.next()).then(
          ({ done, value }) => this.push(done ? null : value),
          (error: Error) => this.destroy(error),
        );
      },
    });
  }
  _read(_size: number): void {}
  _destroy(error: Error | null, done: Done): void {
    done(error);
  }
  get readableLength(): number {
    return this.waiting;
  }
  /** Adds a chunk, or the end; false when enough is waiting. */
  push(chunk: unknown, encoding?: string): boolean {
    this.asked = false;
    if (chunk === null) {
      const rest = this.decoder?.decode() ?? "";
      if (rest !== "") this.chunks.push(rest);
      this.ending = true;
    } else {
      let item = this.objectMode ? chunk : toBuffer(chunk as string, encoding);
      if (this.decoder) item = this.decoder.decode(item as Uint8Array, { stream: true });
      this.chunks.push(item);
      this.waiting += sizeOf(item, this.objectMode);
    }
    this.schedule();
    return this.waiting < this.limit;
  }
  /** Puts back what was read too far. */
  unshift(chunk: Uint8Array): void {
    this.chunks.unshift(toBuffer(chunk));
    this.waiting += chunk.length;
    this.schedule();
  }
  private schedule(): void {
    if (this.scheduled || this.destroyed) return;
    // Nobody reads yet: who begins to, schedules.
    if (this.readableFlowing === null && this.listenerCount("readable") === 0) return;
    this.scheduled = true;
    addTick(() => {
      this.scheduled = false;
      this.flow();
    });
  }
  private ask(): void {
    if (this.asked || this.ending || this.destroyed || this.waiting >= this.limit) return;
    this.asked = true;
    this._read(this.limit);
  }
  private flow(): void {
    if (this.readableFlowing === null && this.listenerCount("readable") > 0) {
      if (this.chunks.length > 0 || this.ending) this.emit("readable");
      if (this.chunks.length === 0 && this.ending) this.finishReading();
      else this.ask();
      return;
    }
    while (this.readableFlowing === true && this.chunks.length > 0) this.emit("data", this.take());
    if (this.readableFlowing !== true) return;
    if (this.ending) this.finishReading();
    else this.ask();
  }
  private take(): unknown {
    const chunk = this.chunks.shift();
    this.waiting -= sizeOf(chunk, this.objectMode);
    return chunk;
  }
  private finishReading(): void {
    if (this.readableEnded || this.destroyed) return;
    this.readableEnded = true;
    this.readable = false;
    this.emit("end");
    this.ended();
  }
  /** Both directions of a stream have ended: it closes. */
  protected ended(): void {
    const writing = (this as unknown as Writable).writableFinished;
    if (writing === undefined || writing) this.destroy();
  }
  read(): unknown {
    if (this.chunks.length === 0) {
      if (this.ending) this.schedule();
      else this.ask();
      return null;
    }
    if (this.objectMode || this.decoder) return this.take();
    const all = this.chunks.splice(0) as Buffer[];
    this.waiting = 0;
    this.schedule();
    return all.length === 1 ? all[0]! : joinedBuffer(all);
  }
  setEncoding(encoding: string): this {
    this.decoder = new TextDecoder(encoding);
    this.chunks = this.chunks.map((chunk) => this.decoder!.decode(chunk as Uint8Array, { stream: true }));
    return this;
  }
  pause(): this {
    this.readableFlowing = false;
    return this;
  }
  resume(): this {
    if (this.readableFlowing === true && this.chunks.length === 0) return this;
    this.readableFlowing = true;
    this.schedule();
    return this;
  }
  isPaused(): boolean {
    return this.readableFlowing === false;
  }
  override on(name: string | symbol, hear: (...values: never[]) => void): this {
    super.on(name, hear as (...values: unknown[]) => void);
    if (name === "data" && this.readableFlowing !== false) this.resume();
    if (name === "readable") this.schedule();
    return this;
  }
  override addListener(name: string | symbol, hear: (...values: never[]) => void): this {
    return this.on(name, hear);
  }
  pipe<T extends Writable>(to: T, options: { end?: boolean } = {}): T {
    this.on("data", (chunk: Buffer) => {
      if (!to.write(chunk)) this.pause();
    });
    to.on("drain", () => this.resume());
    if (options.end !== false) this.on("end", () => to.end());
    to.emit("pipe", this);
    return to;
  }
  unpipe(): this {
    this.removeAllListeners("data");
    return this.pause();
  }
  destroy(error: Error | null = null): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.readable = false;
    this.errored = error;
    this._destroy(error, (second) => {
      const final = second ?? error;
      addTick(() => {
        if (final) this.emit("error", final);
        this.emit("close");
      });
    });
    return this;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    let wake: () => void = () => {};
    let failure: Error | undefined;
    const onEvent = () => wake();
    const onFailure = (error: Error) => {
      failure = error;
      wake();
    };
    this.on("readable", onEvent).on("end", onEvent).on("close", onEvent).on("error", onFailure);
    try {
      for (;;) {
        const chunk = this.destroyed && this.chunks.length === 0 ? null : this.read();
        if (chunk !== null) yield chunk;
        else if (failure) throw failure;
        else if (this.readableEnded || this.destroyed) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      for (const name of ["readable", "end", "close"]) this.removeListener(name, onEvent);
      this.removeListener("error", onFailure);
      this.destroy();
    }
  }
}

function joinedBuffer(parts: Uint8Array[]): Buffer {
  return toBuffer(joined(parts));
}

interface Write {
  chunk: Buffer;
  encoding: string;
  done: Done | undefined;
}

/** The writing half: its methods are those of Duplex, too. */
export class Writable extends EventEmitter {
  writable = true;
  destroyed = false;
  writableEnded = false;
  writableFinished = false;
  writableNeedDrain = false;
  errored: Error | null = null;
  declare writes: Write[];
  declare writingSize: number;
  declare writing: boolean;
  /** Set by streams whose _write takes further chunks before it is done with one, in order: they get them as they come. */
  declare writesThrough: boolean;
  declare writingObjects: boolean;
  declare writingLimit: number;

  constructor(options: WritableOptions = {}) {
    super();
    initWriting(this, options);
  }
  _write(_chunk: Buffer, _encoding: string, done: Done): void {
    done();
  }
  _final(done: Done): void {
    done();
  }
  _destroy(error: Error | null, done: Done): void {
    done(error);
  }
  get writableLength(): number {
    return this.writingSize;
  }
  write(data: string | Uint8Array, encoding?: string | Done, done?: Done): boolean {
    if (typeof encoding === "function") [encoding, done] = [undefined, encoding];
    if (this.writableEnded || this.destroyed) {
      const error = codedError("ERR_STREAM_WRITE_AFTER_END", "write after the end of the stream");
      if (done) addTick(() => done(error));
      this.destroy(error);
      return false;
    }
    this.queueWrite(data, encoding, done);
    this.writeNext();
    this.writableNeedDrain = this.writingSize >= this.writingLimit;
    return !this.writableNeedDrain;
  }
  queueWrite(data: string | Uint8Array, encoding?: string, done?: Done): void {
    const chunk = this.writingObjects ? (data as Buffer) : toBuffer(data, encoding);
    this.writes.push({ chunk, encoding: encoding ?? "utf8", done });
    this.writingSize += sizeOf(chunk, this.writingObjects);
  }
  end(data?: string | Uint8Array | Done | null, encoding?: string | Done, done?: Done): this {
    if (typeof data === "function") [data, done] = [undefined, data];
    if (typeof encoding === "function") [encoding, done] = [undefined, encoding];
    if (done) this.once("finish", done as () => void);
    if (this.writableEnded || this.destroyed) return this;
    // The last write knows that it is: a short answer then has a length.
    if (data !== undefined && data !== null) this.queueWrite(data as string, encoding);
    this.writableEnded = true;
    this.writable = false;
    this.writeNext();
    return this;
  }
  cork(): void {}
  uncork(): void {}
  setDefaultEncoding(): this {
    return this;
  }
  /** Begins the next write, or what follows the last. */
  writeNext(): void {
    if ((this.writing && !this.writesThrough) || this.destroyed) return;
    const write = this.writes.shift();
    if (write === undefined) {
      if (!this.writing && this.writingSize === 0 && this.writableEnded && !this.writableFinished) this.finishWriting();
      return;
    }
    this.writing = true;
    let called = false;
    this._write(write.chunk, write.encoding, (error) => {
      if (called) return;
      called = true;
      this.writing = false;
      this.writingSize -= sizeOf(write.chunk, this.writingObjects);
      if (error) {
        write.done?.(error);
        this.destroy(error);
        return;
      }
      if (write.done) addTick(() => write.done!(null));
      if (this.writableNeedDrain && this.writingSize === 0 && !this.writableEnded) {
        this.writableNeedDrain = false;
        addTick(() => this.emit("drain"));
      }
      this.writeNext();
    });
  }
  finishWriting(): void {
    this.writing = true;
    this._final((error) => this.wroteAll(error));
  }
  /** The end of the last write. */
  wroteAll(error?: Error | null): void {
    this.writing = false;
    if (error) {
      this.destroy(error);
      return;
    }
    this.writableFinished = true;
    addTick(() => {
      this.emit("finish");
      this.finishedWriting();
    });
  }
  /** Both directions of a stream have ended: it closes. */
  finishedWriting(): void {
    const readable = this as unknown as Readable;
    if (readable.readableEnded !== false) this.destroy();
  }
  destroy(error: Error | null = null): this {
    if (this.destroyed) return this;
    this.writable = false;
    for (const { done } of this.writes.splice(0))
      done?.(error ?? codedError("ERR_STREAM_DESTROYED", "the stream is destroyed"));
    return Readable.prototype.destroy.call(this as unknown as Readable, error) as unknown as this;
  }
}

function initWriting(stream: Writable, options: WritableOptions): void {
  stream.writes = [];
  stream.writingSize = 0;
  stream.writing = stream.writesThrough = false;
  stream.writingObjects = options.objectMode ?? false;
  stream.writingLimit = options.highWaterMark ?? (stream.writingObjects ? 16 : HIGH_WATER);
  if (options.write) stream._write = options.write;
  if (options.final) stream._final = options.final;
  if (options.destroy) stream._destroy = options.destroy;
}

export type DuplexOptions = ReadableOptions & WritableOptions & { allowHalfOpen?: boolean };

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Duplex has two ancestors, as in Node
export class Duplex extends Readable {
  constructor(options: DuplexOptions = {}) {
    super(options);
    const duplex = this as unknown as Writable;
    duplex.writable = true;
    duplex.writableEnded = duplex.writableFinished = duplex.writableNeedDrain = false;
    initWriting(duplex, options);
  }
}
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Duplex extends Pick<
  Writable,
  | (
      | "write"
      | "end"
      | "cork"
      | "uncork"
      | "setDefaultEncoding"
      | "queueWrite"
      | "writeNext"
      | "finishWriting"
      | "wroteAll"
      | "finishedWriting"
    )
  | ("writable" | "writableEnded" | "writableFinished" | "writableNeedDrain" | "writableLength")
  | ("writes" | "writingSize" | "writing" | "writesThrough" | "writingObjects" | "writingLimit")
> {
  _write(chunk: Buffer, encoding: string, done: Done): void;
  _final(done: Done): void;
}
for (const name of Object.getOwnPropertyNames(Writable.prototype)) {
  if (name === "constructor" || name === "_destroy") continue;
  Object.defineProperty(Duplex.prototype, name, Object.getOwnPropertyDescriptor(Writable.prototype, name)!);
}
Object.defineProperty(Writable, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    const plain = Function.prototype[Symbol.hasInstance].call(this as () => void, value);
    return plain || (this === Writable && value instanceof Duplex);
  },
});

export interface TransformOptions extends DuplexOptions {
  transform?: (
    this: Transform,
    chunk: Buffer,
    encoding: string,
    done: (error?: Error | null, data?: unknown) => void,
  ) => void;
  flush?: (this: Transform, done: (error?: Error | null, data?: unknown) => void) => void;
}

export class Transform extends Duplex {
  constructor(options: TransformOptions = {}) {
    super(options);
    if (options.transform) this._transform = options.transform;
    if (options.flush) this._flush = options.flush;
  }
  _transform(chunk: Buffer, _encoding: string, done: (error?: Error | null, data?: unknown) => void): void {
    done(null, chunk);
  }
  _flush(done: (error?: Error | null, data?: unknown) => void): void {
    done();
  }
  override _write(chunk: Buffer, encoding: string, done: Done): void {
    this._transform(chunk, encoding, (error, data) => {
      if (data !== undefined && data !== null) this.push(data);
      done(error);
    });
  }
  override _final(done: Done): void {
    this._flush((error, data) => {
      if (data !== undefined && data !== null) this.push(data);
      this.push(null);
      done(error);
    });
  }
}

export class PassThrough extends Transform {}

/** Hears once of a stream's end, or of what went wrong. */
export function finished(stream: Readable | Writable, done: Done): void {
  let called = false;
  const once = (error?: Error | null) => {
    if (!called) done(error);
    called = true;
  };
  stream.on("error", once);
  stream.on("end", () => "writableFinished" in stream || once());
  stream.on("finish", () => "readableEnded" in stream || once());
  stream.on("close", () => once());
}

/** Pipes streams into each other; `done` hears of the end, or of the first error, which destroys them all. */
export function pipeline(...parts: (Readable | Writable | Done)[]): Writable {
  const done = typeof parts.at(-1) === "function" ? (parts.pop() as Done) : () => {};
  const streams = parts as (Readable & Writable)[];
  let called = false;
  const end = (error?: Error | null) => {
    if (called) return;
    called = true;
    if (error) for (const stream of streams) stream.destroy(error);
    done(error);
  };
  streams.forEach((stream, i) => {
    stream.on("error", end);
    if (i > 0) streams[i - 1]!.pipe(stream);
  });
  streams.at(-1)!.on("finish", () => end());
  return streams.at(-1)!;
}

export const promises = {
  pipeline: (...parts: (Readable | Writable)[]): Promise<void> =>
    new Promise((resolve, reject) => void pipeline(...parts, (error) => (error ? reject(error) : resolve()))),
  finished: (stream: Readable | Writable): Promise<void> =>
    new Promise((resolve, reject) => finished(stream, (error) => (error ? reject(error) : resolve()))),
};
