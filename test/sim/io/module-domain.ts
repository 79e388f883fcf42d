/**
 * The I/O domain itself on the simulated machine: the module that boots, with its hypercalls answered by the hypervisor under
 * simulation.
 *
 * RAM of the machine lies in the module's own linear memory, behind what its layout uses. A frame that is mapped in the domain's
 * memory is moved to its page there for as long as it is, so that the module's plain loads and stores, the hypervisor's copies,
 * guests and devices all see the same bytes. Of a frame that is mapped twice, only the module's imports see them at both places.
 */
import {
  IO_CALL_PAGE,
  IO_MAP,
  IO_MAP_END,
  IO_MMIO,
  IO_MMIO_END,
  IO_SHARED_INFO,
  IO_STABLE,
  IO_STABLE_END,
} from "../../../abi/io/layout.ts";
import {
  CallPage,
  SOFTWARE_EXIT_TRAP,
  SOFTWARE_PORT_SIZE_SHIFT,
  SOFTWARE_PORT_WRITE,
  SOFTWARE_TRAP_UNREACHABLE,
  SoftwareExit,
} from "../../../abi/software.ts";
import { systemTime } from "../call.ts";
import { Machine, type MachineOptions } from "../machine.ts";
import { PAGE } from "../ram.ts";
import { SoftwareCaller } from "../software-caller.ts";
import { Violation } from "../svm-cpu.ts";
import type { MutantExports } from "./mutant-module.ts";

const IO_SPACE = 2;
const WASM_PAGE = 65536;
/** Most uses of imports in a turn: it serves what there is, which is bounded by what guests can have put into their rings. */
const USES_MAX = 1_000_000;
/** Time that a use of an import takes, ns. */
const USE_NS = 200;

type Instance = { start(): void; turn(): void } & Partial<MutantExports>;

/** Thrown through the module where the domain is killed. */
class Killed extends Error {}

/** A register of a device, mapped at an address of the domain's. */
export interface Registers {
  read(machineAddress: number, size: number): number | bigint;
  write(machineAddress: number, size: number, value: number | bigint): void;
}

export class ModuleDomain extends SoftwareCaller {
  private readonly memory: WebAssembly.Memory;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private instance: Instance | null = null;
  private resets = 0;
  /** The pages at which each frame is mapped; its bytes are at the first. */
  private readonly places = new Map<number, number[]>();
  /** Stretches of 2 MiB in which something has been mapped. */
  private readonly regions = new Set<number>();
  /** Pages of stable memory that have frames: they are touched when it starts, since its plain loads would not. */
  private readonly stable = new Set<number>();
  /** Uses of imports after which it is killed; negative: it is not. */
  killAfter = -1;
  /** The same, counted in its stores to other domains' memory: in the middle of its answers. */
  killAfterStores = -1;
  /** Starts, and how many of them followed a kill. */
  starts = 0;
  kills = 0;
  /** Uses of imports in this turn. */
  private uses = 0;
  /** Turns taken. */
  turns = 0;
  /** Called before it reads what another domain may change, and before each hypercall: another CPU may act at this moment. */
  onShared: () => void = () => {};
  registers: Registers | null = null;

  /**
   * The machine, and the domain on it, which starts with the machine's first steps.
   * @param mutant which mistake a test build has, from 1; 0: none
   */
  static open(
    hypervisor: WebAssembly.Module,
    module: WebAssembly.Module,
    options: MachineOptions,
    mutant = 0,
  ): { machine: Machine; io: ModuleDomain } {
    const memory = new WebAssembly.Memory({ initial: (IO_STABLE_END + (options.memory ?? 16) * 2 ** 20) / WASM_PAGE });
    const machine = new Machine(hypervisor, {
      ...options,
      ioImage: new Uint8Array(1),
      ramPlace: { buffer: memory.buffer as ArrayBuffer, base: IO_STABLE_END },
    });
    return { machine, io: new ModuleDomain(machine, module, memory, mutant) };
  }

  private constructor(
    machine: Machine,
    private readonly module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    private readonly mutant: number,
  ) {
    super(machine, { space: IO_SPACE, callPage: IO_CALL_PAGE, buffer: 0 });
    this.memory = memory;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    for (const [page, { mfn }] of machine.space(IO_SPACE)) this.mapped(page, mfn);
    machine.onSpace = (space, page, mfn) => {
      if (space !== IO_SPACE) return;
      if (mfn !== null) this.mapped(page, mfn);
      else this.unmapped(page);
    };
    machine.ioTurn = (record) => this.turn(record);
  }

  /** The domain's pages that are RAM of its own, and how many there are. */
  get ownPages(): number {
    return [...this.machine.space(IO_SPACE).keys()].filter((page) => !isMapping(page * PAGE)).length;
  }

