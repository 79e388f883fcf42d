/**
 * The machine that the drivers run on in Node: the imports of drivers/host/host.ts over a WebAssembly.Memory laid out as the I/O
 * domain's (abi/io/layout.ts), the hypercalls they make, a PCI bus with simulated functions, and time that passes with each look
 * at the clock.
 *
 * Machine addresses are not linear addresses, and a device that accesses memory that is not the domain's, or accesses any while it may
 * not, is a violation: `violations` must be empty at the end of a test.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  EVTCHNOP_bind_pirq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EvtchnBindPirq,
} from "../../../../abi/event-channel.ts";
import { PCI_CONFIG_ADDRESS, PCI_CONFIG_DATA } from "../../../../abi/io/pci.ts";
import { IO_DMA, IO_DMA_END, IO_MMIO, IO_MMIO_END, IO_RAM_END, IO_STABLE_END } from "../../../../abi/io/layout.ts";
import {
  AddToPhysmapBatch,
  MemoryReservation,
  XENMAPSPACE_dev_mmio,
  XENMEM_add_to_physmap_batch,
  XENMEM_populate_physmap,
} from "../../../../abi/memory.ts";
import {
  MAP_PIRQ_TYPE_GSI,
  MAP_PIRQ_TYPE_MSI_SEG,
  PhysdevEoi,
  PhysdevMapPirq,
  PHYSDEVOP_eoi,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_unmap_pirq,
} from "../../../../abi/physdev.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_physdev_op,
} from "../../../../abi/xen.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { runStep, runTool } from "../../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../../scripts/paths.ts";
import type { PciFunction } from "./pci-function.ts";
import { type Layouts, layoutsOf, Record_ } from "./records.ts";

const PAGE = 4096;
const ENOSYS = -38;
const EINVAL = -22;

/**
 * The module of a unit test's entry, brought up to date.
 * @param name of the file that is made
 * @param folders that it is made of, besides abi/
 */
export async function compileEntry(name: string, entry: string, folders: string[]): Promise<WebAssembly.Module> {
  const wasm = path.join(buildFolder, `${name}.wasm`);
  const args = [
    fromRoot("node_modules/assemblyscript/bin/asc.js"),
    entry,
    ...["--runtime", "stub", "-O2", "--debug", "--importMemory", "--use", "abort=drivers/host/log/abort"],
    ...["-o", `build/${name}.wasm`],
  ];
  await withBuildLock(() =>
    runStep({
      name,
      title: `compiled ${entry}`,
      inputs: () => [fromRoot("abi"), ...folders.map((folder) => fromRoot(folder))],
      key: args.slice(1).join(" "),
      outputs: [wasm],
      run: async () => {
        await runTool(process.execPath, args);
      },
    }),
  );
  return new WebAssembly.Module(readFileSync(wasm));
}

let drivers: Promise<WebAssembly.Module> | null = null;

type Call = (...args: (number | bigint)[]) => number;

/** What the drivers told their client. */
export interface Told {
  received: { device: number; queue: number; frame: Frame }[];
  receiveEnds: number;
  sent: { device: number; queue: number; cookie: number; status: number }[];
  transmitReady: number;
  networkChanged: number;
  blockDone: { request: number; status: number }[];
  blockReady: number;
  blockChanged: number;
}

/** A received frame, copied while it was valid. */
export interface Frame {
  data: Buffer;
  pieces: number;
  flags: number;
  checksumStart: number;
  checksumOffset: number;
  gso: number;
  gsoSize: number;
  headerBytes: number;
}

export class IoMachine {
  readonly memory = new WebAssembly.Memory({ initial: IO_STABLE_END / 65536 });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly view = new DataView(this.memory.buffer);
  readonly functions = new Map<number, PciFunction>();
  readonly violations: string[] = [];
  readonly log: string[] = [];
  readonly told: Told = {
    received: [],
    receiveEnds: 0,
    sent: [],
    transmitReady: 0,
    networkChanged: 0,
    blockDone: [],
    blockReady: 0,
    blockChanged: 0,
  };
  /** Calls of imports by name, for what a frame or a request costs. */
  readonly calls = new Map<string, number>();
  /** System time, ns. */
  time = 1_000_000_000n;
  /** What each look at the clock takes. */
  tick = 1000n;
  /** Kinds of interrupts that the hypervisor gives out. */
  readonly gives = { msix: true, msi: true, gsi: true };
  /** Handles for the client's own use of a frame while it is valid, instead of copying it. */
  onReceiveEnd: (() => void) | null = null;
  exports!: Record<string, Call> & { memory: never };
  layouts!: Layouts;
  eois = 0;
  private readonly frames = new Map<number, number>(); // machine frame -> linear page
  private readonly mmio = new Map<number, number>(); // linear page -> machine frame
  /** The machine frame of what is populated next: beyond 4 GiB, unless a test says otherwise. */
  nextFrame = 0x123450;
  private nextPirq = 16;
  private nextPort = 1;
  private readonly pirqs = new Map<number, { fn: PciFunction; vector: number } | null>();
  private readonly pending = new Set<number>();
  private configAddress = 0;

