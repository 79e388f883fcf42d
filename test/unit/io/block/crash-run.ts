/**
 * A run of random operations on a store, with losses of power and restarts of the domain in between, on a disk that loses its cache with the
 * power. After each of them the store must mount, its check must find nothing, and every volume must hold what the model allows.
 * Everything is drawn from the steps and the seed, so that a run that fails fails again, and can be made shorter.
 */
import { Random } from "./random.ts";
import { DISCARD, FLUSH, FUA, READ, SECTOR, SimDisk, WRITE } from "./sim-disk.ts";
import { CREATE, Crash, DELETE, RESIZE, sectorData, SNAPSHOT, VolumeHost } from "./volume-host.ts";
import { ModelVolume } from "./volume-model.ts";

export type Step =
  | { kind: "write"; pick: number; at: number; length: number; fua: boolean; part: number }
  | { kind: "discard"; pick: number; at: number; length: number }
  | { kind: "read"; pick: number; at: number; length: number }
  | { kind: "flush"; pick: number }
  | { kind: "advance"; requests: number }
  | { kind: "settle" }
  | { kind: "create"; sectors: number }
  | { kind: "delete"; pick: number }
  | { kind: "resize"; pick: number; sectors: number }
  | { kind: "snapshot"; pick: number }
  | { kind: "clone"; pick: number }
  | { kind: "commit" }
  | { kind: "power"; mode: "nothing" | "done" | "anything" }
  | { kind: "restart"; after: number };

/** Sectors of a volume, at most: 2 MiB and a part. */
const SECTORS_MAX = 4200;
const VOLUMES_MAX = 8;
const OUTSTANDING_MAX = 24;

interface Open {
  device: number;
  outstanding: number;
}

export interface RunOptions {
  diskSectors?: number;
  sectorSize?: number;
  segmentsMax?: number;
  sectorsMax?: number;
  depth?: number;
  /** A status for some requests of the disk. */
  errors?: number;
}

export interface RunStatistics {
  crashes: number;
  checks: number;
  writes: number;
}

export class CrashRun {
  readonly random: Random;
  readonly disk: SimDisk;
  readonly host: VolumeHost;
  readonly statistics: RunStatistics = { crashes: 0, checks: 0, writes: 0 };
  private volumes = new Map<string, ModelVolume>();
  /** Volumes whose operation is not answered yet: they may be there or not. */
  private uncertain = new Map<string, { before: ModelVolume | null; after: ModelVolume | null }>();
  private readonly open = new Map<string, Open>();
  private tag = 0;
  private names = 0;
  private outstanding = 0;
  private failing = false;

  constructor(
    module: WebAssembly.Module,
    seed: number,
    private readonly options: RunOptions = {},
  ) {
    this.random = new Random(seed);
    const { diskSectors = 24 * 2048, sectorSize, segmentsMax, sectorsMax, depth } = options;
    this.disk = new SimDisk({
      sectors: diskSectors,
      ...(sectorSize === undefined ? {} : { sectorSize }),
      ...(segmentsMax === undefined ? {} : { segmentsMax }),
      ...(sectorsMax === undefined ? {} : { sectorsMax }),
      ...(depth === undefined ? {} : { depth }),
    });
    this.host = new VolumeHost(module, [this.disk], this.random);
    this.host.settle();
    if (this.host.format() !== 0) throw new Error("the disk cannot be formatted");
    if (options.errors !== undefined) {
      this.disk.outcome = () => (this.failing && this.random.chance(options.errors!) ? -5 : 0);
    }
  }

  run(steps: readonly Step[]): void {
    this.failing = this.options.errors !== undefined;
    for (const step of steps) this.step(step);
    this.failing = false;
    this.host.settle();
    this.powerFails("anything");
  }

  private pick(n: number, fit: (v: ModelVolume) => boolean): ModelVolume | null {
    const fitting = [...this.volumes.values()].filter((v) => !this.uncertain.has(v.name) && fit(v));
    return fitting.length === 0 ? null : fitting[n % fitting.length]!;
  }

  private step(step: Step): void {
    const unit = this.disk.sectorSize / SECTOR;
    switch (step.kind) {
      case "write":
      case "discard":
      case "read": {
        const v = this.pick(step.pick, (v) => step.kind === "read" || !v.snapshot);
        if (v === null || this.outstanding >= OUTSTANDING_MAX) return;
        const sector = Math.floor((step.at % v.sectors) / unit) * unit;
        const sectors = Math.min(Math.max(Math.floor(step.length / unit), 1) * unit, v.sectors - sector);
        if (sectors > 0 && !v.busy(sector, sectors)) this.request(v, step, sector, sectors);
        return;
      }
      case "flush": {
        const v = this.pick(step.pick, (v) => !v.snapshot);
        if (v !== null && this.outstanding < OUTSTANDING_MAX) this.flush(v);
        return;
      }
      case "advance":
        this.host.advance(step.requests);
        return;
      case "settle":
        this.host.settle();
        return;
      case "commit":
        this.host.exports["commit"]!(0);
        return;
      case "power":
        this.powerFails(step.mode);
        return;
      case "restart":
        this.restart(step.after);
        return;
      default:
        this.operation(step);
    }
  }