  /** Page tables that it has: the hypervisor keeps one of 2 MiB, or of 1 GiB, once something was mapped there. */
  get tables(): number {
    return this.regions.size + new Set([...this.regions].map((region) => region >> 9)).size;
  }

  /** Pages in which another domain's grant is mapped. */
  get grantsMapped(): number {
    return [...this.machine.space(IO_SPACE).keys()].filter((page) => inWindow(page * PAGE)).length;
  }

  /** Whether a frame is its own or mapped by it now. */
  has(mfn: number): boolean {
    return this.places.has(mfn);
  }

  /** The pages at which it has a frame. */
  pagesOf(mfn: number): readonly number[] {
    return this.places.get(mfn) ?? [];
  }

  private mapped(page: number, mfn: number): void {
    const address = page * PAGE;
    this.regions.add(page >> 9);
    if (isRegisters(address)) return;
    const pages = this.places.get(mfn);
    if (pages !== undefined) {
      pages.push(page);
      return;
    }
    this.places.set(mfn, [page]);
    const frame = this.machine.ram.frame(mfn);
    // Plain stores do not fault here: what they have put there is as if they had, and the page had had its zeroed frame since.
    if (inWindow(address) || Buffer.compare(frame, ZEROES) !== 0) this.bytes.set(frame, address);
    this.machine.ram.move(mfn, address);
    if (address >= IO_STABLE) this.stable.add(page);
  }

  private unmapped(page: number): void {
    const address = page * PAGE;
    if (isRegisters(address)) return;
    const { mfn } = this.machine.space(IO_SPACE).get(page)!;
    const { ram } = this.machine;
    const pages = this.places.get(mfn)!;
    const isPlace = pages[0] === page;
    pages.splice(pages.indexOf(page), 1);
    if (pages.length === 0) this.places.delete(mfn);
    if (!isPlace) return;
    const to = pages.length === 0 ? ram.ownPlace(mfn) : pages[0]! * PAGE;
    this.bytes.copyWithin(to, address, address + PAGE);
    if (pages.length === 0) ram.moveBack(mfn);
    else ram.move(mfn, to);
    this.bytes.fill(0, address, address + PAGE);
  }

  // --- Its turns --------------------------------------------------------------------------------------------------------------

  private turn(record: DataView): number | void {
    const at = record.byteOffset;
    try {
      if (this.machine.resets.get(IO_SPACE)! !== this.resets) this.start();
      this.turns++;
      this.uses = 0;
      this.instance!.turn();
    } catch (error) {
      this.instance = null;
      if (!(error instanceof Killed)) {
        if (error instanceof WebAssembly.RuntimeError) {
          throw new Violation(`the I/O domain crashed: ${error.stack}\n${this.machine.output.slice(-600)}`);
        }
        throw error;
      }
      this.kills++;
      const trap = BigInt(SOFTWARE_TRAP_UNREACHABLE);
      new DataView(this.machine.exports.memory.buffer, at, SoftwareExit.SIZE).setBigUint64(
        SoftwareExit.trap,
        trap,
        true,
      );
      return SOFTWARE_EXIT_TRAP;
    }
  }

  private start(): void {
    this.resets = this.machine.resets.get(IO_SPACE)!;
    this.starts++;
    // Its data are put where the loader puts them; all else of its RAM was zeroed when it lost its frames.
    for (let page = 0; page < DATA_PAGES; page++) {
      if (!this.machine.space(IO_SPACE).has(page)) this.bytes.fill(0, page * PAGE, (page + 1) * PAGE);
    }
    for (const page of this.stable) this.page(page * PAGE, true);
    const instance = new WebAssembly.Instance(this.module, {
      env: { memory: this.memory },
      io: this.imports(),
    } as never);
    this.instance = instance.exports as unknown as Instance;
    this.instance.start();
    if (this.mutant !== 0) this.instance.setMutant!(this.mutant);
  }

  private used(): void {
    if (++this.uses > USES_MAX) throw new Violation("a turn of the I/O domain does not end");
    this.machine.devices.advance(USE_NS);
    if (this.killAfter >= 0 && this.killAfter-- === 0) throw new Killed();
  }

  // --- Imports ----------------------------------------------------------------------------------------------------------------

  /** Where in linear memory the bytes at an address of the domain's are. Throws Violation where it has none. */
  private locate(ptr: number, size: number, write: boolean): number {
    const address = ptr >>> 0;
    if (address % size !== 0) throw new Violation(`the I/O domain accesses ${size} bytes at ${address.toString(16)}`);
    const page = Math.floor(address / PAGE);
    let entry = this.machine.space(IO_SPACE).get(page);
    if (entry === undefined) {
      this.page(address, write);
      entry = this.machine.space(IO_SPACE).get(page)!;
    }
    if (write && !entry.writable) throw new Violation(`the I/O domain writes to read-only ${address.toString(16)}`);
    if (!inWindow(address)) return address;
    if (write && this.killAfterStores >= 0 && this.killAfterStores-- === 0) throw new Killed();
    this.onShared();
    // What happened meanwhile cannot take the mapping away: it is the domain's own.
    return this.machine.ram.at(entry.mfn * PAGE + (address % PAGE), size);
  }