  /** The drivers, of drivers/unit-test-entry.ts. */
  static async start(...functions: [number, PciFunction][]): Promise<IoMachine> {
    drivers ??= compileEntry("unit-drivers", "drivers/unit-test-entry.ts", ["drivers"]);
    return IoMachine.of(await drivers, ...functions);
  }

  static of(module: WebAssembly.Module, ...functions: [number, PciFunction][]): IoMachine {
    const machine = new IoMachine();
    for (const [address, fn] of functions) machine.plug(address, fn);
    const io = machine.imports();
    const counted = Object.fromEntries(
      Object.entries(io).map(([name, fn]) => [
        name,
        (...args: never[]) => {
          machine.calls.set(name, (machine.calls.get(name) ?? 0) + 1);
          return (fn as (...args: never[]) => unknown)(...args);
        },
      ]),
    ) as WebAssembly.ModuleImports;
    const instance = new WebAssembly.Instance(module, {
      env: { memory: machine.memory },
      io: counted,
      unit: machine.client(),
    });
    machine.exports = instance.exports as unknown as typeof machine.exports;
    machine.layouts = layoutsOf(instance.exports);
    return machine;
  }

  plug(address: number, fn: PciFunction): void {
    fn.machine = this;
    fn.address = address;
    this.functions.set(address, fn);
  }

  violation(text: string): void {
    this.violations.push(text);
  }

  record(name: string, at: number): Record_ {
    return new Record_(this.view, this.layouts.fields[name]!, at);
  }

  /** A new record, zeroed. */
  make(name: string, count = 1): number {
    return this.exports["heapAllocate"]!(this.layouts.sizes[name]! * count);
  }

  // --- Running --------------------------------------------------------------------------------------------------------

  /** Events, turns and the devices' own work until nothing is left to do. */
  run(budget = 64): void {
    for (let i = 0; i < 10_000; i++) {
      for (const fn of this.functions.values()) fn.work();
      const ports = [...this.pending];
      this.pending.clear();
      for (const port of ports) this.exports["eventDeliver"]!(port);
      const more = this.exports["turn"]!(budget) !== 0;
      if (!more && this.pending.size === 0) return;
    }
    throw new Error("the drivers do not come to rest");
  }

  /** As `run`, while time passes: every timer fires when it is due. */
  pass(ns: bigint): void {
    const end = this.time + ns;
    for (;;) {
      this.run();
      const next = BigInt.asUintN(64, BigInt(this.exports["timersNext"]!()));
      if (next > end) break;
      if (next > this.time) this.time = next;
    }
    if (this.time < end) this.time = end;
    this.run();
  }

  raise(port: number): void {
    this.pending.add(port);
  }

  // --- Memory for devices -----------------------------------------------------------------------------------------------

  /** The bytes that a device accesses; null, and a violation, when they are not the domain's DMA memory. */
  dma(fn: PciFunction, machine: bigint, bytes: number): Uint8Array | null {
    if (!fn.masters) {
      this.violation(`function ${fn.address.toString(16)} accessed memory while it may not`);
      return null;
    }
    const first = this.frames.get(Number(machine >> 12n));
    const last = this.frames.get(Number((machine + BigInt(Math.max(bytes, 1)) - 1n) >> 12n));
    const offset = Number(machine & 0xfffn);
    if (first === undefined || last === undefined || last - first !== (Math.ceil((offset + bytes) / PAGE) - 1) * PAGE) {
      if (bytes !== 0) {
        this.violation(`DMA to ${machine.toString(16)}, ${bytes} bytes, which is not the domain's`);
        return null;
      }
    }
    const start = (first ?? 0) + offset;
    return this.bytes.subarray(start, start + bytes);
  }

  // --- The imports --------------------------------------------------------------------------------------------------------

