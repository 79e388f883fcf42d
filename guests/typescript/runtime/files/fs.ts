/**
 * node:fs and node:fs/promises. What changes something is on the volume when it returns, calls back or resolves, all that was done before
 * included; writes to an open file are with `fsync` or `close`.
 */
import { addTick } from "../guest/ticks.ts";
import { onDomainEnd } from "../guest/host.ts";
import type { Buffer } from "../data/buffer.ts";
import { constants } from "./handles.ts";
import { commitNow, commitSoon } from "./mounted.ts";
import { CHANGES, close, exists, LOOSE, OPERATIONS, type Stats as StatsType, Stats } from "./operations.ts";
import { makeStreams } from "./streams.ts";

type Work = (...values: never[]) => unknown;
type Done = (error: unknown, ...results: unknown[]) => void;

const READS: Record<string, Work> = { ...OPERATIONS, ...LOOSE, lstat: OPERATIONS.stat };
const WRITES: Record<string, Work> = { ...CHANGES };

// What a program has written and not synced is kept, however the program ends by itself.
onDomainEnd(commitNow);

/** Runs `work`, then calls `done`: when what it did stays, if it changes something. */
function later(work: () => unknown, changes: boolean, done: Done): void {
  let outcome: unknown;
  try {
    outcome = work();
  } catch (error) {
    addTick(() => done(error));
    return;
  }
  if (changes) commitSoon((error) => (error === undefined ? done(null, outcome) : done(error)));
  else addTick(() => done(null, outcome));
}

const promised = (work: () => unknown, changes: boolean): Promise<unknown> =>
  new Promise((resolve, reject) => {
    later(work, changes, (error, result) => (error === null ? resolve(result) : reject(error as Error)));
  });

const closeLater = (descriptor: number, done: (error?: unknown) => void): void => {
  let written = false;
  try {
    written = close(descriptor);
  } catch (error) {
    addTick(() => done(error));
    return;
  }
  if (written) commitSoon(done);
  else addTick(() => done());
};

const { createReadStream, createWriteStream } = makeStreams(closeLater);

/** As Node's: a file that is open, with promises. */
export class FileHandle {
  constructor(readonly fd: number) {}
  private do(name: string, ...values: unknown[]): Promise<unknown> {
    const work = (READS[name] ?? WRITES[name])!;
    return promised(() => work(...([this.fd, ...values] as never[])), Object.hasOwn(WRITES, name));
  }
  async read(
    into: Uint8Array | { buffer: Uint8Array; offset?: number; length?: number; position?: number | null },
    ...values: unknown[]
  ) {
    const [buffer, ...rest] =
      into instanceof Uint8Array ? [into, ...values] : [into.buffer, into.offset ?? 0, into.length, into.position];
    return { bytesRead: (await this.do("read", buffer, ...rest)) as number, buffer };
  }
  async write(data: string | Uint8Array, ...values: unknown[]) {
    return { bytesWritten: (await this.do("write", data, ...values)) as number, buffer: data };
  }
  readFile(options?: unknown) {
    return this.do("readFile", options) as Promise<Buffer | string>;
  }
  writeFile(data: unknown, options?: unknown) {
    return this.do("writeFile", data, options);
  }
  appendFile(data: unknown, options?: unknown) {
    return this.do("appendFile", data, options);
  }
  stat() {
    return this.do("fstat") as Promise<StatsType>;
  }
  truncate(size?: number) {
    return this.do("ftruncate", size);
  }
  sync() {
    return this.do("fsync");
  }
  datasync() {
    return this.do("fdatasync");
  }
  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      closeLater(this.fd, (error) => (error === undefined ? resolve() : reject(error as Error)));
    });
  }
}

export const promises: Record<string, unknown> = {};
const callbacks: Record<string, unknown> = {};
const synchronous: Record<string, unknown> = {};

for (const [name, work] of [...Object.entries(READS), ...Object.entries(WRITES)]) {
  const changes = Object.hasOwn(WRITES, name);
  synchronous[`${name}Sync`] = (...values: never[]) => {
    const result = work(...values);
    if (changes) commitNow();
    return result;
  };
  callbacks[name] = (...values: unknown[]) => {
    const done = values.pop() as Done;
    // Of these the buffer is told, too.
    const more = name === "read" || name === "write" ? [values[1]] : [];
    later(
      () => work(...(values as never[])),
      changes,
      (error, ...results) => done(error, ...results, ...(error === null ? more : [])),
    );
  };
  promises[name] = (...values: never[]) => promised(() => work(...values), changes);
}
for (const name of ["read", "write", "fstat", "ftruncate", "fsync", "fdatasync"]) delete promises[name];
promises.open = async (path: unknown, flags?: unknown) => new FileHandle(OPERATIONS.open(path, flags));
promises.constants = constants;

/** The module, with the callback forms. */
export const fs = {
  ...callbacks,
  ...synchronous,
  close: (descriptor: number, done: (error?: unknown) => void = () => {}) =>
    closeLater(descriptor, (error) => done(error ?? null)),
  closeSync: (descriptor: number) => {
    if (close(descriptor)) commitNow();
  },
  exists: (path: unknown, done: (there: boolean) => void) => addTick(() => done(exists(path))),
  existsSync: exists,
  createReadStream,
  createWriteStream,
  Stats,
  constants,
  promises,
};