  private registerOf(ptr: number): number {
    const address = ptr >>> 0;
    if (address < IO_MMIO || address >= IO_MMIO_END) return -1;
    const entry = this.machine.space(IO_SPACE).get(Math.floor(address / PAGE));
    if (entry === undefined) throw new Violation(`the I/O domain has no registers at ${address.toString(16)}`);
    return entry.mfn * PAGE + (address % PAGE);
  }

  private call(op: number, args: bigint[]): bigint {
    this.used();
    this.onShared();
    const { view } = this;
    view.setBigUint64(IO_CALL_PAGE + CallPage.op, BigInt(op >>> 0), true);
    args.forEach((arg, i) => view.setBigUint64(IO_CALL_PAGE + CallPage.args + i * 8, BigInt.asUintN(64, arg), true));
    view.setBigUint64(IO_CALL_PAGE + CallPage.args + 40, 0n, true);
    this.machine.exports.softwareHypercall(IO_SPACE);
    return view.getBigInt64(IO_CALL_PAGE + CallPage.result, true);
  }

  /** The hypervisor lets it access what it may. */
  private port(port: number, size: number, write: number, value: number): number {
    const access = ((port & 0xffff) | (size << SOFTWARE_PORT_SIZE_SHIFT) | write) >>> 0;
    return this.machine.exports.softwarePort(IO_SPACE, access, value >>> 0);
  }

  private imports(): Record<string, unknown> {
    const { view } = this;
    const exchange = (ptr: number, change: (old: number) => number): number => {
      this.used();
      const at = this.locate(ptr, 4, true);
      const old = view.getUint32(at, true);
      view.setUint32(at, change(old) >>> 0, true);
      return old;
    };
    const read =
      (size: 1 | 2 | 4, get: (at: number) => number) =>
      (ptr: number): number => {
        const register = this.registerOf(ptr);
        return register < 0 ? get(this.locate(ptr, size, false)) : Number(this.registers!.read(register, size));
      };
    const write =
      (size: 1 | 2 | 4, set: (at: number, value: number) => void) =>
      (ptr: number, value: number): void => {
        this.used();
        const register = this.registerOf(ptr);
        if (register < 0) set(this.locate(ptr, size, true), value);
        else this.registers!.write(register, size, value >>> 0);
      };
    return {
      hypercall: (op: number, ...args: bigint[]) => this.call(op, args),
      portIn: (port: number, size: number) => this.port(port, size, 0, 0),
      portOut: (port: number, size: number, value: number) => this.port(port, size, SOFTWARE_PORT_WRITE, value),
      read8: read(1, (at) => view.getUint8(at)),
      read16: read(2, (at) => view.getUint16(at, true)),
      read32: read(4, (at) => view.getUint32(at, true)),
      read64: (ptr: number) => {
        const register = this.registerOf(ptr);
        return register < 0
          ? view.getBigUint64(this.locate(ptr, 8, false), true)
          : BigInt(this.registers!.read(register, 8));
      },
      write8: write(1, (at, value) => view.setUint8(at, value)),
      write16: write(2, (at, value) => view.setUint16(at, value, true)),
      write32: write(4, (at, value) => view.setUint32(at, value, true)),
      write64: (ptr: number, value: bigint) => {
        this.used();
        const register = this.registerOf(ptr);
        if (register < 0) view.setBigUint64(this.locate(ptr, 8, true), BigInt.asUintN(64, value), true);
        else this.registers!.write(register, 8, BigInt.asUintN(64, value));
      },
      barrier: () => {},
      compareExchange32: (ptr: number, expected: number, value: number) =>
        exchange(ptr, (old) => (old === expected >>> 0 ? value : old)),
      fetchOr32: (ptr: number, bits: number) => exchange(ptr, (old) => old | bits),
      fetchAnd32: (ptr: number, bits: number) => exchange(ptr, (old) => old & bits),
      systemTime: () => {
        const shared = new DataView(view.buffer, IO_SHARED_INFO, PAGE);
        return systemTime(BigInt(this.machine.devices.advance(USE_NS)), shared);
      },
    };
  }
}

const ZEROES = new Uint8Array(PAGE);
/** Pages that the module's data take, or more. */
const DATA_PAGES = 1024;

function inWindow(address: number): boolean {
  return address >= IO_MAP && address < IO_MAP_END;
}

function isRegisters(address: number): boolean {
  return address >= IO_MMIO && address < IO_MMIO_END;
}

/** What is mapped there is not the domain's memory, but another's or a device's. */
function isMapping(address: number): boolean {
  return inWindow(address) || isRegisters(address);
}