  private client(): WebAssembly.ModuleImports {
    const told = this.told;
    return {
      received: (device: number, queue: number, frame: number) => {
        told.received.push({ device, queue, frame: this.copyFrame(frame) });
      },
      receiveEnd: () => {
        told.receiveEnds++;
        this.onReceiveEnd?.();
      },
      transmitDone: (device: number, queue: number, cookie: number, status: number) => {
        told.sent.push({ device, queue, cookie, status });
      },
      transmitReady: () => {
        told.transmitReady++;
      },
      networkChanged: () => {
        told.networkChanged++;
      },
      blockDone: (request: number, status: number) => {
        told.blockDone.push({ request, status });
        this.onBlockDone?.(request, status);
      },
      blockReady: () => {
        told.blockReady++;
      },
      blockChanged: () => {
        told.blockChanged++;
      },
    };
  }

  onBlockDone: ((request: number, status: number) => void) | null = null;

  private copyFrame(at: number): Frame {
    const frame = this.record("Frame", at);
    const parts: Buffer[] = [];
    for (let i = 0; i < frame.get("count"); i++) {
      const segment = this.record("Segment", frame.get("segments") + i * this.layouts.sizes["Segment"]!);
      const start = segment.get("linear");
      const bytes = segment.get("bytes");
      if (start < IO_DMA || start + bytes > IO_DMA_END) this.violation("a received segment is not DMA memory");
      if ((start & (PAGE - 1)) + bytes > PAGE) this.violation("a received segment is larger than its buffer");
      parts.push(Buffer.from(this.bytes.subarray(start, start + segment.get("bytes"))));
    }
    const data = Buffer.concat(parts);
    if (data.length !== frame.get("length")) this.violation("a received frame's length is not its segments'");
    const { flags, checksumStart, checksumOffset, gso, gsoSize, headerBytes } = Object.fromEntries(
      ["flags", "checksumStart", "checksumOffset", "gso", "gsoSize", "headerBytes"].map((name) => [
        name,
        frame.get(name),
      ]),
    ) as Omit<Frame, "data" | "pieces">;
    return { data, pieces: parts.length, flags, checksumStart, checksumOffset, gso, gsoSize, headerBytes };
  }

  private imports(): WebAssembly.ModuleImports {
    const access = (size: number) => ({
      read: (ptr: number) => this.load(ptr >>> 0, size),
      write: (ptr: number, value: number | bigint) => this.store(ptr >>> 0, size, value),
    });
    const [byte, half, word, double] = [1, 2, 4, 8].map(access);
    return {
      read8: byte!.read,
      read16: half!.read,
      read32: word!.read,
      read64: double!.read,
      write8: byte!.write,
      write16: half!.write,
      write32: word!.write,
      write64: double!.write,
      barrier: () => undefined,
      compareExchange32: (ptr: number, expected: number, value: number) => {
        const found = this.view.getInt32(ptr, true);
        if (found === expected) this.view.setInt32(ptr, value, true);
        return found;
      },
      systemTime: () => (this.time += this.tick),
      portIn: (port: number, size: number) => this.portIn(port, size),
      portOut: (port: number, size: number, value: number) => this.portOut(port, size, value),
      hypercall: (op: number, a0: bigint, a1: bigint, a2: bigint) =>
        BigInt(this.hypercall(op, Number(a0), Number(a1), Number(a2))),
    };
  }

  private isMmio(ptr: number): boolean {
    return ptr >= IO_MMIO && ptr < IO_MMIO_END;
  }

  /** The function, BAR and offset behind a mapped linear address. */
  private register(ptr: number): { fn: PciFunction; bar: number; offset: number } | null {
    const frame = this.mmio.get(ptr & -PAGE);
    if (frame === undefined) {
      this.violation(`access to ${ptr.toString(16)}, where nothing is mapped`);
      return null;
    }
    const machine = BigInt(frame) * BigInt(PAGE) + BigInt(ptr & (PAGE - 1));
    for (const fn of this.functions.values()) {
      for (const [bar, b] of fn.bars.entries()) {
        if (b && b.kind !== "io" && machine >= b.base && machine < b.base + BigInt(b.size)) {
          return { fn, bar, offset: Number(machine - b.base) };
        }
      }
    }
    return this.ecam(machine);
  }

  /** Where ECAM is, if this machine has it. */
  ecamBase = 0n;

  private ecam(machine: bigint): { fn: PciFunction; bar: number; offset: number } | null {
    const offset = machine - this.ecamBase;
    if (this.ecamBase === 0n || offset < 0n || offset >= 0x10000000n) return null;
    const fn = this.functions.get(Number(offset >> 12n));
    return fn ? { fn, bar: -1, offset: Number(offset & 0xfffn) } : null;
  }

