/**
 * Which blocks are free. A block that the last commit knows is not given to anybody before the next commit, also when it was freed: after a
 * loss of power it may be what it was.
 */

export class Space {
  /** A bit for each block that is in use now; and in use as of the last commit. */
  private readonly used: Uint8Array;
  private readonly committed: Uint8Array;
  /** Runs whose use has changed since the last commit: start and count, again and again. */
  private changed: number[] = [];
  private cursor: number;
  private usedBlocks = 0;
  /** Blocks that are free, but were not at the last commit. */
  private held = 0;

  /** @param first block of data, and `end` behind the last */
  constructor(
    readonly first: number,
    readonly end: number,
  ) {
    this.used = new Uint8Array(Math.ceil(end / 8));
    this.committed = new Uint8Array(this.used.length);
    this.cursor = first;
  }

  /** Blocks that can be taken now; and behind the next commit. */
  get free(): number {
    return this.end - this.first - this.usedBlocks - this.held;
  }
  get freeAfterCommit(): number {
    return this.end - this.first - this.usedBlocks;
  }

  /** Whether the last commit does not know a block: it may be overwritten. */
  isFresh(block: number): boolean {
    return (this.committed[block >> 3]! & (1 << (block & 7))) === 0;
  }

  /** A file has these blocks as of the last commit. False when one of them is another's already, or is none. */
  adopt(start: number, count: number): boolean {
    if (start < this.first || start + count > this.end) return false;
    for (let block = start; block < start + count; block++) {
      const bit = 1 << (block & 7);
      if (this.used[block >> 3]! & bit) return false;
      this.used[block >> 3]! |= bit;
      this.committed[block >> 3]! |= bit;
    }
    this.usedBlocks += count;
    return true;
  }

  private isFree(block: number): boolean {
    return ((this.used[block >> 3]! | this.committed[block >> 3]!) & (1 << (block & 7))) === 0;
  }

  /** The first free block from one on; `end` when there is none. */
  private seek(from: number): number {
    for (let block = from; block < this.end; block++) {
      // A byte of eight that are all in use.
      if ((block & 7) === 0 && (this.used[block >> 3]! | this.committed[block >> 3]!) === 0xff) block += 7;
      else if (this.isFree(block)) return block;
    }
    return this.end;
  }

  /**
   * Takes up to `most` blocks behind each other, the first of them at `wanted` if that is free. There must be a free one.
   * @returns the first, and how many
   */
  take(most: number, wanted: number): { start: number; count: number } {
    let start = wanted >= this.first && wanted < this.end && this.isFree(wanted) ? wanted : this.seek(this.cursor);
    if (start === this.end) start = this.seek(this.first);
    let count = 0;
    while (count < most && start + count < this.end && this.isFree(start + count)) {
      this.used[(start + count) >> 3]! |= 1 << ((start + count) & 7);
      count++;
    }
    this.usedBlocks += count;
    this.cursor = start + count;
    this.changed.push(start, count);
    return { start, count };
  }

  /** Gives blocks back. */
  release(start: number, count: number): void {
    for (let block = start; block < start + count; block++) {
      const bit = 1 << (block & 7);
      this.used[block >> 3]! &= ~bit;
      if (this.committed[block >> 3]! & bit) this.held++;
    }
    this.usedBlocks -= count;
    this.changed.push(start, count);
  }

  /** There was a commit: what is in use now is what it knows. */
  settle(): void {
    for (let i = 0; i < this.changed.length; i += 2) {
      const [start, count] = [this.changed[i]!, this.changed[i + 1]!];
      for (let block = start; block < start + count; block++) {
        const bit = 1 << (block & 7);
        this.committed[block >> 3] = (this.committed[block >> 3]! & ~bit) | (this.used[block >> 3]! & bit);
      }
    }
    this.changed = [];
    this.held = 0;
  }
}
