/** What the models of IOMMUs share. */
import { PAGE, type Ram } from "../ram.ts";

export interface Reach {
  mfn: number;
  write: boolean;
}

export interface Fault {
  requester: number;
  address: number;
  write: boolean;
  /** The device as a whole, or the address. */
  device: boolean;
}

const POISON = 0xdb;

export abstract class IommuModel {
  /** Physical address of the registers. */
  abstract readonly base: number;
  abstract readonly size: number;
  /** Signature and bytes of the ACPI table that describes it. */
  abstract table(): { signature: string; bytes: Uint8Array };
  /** What was cached: translations by page; whether a requester may do anything. */
  readonly pages = new Map<number, Reach>();
  readonly devices = new Map<number, bigint>();
  readonly faults: Fault[] = [];
  /** Lines of the queue that were run. */
  commands = 0;
  /** It does nothing it is told any more. */
  dead = false;
  private seen: Uint8Array | null = null;
  protected ram!: Ram;

  /** @param coherent it looks into caches; else it sees of its tables only what was written back */
  constructor(readonly coherent = true) {}

  attach(ram: Ram): void {
    this.ram = ram;
    if (!this.coherent) this.seen = new Uint8Array(ram.size).fill(POISON);
  }

  owns(pa: number): boolean {
    return pa >= this.base && pa < this.base + this.size;
  }

  abstract read(register: number): number;
  abstract write(register: number, value: number): void;

  /** The processor wrote back the cache lines of these bytes. */
  flushed(pa: number, length: number): void {
    const from = pa & ~63;
    const to = (pa + length + 63) & ~63;
    this.seen?.set(this.ram.bytes.subarray(from, to), from);
  }

  /** A word of a table. */
  protected word(pa: bigint | number): bigint {
    const at = this.ram.at(pa, 8);
    const bytes = this.seen ?? this.ram.bytes;
    return new DataView(bytes.buffer).getBigUint64(at, true);
  }

  /** Whether translation is on. */
  abstract readonly on: boolean;
  /** A device's own entry: null it is blocked, else what `walk` begins with. */
  protected abstract device(requester: number): bigint | null;
  /** What a page leads to by the tables alone. */
  protected abstract walk(root: bigint, page: number): Reach | null;
  protected abstract record(fault: Fault): void;

  /** A device's access to a page: the machine frame; null, and a fault, when it is refused. */
  access(requester: number, address: number, write: boolean): number | null {
    const page = Math.floor(address / PAGE);
    if (!this.on) return page;
    const root = this.devices.get(requester) ?? this.device(requester);
    if (root !== null) this.devices.set(requester, root);
    const reach = root === null ? null : (this.pages.get(page) ?? this.walk(root, page));
    if (reach !== null) this.pages.set(page, reach);
    if (reach !== null && (reach.write || !write)) return reach.mfn;
    const fault = { requester, address, write, device: root === null };
    this.faults.push(fault);
    this.record(fault);
    return null;
  }

  /** All that a device reaches: by the tables, and by what is cached. */
  reaches(requester: number, first: number, end: number): Map<number, Reach> {
    const all = new Map<number, Reach>();
    if (!this.on) throw new Error("the IOMMU is off");
    const root = this.devices.get(requester) ?? this.device(requester);
    if (root === null) return all;
    for (let page = first; page < end; page++) {
      const reach = this.pages.get(page) ?? this.walk(root, page);
      if (reach !== null) all.set(page, reach);
    }
    return all;
  }

  /** ACPI's header in front of a table's body, and its checksum. */
  protected acpi(signature: string, body: number[], headerBytes: number): { signature: string; bytes: Uint8Array } {
    const bytes = new Uint8Array(headerBytes + body.length);
    bytes.set(Buffer.from(signature));
    new DataView(bytes.buffer).setUint32(4, bytes.length, true);
    bytes.set(body, headerBytes);
    bytes[9] = (256 - (bytes.reduce((sum, byte) => sum + byte, 0) & 255)) & 255;
    return { signature, bytes };
  }
}
