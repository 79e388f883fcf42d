/**
 * The simulated machine: every import of arch-x86/hw.ts for one CPU, in Node. It runs the very hypervisor.wasm that boots.
 *
 * Time is virtual: one TSC tick is 1 ns and only advances when something is done, so that a run depends on nothing but
 * its seed. Guests are programs in TypeScript behind real VMCBs and real nested page tables (svm-cpu.ts); domain 0 is a
 * function called inside `enterSoftware` (dom0.ts).
 */
import { IO_RAM_END } from "../../abi/io/layout.ts";
import { BootInfo } from "../../abi/boot-info.ts";
import {
  SOFTWARE_EXIT_HYPERCALL,
  SOFTWARE_EXIT_TURN_END,
  SOFTWARE_EXIT_INTERRUPT,
  SoftwareExit,
} from "../../abi/software.ts";
import { Devices } from "./devices.ts";
import { acpiTables, type PciBus } from "./pci.ts";
import type { IommuModel } from "./iommu/model.ts";
import { hex, PAGE, Ram, type RamPlace } from "./ram.ts";
import { SvmCpu } from "./svm-cpu.ts";

const SHIM_BASE = 0x100000;
const SHIM_SIZE = 0x100000;
/** ACPI's tables, where the hypervisor never allocates. */
const ACPI_AT = 0x9e000;
/** Time a PAUSE takes, ns: long, so that the wait in which the local APIC's timer is measured takes few of them. */
const PAUSE_NS = 5_000;
/** Time a read of an IOMMU's register takes, ns. */
const REGISTER_NS = 1_000;
/** What unmapped linear pages hold: a use after free reads nonsense and fails some invariant. */
const POISON = 0xdb;

/** Thrown out of `step` when the hypervisor panics. */
export class Panic extends Error {}
/** Thrown out of `step` when the machine powers off or resets. */
export class MachineOff extends Error {
  constructor(readonly how: number) {
    super(how === 0 ? "power off" : "reset");
  }
}

export interface HypervisorExports {
  memory: WebAssembly.Memory;
  start(): void;
  step(cpu: number): void;
  softwareHypercall(space: number): void;
  softwarePort(space: number, access: number, value: number): number;
  softwareTouch(space: number, address: number, write: number): number;
  audit(): number;
}

export interface MachineOptions {
  /** MiB of RAM. */
  memory?: number;
  modules?: { name: string; data: Uint8Array }[];
  /** What is typed at the serial port before the hypervisor starts. */
  typed?: string;
  commandLine?: string;
  /** Keep `longestStretch` and `uses`. */
  measureStretches?: boolean;
  /** The byte that all of RAM holds at first. */
  fill?: number;
  /** The real-time clock's year, two digits. */
  year?: number;
  /** Called with every line that reaches the serial port. */
  onOutput?: (text: string) => void;
  /** There is an I/O domain, whose image this is: the contents of its memory's first page. */
  ioImage?: Uint8Array;
  /** Where the bytes of RAM are: a buffer of their own by default. */
  ramPlace?: RamPlace;
  /** PCI functions and an I/O APIC, described by ACPI's tables. */
  pci?: PciBus;
  /** An IOMMU, described there as well: with `pci` only. What its table says may be another. */
  iommu?: IommuModel;
  iommuTable?: Uint8Array;
}

/** Numbers of linear memories. */
const DOM0_SPACE = 1;
const IO_SPACE = 2;

/** One software space as the shim keeps it: linear page -> frame, right to write, memory type. */
export type Space = Map<number, { mfn: number; writable: boolean; uncached: boolean }>;

