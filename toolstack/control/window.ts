/**
 * The machine window: call page, shared_info, start information, scratch RAM, boot modules and mapped guest memory, at
 * domain 0's linear addresses DOM0_WINDOW and up (abi/domain0-layout.ts). Everything is little-endian.
 *
 * Callers keep addresses, not views: a view of a mapped page is valid only until that page is unmapped.
 */
import { DOM0_WINDOW } from "../../abi/domain0-layout.ts";

/** Bytes of a page of x86 memory, and the shift that makes a frame number. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

/**
 * Access to the window. On the machine it is one ArrayBuffer (`DirectWindow`); a simulation may keep every page in
 * separate memory, which is why `bytes` must stay within one page.
 */
export interface MachineWindow {
  load8(address: number): number;
  load16(address: number): number;
  load32(address: number): number;
  store8(address: number, value: number): void;
  store16(address: number, value: number): void;
  store32(address: number, value: number): void;
  /** A live view of memory that does not cross a page boundary. */
  bytes(address: number, length: number): Uint8Array;
  /** A copy of any length. */
  read(address: number, length: number): Uint8Array;
  /** Copies as many bytes as `into` has room for. */
  readInto(address: number, into: Uint8Array): void;
  /** Writes any length. */
  write(address: number, data: Uint8Array): void;
  /** Copies any length within the window; the ranges do not overlap. */
  copy(to: number, from: number, length: number): void;
  /** Writes zeroes over any length. */
  zero(address: number, length: number): void;
}

/** The window as the machine has it. */
export class DirectWindow implements MachineWindow {
  private readonly view: DataView;
  private readonly all: Uint8Array;

  constructor(private readonly buffer: ArrayBuffer) {
    this.view = new DataView(buffer);
    this.all = new Uint8Array(buffer);
  }

  load8(address: number): number {
    return this.all[address - DOM0_WINDOW]!;
  }

  load16(address: number): number {
    return this.view.getUint16(address - DOM0_WINDOW, true);
  }

  load32(address: number): number {
    return this.view.getUint32(address - DOM0_WINDOW, true);
  }

  store8(address: number, value: number): void {
    this.all[address - DOM0_WINDOW] = value;
  }

  store16(address: number, value: number): void {
    this.view.setUint16(address - DOM0_WINDOW, value, true);
  }

  store32(address: number, value: number): void {
    this.view.setUint32(address - DOM0_WINDOW, value, true);
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.buffer, address - DOM0_WINDOW, length);
  }

  read(address: number, length: number): Uint8Array {
    return this.all.slice(address - DOM0_WINDOW, address - DOM0_WINDOW + length);
  }

  readInto(address: number, into: Uint8Array): void {
    into.set(new Uint8Array(this.buffer, address - DOM0_WINDOW, into.length));
  }

  write(address: number, data: Uint8Array): void {
    this.all.set(data, address - DOM0_WINDOW);
  }

  copy(to: number, from: number, length: number): void {
    this.all.set(new Uint8Array(this.buffer, from - DOM0_WINDOW, length), to - DOM0_WINDOW);
  }

  zero(address: number, length: number): void {
    new Uint8Array(this.buffer, address - DOM0_WINDOW, length).fill(0);
  }
}

/** A u64 as a number: exact below 2^53, which holds for sizes, frame numbers and 104 days of nanoseconds. */
export function load64(memory: MachineWindow, address: number): number {
  return memory.load32(address + 4) * 0x100000000 + memory.load32(address);
}

/** As `load64`, from words `index` (low) and `index` + 1. */
export function number64(words: Uint32Array, index: number): number {
  return words[index + 1]! * 0x100000000 + words[index]!;
}

/** A live view of `count` 32-bit words within one page; `address` is 4-byte aligned. */
export function words(memory: MachineWindow, address: number, count: number): Uint32Array {
  const bytes = memory.bytes(address, count * 4);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
}
