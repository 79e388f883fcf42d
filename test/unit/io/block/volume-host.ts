/** The volumes in Node: the module of noxs/volumes/unit-test-entry.ts on simulated disks. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { DISK_ANY, NAME_BYTES, VolumeEntry } from "../../../../abi/io/control-block.ts";
import { IO_DMA, IO_STABLE, IO_STABLE_END } from "../../../../abi/io/layout.ts";
import { MemoryReservation, XENMEM_populate_physmap } from "../../../../abi/memory.ts";
import { __HYPERVISOR_console_io, __HYPERVISOR_memory_op } from "../../../../abi/xen.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { runStep, runTool } from "../../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../../scripts/paths.ts";
import { Random } from "./random.ts";
import { FLUSH, SECTOR, type SimDisk } from "./sim-disk.ts";

const wasm = path.join(buildFolder, "unit-volumes.wasm");
/** First machine frame of the domain's DMA memory: machine addresses are not linear ones. */
const DMA_MFN = 0x40000;
const PAGE = 4096;

async function compile(): Promise<WebAssembly.Module> {
  const args = [
    fromRoot("node_modules/assemblyscript/bin/asc.js"),
    "noxs/volumes/unit-test-entry.ts",
    ...["--runtime", "stub", "-O1", "--debug", "--importMemory", "--exportStart", "start"],
    ...["-o", "build/unit-volumes.wasm"],
  ];
  await withBuildLock(() =>
    runStep({
      name: "unit-volumes",
      title: "compiled the volumes for their unit tests",
      inputs: () => [fromRoot("abi"), fromRoot("drivers"), fromRoot("noxs/volumes")],
      key: args.slice(1).join(" "),
      outputs: [wasm],
      run: async () => {
        await runTool(process.execPath, args);
      },
    }),
  );
  return new WebAssembly.Module(readFileSync(wasm));
}

let compiled: Promise<WebAssembly.Module> | null = null;

/** The module, brought up to date. */
export async function volumesModule(): Promise<WebAssembly.Module> {
  compiled ??= compile();
  return compiled;
}

/** Thrown out of the module at the access that `crashAfter` has named: the domain dies there. */
export class Crash extends Error {}

type Call = (...args: (number | bigint)[]) => number;

/** What a request, operation or check ended with. */
export interface Outcome {
  status: number;
  value: number;
}

export const CREATE = 1;
export const DELETE = 2;
export const RESIZE = 3;
export const SNAPSHOT = 4;

/** Bytes of a buffer of a client's request. */
const BUFFER = 1 << 20;

export interface Listed {
  name: string;
  sectors: number;
  mapped: number;
  flags: number;
  previous: number;
  clones: number;
  id: number;
}

/** One memory for all machines of a test file: a machine that is used no more must not be run again. */
let memory: WebAssembly.Memory | null = null;
/** What machines have used of its RAM and of its DMA memory so far, in bytes. */
let used = 0;
let last: Record<string, Call> | null = null;
let usedDma = 0;

export class VolumeHost {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  exports!: Record<string, Call>;
  /** System time, ns; it stands still unless the test moves it. */
  time = 1_000_000_000n;
  log = "";
  /** The domain dies at this call of an import from now on; -1: it does not. */
  crashAfter = -1;
  accesses = 0;
  private devices: number[] = [];
  private nextCookie = 1;
  private readonly outcomes = new Map<number, (outcome: Outcome) => void>();
  private buffers: number[] = [];
  private requests: number[] = [];
  private names = 0;

  constructor(
    private readonly module: WebAssembly.Module,
    readonly disks: SimDisk[],
    readonly random: Random,
    prepare: (host: VolumeHost) => void = () => {},
  ) {
    prepare(this);
    memory ??= new WebAssembly.Memory({ initial: IO_STABLE_END / 65536 });
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.forget();
    this.start();
  }

  /** Stable memory is as at the machine's start. */
  forget(): void {
    this.bytes.fill(0, IO_STABLE, IO_STABLE + 0x1000000);
  }