  private load(ptr: number, size: number): number | bigint {
    if (ptr % size !== 0) this.violation(`load of ${size} bytes at ${ptr.toString(16)} is not aligned`);
    if (this.isMmio(ptr)) {
      const at = this.register(ptr);
      const value =
        at === null
          ? 0xffffffff
          : at.bar < 0
            ? at.fn.configRead(at.offset, size)
            : at.fn.barRead(at.bar, at.offset, size);
      return size === 8 ? BigInt(value) : Number(value) & (size === 4 ? -1 : 2 ** (size * 8) - 1);
    }
    if (size === 8) return this.view.getBigUint64(ptr, true);
    return size === 4
      ? this.view.getUint32(ptr, true)
      : size === 2
        ? this.view.getUint16(ptr, true)
        : this.view.getUint8(ptr);
  }

  private store(ptr: number, size: number, value: number | bigint): void {
    if (ptr % size !== 0) this.violation(`store of ${size} bytes at ${ptr.toString(16)} is not aligned`);
    const bits = BigInt.asUintN(size * 8, BigInt(value));
    if (this.isMmio(ptr)) {
      const at = this.register(ptr);
      if (at === null) return;
      if (at.bar < 0) this.violation("a write to ECAM, which is read-only");
      else at.fn.barWrite(at.bar, at.offset, size, size === 8 ? bits : Number(bits));
    } else if (size === 8) this.view.setBigUint64(ptr, bits, true);
    else if (size === 4) this.view.setUint32(ptr, Number(bits), true);
    else if (size === 2) this.view.setUint16(ptr, Number(bits), true);
    else this.view.setUint8(ptr, Number(bits));
  }

  private portBar(port: number): { fn: PciFunction; bar: number; offset: number } | null {
    for (const fn of this.functions.values()) {
      for (const [bar, b] of fn.bars.entries()) {
        if (b?.kind === "io" && port >= Number(b.base) && port < Number(b.base) + b.size) {
          return { fn, bar, offset: port - Number(b.base) };
        }
      }
    }
    return null;
  }

  /** Ports that are not a BAR's: the first of a range, how many, and who answers. */
  readonly ports: {
    first: number;
    count: number;
    read(port: number, size: number): number;
    write(port: number, size: number, value: number): void;
  }[] = [];

  private portIn(port: number, size: number): number {
    const all = size === 4 ? -1 : 2 ** (size * 8) - 1;
    if (port === PCI_CONFIG_ADDRESS && size === 4) return this.configAddress;
    if (port >= PCI_CONFIG_DATA && port < PCI_CONFIG_DATA + 4) {
      const fn = this.configFunction();
      return fn ? fn.configRead((this.configAddress & 0xfc) + (port & 3), size) : all;
    }
    const at = this.portBar(port);
    if (at) return Number(at.fn.barRead(at.bar, at.offset, size)) & all;
    const range = this.ports.find(({ first, count }) => port >= first && port < first + count);
    return range ? range.read(port, size) & all : all;
  }

  private portOut(port: number, size: number, value: number): void {
    if (port === PCI_CONFIG_ADDRESS && size === 4) this.configAddress = value >>> 0;
    else if (port >= PCI_CONFIG_DATA && port < PCI_CONFIG_DATA + 4) {
      this.configFunction()?.configWrite((this.configAddress & 0xfc) + (port & 3), size, value >>> 0);
    } else {
      const at = this.portBar(port);
      if (at) at.fn.barWrite(at.bar, at.offset, size, value >>> 0);
      else this.ports.find(({ first, count }) => port >= first && port < first + count)?.write(port, size, value >>> 0);
    }
  }

  private configFunction(): PciFunction | undefined {
    return this.configAddress >= 0x80000000 ? this.functions.get((this.configAddress >> 8) & 0xffff) : undefined;
  }

  // --- Hypercalls -----------------------------------------------------------------------------------------------------------

  private hypercall(op: number, a0: number, a1: number, a2: number): number {
    switch (op) {
      case __HYPERVISOR_memory_op:
        if (a0 === XENMEM_populate_physmap) return this.populate(a1);
        return a0 === XENMEM_add_to_physmap_batch ? this.mapDevice(a1) : ENOSYS;
      case __HYPERVISOR_physdev_op:
        if (a0 === PHYSDEVOP_unmap_pirq) return 0;
        if (a0 === PHYSDEVOP_eoi) return this.eoi(a1);
        return a0 === PHYSDEVOP_map_pirq ? this.mapPirq(a1) : ENOSYS;
      case __HYPERVISOR_event_channel_op:
        if (a0 === EVTCHNOP_close || a0 === EVTCHNOP_expand_array) return 0;
        return a0 === EVTCHNOP_bind_pirq ? this.bindPirq(a1) : ENOSYS;
      case __HYPERVISOR_console_io:
        this.log.push(
          Buffer.from(this.bytes.subarray(a2, a2 + a1))
            .toString()
            .trimEnd(),
        );
        return 0;
      default:
        return ENOSYS;
    }
  }

