/** The simulated machine's physical memory: little-endian, checked against its size and the shim's own range. */
export const PAGE = 4096;

/** Where the bytes of RAM are: in a buffer that holds other things too, from `base` on. */
export interface RamPlace {
  buffer: ArrayBuffer;
  base: number;
}

export class Ram {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private readonly base: number;
  /** Where in the buffer each frame's bytes are: null when all are where RAM has its place. */
  private places: Float64Array | null = null;

  /**
   * @param size bytes, a multiple of 4 KiB
   * @param shimBase start of the range that belongs to the shim: touching it is a broken invariant
   * @param shimSize its length in bytes
   * @param place where its bytes are; a buffer of its own by default
   */
  constructor(
    readonly size: number,
    readonly shimBase: number,
    readonly shimSize: number,
    place?: RamPlace,
  ) {
    const buffer = place?.buffer ?? new ArrayBuffer(size);
    this.base = place?.base ?? 0;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Has the bytes of a frame be elsewhere in the buffer, at `at`, from now on; what they are there, not here, counts then. */
  move(mfn: number, at: number): void {
    this.places ??= Float64Array.from({ length: this.size / PAGE }, (_, i) => this.base + i * PAGE);
    this.places[mfn] = at;
  }

  /** The frame's bytes are where RAM has its place again, as they are there. */
  moveBack(mfn: number): void {
    this.places![mfn] = this.base + mfn * PAGE;
  }

  /** Where in the buffer the frame's bytes are when they have not been moved. */
  ownPlace(mfn: number): number {
    return this.base + mfn * PAGE;
  }

  /** Checks a physical range the way the shim does; its offset in `bytes`. Throws RangeError where the shim would trap. */
  at(pa: bigint | number, length: number): number {
    const offset = Number(pa);
    if (offset < 0 || offset + length > this.size) {
      throw new RangeError(`physical access outside RAM: ${hex(offset)}+${length}`);
    }
    if (offset + length > this.shimBase && offset < this.shimBase + this.shimSize) {
      throw new RangeError(`physical access to the shim's own frames: ${hex(offset)}+${length}`);
    }
    return this.places === null ? this.base + offset : this.placeOf(this.places, offset, length);
  }

  private placeOf(places: Float64Array, offset: number, length: number): number {
    const first = Math.floor(offset / PAGE);
    const start = places[first]! + (offset % PAGE);
    for (let frame = first + 1; frame * PAGE < offset + length; frame++) {
      if (places[frame]! + first * PAGE !== places[first]! + frame * PAGE) {
        throw new RangeError(`a physical range in two places: ${hex(offset)}+${length}`);
      }
    }
    return start;
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
