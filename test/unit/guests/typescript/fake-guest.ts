/** A guest in Node: the operations of guests/typescript/operations.c over simulated memory, time and connections. */
import { randomBytes } from "node:crypto";
import vm from "node:vm";
import { OPERATION, SHUTDOWN_POWEROFF } from "../../../../guests/typescript/runtime/guest/operations.ts";
import type { Disk } from "../../../../guests/typescript/runtime/volume/disk.ts";
import { bundleRuntime } from "../../../../toolstack/cli/app/bundle.ts";
import { PowerCut } from "./cut-disk.ts";

const TRANSFER = 0x1000;
const FILES = 0x10000;
const EVENT = { accepted: 1, connected: 2, readable: 4, writable: 8, peerClosed: 16, network: 64, resolved: 128 };

/** Made once: it takes a moment. */
let runtime: Promise<string> | undefined;

export interface GuestOptions {
  files?: Record<string, Uint8Array>;
  sourceMap?: string;
  commandLine?: string;
  arguments?: string[];
  environment?: Record<string, string>;
  /** How many bytes TCP takes at once. */
  window?: number;
  /** Addresses by name; others have none. `busy`: so many lookups at a time. */
  names?: Record<string, number>;
  busy?: number;
  /** The domain's disk. */
  disk?: Disk;
}

/** The other side of a connection to the program's server. */
export class Peer {
  readonly incoming: Uint8Array[] = [];
  received = "";
  /** The program has ended its side; or given the connection up. */
  ended = false;
  closed = false;
  constructor(
    private readonly guest: FakeGuest,
    private readonly handle: number,
  ) {}
  send(data: string | Uint8Array): void {
    this.incoming.push(typeof data === "string" ? Buffer.from(data, "latin1") : data);
    this.guest.notify(this.handle, EVENT.readable);
  }
  end(): void {
    this.guest.notify(this.handle, EVENT.peerClosed);
  }
}

export class FakeGuest {
  printed = "";
  /** The other sides of the program's own connections, in their order. */
  readonly dialled: Peer[] = [];
  /** How the domain has ended: "poweroff", "crash", or "power": its disk lost it. */
  ended: string | undefined;
  private nowNs = 5e9;
  private readonly events: [number, number, number, number][] = [];
  private readonly listeners = new Map<number, number>();
  private readonly peers = new Map<number, Peer>();
  private handles = 0;
  private readonly lookups = new Map<number, number>();
  private readonly window: number;
  private readonly words: Uint32Array;
  private readonly transfer: Uint8Array;
  readonly context: vm.Context;