export class Machine {
  readonly ram: Ram;
  readonly devices: Devices;
  readonly svm: SvmCpu;
  readonly exports: HypervisorExports;
  readonly spaces = new Map<number, Space>();
  /** Called when domain 0 is entered; returns when its turn ends, or true: it makes the hypercall in its call page. */
  dom0Turn: () => boolean | void = () => {};
  /** The same for the I/O domain; a number is another SOFTWARE_EXIT_*, whose record `exitRecord` it has filled in. */
  ioTurn: (exitRecord: DataView) => boolean | number | void = () => {};
  /** Called when a page of a space has been given a frame, or, null, before it loses it. */
  onSpace: (space: number, page: number, mfn: number | null) => void = () => {};
  /** How often each space was reset to its entry point. */
  readonly resets = new Map<number, number>();
  /** Snapshot pages of domain 0's engine: none in the simulation, which has no engine. */
  private readonly staticPages: number;
  private faulted = false;
  private readonly debugRegisters: bigint[] = [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n];
  private readonly modules: { name: string; base: number; size: number }[] = [];
  private readonly msrs = new Map<number, bigint>();
  output = "";
  /** The most uses of the hardware in a row without a look at the clock, by which long work gives way: see measureStretch. */
  longestStretch = 0;
  private stretch = 0;
  /** Uses of the hardware, with measureStretches. */
  uses = 0;
  /** Frames that were zeroed. */
  zeroed = 0;

  constructor(
    module: WebAssembly.Module,
    readonly options: MachineOptions = {},
  ) {
    const size = (options.memory ?? 16) * 1024 * 1024;
    this.ram = new Ram(size, SHIM_BASE, SHIM_SIZE, options.ramPlace);
    if (options.fill !== undefined) this.ram.bytes.fill(options.fill);
    this.devices = new Devices((text) => {
      this.output += text;
      options.onOutput?.(text);
    }, options.year);
    if (options.typed !== undefined) this.devices.type(options.typed);
    this.svm = new SvmCpu(this);
    let top = size;
    for (const m of options.modules ?? []) {
      top = (top - m.data.length) & ~(PAGE - 1);
      this.ram.bytes.set(m.data, this.ram.at(top, m.data.length));
      this.modules.push({ name: m.name, base: top, size: m.data.length });
    }
    if (options.pci !== undefined) {
      const { iommu, iommuTable } = options;
      iommu?.attach(this.ram);
      this.ram.frame(ACPI_AT / PAGE).set(acpiTables(ACPI_AT, iommuTable ?? iommu?.table().bytes));
      this.devices.pci = options.pci;
    }
    const hw = options.measureStretches === true ? this.measured(this.imports()) : this.imports();
    const instance = new WebAssembly.Instance(module, { hw, env: { abort: this.abort } });
    this.exports = instance.exports as unknown as HypervisorExports;
    this.staticPages = this.exports.memory.buffer.byteLength / PAGE;
    this.exports.start();
  }

  get now(): number {
    return this.devices.now;
  }

  /** A DataView over the hypervisor's linear memory; valid until it grows. */
  get linear(): DataView {
    return new DataView(this.exports.memory.buffer);
  }

  /** Runs turns of the hypervisor's loop. */
  step(times = 1): void {
    for (let i = 0; i < times; i++) this.exports.step(0);
  }

  /** Runs until `done` holds. Throws after `limit` turns, saying what was awaited. */
  runUntil(done: () => boolean, what: string, limit = 20_000): void {
    for (let i = 0; i < limit; i++) {
      if (done()) return;
      this.exports.step(0);
    }
    throw new Error(`not reached in ${limit} turns: ${what}\n${this.output.slice(-2000)}`);
  }

  private readonly abort = (message: number, file: number, line: number, column: number): void => {
    throw new Panic(`assertion failed: ${this.string(message)} at ${this.string(file)}:${line}:${column}`);
  };

  private string(ptr: number): string {
    if (ptr === 0) return "";
    const length = this.linear.getUint32(ptr - 4, true) >>> 1;
    return String.fromCharCode(...new Uint16Array(this.exports.memory.buffer, ptr, length));
  }

  text(ptr: number, length: number): string {
    return Buffer.from(this.exports.memory.buffer, ptr, length).toString("latin1");
  }

  space(number: number): Space {
    let space = this.spaces.get(number);
    if (!space) this.spaces.set(number, (space = new Map()));
    return space;
  }