  // --- Requests ---------------------------------------------------------------------------------------------------------

  private device(v: ModelVolume): Open | null {
    const known = this.open.get(v.name);
    if (known) return known;
    const device = this.host.open(v.name, !v.snapshot);
    if (device < 0) {
      // It is being made smaller, or the disk fails.
      if (device !== -16 && !this.failing) throw new Error(`${v.name} cannot be opened: ${device}`);
      return null;
    }
    const open = { device, outstanding: 0 };
    this.open.set(v.name, open);
    return open;
  }

  private request(v: ModelVolume, step: Step, sector: number, sectors: number): void {
    const open = this.device(v);
    if (open === null || v.busy(sector, sectors)) return;
    const begin = (): void => {
      open.outstanding++;
      this.outstanding++;
    };
    const end = (): void => {
      open.outstanding--;
      this.outstanding--;
    };
    if (step.kind === "read") {
      // Whatever is on its way to these sectors would make the answer unknowable; nothing is, and nothing gets there before it.
      const { status, data } = this.host.performed(open.device, READ, sector, sectors);
      if (status === 0) v.check(sector, data);
      else if (!this.failing) throw new Error(`${v.name}: a read failed: ${status}`);
      return;
    }
    if (step.kind === "write") {
      const tag = ++this.tag;
      const data = sectorData(tag, sector, sectors);
      const part = Math.max(step.part, this.disk.sectorSize);
      v.begun(sector, sectors, tag);
      begin();
      this.statistics.writes++;
      const flags = step.fua ? FUA : 0;
      const rc = this.host.request(open.device, WRITE, sector, sectors, { data, flags, part }, ({ status }) => {
        end();
        this.allowed(status);
        v.done(sector, sectors, tag, status, step.fua);
      });
      if (rc !== 0) throw new Error(`${v.name}: a write was refused: ${rc}`);
      return;
    }
    // Whole blocks are zeroes afterwards, the rest stays.
    const first = Math.ceil(sector / 8) * 8;
    const last = Math.floor((sector + sectors) / 8) * 8;
    const covered = Math.max(last - first, 0);
    v.begun(first, covered, 0);
    begin();
    const rc = this.host.request(open.device, DISCARD, sector, sectors, {}, ({ status }) => {
      end();
      this.allowed(status);
      v.done(first, covered, 0, status, false);
    });
    if (rc !== 0) throw new Error(`${v.name}: a discard was refused: ${rc}`);
  }

  private flush(v: ModelVolume): void {
    const open = this.device(v);
    if (open === null) return;
    const from = v.time;
    open.outstanding++;
    this.outstanding++;
    const rc = this.host.request(open.device, FLUSH, 0, 0, {}, ({ status }) => {
      open.outstanding--;
      this.outstanding--;
      this.allowed(status);
      if (status === 0) v.flushed(from);
    });
    if (rc !== 0) throw new Error(`${v.name}: a flush was refused: ${rc}`);
  }

  /** A store that is full says so; a disk that fails is not asked for more. */
  private allowed(status: number): void {
    if (status !== 0 && status !== -28 && !(status === -5 && this.options.errors !== undefined)) {
      throw new Error(`a request failed: ${status}`);
    }
  }

  // --- Operations -------------------------------------------------------------------------------------------------------

  private closeIdle(v: ModelVolume): boolean {
    const open = this.open.get(v.name);
    if (open === undefined) return true;
    if (open.outstanding > 0) return false;
    this.host.close(open.device, !v.snapshot);
    this.open.delete(v.name);
    return true;
  }

  private operation(step: Step): void {
    if (step.kind === "create") {
      if (this.volumes.size + this.uncertain.size >= VOLUMES_MAX) return;
      const name = `v${this.names++}`;
      const sectors = Math.ceil((step.sectors % SECTORS_MAX) / 8) * 8 + 8;
      this.begin(CREATE, name, { sectors }, name, null, new ModelVolume(name, sectors, false));
      return;
    }
    if (step.kind === "delete") {
      const v = this.pick(step.pick, () => true);
      if (v === null || !this.closeIdle(v)) return;
      this.begin(DELETE, v.name, {}, v.name, v, null);
      return;
    }
    if (step.kind === "resize") {
      const v = this.pick(step.pick, (v) => !v.snapshot);
      if (v === null) return;
      const sectors = Math.ceil((step.sectors % SECTORS_MAX) / 8) * 8 + 8;
      if (sectors === v.sectors || (sectors < v.sectors && !this.closeIdle(v))) return;
      const after = v.copy(v.name, false);
      if (sectors > v.sectors) {
        // It stays in use meanwhile.
        this.host.operate(RESIZE, v.name, { sectors }, ({ status }) => {
          if (status === 0) v.resize(sectors);
          else if (status === -5 && this.options.errors !== undefined) v.otherSize = sectors;
          else if (status !== -16) throw new Error(`resize: ${status}`);
        });
        this.host.settle();
        return;
      }
      after.resize(sectors);
      this.begin(RESIZE, v.name, { sectors }, v.name, v, after);
      return;
    }
    if (step.kind === "snapshot" || step.kind === "clone") {
      const isSnapshot = step.kind === "snapshot";
      const v = this.pick(step.pick, (v) => v.snapshot !== isSnapshot);
      if (v === null || this.volumes.size + this.uncertain.size >= VOLUMES_MAX) return;
      const name = `${isSnapshot ? "s" : "v"}${this.names++}`;
      const taken = isSnapshot ? v.takeBegin(name) : v.copy(name, false);
      this.begin(SNAPSHOT, v.name, { newName: name }, name, null, taken, () => v.takeEnd(taken));
    }
  }