  private constructor(
    script: string,
    code: string,
    private readonly options: GuestOptions,
  ) {
    const contents = [
      Buffer.from(options.sourceMap ?? '{"sources":[],"mappings":""}'),
      ...Object.values(options.files ?? {}),
    ];
    const machine = new ArrayBuffer(FILES + contents.reduce((sum, { length }) => sum + length, 0));
    this.words = new Uint32Array(machine, 0, 16);
    this.transfer = new Uint8Array(machine, TRANSFER, FILES - TRANSFER);
    this.window = options.window ?? Infinity;
    let at = 0;
    const places = contents.map((data): [number, number] => {
      new Uint8Array(machine, FILES + at, data.length).set(data);
      at += data.length;
      return [at - data.length, data.length];
    });
    const program = {
      name: "/app.ts",
      arguments: options.arguments ?? [],
      environment: options.environment ?? {},
      files: Object.fromEntries(Object.keys(options.files ?? {}).map((name, i) => [name, places[i + 1]])),
      sourceMap: places[0],
      builtAt: 0,
    };
    this.context = vm.createContext({ machine, system: (text?: string) => this.system(text) });
    vm.runInContext(`globalThis.program = ${JSON.stringify(program)};`, this.context);
    vm.runInContext(script, this.context, { filename: "runtime.js" });
    vm.runInContext(`globalThis.main = async () => { "use strict"; ${code}\n};`, this.context, { filename: "app.js" });
  }
  /** A guest whose program is `code`, before its first turn. */
  static async make(code: string, options: GuestOptions = {}): Promise<FakeGuest> {
    runtime ??= bundleRuntime();
    return new FakeGuest(await runtime, code, options);
  }
  /** The same, run until it is idle or over. */
  static async run(code: string, options: GuestOptions = {}): Promise<FakeGuest> {
    const guest = await FakeGuest.make(code, options);
    await guest.settle();
    return guest;
  }
  /** Turns until the program waits for something that does not come by itself, or has ended; `untilNs`: no longer than that. */
  async settle(untilNs = Infinity): Promise<void> {
    const turn = vm.runInContext("turn", this.context) as () => void;
    while (this.ended === undefined) {
      turn();
      await new Promise((resolve) => setImmediate(resolve));
      const deadline = this.words[9]! + this.words[10]! * 2 ** 32;
      if (this.words[8] !== 0 || this.events.length > 0) continue;
      if (deadline === 0 || deadline > untilNs) return;
      this.nowNs = Math.max(this.nowNs, deadline);
    }
  }
  get timeNs(): number {
    return this.nowNs;
  }
  notify(handle: number, events: number, listener = 0): void {
    this.events.push([handle, events, 0, listener]);
  }
  /** Connects to the program's server. */
  connect(port: number): Peer {
    const listener = [...this.listeners].find(([, at]) => at === port)?.[0];
    if (listener === undefined) throw new Error(`nothing listens on port ${port}`);
    const handle = ++this.handles;
    const peer = new Peer(this, handle);
    this.peers.set(handle, peer);
    this.notify(handle, EVENT.accepted, listener);
    return peer;
  }
  private system(text?: string): string | undefined {
    if (this.ended !== undefined) return undefined;
    if (text !== undefined) {
      if (text.includes("\0") || !text.isWellFormed()) throw new Error("such texts are not the guest's to encode");
      const bytes = Buffer.from(text, "utf8");
      this.transfer.set(bytes.subarray(0, this.transfer.length));
      this.words[7] = bytes.length;
      return undefined;
    }
    const [operation, a, b] = [this.words[0]!, this.words[1]!, this.words[2]!];
    if (operation === OPERATION.decode) return this.decode(a);
    this.words[7] = this.perform(operation, a, b);
    return undefined;
  }
  private decode(length: number): string | undefined {
    const bytes = this.transfer.subarray(0, length);
    try {
      return bytes.includes(0) ? undefined : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return undefined;
    }
  }
  private perform(operation: number, a: number, b: number): number {
    switch (operation) {
      case OPERATION.takeRejection:
        return 0;
      case OPERATION.end:
        this.ended = a === SHUTDOWN_POWEROFF ? "poweroff" : "crash";
        return 0;
      case OPERATION.print:
        this.printed += Buffer.from(this.transfer.subarray(0, a)).toString("utf8");
        return 0;
      case OPERATION.clock:
        this.answer(this.nowNs % 2 ** 32, Math.floor(this.nowNs / 2 ** 32));
        return 0;
      case OPERATION.random:
        this.transfer.set(randomBytes(a));
        return 0;
      case OPERATION.commandLine:
        return this.put(Buffer.from(this.options.commandLine ?? ""));
      case OPERATION.memory:
        this.answer(4096, 1000);
        return 0;
      case OPERATION.networkOpen:
        this.notify(0, EVENT.network);
        return 1;
      case OPERATION.takeEvent: {
        const event = this.events.shift();
        this.answer(...(event ?? []));
        return event ? 1 : 0;
      }
      case OPERATION.connect: {
        const handle = ++this.handles;
        const peer = new Peer(this, handle);
        this.peers.set(handle, peer);
        this.dialled.push(peer);
        this.notify(handle, EVENT.connected);
        return handle;
      }
      case OPERATION.listen:
        this.listeners.set(++this.handles, b);
        return this.handles;
      case OPERATION.lookup: {
        const { names, busy = Infinity } = this.options;
        if (names === undefined) return -6;
        if (this.lookups.size >= busy) return -1;
        const handle = ++this.handles;
        this.lookups.set(handle, names[Buffer.from(this.transfer.subarray(0, a)).toString()] ?? 0);
        this.notify(handle, EVENT.resolved);
        return handle;
      }
      case OPERATION.lookupResult: {
        const address = this.lookups.get(a) ?? 0;
        this.lookups.delete(a);
        this.answer(address);
        return address === 0 ? -1 : 0;
      }
      case OPERATION.diskOpen: {
        const { disk } = this.options;
        if (disk === undefined) return 0;
        const sectors = (disk.sectors * disk.sectorBytes) / 512;
        this.answer(sectors % 2 ** 32, Math.floor(sectors / 2 ** 32), disk.sectorBytes, disk.readOnly ? 1 : 0);
        return 1;
      }
      case OPERATION.diskRead:
      case OPERATION.diskWrite:
      case OPERATION.diskFlush:
        return this.disk(operation, a + b * 2 ** 32, this.words[3]! * 512);
      default:
        return this.stream(operation, a, b);
    }
  }
  /** One operation of the disk; a power cut ends the domain. */
  private disk(operation: number, sector: number, length: number): number {
    const disk = this.options.disk!;
    const at = (sector * 512) / disk.sectorBytes;
    if (length > 32 * 1024) throw new Error(`${length} bytes in one operation`);
    try {
      if (operation === OPERATION.diskRead) disk.read(at, this.transfer.subarray(0, length));
      else if (operation === OPERATION.diskWrite) disk.write(at, this.transfer.slice(0, length));
      else disk.flush();
      return 0;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.ended = "power";
      return -1;
    }
  }
  private stream(operation: number, handle: number, b: number): number {
    const peer = this.peers.get(handle);
    switch (operation) {
      case OPERATION.names:
        this.answer(0x0a000002, 80, 0x0a000001, 1234);
        return peer || this.listeners.has(handle) || handle === 0 ? 0 : -1;
      case OPERATION.read: {
        const first = peer!.incoming.shift();
        if (first && first.length > b) peer!.incoming.unshift(first.subarray(b));
        return first ? this.put(first.subarray(0, b)) : 0;
      }
      case OPERATION.write: {
        const taken = Math.min(b, this.window);
        peer!.received += Buffer.from(this.transfer.subarray(0, taken)).toString("latin1");
        if (taken < b) this.notify(handle, EVENT.writable);
        return taken;
      }
      case OPERATION.shutdown:
        peer!.ended = true;
        return 0;
      case OPERATION.close:
        this.listeners.delete(handle);
        if (peer) peer.closed = peer.ended = true;
        return 0;
      default:
        throw new Error(`operation ${operation} is not simulated`);
    }
  }
  private answer(...values: number[]): void {
    values.forEach((value, i) => (this.words[1 + i] = value));
  }
  private put(bytes: Uint8Array): number {
    this.transfer.set(bytes);
    return bytes.length;
  }
}