  /** Starts the domain: RAM is zero, stable memory as it was. */
  start(): void {
    for (const disk of this.disks) disk.reset(this.random);
    if (last !== null) used = Math.max(used, last["heapAllocate"]!(0));
    this.bytes.fill(0, 0, used);
    this.bytes.fill(0, IO_DMA, IO_DMA + usedDma);
    this.crashAfter = -1;
    this.outcomes.clear();
    this.buffers = [];
    this.requests = [];
    const instance = new WebAssembly.Instance(this.module, {
      env: {
        memory: memory!,
        abort: (message: number, file: number, line: number, column: number) => {
          throw new Error(`assertion at ${this.text(file)}:${line}:${column}: ${this.text(message)}`);
        },
      },
      io: this.imports(),
      unit: {
        submit: (disk: number, request: number, operation: number, sector: number, ...rest: number[]) =>
          this.submitted(disk, request >>> 0, operation, sector, rest),
        done: (cookie: number, status: number, value: number) => {
          const told = this.outcomes.get(cookie);
          if (told === undefined) throw new Error(`${cookie} was done twice, or never begun`);
          this.outcomes.delete(cookie);
          told({ status, value: value >>> 0 });
        },
        ...this.unitImports,
      },
    });
    this.exports = instance.exports as unknown as Record<string, Call>;
    last = this.exports;
    this.exports["start"]!();
    this.devices = this.disks.map((disk, i) =>
      this.exports["diskPlug"]!(
        i,
        disk.sectors,
        disk.sectorSize,
        5,
        Number(disk.readOnly),
        disk.segmentsMax,
        disk.sectorsMax,
      ),
    );
    if (this.exports["volumesInit"]!() === 0) throw new Error("no memory for the volumes");
    this.names = this.exports["heapAllocate"]!(4 * NAME_BYTES);
  }

  /** Further imports of module "unit". */
  get unitImports(): WebAssembly.ModuleImports {
    return {};
  }

  private text(at: number): string {
    const length = this.view.getUint32(at - 4, true);
    return Buffer.from(this.bytes.subarray(at, at + length)).toString("utf16le");
  }

  private imports(): WebAssembly.ModuleImports {
    const { bytes, view } = this;
    const seen =
      <A extends unknown[], R>(call: (...args: A) => R) =>
      (...args: A): R => {
        this.accesses++;
        if (this.crashAfter >= 0 && this.crashAfter-- === 0) throw new Crash();
        return call(...args);
      };
    const exchange = (ptr: number, change: (old: number) => number): number => {
      const found = view.getUint32(ptr >>> 0, true);
      view.setUint32(ptr >>> 0, change(found) >>> 0, true);
      return found;
    };
    return {
      hypercall: seen((op: number, a0: bigint, a1: bigint, a2: bigint) =>
        this.hypercall(op, Number(a0), Number(a1), Number(a2)),
      ),
      portIn: () => 0xffffffff,
      portOut: () => {},
      read8: (ptr: number) => bytes[ptr >>> 0]!,
      read16: (ptr: number) => view.getUint16(ptr >>> 0, true),
      read32: (ptr: number) => view.getUint32(ptr >>> 0, true),
      read64: (ptr: number) => view.getBigUint64(ptr >>> 0, true),
      write8: seen((ptr: number, value: number) => view.setUint8(ptr >>> 0, value)),
      write16: seen((ptr: number, value: number) => view.setUint16(ptr >>> 0, value, true)),
      write32: seen((ptr: number, value: number) => view.setUint32(ptr >>> 0, value, true)),
      write64: seen((ptr: number, value: bigint) => view.setBigUint64(ptr >>> 0, value, true)),
      barrier: () => {},
      compareExchange32: (ptr: number, expected: number, value: number) =>
        exchange(ptr, (old) => (old === expected >>> 0 ? value : old)),
      fetchOr32: (ptr: number, bits: number) => exchange(ptr, (old) => old | bits),
      fetchAnd32: (ptr: number, bits: number) => exchange(ptr, (old) => old & bits),
      systemTime: () => this.time,
    };
  }