  private spaceMap(number: number, page: number, mfn: number, flags: number): number {
    if ((flags & 2) === 0) this.ram.frame(mfn);
    const space = this.space(number);
    if (space.has(page)) return 2;
    space.set(page, { mfn, writable: (flags & 1) !== 0, uncached: (flags & 2) !== 0 });
    this.onSpace(number, page, mfn);
    if (number === 0) {
      const memory = this.exports.memory;
      const missing = Math.ceil(((page + 1) * PAGE - memory.buffer.byteLength) / 65536);
      if (missing > 0) memory.grow(missing);
      new Uint8Array(memory.buffer, page * PAGE, PAGE).fill(0);
    }
    return 0;
  }

  private spaceUnmap(number: number, page: number): number {
    if (this.space(number).has(page)) this.onSpace(number, page, null);
    const had = this.space(number).delete(page);
    if (had && number === 0) new Uint8Array(this.exports.memory.buffer, page * PAGE, PAGE).fill(POISON);
    return had ? 1 : 0;
  }

  private enterSoftware(space: number, info: number): number {
    this.devices.advance(2_000);
    const vector = this.devices.takeInterrupt();
    if (vector >= 0) {
      this.linear.setBigUint64(info + SoftwareExit.vector, BigInt(vector), true);
      return SOFTWARE_EXIT_INTERRUPT;
    }
    const record = new DataView(this.exports.memory.buffer, info, SoftwareExit.SIZE);
    const left = space === DOM0_SPACE ? this.dom0Turn() : this.ioTurn(record);
    if (typeof left === "number") return left;
    return left === true ? SOFTWARE_EXIT_HYPERCALL : SOFTWARE_EXIT_TURN_END;
  }

  /** The image of a space's domain: one page for the I/O domain, if there is one, and none for domain 0. */
  private image(space: number): Uint8Array | undefined {
    return space === IO_SPACE ? this.options.ioImage : undefined;
  }

  private bootInfo(ptr: number): void {
    const bytes = new Uint8Array(this.exports.memory.buffer, ptr, BootInfo.SIZE).fill(0);
    const view = new DataView(this.exports.memory.buffer, ptr, BootInfo.SIZE);
    const set = (offset: number, value: number): void => view.setBigUint64(offset, BigInt(value), true);
    set(BootInfo.shimBase, SHIM_BASE);
    set(BootInfo.shimSize, SHIM_SIZE);
    set(BootInfo.shimUsed, SHIM_SIZE / 2);
    set(BootInfo.imageBytes, SHIM_SIZE / 4);
    if (this.options.pci !== undefined) set(BootInfo.rsdp, ACPI_AT);
    const ranges: [number, number, number][] = [
      [0, 0x9f000, 1],
      [0x9f000, 0x61000, 2],
      [SHIM_BASE, this.ram.size - SHIM_BASE, 1],
    ];
    set(BootInfo.memoryCount, ranges.length);
    ranges.forEach((range, i) => {
      range.forEach((value, word) => set(BootInfo.memory + i * BootInfo.MEMORY_RECORD + word * 8, value));
    });
    set(BootInfo.moduleCount, this.modules.length);
    this.modules.forEach((m, i) => {
      const at = BootInfo.modules + i * BootInfo.MODULE_RECORD;
      set(at, m.base);
      set(at + 8, m.size);
      bytes.set(Buffer.from(m.name), at + 16);
    });
    bytes.set(Buffer.from(this.options.commandLine ?? ""), BootInfo.commandLine);
  }

  private rdmsr(msr: number): bigint {
    this.faulted = false;
    switch (msr) {
      case 0xc0000080: // EFER: LME, LMA, SVME as written
        return this.msrs.get(msr) ?? 0xd00n;
      case 0xc0010114: // VM_CR
        return 0n;
      case 0x1b: // APIC_BASE: enabled, BSP
        return 0xfee00900n;
      case 0x277: // PAT after reset
        return 0x0007040600070406n;
      default:
        return this.msrs.get(msr) ?? 0n;
    }
  }

