/**
 * The device's side of a virtqueue, split or packed (virtio 1.1, 2.6 and 2.7), on the machine's memory. It takes what is available,
 * puts back what is used, follows the driver's wishes for interrupts to the letter, and holds the driver to its part of the rules: each breach
 * is a violation.
 */
import {
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from "../../../../abi/io/virtio.ts";
import type { PciFunction } from "./pci-function.ts";

export interface Piece {
  machine: bigint;
  bytes: number;
}

/** A chain of descriptors that the driver has made available. */
export interface Chain {
  /** Head's number, or buffer id. */
  id: number;
  /** Descriptors of the ring that it takes. */
  descriptors: number;
  readable: Piece[];
  writable: Piece[];
}

export interface RingAddresses {
  descriptors: bigint;
  driver: bigint;
  device: bigint;
  size: number;
}

export interface RingFeatures {
  indirect: boolean;
  eventIndex: boolean;
}

/** Bytes of a device's memory accesses, little-endian, by machine address. */
export class DeviceMemory {
  constructor(readonly fn: PciFunction) {}

  view(machine: bigint, bytes: number): DataView {
    const memory = this.fn.machine.dma(this.fn, machine, bytes) ?? new Uint8Array(bytes);
    return new DataView(memory.buffer, memory.byteOffset, bytes);
  }

  u16(machine: bigint): number {
    return this.view(machine, 2).getUint16(0, true);
  }

  setU16(machine: bigint, value: number): void {
    this.view(machine, 2).setUint16(0, value, true);
  }

  read(pieces: Piece[]): Buffer {
    return Buffer.concat(
      pieces.map(({ machine, bytes }) => Buffer.from(this.fn.machine.dma(this.fn, machine, bytes) ?? [])),
    );
  }

  /** Writes `data` over the pieces, as far as they reach; returns how many bytes were written. */
  write(pieces: Piece[], data: Uint8Array): number {
    let done = 0;
    for (const { machine, bytes } of pieces) {
      const part = data.subarray(done, done + bytes);
      if (part.length === 0) break;
      this.fn.machine.dma(this.fn, machine, part.length)?.set(part);
      done += part.length;
    }
    return done;
  }
}

export function piecesBytes(pieces: Piece[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}

export abstract class Ring {
  protected readonly memory: DeviceMemory;
  /** Used but not yet told. */
  protected quiet = 0;

  constructor(
    fn: PciFunction,
    protected readonly at: RingAddresses,
    protected readonly features: RingFeatures,
  ) {
    this.memory = new DeviceMemory(fn);
  }

  protected breach(text: string): void {
    this.memory.fn.machine.violation(`the driver broke a rule of its queue: ${text}`);
  }

  /** The next available chain, null for none. */
  abstract pop(): Chain | null;
  /** Puts a chain back. */
  abstract push(chain: Chain, written: number): void;
  /** Whether the driver wants an interrupt for what was pushed since the last call. */
  abstract interrupts(): boolean;
  /** Nothing is available: asks to be notified of what comes. */
  abstract sleep(): void;
  /** Asks not to be notified. */
  abstract busy(): void;
  /** Misbehaviour: a used entry that says anything. */
  abstract lie(id: number, written: number): void;

  protected check(chain: Chain): Chain {
    if (chain.readable.length + chain.writable.length > this.at.size) this.breach("a chain is longer than the queue");
    for (const { bytes } of [...chain.readable, ...chain.writable]) if (bytes === 0) this.breach("an empty descriptor");
    return chain;
  }
}

function sort(chain: Chain, piece: Piece, flags: number, breach: (text: string) => void): void {
  if (flags & VRING_DESC_F_WRITE) chain.writable.push(piece);
  else {
    if (chain.writable.length !== 0) breach("a readable descriptor behind a writable one");
    chain.readable.push(piece);
  }
}

export class SplitRing extends Ring {
  private available = 0;
  private used = 0;
  private told = 0;
  private readonly busyHeads = new Set<number>();

  pop(): Chain | null {
    const index = this.memory.u16(this.at.driver + 2n);
    const waiting = (index - this.available) & 0xffff;
    if (waiting === 0) return null;
    if (waiting > this.at.size) this.breach("the available index is beyond the queue");
    const head = this.memory.u16(this.at.driver + 4n + BigInt((this.available % this.at.size) * 2));
    this.available = (this.available + 1) & 0xffff;
    if (head >= this.at.size || this.busyHeads.has(head)) {
      this.breach(`head ${head} is not free`);
      return null;
    }
    this.busyHeads.add(head);
    const chain: Chain = { id: head, descriptors: 0, readable: [], writable: [] };
    this.follow(chain, this.at.descriptors, this.at.size, head, true);
    return this.check(chain);
  }

  private follow(chain: Chain, table: bigint, size: number, first: number, ring: boolean): void {
    let index = first;
    for (let i = 0; i < size; i++) {
      const descriptor = this.memory.view(table + BigInt(index * 16), 16);
      const piece = { machine: descriptor.getBigUint64(0, true), bytes: descriptor.getUint32(8, true) };
      const flags = descriptor.getUint16(12, true);
      if (ring) chain.descriptors++;
      if (flags & VRING_DESC_F_INDIRECT) {
        if (!this.features.indirect) this.breach("an indirect descriptor without the feature");
        if (!ring || flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE))
          this.breach("an indirect descriptor with other flags");
        this.follow(chain, piece.machine, piece.bytes / 16, 0, false);
        return;
      }
      sort(chain, piece, flags, (text) => this.breach(text));
      if (!(flags & VRING_DESC_F_NEXT)) return;
      index = descriptor.getUint16(14, true);
      if (index >= size) {
        this.breach("a next descriptor beyond the table");
        return;
      }
    }
    this.breach("a chain that loops");
  }

  push(chain: Chain, written: number): void {
    this.busyHeads.delete(chain.id);
    this.lie(chain.id, written);
  }

  lie(id: number, written: number): void {
    const element = this.memory.view(this.at.device + 4n + BigInt((this.used % this.at.size) * 8), 8);
    element.setUint32(0, id, true);
    element.setUint32(4, written, true);
    this.used = (this.used + 1) & 0xffff;
    this.memory.setU16(this.at.device + 2n, this.used);
  }

  /** Misbehaviour: a used index that says anything. */
  lieIndex(index: number): void {
    this.memory.setU16(this.at.device + 2n, index);
  }

  /** The used index. */
  get usedIndex(): number {
    return this.used;
  }

  /** How many chains the device has not put back: all there are once the driver has made all available again. */
  get unused(): number {
    return (this.memory.u16(this.at.driver + 2n) - this.used) & 0xffff;
  }

  interrupts(): boolean {
    const before = this.told;
    const now = this.used;
    if (before === now) return false;
    this.told = now;
    if (!this.features.eventIndex) return !(this.memory.u16(this.at.driver) & VRING_AVAIL_F_NO_INTERRUPT);
    const event = this.memory.u16(this.at.driver + 4n + BigInt(this.at.size * 2));
    return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  sleep(): void {
    if (this.features.eventIndex) this.memory.setU16(this.at.device + 4n + BigInt(this.at.size * 8), this.available);
    else this.memory.setU16(this.at.device, 0);
  }

  busy(): void {
    if (!this.features.eventIndex) this.memory.setU16(this.at.device, 1);
  }
}

export class PackedRing extends Ring {
  private next = 0;
  private wrap = 1;
  private usedNext = 0;
  private usedWrap = 1;
  private pushed = 0;
  private readonly busyIds = new Set<number>();

  pop(): Chain | null {
    const chain: Chain = { id: 0, descriptors: 0, readable: [], writable: [] };
    for (;;) {
      const descriptor = this.memory.view(this.at.descriptors + BigInt(this.next * 16), 16);
      const flags = descriptor.getUint16(14, true);
      const available = (flags >> 7) & 1;
      const used = (flags >> 15) & 1;
      if (available !== this.wrap || used === this.wrap) {
        if (chain.descriptors !== 0) this.breach("a chain of which only the beginning is available");
        return null;
      }
      const piece = { machine: descriptor.getBigUint64(0, true), bytes: descriptor.getUint32(8, true) };
      chain.descriptors++;
      chain.id = descriptor.getUint16(12, true);
      if (++this.next === this.at.size) {
        this.next = 0;
        this.wrap ^= 1;
      }
      if (flags & VRING_DESC_F_INDIRECT) {
        if (!this.features.indirect) this.breach("an indirect descriptor without the feature");
        if (flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE)) this.breach("an indirect descriptor with other flags");
        this.table(chain, piece);
        break;
      }
      sort(chain, piece, flags, (text) => this.breach(text));
      if (!(flags & VRING_DESC_F_NEXT)) break;
      if (chain.descriptors > this.at.size) {
        this.breach("a chain that loops");
        return null;
      }
    }
    if (chain.id >= this.at.size || this.busyIds.has(chain.id)) this.breach(`buffer id ${chain.id} is not free`);
    this.busyIds.add(chain.id);
    return this.check(chain);
  }

  private table(chain: Chain, { machine, bytes }: Piece): void {
    for (let i = 0; i < bytes / 16; i++) {
      const descriptor = this.memory.view(machine + BigInt(i * 16), 16);
      const piece = { machine: descriptor.getBigUint64(0, true), bytes: descriptor.getUint32(8, true) };
      const flags = descriptor.getUint16(14, true);
      if (flags & ~VRING_DESC_F_WRITE) this.breach("an indirect table's descriptor with other flags");
      sort(chain, piece, flags, (text) => this.breach(text));
    }
  }

  push(chain: Chain, written: number): void {
    this.busyIds.delete(chain.id);
    this.lie(chain.id, written);
    this.advance(chain.descriptors);
  }

  lie(id: number, written: number): void {
    const descriptor = this.memory.view(this.at.descriptors + BigInt(this.usedNext * 16), 16);
    descriptor.setUint32(8, written, true);
    descriptor.setUint16(12, id, true);
    descriptor.setUint16(14, this.usedWrap ? 0x8080 : 0, true);
    this.pushed++;
  }

  private advance(descriptors: number): void {
    this.quiet += descriptors;
    this.usedNext += descriptors;
    if (this.usedNext < this.at.size) return;
    this.usedNext -= this.at.size;
    this.usedWrap ^= 1;
  }

  interrupts(): boolean {
    if (this.pushed === 0) return false;
    const passed = this.quiet;
    this.pushed = 0;
    this.quiet = 0;
    const wish = this.memory.u16(this.at.driver);
    const flags = this.memory.u16(this.at.driver + 2n) & 3;
    if (flags !== 2 || !this.features.eventIndex) return flags === 0;
    // The position asked for is among those passed.
    let back = this.usedNext - (wish & 0x7fff);
    if (wish >> 15 !== this.usedWrap) back += this.at.size;
    return back > 0 && back <= passed;
  }

  sleep(): void {
    const event = this.features.eventIndex;
    this.memory.setU16(this.at.device, event ? this.next | (this.wrap << 15) : 0);
    this.memory.setU16(this.at.device + 2n, event ? 2 : 0);
  }

  busy(): void {
    this.memory.setU16(this.at.device + 2n, 1);
  }
}
