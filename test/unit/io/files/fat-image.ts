/** FAT volumes made by mtools, whose FATs and directories tests can read and change. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FatBoot, FatEntry } from "../../../../abi/io/fat.ts";
import { SECTOR } from "../block/sim-disk.ts";

export interface FatOptions {
  /** Of 512 bytes. */
  sectors: number;
  clusterSectors?: number;
  /** Its own sectors, in bytes. */
  sectorBytes?: number;
  fat32?: boolean;
  /** Of the root directory, of FAT12 and FAT16. */
  rootSectors?: number;
  /** Cuts the volume off behind so many sectors: mtools makes no FAT32 of less than 33 MiB, and does not read one. */
  cut?: number;
}

function mtools(tool: string, image: string, args: string[]): void {
  const env = { ...process.env, MTOOLS_SKIP_CHECK: "1", MTOOLSRC: "/dev/null" };
  execFileSync(tool, ["-i", image, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs `work` with the name of a file that holds the bytes; what the file holds afterwards. */
function asFile(bytes: Uint8Array, work: (file: string, folder: string) => void): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), "typevisor-fat-"));
  try {
    const file = path.join(folder, "volume");
    writeFileSync(file, bytes);
    work(file, folder);
    return readFileSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Makes a volume. @param files by their paths; directories are made */
export function makeFat(options: FatOptions, files: Record<string, Uint8Array> = {}): FatImage {
  const { sectors, clusterSectors = 1, sectorBytes = SECTOR, fat32 = false, rootSectors } = options;
  const bytes = asFile(Buffer.alloc(0), (file, folder) => {
    truncateSync(file, sectors * SECTOR);
    const size = ["-T", String((sectors * SECTOR) / sectorBytes), "-h", "16", "-s", "63", "-c", String(clusterSectors)];
    const root = rootSectors === undefined ? [] : ["-r", String(rootSectors)];
    const kind = fat32 ? ["-F"] : [];
    mtools("mformat", file, [
      ...kind,
      ...size,
      ...root,
      "-M",
      String(sectorBytes),
      "-N",
      "12345678",
      "-v",
      "TEST",
      "::",
    ]);
    const made = new Set<string>();
    for (const [name, content] of Object.entries(files)) {
      const parts = name.split("/");
      for (let i = 1; i < parts.length; i++) {
        const folderName = parts.slice(0, i).join("/");
        if (!made.has(folderName)) mtools("mmd", file, [`::${folderName}`]);
        made.add(folderName);
      }
      const from = path.join(folder, "content");
      writeFileSync(from, content);
      mtools("mcopy", file, [from, `::${name}`]);
    }
  });
  if (options.cut === undefined) return new FatImage(bytes);
  bytes.writeUInt32LE(options.cut, FatBoot.sectors32);
  return new FatImage(Buffer.from(bytes.subarray(0, options.cut * SECTOR)));
}

/** A name's entry in a directory. */
export interface FoundEntry {
  /** Offset in the volume. */
  at: number;
  first: number;
  size: number;
}

export class FatImage {
  readonly bits: 12 | 16 | 32;
  /** In bytes. */
  readonly fatStart: number;
  readonly fatBytes: number;
  readonly fats: number;
  readonly rootStart: number;
  readonly dataStart: number;
  readonly clusterBytes: number;
  readonly clusters: number;
  readonly rootCluster: number;

  constructor(readonly bytes: Buffer) {
    const unit = bytes.readUInt16LE(FatBoot.sectorBytes);
    this.clusterBytes = bytes[FatBoot.clusterSectors]! * unit;
    this.fatStart = bytes.readUInt16LE(FatBoot.reserved) * unit;
    const short = bytes.readUInt16LE(FatBoot.fatSectors16);
    this.fatBytes = (short || bytes.readUInt32LE(FatBoot.fatSectors32)) * unit;
    this.fats = bytes[FatBoot.fats]!;
    this.rootStart = this.fatStart + this.fats * this.fatBytes;
    const rootBytes = bytes.readUInt16LE(FatBoot.rootEntries) * FatEntry.SIZE;
    this.dataStart = this.rootStart + Math.ceil(rootBytes / unit) * unit;
    const total = (bytes.readUInt16LE(FatBoot.sectors16) || bytes.readUInt32LE(FatBoot.sectors32)) * unit;
    this.clusters = Math.floor((total - this.dataStart) / this.clusterBytes);
    this.bits = short === 0 ? 32 : this.clusters < 4085 ? 12 : 16;
    this.rootCluster = short === 0 ? bytes.readUInt32LE(FatBoot.rootCluster) : 0;
  }

  get end(): number {
    return this.bits === 32 ? 0x0fffffff : this.bits === 16 ? 0xffff : 0xfff;
  }

  get(cluster: number): number {
    if (this.bits === 32) return this.bytes.readUInt32LE(this.fatStart + 4 * cluster) & 0x0fffffff;
    if (this.bits === 16) return this.bytes.readUInt16LE(this.fatStart + 2 * cluster);
    const two = this.bytes.readUInt16LE(this.fatStart + cluster + (cluster >> 1));
    return cluster & 1 ? two >> 4 : two & 0xfff;
  }

  /** In every FAT. */
  set(cluster: number, value: number): void {
    for (let fat = 0; fat < this.fats; fat++) {
      const start = this.fatStart + fat * this.fatBytes;
      if (this.bits === 32) this.bytes.writeUInt32LE(value, start + 4 * cluster);
      else if (this.bits === 16) this.bytes.writeUInt16LE(value, start + 2 * cluster);
      else {
        const at = start + cluster + (cluster >> 1);
        const two = this.bytes.readUInt16LE(at);
        this.bytes.writeUInt16LE(cluster & 1 ? (two & 0xf) | (value << 4) : (two & 0xf000) | value, at);
      }
    }
  }

  chain(first: number): number[] {
    const chain = [first];
    for (let next = this.get(first); next >= 2 && next < this.clusters + 2; next = this.get(next)) chain.push(next);
    return chain;
  }

  /** Offset of a cluster in the volume. */
  place(cluster: number): number {
    return this.dataStart + (cluster - 2) * this.clusterBytes;
  }

  /** The entry of a short name, upper case, such as "IMAGES/DISK.IMG". */
  entry(name: string): FoundEntry {
    let found: FoundEntry = { at: 0, first: this.rootCluster, size: 0 };
    for (const part of name.split("/")) {
      const [base, extension = ""] = part.split(".");
      const wanted = base!.padEnd(8) + extension.padEnd(3);
      const at = this.entries(found.first).find((i) => this.bytes.toString("latin1", i, i + 11) === wanted);
      if (at === undefined) throw new Error(`${part} is not there`);
      const high = this.bits === 32 ? this.bytes.readUInt16LE(at + FatEntry.clusterHigh) : 0;
      const first = this.bytes.readUInt16LE(at + FatEntry.clusterLow) + 0x10000 * high;
      found = { at, first, size: this.bytes.readUInt32LE(at + FatEntry.bytes) };
    }
    return found;
  }

  /** Offsets of a directory's entries; 0: the root directory of FAT12 and FAT16. */
  private entries(first: number): number[] {
    const offsets: number[] = [];
    const take = (from: number, to: number) => {
      for (let at = from; at < to; at += FatEntry.SIZE) offsets.push(at);
    };
    if (first === 0) take(this.rootStart, this.dataStart);
    else for (const cluster of this.chain(first)) take(this.place(cluster), this.place(cluster) + this.clusterBytes);
    return offsets;
  }

  /** Sets the first cluster of an entry. */
  setFirst({ at }: FoundEntry, cluster: number): void {
    this.bytes.writeUInt16LE(cluster & 0xffff, at + FatEntry.clusterLow);
    if (this.bits === 32) this.bytes.writeUInt16LE(cluster >>> 16, at + FatEntry.clusterHigh);
  }

  /** Moves a file to other clusters, in this order: as many as it has, which are free or its own. */
  move(name: string, to: number[]): void {
    const entry = this.entry(name);
    const from = this.chain(entry.first);
    if (from.length !== to.length) throw new Error(`${name} has ${from.length} clusters`);
    const data = from.map((c) => Buffer.from(this.bytes.subarray(this.place(c), this.place(c) + this.clusterBytes)));
    for (const cluster of from) this.set(cluster, 0);
    to.forEach((cluster, i) => {
      if (this.get(cluster) !== 0) throw new Error(`cluster ${cluster} is in use`);
      this.set(cluster, to[i + 1] ?? this.end);
      data[i]!.copy(this.bytes, this.place(cluster));
    });
    this.setFirst(entry, to[0]!);
  }
}

/** The content of a file of a volume, as mtools reads it. */
export function readFat(volume: Uint8Array, name: string): Buffer {
  let content: Buffer = Buffer.alloc(0);
  asFile(volume, (file, folder) => {
    const to = path.join(folder, "content");
    mtools("mcopy", file, [`::${name}`, to]);
    content = readFileSync(to);
  });
  return content;
}
