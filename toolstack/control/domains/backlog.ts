/** Output of a guest whose console is not displayed: its latest bytes, up to a limit. */
import { ByteRing } from "../byte-ring.ts";

export class Backlog {
  private readonly ring: ByteRing;
  private dropped = false;

  /** @param limit bytes kept at most, a power of two */
  constructor(limit: number) {
    this.ring = new ByteRing(limit);
  }

  /** Bytes of memory that it uses. */
  get capacity(): number {
    return this.ring.capacity;
  }

  add(piece: Uint8Array): void {
    if (this.ring.add(piece) > 0) this.dropped = true;
  }

  /** What is there, in order; it stays. */
  peek(): Uint8Array {
    return this.ring.peek(this.ring.length);
  }

  /** Takes everything out: the bytes in order, and whether earlier output was lost. */
  take(): { bytes: Uint8Array; dropped: boolean } {
    const taken = { bytes: this.ring.take(this.ring.length), dropped: this.dropped };
    this.dropped = false;
    return taken;
  }
}
