/** A disk in memory that loses power: at a chosen operation, and then, of what was not flushed, any sectors. */
import type { Disk } from "../../../../guests/typescript/runtime/volume/disk.ts";
import type { Random } from "../../../sim/random.ts";

export class PowerCut extends Error {}

export class CutDisk implements Disk {
  readOnly = false;
  /** Writes and flushes so far; the one with this number is the first that is not done, or not wholly. */
  operations = 0;
  cutAt = Infinity;
  reads = 0;
  flushes = 0;
  private stable: Uint8Array;
  private current: Uint8Array;
  /** Sectors that were written since the last flush. */
  private loose = new Set<number>();

  constructor(
    readonly sectors: number,
    readonly sectorBytes = 512,
  ) {
    this.stable = new Uint8Array(sectors * sectorBytes);
    this.current = this.stable.slice();
  }

  private check(sector: number, bytes: Uint8Array): number {
    if (!Number.isInteger(sector) || bytes.length === 0 || bytes.length % this.sectorBytes !== 0) {
      throw new RangeError(`${bytes.length} bytes at sector ${sector}`);
    }
    const at = sector * this.sectorBytes;
    if (at < 0 || at + bytes.length > this.current.length) throw new RangeError(`beyond the disk: sector ${sector}`);
    return at;
  }

  read(sector: number, into: Uint8Array): void {
    const at = this.check(sector, into);
    this.reads++;
    into.set(this.current.subarray(at, at + into.length));
  }

  write(sector: number, bytes: Uint8Array): void {
    const at = this.check(sector, bytes);
    if (this.readOnly) throw new Error("a write to a disk that cannot be written");
    const cut = this.operations++ >= this.cutAt;
    this.current.set(bytes, at);
    for (let i = 0; i < bytes.length / this.sectorBytes; i++) this.loose.add(sector + i);
    if (cut) throw new PowerCut();
  }

  flush(): void {
    if (this.operations++ >= this.cutAt) throw new PowerCut();
    this.flushes++;
    for (const sector of this.loose) this.keep(sector);
    this.loose.clear();
  }

  private keep(sector: number): void {
    const [at, end] = [sector * this.sectorBytes, (sector + 1) * this.sectorBytes];
    this.stable.set(this.current.subarray(at, end), at);
  }

  /** Power comes back: of what was not flushed every sector is there or not. */
  powerUp(random: Random): CutDisk {
    const next = new CutDisk(this.sectors, this.sectorBytes);
    const share = random.below(5); // none of them, all of them, or some
    for (const sector of this.loose) if (random.below(4) < share) this.keep(sector);
    next.stable = this.stable.slice();
    next.current = this.stable.slice();
    return next;
  }

  /** The same contents on a larger, or smaller, disk. */
  resized(sectors: number): CutDisk {
    const next = new CutDisk(sectors, this.sectorBytes);
    const kept = this.current.subarray(0, sectors * this.sectorBytes);
    next.stable.set(kept);
    next.current.set(kept);
    return next;
  }

  /** Bytes as they are read, to look at or to change. */
  bytes(): Uint8Array {
    return this.current;
  }
}
