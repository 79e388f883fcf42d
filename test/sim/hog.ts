/** A domain that only takes memory, and leaves the simulated machine a few frames: never enough for what others want. */
import type { Dom0 } from "./dom0.ts";
import type { Random } from "./random.ts";
import { Violation } from "./svm-cpu.ts";

/** Frames that domain 0 asks for in one call. */
const BATCH = 64;
const MOST = 1 << 14;
/** Frames given back at a time, at most: about as many as a new guest takes. */
const RELEASED = 80;

export class Hog {
  private readonly id: number;
  /** Frames it has, by their gfns, and the next that was never used. */
  private readonly gfns: number[] = [];
  private next = 0;

  constructor(
    private readonly dom0: Dom0,
    private readonly random: Random,
  ) {
    this.id = dom0.create();
    if (this.id < 0 || dom0.maxMem(this.id, MOST) !== 0) throw new Violation(`no domain to take memory: ${this.id}`);
  }

  /** Takes all there is, or gives some of it back. */
  turn(): void {
    if (this.random.below(3) !== 0) this.take();
    else this.give(this.random.below(RELEASED));
  }

  /** Leaves `frames` at least: the self-check needs some to count in. */
  leave(frames: number): void {
    this.give(frames);
  }

  private take(): void {
    for (;;) {
      const wanted = Array.from({ length: BATCH }, (_, i) => this.next + i);
      const given = this.dom0.populate(this.id, wanted);
      if (given < 0) throw new Violation(`populate_physmap returned ${given}`);
      this.gfns.push(...wanted.slice(0, given));
      this.next += given;
      if (given < BATCH) return;
    }
  }

  private give(count: number): void {
    const gfns = this.gfns.splice(0, count);
    const released = gfns.length > 0 ? this.dom0.release(this.id, gfns) : 0;
    if (released !== gfns.length) throw new Violation(`${released} of ${gfns.length} frames were given back`);
  }

  destroy(): void {
    for (let tries = 0; this.dom0.destroy(this.id) !== 0; tries++) {
      if (tries > 1000) throw new Violation("destroying the domain that takes memory never ends");
    }
  }
}
