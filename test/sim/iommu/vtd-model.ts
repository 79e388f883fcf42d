/** A VT-d unit (Virtualization Technology for Directed I/O, 4.1) in its legacy mode, with an invalidation queue. */
import { PAGE } from "../ram.ts";
import { type Fault, IommuModel, type Reach } from "./model.ts";

const GSTS = 0x1c;
const ROOT = 0x20;
const FSTS = 0x34;
const FAULTS = 0x200;
const FAULT_RECORDS = 4;
const IQT = 0x88;
const IQA = 0x90;
const TES = 0x80000000;
const RTPS = 0x40000000;
const QIES = 1 << 26;

export interface VtdShape {
  coherent?: boolean;
  levels?: 3 | 4;
  /** Pages of 2 MiB; invalidation of single pages; absent entries are cached. */
  large?: boolean;
  selective?: boolean;
  caching?: boolean;
  queue?: boolean;
}

export class VtdModel extends IommuModel {
  readonly base = 0xfed90000;
  readonly size = PAGE;
  private readonly registers = new DataView(new ArrayBuffer(PAGE));
  private head = 0;
  private root = 0n;
  /** Absent pages that it has looked up. */
  private readonly absent = new Set<number>();
  readonly shape: Required<VtdShape>;

  constructor(shape: VtdShape = {}) {
    super(shape.coherent ?? true);
    this.shape = { coherent: true, levels: 3, large: true, selective: true, caching: false, queue: true, ...shape };
    const { levels, large, selective, caching, queue } = this.shape;
    const cap =
      2n |
      (caching ? 1n << 7n : 0n) |
      (levels === 3 ? 1n << 9n : 1n << 10n) |
      (38n << 16n) |
      (BigInt(FAULTS >> 4) << 24n) |
      (large ? 1n << 34n : 0n) |
      (selective ? 1n << 39n : 0n) |
      (BigInt(FAULT_RECORDS - 1) << 40n) |
      (9n << 48n);
    this.registers.setUint32(0, 0x10, true);
    this.registers.setBigUint64(8, cap, true);
    this.registers.setBigUint64(0x10, (this.coherent ? 1n : 0n) | (queue ? 2n : 0n), true);
  }

  table(): { signature: string; bytes: Uint8Array } {
    const unit = [0, 0, 16, 0, 1, 0, 0, 0, ...new Uint8Array(new BigUint64Array([BigInt(this.base)]).buffer)];
    return this.acpi("DMAR", [38, 0, ...Array<number>(10).fill(0), ...unit], 36);
  }

  get on(): boolean {
    return (this.status & TES) !== 0;
  }

  private get status(): number {
    return this.registers.getUint32(GSTS, true);
  }

  private set status(value: number) {
    this.registers.setUint32(GSTS, value >>> 0, true);
  }

  read(register: number): number {
    return this.registers.getUint32(register, true);
  }

  write(register: number, value: number): void {
    if (this.dead) return;
    if (register === 0x18) this.command(value);
    else if (register === FSTS)
      this.registers.setUint32(FSTS, this.registers.getUint32(FSTS, true) & ~(value & 1), true);
    else if (register >= FAULTS && register < FAULTS + 16 * FAULT_RECORDS) this.clearFault(register, value);
    else if (register === GSTS || register < 0x18) return;
    else {
      this.registers.setUint32(register, value, true);
      if (register === IQT) this.run();
    }
  }

  private command(value: number): void {
    if ((value & RTPS) !== 0) {
      this.root = this.registers.getBigUint64(ROOT, true);
      this.status |= RTPS;
    }
    if ((value & QIES) !== 0 && (this.status & QIES) === 0) this.head = 0;
    this.status = (this.status & ~(TES | QIES)) | (value & (TES | QIES));
  }

  private run(): void {
    if ((this.status & QIES) === 0) return;
    const base = this.registers.getBigUint64(IQA, true) & ~0xfffn;
    const tail = this.registers.getUint32(IQT, true) >> 4;
    for (; this.head !== tail; this.head = (this.head + 1) % 256) {
      const low = this.ram.read64(base + BigInt(this.head * 16));
      this.descriptor(low, this.ram.read64(base + BigInt(this.head * 16 + 8)));
      this.commands++;
    }
  }

