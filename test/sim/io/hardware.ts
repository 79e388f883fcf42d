/**
 * What the simulated devices of the I/O domain's have in common: virtio models of the drivers' unit tests behind PCI functions whose
 * configuration the hypervisor sees too, with MSI-X by the hypervisor's vectors and DMA to the machine's frames, of those only that the
 * I/O domain has at that moment.
 */
import { PCI_CAP_ID_MSIX } from "../../../abi/io/pci.ts";
import type { IoMachine } from "../../unit/io/drivers/machine.ts";
import type { VirtioModel } from "../../unit/io/drivers/virtio-model.ts";
import type { Machine } from "../machine.ts";
import { PciBus, PciFunction } from "../pci.ts";
import { PAGE } from "../ram.ts";
import { Violation } from "../svm-cpu.ts";
import type { ModuleDomain, Registers } from "./module-domain.ts";

const MSIX_TABLE_BAR = 1;
const MSIX_CONTROL_ENABLE = 0x8000;
const MSIX_CONTROL_MASKED = 0x4000;
/** Capabilities are writable beyond what the drivers' model has written: the hypervisor writes MSI-X's control word. */
const CAPABILITIES = 0x40;
/** Where the registers and MSI-X's table of the function on device 0 are; those of the others follow. */
const REGISTERS = 0x8_0000_0000n;
const TABLE = 0xfe00_0000n;

/** The function as the hypervisor's bus has it. */
class Plugged extends PciFunction {
  constructor(
    private readonly model: VirtioModel,
    device: number,
  ) {
    super(device << 3, []);
  }

  override read(register: number, size: number): number {
    return this.model.configRead(register, size);
  }

  override write(register: number, size: number, value: number): void {
    if (register < CAPABILITIES) this.model.configWrite(register, size, value);
    else for (let i = 0; i < size; i++) this.model.config[register + i] = (value >>> (8 * i)) & 0xff;
  }
}

/** A device's part in what it does on the machine. */
export interface Owner {
  /** What it is, in words. */
  readonly name: string;
  /** The driver broke a rule of the device's interface. */
  violation(what: string): void;
  /** The device accesses a frame that the I/O domain has; throws Violation if it should not. */
  accesses?(mfn: number): void;
}

export class Hardware implements Registers {
  readonly bus = new PciBus();
  private readonly models: VirtioModel[] = [];
  private io: ModuleDomain | null = null;

  attach(io: ModuleDomain): void {
    this.io = io;
    io.registers = this;
  }

  get domain(): ModuleDomain {
    return this.io!;
  }

  get machine(): Machine {
    return this.io!.machine;
  }

  /** Puts a model into bus 0. */
  plug(model: VirtioModel, device: number, owner: Owner): void {
    model.bar(4, "memory64", model.bars[4]!.size, REGISTERS + BigInt(device * 0x10000));
    model.bar(MSIX_TABLE_BAR, "memory32", model.bars[MSIX_TABLE_BAR]!.size, TABLE + BigInt(device * 0x10000));
    model.machine = {
      violation: (what: string) => owner.violation(what),
      gives: { msix: true },
      dma: (_fn: unknown, address: bigint, bytes: number) => this.dma(model, owner, Number(address), bytes),
    } as unknown as IoMachine;
    model.vectors.set(0, 1);
    let msix = model.config[0x34]!;
    while (model.config[msix] !== PCI_CAP_ID_MSIX) msix = model.config[msix + 1]!;
    model.interrupt = (vector) => this.interrupt(model, msix, vector);
    this.bus.add(new Plugged(model, device));
    this.models.push(model);
  }

  private interrupt(model: VirtioModel, msix: number, vector: number): void {
    const control = model.view.getUint16(msix + 2, true);
    if ((control & MSIX_CONTROL_ENABLE) === 0 || (control & MSIX_CONTROL_MASKED) !== 0) return;
    const entry = Number(model.bars[MSIX_TABLE_BAR]!.base) + vector * 16;
    if (((this.bus.registers.get(entry + 12) ?? 1) & 1) !== 0) return;
    this.bus.vectors.push(this.bus.registers.get(entry + 8)! & 0xff);
  }

  private dma(model: VirtioModel, owner: Owner, address: number, bytes: number): Uint8Array | null {
    if (!model.masters) return null;
    for (let frame = Math.floor(address / PAGE); frame * PAGE < address + bytes; frame++) {
      if (!this.domain.has(frame)) {
        throw new Violation(`${owner.name} accesses frame ${frame}, which the I/O domain does not have`);
      }
      owner.accesses?.(frame);
    }
    const { ram } = this.machine;
    const at = ram.at(address, bytes);
    return ram.bytes.subarray(at, at + bytes);
  }

  // --- Registers --------------------------------------------------------------------------------------------------------------

  private at(address: number): { model: VirtioModel; bar: number; offset: number } | null {
    for (const model of this.models) {
      for (const [bar, b] of model.bars.entries()) {
        if (b !== null && address >= Number(b.base) && address < Number(b.base) + b.size) {
          return { model, bar, offset: address - Number(b.base) };
        }
      }
    }
    return null;
  }

  read(address: number, size: number): number | bigint {
    const at = this.at(address);
    return at === null ? 0xffffffff : at.model.barRead(at.bar, at.offset, size);
  }

  write(address: number, size: number, value: number | bigint): void {
    const at = this.at(address);
    at?.model.barWrite(at.bar, at.offset, size, value);
  }
}
