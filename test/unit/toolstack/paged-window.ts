/** The machine window with every page in memory of its own, as a simulation keeps it. */
import type { MachineWindow } from "../../../toolstack/control/window.ts";

const PAGE = 4096;

export class PagedWindow implements MachineWindow {
  private readonly pages = new Map<number, Uint8Array>();

  /** @param absent makes a page that is touched for the first time, or throws; `page` is the address's page number */
  constructor(private readonly absent: (page: number, address: number) => Uint8Array) {}

  map(page: number, bytes: Uint8Array): void {
    this.pages.set(page, bytes);
  }

  /** Returns whether there was something. */
  unmap(page: number): boolean {
    return this.pages.delete(page);
  }

  has(page: number): boolean {
    return this.pages.has(page);
  }

  private at(address: number): Uint8Array {
    const page = Math.floor(address / PAGE);
    return this.pages.get(page) ?? this.absent(page, address);
  }

  private load(address: number, width: number): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.load8(address + i);
    return value;
  }

  private store(address: number, value: number, width: number): void {
    for (let i = 0, rest = value >>> 0; i < width; i++, rest >>>= 8) this.store8(address + i, rest & 0xff);
  }

  load8(address: number): number {
    return this.at(address)[address % PAGE]!;
  }

  load16(address: number): number {
    return this.load(address, 2);
  }

  load32(address: number): number {
    return this.load(address, 4);
  }

  store8(address: number, value: number): void {
    this.at(address)[address % PAGE] = value;
  }

  store16(address: number, value: number): void {
    this.store(address, value, 2);
  }

  store32(address: number, value: number): void {
    this.store(address, value, 4);
  }

  bytes(address: number, length: number): Uint8Array {
    const offset = address % PAGE;
    if (offset + length > PAGE) throw new RangeError("a view must not cross a page");
    return this.at(address).subarray(offset, offset + length);
  }

  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.load8(address + i);
    return bytes;
  }

  readInto(address: number, into: Uint8Array): void {
    for (let i = 0; i < into.length; i++) into[i] = this.load8(address + i);
  }

  write(address: number, data: Uint8Array): void {
    for (let i = 0; i < data.length; i++) this.store8(address + i, data[i]!);
  }

  copy(to: number, from: number, length: number): void {
    this.write(to, this.read(from, length));
  }

  zero(address: number, length: number): void {
    this.write(address, new Uint8Array(length));
  }

  store64(address: number, value: number): void {
    this.store32(address, value >>> 0);
    this.store32(address + 4, Math.floor(value / 2 ** 32));
  }

  load64(address: number): number {
    return this.load32(address) + this.load32(address + 4) * 2 ** 32;
  }
}