  private begin(
    kind: number,
    name: string,
    options: { newName?: string; sectors?: number },
    subject: string,
    before: ModelVolume | null,
    after: ModelVolume | null,
    ended: () => void = () => {},
  ): void {
    this.uncertain.set(subject, { before, after });
    this.host.operate(kind, name, options, ({ status }) => {
      ended();
      // -EIO: it may have been done or not.
      if (status === -5 && this.options.errors !== undefined) return;
      this.uncertain.delete(subject);
      if (status === 0) {
        if (after === null) this.volumes.delete(subject);
        else this.volumes.set(subject, after);
        return;
      }
      // In use, or volumes were made from it, or it is full.
      if (status !== -16 && status !== -39 && status !== -28)
        throw new Error(`operation ${kind} on ${name}: ${status}`);
    });
  }

  // --- Crashes ----------------------------------------------------------------------------------------------------------

  private powerFails(mode: "nothing" | "done" | "anything"): void {
    const failing = this.failing;
    this.failing = false;
    this.statistics.crashes++;
    this.disk.powerFails(this.random, mode);
    // Stable memory does not survive it.
    this.host.forget();
    for (const v of this.allVolumes()) v.powerFailed();
    this.afterwards();
    this.failing = failing;
  }

  /** The domain dies at the access after `after` others, or at rest. */
  private restart(after: number): void {
    const failing = this.failing;
    this.failing = false;
    this.statistics.crashes++;
    this.host.crashAfter = after;
    try {
      this.host.advance(4);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
    for (const v of this.allVolumes()) v.restarted();
    this.afterwards();
    this.failing = failing;
  }

  private *allVolumes(): Generator<ModelVolume> {
    const seen = new Set<ModelVolume>();
    for (const v of this.volumes.values()) seen.add(v);
    for (const { before, after } of this.uncertain.values()) {
      if (before) seen.add(before);
      if (after) seen.add(after);
    }
    yield* seen;
  }

  private afterwards(): void {
    const { host } = this;
    this.open.clear();
    this.outstanding = 0;
    host.log = "";
    host.start();
    while (host.fact("ready") === 0) {
      if (!host.advance(1)) throw new Error(`the store does not mount: ${host.fact("reason")}, ${host.log}`);
    }
    const problems = host.check();
    this.statistics.checks++;
    if (problems !== 0) throw new Error(host.log);
    if (host.log.includes("cannot be made again")) throw new Error(host.log);
    this.compareList();
    if (this.random.chance(0.5)) host.settle();
    for (const v of this.volumes.values()) this.compare(v);
    host.settle();
    if (!host.idle) throw new Error("something of the module's pools is lost");
  }

  private compareList(): void {
    const listed = new Map(
      this.host
        .list()
        .filter((v) => v.name !== "")
        .map((v) => [v.name, v]),
    );
    for (const [name, { before, after }] of this.uncertain) {
      const there = listed.get(name);
      const which = [after, before].find((v) => (v === null ? there === undefined : there?.sectors === v.sectors));
      if (which === undefined) throw new Error(`${name} is neither what it was nor what it was to become`);
      if (which === null) this.volumes.delete(name);
      else this.volumes.set(name, which);
    }
    this.uncertain.clear();
    const names = [...listed.keys()].sort().join(" ");
    const expected = [...this.volumes.keys()].sort().join(" ");
    if (names !== expected) throw new Error(`there are ${names}, there should be ${expected}`);
    for (const v of this.volumes.values()) {
      const { sectors } = listed.get(v.name)!;
      if (sectors === v.otherSize) v.resize(sectors);
      if (sectors !== v.sectors) throw new Error(`${v.name} has another size`);
      v.otherSize = null;
    }
  }

  private compare(v: ModelVolume): void {
    const device = this.host.open(v.name, false);
    if (device < 0) throw new Error(`${v.name} cannot be opened: ${device}`);
    for (let sector = 0; sector < v.sectors; sector += 2048) {
      const sectors = Math.min(2048, v.sectors - sector);
      const { status, data } = this.host.performed(device, READ, sector, sectors);
      if (status !== 0) throw new Error(`${v.name} cannot be read: ${status}`);
      v.check(sector, data);
    }
    this.host.close(device, false);
  }
}
