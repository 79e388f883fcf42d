/**
 * A disk with a volatile write cache. A write is in the cache when it is done, and on the medium after a flush that was submitted later, or
 * if it has FUA. When the power fails, each sector is on the medium as it was after the last flush, or as any write since has
 * left it, done or not, each sector for itself: a write may be torn, and later ones may have been faster than earlier ones.
 */
import type { Random } from "./random.ts";

export const SECTOR = 512;
export const READ = 0;
export const WRITE = 1;
export const FLUSH = 2;
export const DISCARD = 3;
export const FUA = 1;
export const CAN_DISCARD = 1;
export const HAS_CACHE = 4;

/** A request that the disk has taken. */
export interface DiskRequest {
  handle: number;
  operation: number;
  sector: number;
  sectors: number;
  flags: number;
  /** Its data, in the driver's memory. */
  parts: Uint8Array[];
  /** When it was submitted. */
  submitted: number;
}

interface Version {
  data: Uint8Array;
  done: number;
}

export interface DiskOptions {
  sectors: number;
  sectorSize?: number;
  readOnly?: boolean;
  segmentsMax?: number;
  sectorsMax?: number;
  /** Requests that it takes at once. */
  depth?: number;
}

export class SimDisk {
  readonly medium: Uint8Array;
  readonly sectors: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly segmentsMax: number;
  readonly sectorsMax: number;
  readonly depth: number;
  readonly inFlight: DiskRequest[] = [];
  private readonly cache = new Map<number, Version[]>();
  private clock = 0;
  /** What becomes of a request: 0, or a negative errno; a write that fails may have written some of it. */
  outcome: ((request: DiskRequest) => number) | null = null;
  /** Called for each write to the medium's cache; for counting, and for asserting where is never written. */
  onWrite: ((sector: number, sectors: number) => void) | null = null;
  counts = { reads: 0, writes: 0, flushes: 0, sectorsRead: 0, sectorsWritten: 0 };

  constructor(options: DiskOptions) {
    this.sectors = options.sectors;
    this.sectorSize = options.sectorSize ?? SECTOR;
    this.readOnly = options.readOnly ?? false;
    this.segmentsMax = options.segmentsMax ?? 128;
    this.sectorsMax = options.sectorsMax ?? 2048;
    this.depth = options.depth ?? 64;
    this.medium = new Uint8Array(options.sectors * SECTOR);
  }

  /** Takes a request; false when it has enough. */
  submit(request: Omit<DiskRequest, "submitted">): boolean {
    if (this.inFlight.length >= this.depth) return false;
    this.inFlight.push({ ...request, submitted: ++this.clock });
    return true;
  }

  /** The latest content of a sector. */
  private latest(sector: number): Uint8Array {
    const versions = this.cache.get(sector);
    return versions ? versions[versions.length - 1]!.data : this.mediumAt(sector);
  }

  private mediumAt(sector: number): Uint8Array {
    return this.medium.subarray(sector * SECTOR, (sector + 1) * SECTOR);
  }

  /** Performs request number `i` of those in flight; its status. */
  perform(i: number, random: Random): { request: DiskRequest; status: number } {
    const request = this.inFlight.splice(i, 1)[0]!;
    const status = this.outcome?.(request) ?? 0;
    this.clock++;
    if (request.operation === READ) {
      this.counts.reads++;
      this.counts.sectorsRead += request.sectors;
      if (status === 0) scatter(request.parts, (n) => this.latest(request.sector + n));
    } else if (request.operation === WRITE) {
      this.counts.writes++;
      this.counts.sectorsWritten += request.sectors;
      this.onWrite?.(request.sector, request.sectors);
      gather(request.parts, (n, data) => {
        if (status !== 0 && !random.chance(0.5)) return;
        const sector = request.sector + n;
        if (request.flags & FUA && status === 0) {
          this.mediumAt(sector).set(data);
          this.cache.delete(sector);
        } else {
          const versions = this.cache.get(sector);
          if (versions) versions.push({ data, done: this.clock });
          else this.cache.set(sector, [{ data, done: this.clock }]);
        }
      });
    } else if (request.operation === FLUSH) {
      this.counts.flushes++;
      if (status === 0) this.flushed(request.submitted);
    }
    return { request, status };
  }

  /** What was done before `submitted` is on the medium. */
  private flushed(submitted: number): void {
    for (const [sector, versions] of this.cache) {
      const last = versions.findLastIndex((version) => version.done < submitted);
      if (last < 0) continue;
      this.mediumAt(sector).set(versions[last]!.data);
      versions.splice(0, last + 1);
      if (versions.length === 0) this.cache.delete(sector);
    }
  }

  /**
   * The power fails.
   * @param mode what is kept of what was not flushed: nothing, everything that was done, or of each sector anything it ever was
   */
  powerFails(random: Random, mode: "nothing" | "done" | "anything"): void {
    if (mode !== "nothing") {
      if (mode === "anything") {
        for (const request of this.inFlight) {
          if (request.operation !== WRITE) continue;
          gather(request.parts, (n, data) => {
            if (!random.chance(0.5)) return;
            const sector = request.sector + n;
            const versions = this.cache.get(sector) ?? [];
            versions.push({ data, done: this.clock });
            this.cache.set(sector, versions);
          });
        }
      }
      for (const [sector, versions] of this.cache) {
        const which = mode === "done" ? versions.length : random.below(versions.length + 1);
        if (which > 0) this.mediumAt(sector).set(versions[which - 1]!.data);
      }
    }
    this.cache.clear();
    this.inFlight.length = 0;
  }

  /** The disk is reset, because its driver was restarted: of what is in flight, each sector was written or not; the cache stays. */
  reset(random: Random): void {
    for (const request of this.inFlight) {
      if (request.operation !== WRITE) continue;
      gather(request.parts, (n, data) => {
        if (!random.chance(0.5)) return;
        const versions = this.cache.get(request.sector + n) ?? [];
        versions.push({ data, done: ++this.clock });
        this.cache.set(request.sector + n, versions);
      });
    }
    this.inFlight.length = 0;
  }

  /** Reads what the disk would return now. */
  peek(sector: number, sectors: number): Buffer {
    return Buffer.concat(Array.from({ length: sectors }, (_, n) => this.latest(sector + n)));
  }

  /** Changes what is on the medium, behind everybody's back. */
  corrupt(sector: number, change: (data: Uint8Array) => void): void {
    this.flushed(Number.MAX_SAFE_INTEGER);
    change(this.mediumAt(sector));
  }
}

function scatter(parts: Uint8Array[], source: (n: number) => Uint8Array): void {
  let n = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += SECTOR) part.set(source(n++), at);
  }
}

function gather(parts: Uint8Array[], sink: (n: number, data: Uint8Array) => void): void {
  let n = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += SECTOR) sink(n++, part.slice(at, at + SECTOR));
  }
}
