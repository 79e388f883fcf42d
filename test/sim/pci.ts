/**
 * PCI functions and an I/O APIC for the simulated machine: configuration space by ports 0xCF8 and 0xCFC with base addresses that can
 * be sized and moved, MSI and MSI-X capabilities, a table of entries in device memory.
 */
const IO_APIC = 0xfec00000;
const IO_APIC_LINES = 24;
const MASKED = 0x10000;
const LEVEL = 0x8000;

export interface Bar {
  /** Bytes; ports if `io`. */
  size: number;
  io?: boolean;
  /** As firmware has set it. */
  base: number;
}

export class PciFunction {
  readonly config = new DataView(new ArrayBuffer(256));
  private readonly masks = new Map<number, number>();
  /** Every write to configuration space: register, size, value. */
  readonly writes: [number, number, number][] = [];

  /** @param address bus << 8 | device << 3 | function */
  constructor(
    readonly address: number,
    readonly bars: (Bar | null)[],
    readonly msixEntries = 0,
    classCode = 0x02,
  ) {
    const { config } = this;
    config.setUint16(0, 0x1af4, true);
    config.setUint16(2, 0x1041, true);
    config.setUint16(4, 3, true);
    config.setUint16(6, 0x10, true);
    config.setUint8(0xb, classCode);
    bars.forEach((bar, i) => {
      this.masks.set(0x10 + 4 * i, bar === null ? 0 : ~(bar.size - 1) >>> 0);
      if (bar !== null) config.setUint32(0x10 + 4 * i, bar.base | (bar.io === true ? 1 : 0), true);
    });
    for (let i = bars.length; i < 6; i++) this.masks.set(0x10 + 4 * i, 0);
    this.masks.set(0x30, 0);
    // MSI at 0x50, 64 bits wide; MSI-X at 0x70 with its table in base address 1; PCI Express at 0x80; power management at 0xc0.
    config.setUint8(0x34, 0x50);
    config.setUint16(0x50, 0x7005, true);
    config.setUint16(0x52, 0x80, true);
    config.setUint16(0x70, 0x8011, true);
    config.setUint16(0x72, Math.max(0, msixEntries - 1), true);
    config.setUint32(0x74, 1, true);
    config.setUint16(0x80, 0xc010, true);
    config.setUint16(0xc0, 0x0001, true);
  }

  read(register: number, size: number): number {
    return size === 1
      ? this.config.getUint8(register)
      : size === 2
        ? this.config.getUint16(register, true)
        : this.config.getUint32(register, true);
  }

  write(register: number, size: number, value: number): void {
    this.writes.push([register, size, value >>> 0]);
    const mask = this.masks.get(register);
    if (mask !== undefined && size === 4) {
      const kind = this.config.getUint32(register, true) & (register === 0x30 ? 0 : 1);
      this.config.setUint32(register, mask === 0 ? 0 : ((value & mask) | kind) >>> 0, true);
    } else if (size === 1) this.config.setUint8(register, value);
    else if (size === 2) this.config.setUint16(register, value, true);
    else this.config.setUint32(register, value, true);
  }

  get command(): number {
    return this.config.getUint16(4, true);
  }
}

export class PciBus {
  readonly functions: PciFunction[] = [];
  /** Device memory by address: 32-bit words. */
  readonly registers = new Map<number, number>();
  /** Ports of devices: what was last written. */
  readonly ports = new Map<number, number>();
  /** Vectors that wait for the CPU. */
  readonly vectors: number[] = [];
  /** Ends of interrupts that the CPU's local APIC was told of. */
  ends = 0;
  private selected = 0;
  private index = 0;
  private readonly lines = new Array<number>(IO_APIC_LINES * 2).fill(MASKED);

  add(f: PciFunction): PciFunction {
    this.functions.push(f);
    return f;
  }

  private get function(): PciFunction | undefined {
    const address = (this.selected >>> 8) & 0xffff;
    return (this.selected & 0x80000000) === 0 ? undefined : this.functions.find((f) => f.address === address);
  }