  protected hypercall(op: number, command: number, at: number, text: number): bigint {
    if (op === __HYPERVISOR_console_io) {
      this.log += Buffer.from(this.bytes.subarray(text, text + at)).toString("latin1");
      return 0n;
    }
    if (op === __HYPERVISOR_memory_op && command === XENMEM_populate_physmap) {
      const order = this.view.getUint32(at + MemoryReservation.extent_order, true);
      const extents = Number(this.view.getBigUint64(at + MemoryReservation.extent_start, true));
      const gfn = Number(this.view.getBigUint64(extents, true));
      const frame = gfn - IO_DMA / PAGE;
      usedDma = Math.max(usedDma, (frame + (1 << order)) * PAGE);
      this.view.setBigUint64(extents, BigInt(DMA_MFN + frame), true);
      return 1n;
    }
    return -38n;
  }

  // --- Disks ------------------------------------------------------------------------------------------------------------

  private submitted(disk: number, handle: number, operation: number, sector: number, rest: number[]): number {
    this.accesses++;
    if (this.crashAfter >= 0 && this.crashAfter-- === 0) throw new Crash();
    const [sectors, flags, segments, count] = rest as [number, number, number, number];
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const at = (segments >>> 0) + i * 16;
      const machine = Number(this.view.getBigUint64(at, true));
      const linear = this.view.getUint32(at + 8, true);
      const bytes = this.view.getUint32(at + 12, true);
      this.checkSegment(machine, linear);
      parts.push(this.bytes.subarray(linear, linear + bytes));
    }
    return this.disks[disk]!.submit({ handle, operation, sector, sectors, flags, parts }) ? 0 : -11;
  }

  protected checkSegment(machine: number, linear: number): void {
    if (machine !== DMA_MFN * PAGE + linear - IO_DMA) throw new Error("a segment at two addresses");
  }

  /** Performs one of the requests in flight at a disk, which the driver then reports. */
  perform(disk: number, i: number): void {
    const d = this.disks[disk]!;
    const full = d.inFlight.length >= d.depth;
    const { request, status } = d.perform(i, this.random);
    this.exports["diskDone"]!(this.devices[disk]!, request.handle, status);
    if (full) this.exports["diskReady"]!(this.devices[disk]!);
  }

  // --- Turns ------------------------------------------------------------------------------------------------------------

  /** Runs the module until it waits for a disk, a client or time. */
  turn(): void {
    for (let i = 0; this.exports["turn"]!(32) !== 0; i++) {
      if (i > 100_000) throw new Error("the module does not come to rest");
    }
  }

  /** Performs up to `requests` requests of the disks, in random order, and what follows from them. False: there were none. */
  advance(requests: number): boolean {
    this.turn();
    let any = false;
    for (let i = 0; i < requests; i++) {
      const busy = this.disks.map((_, n) => n).filter((n) => this.disks[n]!.inFlight.length > 0);
      if (busy.length === 0) break;
      any = true;
      const disk = this.random.pick(busy);
      this.perform(disk, this.random.below(this.disks[disk]!.inFlight.length));
      this.turn();
    }
    return any;
  }

  /** Until nothing is in flight. Time does not pass. */
  settle(): void {
    for (let i = 0; this.advance(64); i++) if (i > 100_000) throw new Error("the disks do not come to rest");
  }

  /** Lets time pass, and what becomes due in it happen. */
  pass(ns: bigint): void {
    const end = this.time + ns;
    for (;;) {
      this.settle();
      const next = this.exports["deadline"]!();
      if (next < 0 || BigInt(next) > end) break;
      if (BigInt(next) > this.time) this.time = BigInt(next);
    }
    this.time = end;
    this.settle();
  }

  /** Runs until `promise`-like work is done: the outcome of what `begin` starts. */
  finish(begin: (told: (outcome: Outcome) => void) => void): Outcome {
    let outcome: Outcome | null = null;
    begin((o) => (outcome = o));
    for (let i = 0; outcome === null; i++) {
      if (!this.advance(1) && outcome === null) {
        this.turn();
        if (outcome === null) throw new Error("nothing is in flight, and it is not done");
      }
      if (i > 100_000) throw new Error("it is never done");
    }
    return outcome;
  }

  // --- What clients do --------------------------------------------------------------------------------------------------

  private cookie(told: (outcome: Outcome) => void): number {
    const cookie = this.nextCookie++;
    this.outcomes.set(cookie, told);
    return cookie;
  }

  private name(i: number, text: string): number {
    const at = this.names + i * NAME_BYTES;
    this.bytes.fill(0, at, at + NAME_BYTES);
    this.bytes.set(Buffer.from(text, "latin1").subarray(0, NAME_BYTES), at);
    return at;
  }

  /** Starts an operation. */
  operate(
    kind: number,
    name: string,
    options: { newName?: string; sectors?: number; store?: number },
    told: (outcome: Outcome) => void,
  ): void {
    const { newName = "", sectors = 0, store = DISK_ANY } = options;
    const ok = this.exports["operate"]!(
      kind,
      store,
      this.name(0, name),
      this.name(1, newName),
      sectors,
      this.cookie(told),
    );
    if (ok === 0) throw new Error("too many operations");
  }

  /** An operation's status when it is done. */
  done(kind: number, name: string, options: { newName?: string; sectors?: number; store?: number } = {}): number {
    return this.finish((told) => this.operate(kind, name, options, told)).status;
  }

  format(disk = 0, flags = 0): number {
    return this.finish((told) => {
      const uuid = () => BigInt(this.random.next()) * 0x1_0000_0001n + 1n;
      const rc = this.exports["format"]!(disk, flags, uuid(), uuid(), this.cookie(told));
      if (rc !== 0) told({ status: rc, value: 0 });
    }).status;
  }

  /** Problems that the check of a store finds. */
  check(store = 0): number {
    const { status, value } = this.finish((told) => {
      const rc = this.exports["check"]!(store, this.cookie(told));
      if (rc !== 0) told({ status: rc, value: 0 });
    });
    if (status !== 0) throw new Error(`the check failed: ${status}`);
    return value;
  }

  /** Opens a volume: its device, or a negative errno. */
  open(name: string, write: boolean, store = 0): number {
    const copy = this.exports["heapAllocate"]!(NAME_BYTES);
    this.bytes.set(Buffer.from(name, "latin1").subarray(0, NAME_BYTES), copy);
    const { status, value } = this.finish((told) =>
      this.exports["open"]!(store, copy, Number(write), this.cookie(told)),
    );
    return status === 0 ? value : status;
  }

  close(device: number, write: boolean): void {
    this.exports["close"]!(device, Number(write));
  }

  list(): Listed[] {
    const most = 5;
    const at = this.exports["heapAllocate"]!(most * VolumeEntry.SIZE);
    const all: Listed[] = [];
    let cursor = 0;
    do {
      const from = cursor;
      const { status, value } = this.finish((told) => this.exports["list"]!(from, at, most, this.cookie(told)));
      if (status !== 0) throw new Error(`list: ${status}`);
      for (let i = 0; i < value; i++) {
        const entry = at + i * VolumeEntry.SIZE;
        const name = Buffer.from(this.bytes.subarray(entry, entry + NAME_BYTES)).toString("latin1");
        all.push({
          name: name.slice(0, name.indexOf("\0")),
          sectors: Number(this.view.getBigUint64(entry + VolumeEntry.sectors, true)),
          mapped: Number(this.view.getBigUint64(entry + VolumeEntry.mapped, true)),
          flags: this.view.getUint32(entry + VolumeEntry.flags, true),
          previous: this.view.getUint32(entry + VolumeEntry.previous, true),
          clones: this.view.getUint32(entry + VolumeEntry.clones, true),
          id: this.view.getUint32(entry + VolumeEntry.id, true),
        });
      }
      cursor = this.exports["listNext"]!();
    } while (cursor !== 0);
    return all;
  }

  /**
   * Submits a request; its status, 0 when it was taken. `told` gets the outcome, and for a read the data.
   * @param part bytes of each segment
   */
  request(
    device: number,
    operation: number,
    sector: number,
    sectors: number,
    options: { data?: Uint8Array; flags?: number; part?: number },
    told: (outcome: Outcome, data: Buffer) => void,
  ): number {
    const buffer = operation >= FLUSH ? 0 : (this.buffers.pop() ?? this.exports["dmaAllocate"]!(BUFFER / PAGE));
    if (operation < FLUSH && buffer === 0) throw new Error("the test is out of DMA memory");
    const request = this.requests.pop() ?? this.exports["requestMake"]!(2048);
    if (options.data) this.bytes.set(options.data, buffer);
    else if (operation < FLUSH) this.bytes.fill(0xee, buffer, buffer + sectors * SECTOR);
    const cookie = this.cookie((outcome) => {
      const data =
        operation < FLUSH ? Buffer.from(this.bytes.slice(buffer, buffer + sectors * SECTOR)) : Buffer.alloc(0);
      if (buffer !== 0) this.buffers.push(buffer);
      this.requests.push(request);
      told(outcome, data);
    });
    const { flags = 0, part = PAGE } = options;
    const rc = this.exports["request"]!(device, request, operation, sector, sectors, flags, buffer, part, cookie);
    if (rc !== 0) {
      this.outcomes.delete(cookie);
      if (buffer !== 0) this.buffers.push(buffer);
      this.requests.push(request);
    }
    return rc;
  }

  /** Submits a request and runs until it is done: its status, and data. */
  performed(
    device: number,
    operation: number,
    sector: number,
    sectors: number,
    options: { data?: Uint8Array; flags?: number; part?: number } = {},
  ): { status: number; data: Buffer } {
    let data: Buffer = Buffer.alloc(0);
    const { status } = this.finish((told) => {
      const rc = this.request(device, operation, sector, sectors, options, (outcome, d) => {
        data = d;
        told(outcome);
      });
      if (rc !== 0) told({ status: rc, value: 0 });
    });
    return { status, data };
  }

  fact(question: keyof typeof FACTS, store = 0): number {
    return this.exports["storeFact"]!(store, FACTS[question]);
  }

  /** Whether nothing of the module's pools is left in use. */
  get idle(): boolean {
    const { exports } = this;
    return (
      exports["piecesFree"]!() === 512 &&
      exports["transfersFree"]!() === 1024 &&
      exports["bounceFree"]!() === 16 &&
      this.fact("reserved") === 0 &&
      this.fact("promised") === 0
    );
  }
}

const FACTS = {
  ready: 0,
  generation: 1,
  freeChunks: 2,
  freeBlocks: 3,
  dataChunks: 4,
  jobs: 5,
  reason: 6,
  reserved: 7,
  promised: 8,
  failed: 9,
  phase: 10,
  volumes: 11,
  dataStart: 12,
  metadataStart: 13,
  metadataBlocks: 14,
} as const;

/** Content of sectors from `sector` on: a number, and which sector each is. Number 0 is zeroes. */
export function sectorData(tag: number, sector: number, sectors = 1): Buffer {
  const words = new Uint32Array(sectors * (SECTOR / 4));
  if (tag !== 0) {
    for (let at = 0; at < words.length; at += 2) {
      words[at] = tag;
      words[at + 1] = sector + (at >> 7);
    }
  }
  return Buffer.from(words.buffer);
}

/** The number of a sector's content, whose words begin at `at`; null when it is not that sector's. */
export function sectorTag(words: Uint32Array, at: number, sector: number): number | null {
  const tag = words[at]!;
  const second = tag === 0 ? 0 : sector;
  for (let i = at; i < at + 128; i += 2) if (words[i] !== tag || words[i + 1] !== second) return null;
  return tag;
}
