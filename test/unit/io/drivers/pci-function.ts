/** A simulated PCI function: its configuration space, and BARs whose accesses a device model answers. */
import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_SUBSYSTEM_ID,
  PCI_VENDOR_ID,
} from "../../../../abi/io/pci.ts";
import type { IoMachine } from "./machine.ts";

export interface Bar {
  kind: "memory32" | "memory64" | "io";
  size: number;
  base: bigint;
}

export class PciFunction {
  readonly config = new Uint8Array(256);
  readonly view = new DataView(this.config.buffer);
  readonly bars: (Bar | null)[] = [null, null, null, null, null, null];
  /** The machine it is in, from IoMachine.plug on. */
  machine!: IoMachine;
  address = 0;
  /** Ports of the vectors it was given, by vector; the pin's or MSI's is 0. */
  readonly vectors = new Map<number, number>();
  /** ISA interrupts that are its own; each is the vector of the same number. */
  readonly gsis: number[] = [];
  private capabilityLast = 0;
  private capabilityNext = 0x40;

  constructor(vendor: number, device: number, classCode: number) {
    this.view.setUint16(PCI_VENDOR_ID, vendor, true);
    this.view.setUint16(PCI_DEVICE_ID, device, true);
    this.view.setUint32(PCI_CLASS_REVISION, classCode * 256, true);
    this.view.setUint16(PCI_SUBSYSTEM_ID, 1, true);
  }

  headerType(type: number): this {
    this.config[PCI_HEADER_TYPE] = type;
    return this;
  }

  pin(pin: number, line: number): this {
    this.config[PCI_INTERRUPT_PIN] = pin;
    this.config[PCI_INTERRUPT_LINE] = line;
    return this;
  }

  /** Adds a BAR, assigned at `base`. */
  bar(index: number, kind: Bar["kind"], size: number, base: bigint): this {
    this.bars[index] = { kind, size, base };
    const type = kind === "io" ? 1 : kind === "memory64" ? 4 : 0;
    this.view.setUint32(PCI_BASE_ADDRESS_0 + index * 4, Number(base & 0xffffffffn) | type, true);
    if (kind === "memory64") this.view.setUint32(PCI_BASE_ADDRESS_0 + index * 4 + 4, Number(base >> 32n), true);
    return this;
  }

  /** Adds a capability with these bytes behind its id and next pointer; returns its offset. */
  capability(id: number, bytes: number[]): number {
    const at = this.capabilityNext;
    this.config[at] = id;
    this.config[at + 1] = 0;
    this.config.set(bytes, at + 2);
    this.config[this.capabilityLast === 0 ? PCI_CAPABILITY_LIST : this.capabilityLast + 1] = at;
    this.capabilityLast = at;
    this.capabilityNext = (at + 2 + bytes.length + 3) & ~3;
    this.view.setUint16(PCI_STATUS, this.view.getUint16(PCI_STATUS, true) | PCI_STATUS_CAP_LIST, true);
    return at;
  }

  msix(entries: number, bar: number, offset: number): this {
    const bytes = [(entries - 1) & 0xff, (entries - 1) >> 8, bar | (offset & 0xff), (offset >> 8) & 0xff, 0, 0];
    this.capability(PCI_CAP_ID_MSIX, [...bytes, bar, (offset + 0x800) >> 8, 0, 0]);
    return this;
  }

  msi(): this {
    this.capability(PCI_CAP_ID_MSI, [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    return this;
  }

  get masters(): boolean {
    return (this.view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MASTER) !== 0;
  }

  configRead(offset: number, size: number): number {
    if (size === 1) return this.config[offset]!;
    return size === 2 ? this.view.getUint16(offset, true) : this.view.getUint32(offset, true);
  }

  configWrite(offset: number, size: number, value: number): void {
    const index = (offset - PCI_BASE_ADDRESS_0) >> 2;
    if (index >= 0 && index < 6 && (this.config[PCI_HEADER_TYPE]! & 0x7f) === 0) {
      if (size === 4) this.writeBar(index, value);
    } else if (offset === PCI_COMMAND) this.view.setUint16(offset, value & 0x547, true);
    else if (offset === PCI_INTERRUPT_LINE) this.config[offset] = value;
  }

  private writeBar(index: number, value: number): void {
    const at = PCI_BASE_ADDRESS_0 + index * 4;
    const bar = this.bars[index];
    const below = this.bars[index - 1];
    if (bar) {
      const type = bar.kind === "io" ? 1 : bar.kind === "memory64" ? 4 : 0;
      const mask = bar.size >= 2 ** 32 ? 0 : -bar.size;
      this.view.setUint32(at, (value & mask) | type, true);
    } else if (below?.kind === "memory64") {
      const mask = bar === null && below.size >= 2 ** 32 ? -(below.size / 2 ** 32) : -1;
      this.view.setUint32(at, value & mask, true);
    }
  }

  /** A register of a BAR; `value` of a 64-bit access is a bigint. */
  barRead(_bar: number, _offset: number, _size: number): number | bigint {
    return 0xffffffff;
  }

  barWrite(_bar: number, _offset: number, _size: number, _value: number | bigint): void {}

  /** Raises the interrupt of a vector: MSI-X's, or 0 for the only one there is. */
  interrupt(vector: number): void {
    const port = this.vectors.get(vector);
    if (port !== undefined) this.machine.raise(port);
  }

  /** Time has passed, or the machine looks whether there is anything to do: models that work by themselves do some. */
  work(): void {}
}