  in(port: number, size: number): number {
    if (port === 0xcf8) return this.selected;
    if (port >= 0xcfc && port < 0xd00) {
      return this.function?.read((this.selected & 0xfc) | (port & 3), size) ?? 2 ** (8 * size) - 1;
    }
    return this.ports.get(port) ?? 2 ** (8 * size) - 1;
  }

  out(port: number, size: number, value: number): void {
    if (port === 0xcf8 && size === 4) this.selected = value >>> 0;
    else if (port >= 0xcfc && port < 0xd00) this.function?.write((this.selected & 0xfc) | (port & 3), size, value);
    else this.ports.set(port, value >>> 0);
  }

  /** Undefined where no register of these devices is. */
  mmioRead(pa: number): number | undefined {
    if (pa === IO_APIC + 0x10) {
      if (this.index === 1) return ((IO_APIC_LINES - 1) << 16) | 0x20;
      return this.lines[this.index - 0x10] ?? 0;
    }
    return pa >= 0xe0000000 && pa < IO_APIC ? (this.registers.get(pa) ?? 0) : undefined;
  }

  mmioWrite(pa: number, value: number): boolean {
    if (pa === IO_APIC) this.index = value;
    else if (pa === IO_APIC + 0x10) this.lines[this.index - 0x10] = value >>> 0;
    else if (pa >= 0xe0000000 && pa < IO_APIC) this.registers.set(pa, value >>> 0);
    else return false;
    return true;
  }

  /** A device pulls a line: whether that interrupts. */
  pull(line: number): boolean {
    const entry = this.lines[2 * line]!;
    if ((entry & MASKED) !== 0) return false;
    this.vectors.push(entry & 0xff);
    return true;
  }

  isLevel(line: number): boolean {
    return (this.lines[2 * line]! & LEVEL) !== 0;
  }

  /** A function sends its MSI, or the message of an entry: whether it may. */
  message(f: PciFunction, entry?: number): boolean {
    if (entry === undefined) {
      if ((f.config.getUint16(0x52, true) & 1) === 0) return false;
      this.vectors.push(f.config.getUint16(0x5c, true) & 0xff);
      return true;
    }
    const at = f.bars[1]!.base + entry * 16;
    const control = f.config.getUint16(0x72, true);
    if ((control & 0xc000) !== 0x8000 || (this.registers.get(at + 12) ?? 1) & 1) return false;
    this.vectors.push(this.registers.get(at + 8)! & 0xff);
    return true;
  }
}

/**
 * ACPI's tables for such a machine: root pointer, MADT with the I/O APIC, an override of ISA line 9, MCFG, HPET, and one more that is
 * given.
 */
export function acpiTables(at: number, more?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const text = (offset: number, value: string): void => bytes.set(Buffer.from(value), offset);
  const table = (offset: number, signature: string, length: number): void => {
    text(offset, signature);
    view.setUint32(offset + 4, length, true);
  };
  text(0, "RSD PTR ");
  view.setUint32(16, at + 64, true);
  table(64, "RSDT", 36 + (more === undefined ? 12 : 16));
  if (more !== undefined) bytes.set(more, 1024);
  [256, 512, 768, 1024].forEach((offset, i) => view.setUint32(64 + 36 + 4 * i, at + offset, true));
  table(256, "APIC", 44 + 12 + 10);
  bytes.set([1, 12, 0, 0], 256 + 44);
  view.setUint32(256 + 48, IO_APIC, true);
  bytes.set([2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0], 256 + 56); // level, active high
  table(512, "MCFG", 44 + 16);
  view.setBigUint64(512 + 44, 0xb0000000n, true);
  bytes.set([0, 0, 0, 1], 512 + 52);
  table(768, "HPET", 56);
  view.setBigUint64(768 + 44, 0xfed00000n, true);
  return bytes;
}
