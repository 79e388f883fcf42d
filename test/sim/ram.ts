/** The simulated machine's physical memory: little-endian, checked against its size and the shim's own range. */
export const PAGE = 4096;

export class Ram {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /**
   * @param size bytes, a multiple of 4 KiB
   * @param shimBase start of the range that belongs to the shim: touching it is a broken invariant
   * @param shimSize its length in bytes
   */
  constructor(
    readonly size: number,
    readonly shimBase: number,
    readonly shimSize: number,
  ) {
    const buffer = new ArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Checks a physical range the way the shim does and returns its offset. Throws RangeError where the shim would trap. */
  at(pa: bigint | number, length: number): number {
    const offset = Number(pa);
    if (offset < 0 || offset + length > this.size) {
      throw new RangeError(`physical access outside RAM: ${hex(offset)}+${length}`);
    }
    if (offset + length > this.shimBase && offset < this.shimBase + this.shimSize) {
      throw new RangeError(`physical access to the shim's own frames: ${hex(offset)}+${length}`);
    }
    return offset;
  }

  frame(mfn: number): Uint8Array {
    const offset = this.at(mfn * PAGE, PAGE);
    return this.bytes.subarray(offset, offset + PAGE);
  }

  read64(pa: bigint | number): bigint {
    return this.view.getBigUint64(this.at(pa, 8), true);
  }

  write64(pa: bigint | number, value: bigint): void {
    this.view.setBigUint64(this.at(pa, 8), BigInt.asUintN(64, value), true);
  }

  read32(pa: bigint | number): number {
    return this.view.getUint32(this.at(pa, 4), true);
  }

  write32(pa: bigint | number, value: number): void {
    this.view.setUint32(this.at(pa, 4), value, true);
  }
}

export function hex(value: number | bigint): string {
  return "0x" + value.toString(16);
}