  /** Bytes of DMA memory that may still be had. */
  memoryLeft = IO_DMA_END - IO_DMA;

  private populate(at: number): number {
    const extents = Number(this.view.getBigUint64(at + MemoryReservation.nr_extents, true));
    const order = this.view.getUint32(at + MemoryReservation.extent_order, true);
    const list = Number(this.view.getBigUint64(at + MemoryReservation.extent_start, true));
    for (let e = 0; e < extents; e++) {
      const gfn = Number(this.view.getBigUint64(list + e * 8, true));
      const pages = 2 ** order;
      if (gfn * PAGE < IO_RAM_END) continue;
      this.memoryLeft -= pages * PAGE;
      if (this.memoryLeft < 0) return e;
      // Extents are aligned to their size, and not next to each other.
      this.nextFrame = Math.ceil((this.nextFrame + 3) / pages) * pages;
      for (let i = 0; i < pages; i++) this.frames.set(this.nextFrame + i, (gfn + i) * PAGE);
      this.view.setBigUint64(list + e * 8, BigInt(this.nextFrame), true);
      this.nextFrame += pages;
    }
    return extents;
  }

  private mapDevice(at: number): number {
    if (this.view.getUint16(at + AddToPhysmapBatch.space, true) !== XENMAPSPACE_dev_mmio) return EINVAL;
    const [indexes, gfns, errors] = [AddToPhysmapBatch.idxs, AddToPhysmapBatch.gpfns, AddToPhysmapBatch.errs].map(
      (field) => Number(this.view.getBigUint64(at + field, true)),
    ) as [number, number, number];
    for (let i = 0; i < this.view.getUint16(at + AddToPhysmapBatch.size, true); i++) {
      const gfn = Number(this.view.getBigUint64(gfns + i * 8, true));
      this.view.setInt32(errors + i * 4, this.isMmio(gfn * PAGE) ? 0 : EINVAL, true);
      this.mmio.set(gfn * PAGE, Number(this.view.getBigUint64(indexes + i * 8, true)));
    }
    return 0;
  }

  private mapPirq(at: number): number {
    const type = this.view.getUint32(at + PhysdevMapPirq.type, true);
    const bus = this.view.getUint32(at + PhysdevMapPirq.bus, true);
    const fn = this.functions.get((bus << 8) | this.view.getUint32(at + PhysdevMapPirq.devfn, true));
    const table = this.view.getBigUint64(at + PhysdevMapPirq.table_base, true);
    const entry = this.view.getUint32(at + PhysdevMapPirq.entry_nr, true);
    if (type === MAP_PIRQ_TYPE_MSI_SEG) {
      if (!fn || !(table === 0n ? this.gives.msi : this.gives.msix)) return EINVAL;
      if (table !== 0n && !fn.bars.some((bar) => bar?.base === table)) return EINVAL;
    } else if (type !== MAP_PIRQ_TYPE_GSI || !this.gives.gsi) return EINVAL;
    const pirq = this.nextPirq++;
    const index = this.view.getInt32(at + PhysdevMapPirq.index, true);
    const all = [...this.functions.values()];
    const isa = type === MAP_PIRQ_TYPE_GSI ? all.find((f) => f.gsis.includes(index)) : undefined;
    const owner = isa ?? (type === MAP_PIRQ_TYPE_GSI ? all.find((f) => f.config[0x3c] === index) : fn);
    this.pirqs.set(pirq, owner ? { fn: owner, vector: isa ? index : entry } : null);
    this.view.setInt32(at + PhysdevMapPirq.pirq, pirq, true);
    return 0;
  }

  private bindPirq(at: number): number {
    const owner = this.pirqs.get(this.view.getUint32(at + EvtchnBindPirq.pirq, true));
    if (owner === undefined) return EINVAL;
    const port = this.nextPort++;
    owner?.fn.vectors.set(owner.vector, port);
    this.view.setUint32(at + EvtchnBindPirq.port, port, true);
    return 0;
  }

  private eoi(at: number): number {
    if (!this.pirqs.has(this.view.getUint32(at + PhysdevEoi.irq, true))) return EINVAL;
    this.eois++;
    return 0;
  }
}
