/** The TLS module in Node, and what stands around it: memory that must be given and taken, a clock that the test moves, connections. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { TLS_OWN_BYTES, TLS_SESSION_BYTES, TLS_SESSIONS } from "../../../../abi/tls.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { buildTlsWasm, tlsWasm } from "../../../../scripts/build/tls.ts";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import { TlsServer, type TlsSurroundings } from "../../../../toolstack/control/tls/listen.ts";
import type { TlsHost, TlsKey } from "../../../../toolstack/control/tls/module.ts";

const WASM_PAGE = 65536;
const MEMORY_PAGES = Math.ceil((TLS_OWN_BYTES + TLS_SESSIONS * TLS_SESSION_BYTES) / WASM_PAGE);

async function compile(): Promise<WebAssembly.Module> {
  const without = await withBuildLock(buildTlsWasm);
  if (without !== undefined) throw new Error(without.missing);
  return new WebAssembly.Module(readFileSync(tlsWasm));
}

/** The module as it boots. */
export const tlsModule = await compile();

const ZEROES = Buffer.alloc(Math.max(TLS_OWN_BYTES, TLS_SESSION_BYTES));

type Call = (operation: number, a: number, b: number, ...unused: number[]) => number;

/** The sandbox. Memory that is not given holds zeroes: whatever the module does there is found when it is given. */
export class NodeHost implements TlsHost {
  /** Bytes of RAM given now. */
  given = 0;
  calls = 0;
  /** Time in the module, ns. */
  ns = 0n;
  /** The next call does not return: as if a fault had stopped it. */
  faults = false;
  /** No RAM is there. */
  poor = false;
  private readonly memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  private readonly bytes = new Uint8Array(this.memory.buffer);
  private readonly view = new DataView(this.memory.buffer);
  private entry: Call | null = null;

  start(operation: number, a: number, b: number): number | null {
    const instance = new WebAssembly.Instance(tlsModule, { env: { memory: this.memory } });
    this.entry = instance.exports.call as Call;
    return this.call(operation, a, b);
  }

  call(operation: number, a: number, b: number): number | null {
    if (this.entry === null) return null;
    this.calls++;
    const begun = process.hrtime.bigint();
    try {
      if (this.faults) throw new WebAssembly.RuntimeError("as the test wants it");
      return this.entry(operation, a, b, 0, 0, 0) >>> 0;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      if (!this.faults) this.fault = error;
      this.faults = false;
      this.entry = null;
      return null;
    } finally {
      this.ns += process.hrtime.bigint() - begun;
    }
  }
  /** A fault that the test did not ask for. */
  fault: Error | null = null;

  give(address: number, bytes: number): boolean {
    if (this.poor) return false;
    if (!ZEROES.subarray(0, bytes).equals(this.bytes.subarray(address, address + bytes))) {
      throw new Error(`memory at ${address} was written before it was given`);
    }
    this.given += bytes;
    return true;
  }

  take(address: number, bytes: number): void {
    this.bytes.fill(0, address, address + bytes);
    this.given -= bytes;
  }

  words(address: number, count: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, address, count);
  }

  load32(address: number): number {
    return this.view.getUint32(address, true);
  }

  store32(address: number, value: number): void {
    this.view.setUint32(address, value, true);
  }

  read(address: number, bytes: number): Uint8Array {
    return this.bytes.slice(address, address + bytes);
  }

  readInto(address: number, into: Uint8Array): void {
    into.set(this.read(address, into.length));
  }

  write(address: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, address);
  }

  /** What the linear memory is, bytes: it never grows. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** A copy of the module's own data. */
  own(): Buffer {
    return Buffer.from(this.read(0, TLS_OWN_BYTES));
  }
}

/** Timers by a clock that the test moves. */
export class Clock {
  now = 1000;
  private timers: { at: number; run: () => void }[] = [];

  readonly after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.now + ms, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  };

  /** Timers that wait. */
  get waiting(): number {
    return this.timers.length;
  }

  /** Lets `ms` pass. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.timers = this.timers.filter((other) => other !== due);
      this.now = Math.max(this.now, due.at);
      due.run();
    }
    this.now = end;
  }
}

export const KEY: TlsKey = { identity: "operator", key: randomBytes(32) };

export interface Lab {
  host: NodeHost;
  server: TlsServer;
  log: string[];
}

/** A server with KEY. Without a clock, time is the computer's. */
export function lab(change: Partial<TlsSurroundings> = {}, clock?: Clock): Lab {
  const host = (change.host as NodeHost | undefined) ?? new NodeHost();
  const log: string[] = [];
  const server = new TlsServer(
    {
      host,
      seed: () => randomBytes(64),
      stir: () => randomBytes(32),
      after: clock?.after ?? realAfter,
      now: () => clock?.now ?? performance.now(),
      log: (text) => log.push(text),
      ...change,
    },
    [KEY],
  );
  return { host, server, log };
}

export const realAfter = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

/** A connection whose other end is the test. */
export class FakeConnection implements Connection {
  ended: Connection["ended"] = null;
  onReady: () => void = () => {};
  /** What the server has sent. */
  sent = Buffer.alloc(0);
  /** How many bytes it accepts before it is full. */
  room = 65536;
  private received = Buffer.alloc(0);
  private ending: Connection["ended"] = null;

  constructor(readonly peer: string = "192.0.2.1:40000") {}

  /** The peer sends. */
  arrive(bytes: Uint8Array): void {
    this.received = Buffer.concat([this.received, bytes]);
    this.onReady();
  }

  /** The peer ends it. */
  finish(how: "closed" | "reset"): void {
    this.ending = how;
    if (this.received.length === 0) this.ended = how;
    this.onReady();
  }

  /** Bytes that have arrived and were not read. */
  get waits(): number {
    return this.received.length;
  }

  read(into: Uint8Array): number {
    const bytes = this.received.copy(into);
    this.received = this.received.subarray(bytes);
    if (this.received.length === 0 && this.ending !== null) this.ended ??= this.ending;
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.ended !== null) return 0;
    const part = bytes.subarray(0, this.room - this.sent.length);
    this.sent = Buffer.concat([this.sent, part]);
    return part.length;
  }

  close(): void {
    this.ended ??= "local";
  }

  abort(): void {
    this.ended ??= "local";
  }
}
