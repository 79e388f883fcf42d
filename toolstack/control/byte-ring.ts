/** The latest bytes of a stream, up to a limit, using no more memory than that even if written byte by byte. */
const FIRST_BYTES = 256;

export class ByteRing {
  /** Grows by doubling up to the limit. */
  private bytes = new Uint8Array(0);
  private start = 0;
  private used = 0;

  /** @param limit bytes kept at most, a power of two from 256 up */
  constructor(private readonly limit: number) {}

  get length(): number {
    return this.used;
  }

  /** Bytes that can be added before others are lost. */
  get room(): number {
    return this.limit - this.used;
  }

  /** Bytes of memory that it takes. */
  get capacity(): number {
    return this.bytes.length;
  }

  /** Appends bytes, dropping the oldest if necessary. @returns how many were lost */
  add(input: Uint8Array): number {
    if (input.length === 0) return 0;
    const { limit } = this;
    const all = this.used + input.length;
    if (all > this.bytes.length) this.grow(Math.min(all, limit));
    const size = this.bytes.length;
    const kept = input.length > size ? input.subarray(input.length - size) : input;
    const at = (this.start + this.used + input.length - kept.length) % size;
    const first = Math.min(kept.length, size - at);
    this.bytes.set(kept.subarray(0, first), at);
    if (first < kept.length) this.bytes.set(kept.subarray(first), 0);
    this.used = Math.min(all, size);
    this.start = (at + kept.length - this.used + size) % size;
    return all - this.used;
  }

  private grow(wanted: number): void {
    let size = this.bytes.length || FIRST_BYTES;
    while (size < wanted) size *= 2;
    const old = this.peek(this.used);
    this.bytes = new Uint8Array(Math.min(size, this.limit));
    this.bytes.set(old);
    this.start = 0;
  }

  /** A copy of the oldest bytes, `most` of them at most; they stay. */
  peek(most: number): Uint8Array {
    const length = Math.min(most, this.used);
    const copy = new Uint8Array(length);
    const first = Math.min(length, this.bytes.length - this.start);
    copy.set(this.bytes.subarray(this.start, this.start + first));
    if (first < length) copy.set(this.bytes.subarray(0, length - first), first);
    return copy;
  }

  /** Removes the `count` oldest bytes; an empty ring frees its memory. */
  drop(count: number): void {
    this.used -= count;
    this.start = this.used === 0 ? 0 : (this.start + count) % this.bytes.length;
    if (this.used === 0) this.bytes = new Uint8Array(0);
  }

  /** Removes and returns the oldest bytes, at most `most`. */
  take(most: number): Uint8Array {
    const taken = this.peek(most);
    this.drop(taken.length);
    return taken;
  }
}