  private descriptor(low: bigint, high: bigint): void {
    const how = Number((low >> 4n) & 3n);
    switch (Number(low & 15n)) {
      case 1:
        if (how === 3) this.devices.delete(Number((low >> 32n) & 0xffffn));
        else this.devices.clear();
        return;
      case 2: {
        if (how !== 3) {
          this.pages.clear();
          this.absent.clear();
          return;
        }
        if (!this.shape.selective) throw new Error("page-selective invalidation by a unit that has none");
        const first = Number(high >> 12n);
        for (let i = 0; i < 2 ** Number(high & 63n); i++) {
          this.pages.delete(first + i);
          this.absent.delete(first + i);
        }
        return;
      }
      case 5:
        if ((low & 32n) !== 0n) this.ram.write32(high & ~3n, Number(low >> 32n));
        return;
      default:
        throw new Error(`descriptor 0x${low.toString(16)} is none`);
    }
  }

  protected device(requester: number): bigint | null {
    const entry = this.word(this.root + BigInt((requester >> 8) * 16));
    if ((entry & 1n) === 0n) return null;
    const at = (entry & ~0xfffn) + BigInt((requester & 255) * 16);
    const low = this.word(at);
    if ((low & 1n) === 0n) return null;
    const high = this.word(at + 8n);
    if ((high & 7n) !== BigInt(this.shape.levels - 2) || ((high >> 8n) & 0xffffn) === 0n || (low & 0xen) !== 0n) {
      throw new Error(`context entry 0x${high.toString(16)} 0x${low.toString(16)} makes no sense`);
    }
    return low & ~0xfffn;
  }

  protected walk(root: bigint, page: number): Reach | null {
    if (this.absent.has(page)) return null;
    let table = root;
    let write = true;
    for (let level = this.shape.levels - 1; ; level--) {
      const entry = this.word(table + BigInt(Math.floor(page / 512 ** level) % 512) * 8n);
      if ((entry & 3n) === 0n) {
        if (this.shape.caching) this.absent.add(page);
        return null;
      }
      write &&= (entry & 2n) !== 0n;
      const frame = Number((entry & 0x000ffffffffff000n) >> 12n);
      if (level === 0 || (entry & 0x80n) !== 0n) {
        if (level > 0 && !this.shape.large) throw new Error("a large page for a unit that has none");
        return { mfn: frame + (page % 512 ** level), write };
      }
      table = BigInt(frame) << 12n;
    }
  }

  protected record({ requester, address, write, device }: Fault): void {
    for (let i = 0; i < FAULT_RECORDS; i++) {
      const at = FAULTS + 16 * i;
      if ((this.registers.getUint32(at + 12, true) & 0x80000000) !== 0) continue;
      this.registers.setBigUint64(at, BigInt(address) & ~0xfffn, true);
      this.registers.setUint32(at + 8, requester, true);
      this.registers.setUint32(
        at + 12,
        (0x80000000 | (write ? 0 : 0x40000000) | (device ? 2 : write ? 5 : 6)) >>> 0,
        true,
      );
      this.registers.setUint32(FSTS, this.registers.getUint32(FSTS, true) | 2, true);
      return;
    }
    this.registers.setUint32(FSTS, this.registers.getUint32(FSTS, true) | 1, true);
  }

  private clearFault(register: number, value: number): void {
    if (register % 16 !== 12 || (value & 0x80000000) === 0) return;
    this.registers.setUint32(register, this.registers.getUint32(register, true) & 0x7fffffff, true);
    const left = Array.from({ length: FAULT_RECORDS }, (_, i) => this.registers.getUint32(FAULTS + 16 * i + 12, true));
    if (left.every((word) => (word & 0x80000000) === 0)) {
      this.registers.setUint32(FSTS, this.registers.getUint32(FSTS, true) & ~2, true);
    }
  }
}
