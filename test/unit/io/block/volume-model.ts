/**
 * What volumes must hold, whatever happens: a model of a store that is told of every request when it is submitted and when it is done,
 * and judges what is read back.
 *
 * Of each sector it knows the number of its content: what it is now, what is on its way to it, and everything it has been since the
 * last flush, any of which a loss of power may leave.
 */
import { sectorTag } from "./volume-host.ts";

/** A volume, or a snapshot. */
export class ModelVolume {
  /** Number of each sector's content; what is not here is zeroes. */
  private readonly now = new Map<number, number>();
  /** Numbers of writes on their way. */
  private readonly flying = new Map<number, number[]>();
  /** What the sector was since the last flush: the first one is durable. */
  private readonly since = new Map<number, { tag: number; at: number }[]>();
  /** Of a snapshot: what it may hold, where the test cannot know. */
  private readonly maybe = new Map<number, Set<number>>();
  /** Snapshots that are being taken of it. */
  private readonly taking = new Set<ModelVolume>();
  private clock = 1;
  /** A size that it may have instead: a change of it failed with the disk. */
  otherSize: number | null = null;

  constructor(
    readonly name: string,
    public sectors: number,
    readonly snapshot: boolean,
  ) {}

  get time(): number {
    return this.clock++;
  }

  begun(sector: number, sectors: number, tag: number): void {
    for (let s = sector; s < sector + sectors; s++) {
      const list = this.flying.get(s);
      if (list) list.push(tag);
      else this.flying.set(s, [tag]);
      for (const snapshot of this.taking) snapshot.may(s, tag);
    }
  }

  /** A write is done: it is what the sector is from now on, unless it failed; then it may be. */
  done(sector: number, sectors: number, tag: number, status: number, durable: boolean): void {
    const at = this.time;
    for (let s = sector; s < sector + sectors; s++) {
      const list = this.flying.get(s)!;
      list.splice(list.indexOf(tag), 1);
      if (list.length === 0) this.flying.delete(s);
      const since = this.history(s);
      since.push({ tag, at });
      if (status !== 0) {
        const may = this.maybe.get(s) ?? new Set([this.now.get(s) ?? 0]);
        may.add(tag);
        this.maybe.set(s, may);
        continue;
      }
      this.maybe.delete(s);
      this.now.set(s, tag);
      if (durable) this.since.set(s, [{ tag, at }]);
    }
  }

  /** What a sector was since the last flush; begins with what it is, or may be, now. */
  private history(sector: number): { tag: number; at: number }[] {
    const known = this.since.get(sector);
    if (known) return known;
    const tags = this.maybe.get(sector) ?? [this.now.get(sector) ?? 0];
    const since = [...tags].map((tag) => ({ tag, at: 0 }));
    this.since.set(sector, since);
    return since;
  }

  /** A flush that was submitted at `from` is done. */
  flushed(from: number): void {
    for (const [s, since] of this.since) {
      const last = since.findLastIndex(({ at }) => at < from);
      if (last > 0 && since[last]!.at > 0) since.splice(0, last);
      if (since.length === 1) this.since.delete(s);
    }
  }

  private may(sector: number, tag: number): void {
    const set = this.maybe.get(sector) ?? new Set([this.now.get(sector) ?? 0]);
    set.add(tag);
    this.maybe.set(sector, set);
  }

  /** A snapshot begins to be taken: it will hold what is there now, or what is on its way. */
  takeBegin(name: string): ModelVolume {
    const snapshot = new ModelVolume(name, this.sectors, true);
    for (const [s, tag] of this.now) snapshot.now.set(s, tag);
    for (const [s, tags] of this.maybe) snapshot.maybe.set(s, new Set(tags));
    for (const [s, tags] of this.flying) for (const tag of tags) snapshot.may(s, tag);
    this.taking.add(snapshot);
    return snapshot;
  }

  takeEnd(snapshot: ModelVolume): void {
    this.taking.delete(snapshot);
  }

  /** A volume that begins as a copy of this one. */
  copy(name: string, snapshot: boolean): ModelVolume {
    const copy = new ModelVolume(name, this.sectors, snapshot);
    for (const [s, tag] of this.now) copy.now.set(s, tag);
    for (const [s, tags] of this.maybe) copy.maybe.set(s, new Set(tags));
    return copy;
  }

  /** What is beyond a new end is gone. */
  resize(sectors: number): void {
    for (const map of [this.now, this.maybe, this.since]) {
      for (const s of map.keys()) if (s >= sectors) map.delete(s);
    }
    this.sectors = sectors;
    this.otherSize = null;
  }

  /** The power has failed: of each sector, anything since the last flush may be there. */
  powerFailed(): void {
    for (const [s, since] of this.since) for (const { tag } of since) this.may(s, tag);
    this.restarted();
    this.since.clear();
  }

  /** The domain was restarted: what was on its way may have arrived. */
  restarted(): void {
    for (const [s, tags] of this.flying) {
      for (const tag of tags) {
        this.may(s, tag);
        this.history(s).push({ tag, at: this.time });
      }
    }
    this.flying.clear();
    this.taking.clear();
  }

  /** Whether a request for these sectors would race with one on its way. */
  busy(sector: number, sectors: number): boolean {
    for (let s = sector; s < sector + sectors; s++) if (this.flying.has(s)) return true;
    return false;
  }

  /** Judges what was read while nothing was on its way to these sectors; from then on they must stay what they are. */
  check(sector: number, data: Buffer): void {
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
    for (let i = 0; i * 512 < data.length; i++) {
      const s = sector + i;
      const tag = sectorTag(words, i * 128, s);
      if (tag === null) throw new Error(`${this.name}: sector ${s} holds what no write has left there`);
      const may = this.maybe.get(s);
      const now = this.now.get(s) ?? 0;
      if (may ? !may.has(tag) : tag !== now) {
        const allowed = may ? [...may].join(" or ") : String(now);
        throw new Error(`${this.name}: sector ${s} holds write ${tag}, it must hold ${allowed}`);
      }
      if (!may) continue;
      this.maybe.delete(s);
      if (tag === 0) this.now.delete(s);
      else this.now.set(s, tag);
    }
  }

  /** Whether a sector holds anything, or may. */
  get written(): number {
    return this.now.size;
  }
}