  /** Resets `longestStretch`. */
  measureStretch(): void {
    this.longestStretch = 0;
    this.stretch = 0;
  }

  /** The imports, with what lies between two looks at the clock counted. */
  private measured(
    imports: Record<string, (...args: never[]) => unknown>,
  ): Record<string, (...args: never[]) => unknown> {
    const counted = Object.entries(imports).map(([name, call]) => [
      name,
      (...args: never[]): unknown => {
        this.uses++;
        this.stretch = name === "rdtsc" ? 0 : this.stretch + 1;
        this.longestStretch = Math.max(this.longestStretch, this.stretch);
        return call(...args);
      },
    ]);
    return Object.fromEntries(counted) as Record<string, (...args: never[]) => unknown>;
  }

  private imports(): Record<string, (...args: never[]) => unknown> {
    const ram = this.ram;
    const devices = this.devices;
    const memory = (): ArrayBuffer => this.exports.memory.buffer;
    const exchange = (pa: bigint, replace: (old: bigint) => bigint): bigint => {
      const old = ram.read64(pa);
      ram.write64(pa, replace(old));
      return old;
    };
    return {
      load8: (pa: bigint) => ram.view.getUint8(ram.at(pa, 1)),
      load16: (pa: bigint) => ram.view.getUint16(ram.at(pa, 2), true),
      load32: (pa: bigint) => ram.view.getUint32(ram.at(pa, 4), true),
      load64: (pa: bigint) => ram.view.getBigUint64(ram.at(pa, 8), true),
      store8: (pa: bigint, v: number) => ram.view.setUint8(ram.at(pa, 1), v),
      store16: (pa: bigint, v: number) => ram.view.setUint16(ram.at(pa, 2), v, true),
      store32: (pa: bigint, v: number) => ram.view.setUint32(ram.at(pa, 4), v, true),
      store64: (pa: bigint, v: bigint) => ram.view.setBigUint64(ram.at(pa, 8), v, true),
      cmpxchg32: (pa: bigint, expected: number, value: number) => {
        const at = ram.at(pa, 4);
        const old = ram.view.getUint32(at, true);
        if (old === expected >>> 0) ram.view.setUint32(at, value, true);
        return old;
      },
      fetchOr64: (pa: bigint, bits: bigint) => exchange(pa, (old) => old | bits),
      fetchAnd64: (pa: bigint, bits: bigint) => exchange(pa, (old) => old & BigInt.asUintN(64, bits)),
      copyFromPhys: (ptr: number, pa: bigint, length: number) => {
        const from = ram.at(pa, length);
        new Uint8Array(memory(), ptr, length).set(ram.bytes.subarray(from, from + length));
      },
      copyToPhys: (pa: bigint, ptr: number, length: number) => {
        ram.bytes.set(new Uint8Array(memory(), ptr, length), ram.at(pa, length));
      },
      copyPhys: (to: bigint, from: bigint, length: number) => {
        const start = ram.at(from, length);
        ram.bytes.copyWithin(ram.at(to, length), start, start + length);
      },
      zeroFrame: (mfn: bigint) => {
        this.zeroed++;
        ram.frame(Number(mfn)).fill(0);
      },
      cacheFlush: (pa: bigint, length: number) => this.options.iommu?.flushed(ram.at(pa, length), length),
      mmioRead32: (pa: bigint) => {
        const { iommu } = this.options;
        if (iommu?.owns(Number(pa)) !== true) return devices.mmioRead(Number(pa));
        devices.advance(REGISTER_NS);
        return iommu.read(Number(pa) - iommu.base);
      },
      mmioWrite32: (pa: bigint, value: number) => {
        const { iommu } = this.options;
        if (iommu?.owns(Number(pa)) === true) iommu.write(Number(pa) - iommu.base, value >>> 0);
        else devices.mmioWrite(Number(pa), value >>> 0);
      },
      spaceMap: (space: number, page: number, mfn: bigint, flags: number) =>
        this.spaceMap(space, page, Number(mfn), flags),
      spaceUnmap: (space: number, page: number) => this.spaceUnmap(space, page),
      firstFreePage: () => this.staticPages,
      imagePages: (space: number) => (this.image(space) === undefined ? 0 : 1),
      imagePageNumber: () => 0,
      imagePageCopy: (space: number, _index: number, mfn: bigint) => ram.frame(Number(mfn)).set(this.image(space)!),
      imageSize: (space: number) => (space === IO_SPACE ? IO_RAM_END / PAGE : 16),
      softwareReset: (space: number) => this.resets.set(space, (this.resets.get(space) ?? 0) + 1),
      enterSoftware: (space: number, info: number) => this.enterSoftware(space, info),
      cpuidA: (leaf: number, sub: number) => this.svm.cpuid(leaf, sub)[0],
      cpuidB: (leaf: number, sub: number) => this.svm.cpuid(leaf, sub)[1],
      cpuidC: (leaf: number, sub: number) => this.svm.cpuid(leaf, sub)[2],
      cpuidD: (leaf: number, sub: number) => this.svm.cpuid(leaf, sub)[3],
      rdmsr: (msr: number) => this.rdmsr(msr >>> 0),
      wrmsr: (msr: number, value: bigint) => {
        this.faulted = false;
        this.msrs.set(msr >>> 0, BigInt.asUintN(64, value));
      },
      msrFaulted: () => (this.faulted ? 1 : 0),
      readCr0: () => 0x80050033n,
      writeCr0: () => {},
      readCr3: () => 0x1000n,
      readCr4: () => 0x40620n,
      writeCr4: () => {},
      readXcr0: () => 7n,
      writeXcr0: () => {},
      readDr: (n: number) => this.debugRegisters[n],
      writeDr: (n: number, value: bigint) => {
        this.debugRegisters[n] = value;
      },
      rdtsc: () => BigInt(devices.advance(20)),
      pause: () => devices.advance(PAUSE_NS),
      hostState: (which: number) => (which === 6 ? 832n : 0n),
      in8: (port: number) => devices.in8(port),
      in16: (port: number) => devices.pci?.in(port, 2) ?? 0xffff,
      in32: (port: number) => devices.in32(port),
      out8: (port: number, value: number) => devices.out8(port, value & 0xff),
      out16: (port: number, value: number) => devices.pci?.out(port, 2, value & 0xffff),
      out32: (port: number, value: number) => devices.pci?.out(port, 4, value >>> 0),
      takeInterrupt: () => devices.takeInterrupt(),
      idle: () => devices.idle(),
      vmxon: () => 1,
      vmxoff: () => 1,
      vmclear: () => 1,
      vmptrld: () => 1,
      vmread: () => 0n,
      vmwrite: () => 1,
      invept: () => 1,
      invvpid: () => 1,
      enterVmx: () => 1,
      enterSvm: (vmcb: bigint, regs: number) => this.svm.enter(Number(vmcb), regs),
      fpuSave: () => {},
      fpuLoad: () => {},
      fpuInit: (pa: bigint) => ram.bytes.fill(0, ram.at(pa, 832), ram.at(pa, 832) + 832),
      bootInfo: (ptr: number) => this.bootInfo(ptr),
      serialWrite: (ptr: number, length: number) => {
        this.output += this.text(ptr, length);
      },
      panic: (ptr: number, length: number) => {
        throw new Panic(this.text(ptr, length));
      },
      machineOff: (how: number) => {
        throw new MachineOff(how);
      },
      lock: (ptr: number) => {
        if (this.linear.getUint32(ptr, true) !== 0) throw new Panic(`lock at ${hex(ptr)} taken twice`);
        this.linear.setUint32(ptr, 1, true);
      },
      unlock: (ptr: number) => {
        if (this.linear.getUint32(ptr, true) !== 1) throw new Panic(`lock at ${hex(ptr)} released while free`);
        this.linear.setUint32(ptr, 0, true);
      },
    } as unknown as Record<string, (...args: never[]) => unknown>;
  }
}
