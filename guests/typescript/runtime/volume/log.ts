/** The two areas of records on a disk: formatting, mounting, commits and checkpoints. README.md has the format. */
import { crc32 } from "./crc32.ts";
import type { Disk } from "./disk.ts";
import { asciiJson, Damaged, type Entry, Nodes } from "./nodes.ts";

const VERSION = 1;
/** Both have bytes that records, which are ASCII, do not. */
const AREA_MAGIC = [0xd4, 0xf6, 0x54, 0x56, 0x46, 0x53, 0xc1, 0x0a];
const COMMIT_MAGIC = 0xc5f7e3d1;
const BLOCK_LEAST = 4096;
const BLOCK_MOST = 32_768;
/** Beyond so many, blocks are larger. */
const BLOCKS_MOST = 1 << 22;
/** A 64th of the disk is an area, within these; bytes. */
const AREA_SHARE = 64;
const AREA_LEAST = 64 * 1024;
const AREA_MOST = 8 * 1024 * 1024;
/** The smallest disk: areas and some blocks. */
export const DISK_LEAST = 4 * AREA_LEAST;
/** Bytes at a disk's beginning that are zero when nothing is on it. */
const BLANK_BYTES = 128 * 1024;
/** Bytes that are read or written in one piece, about. */
const PIECE = 32 * 1024;
/** A checkpoint may have so much of its area: the rest is log. */
const CHECKPOINT_SHARE = 0.75;

const COMMIT_HEAD = 24;

export interface Geometry {
  blockBytes: number;
  areaBlocks: number;
}

/** What a disk of a size is formatted with. @throws Damaged when it is too small or too large */
function geometryFor(bytes: number): Geometry {
  if (bytes < DISK_LEAST) throw new Damaged(`the disk has ${bytes} bytes: a volume needs ${DISK_LEAST} or more`);
  let blockBytes = BLOCK_LEAST;
  while (bytes / blockBytes > BLOCKS_MOST) blockBytes *= 2;
  if (blockBytes > BLOCK_MOST)
    throw new Damaged(`the disk has ${bytes} bytes: a volume has ${BLOCKS_MOST * BLOCK_MOST} at most`);
  const area = Math.min(Math.max(bytes / AREA_SHARE, AREA_LEAST), AREA_MOST);
  return { blockBytes, areaBlocks: Math.ceil(area / blockBytes) };
}

interface Header extends Geometry {
  /** Bytes of a sector when it was formatted: records begin at multiples of it. */
  unit: number;
  epoch: number;
  length: number;
  crc: number;
}

function encodeHeader({ unit, blockBytes, areaBlocks, epoch, length, crc }: Header): Uint8Array {
  const bytes = new Uint8Array(unit);
  const view = new DataView(bytes.buffer);
  bytes.set(AREA_MAGIC);
  [VERSION, unit, blockBytes, areaBlocks, epoch >>> 0, Math.floor(epoch / 2 ** 32), length, crc].forEach((word, i) =>
    view.setUint32(8 + 4 * i, word, true),
  );
  view.setUint32(40, crc32(bytes.subarray(0, 40)), true);
  return bytes;
}

function decodeHeader(bytes: Uint8Array): Header | null {
  if (!AREA_MAGIC.every((byte, i) => bytes[i] === byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const word = (i: number) => view.getUint32(8 + 4 * i, true);
  if (view.getUint32(40, true) !== crc32(bytes.subarray(0, 40))) return null;
  if (word(0) !== VERSION) throw new Damaged(`the volume has format ${word(0)}: this program knows ${VERSION}`);
  const epoch = word(4) + word(5) * 2 ** 32;
  return { unit: word(1), blockBytes: word(2), areaBlocks: word(3), epoch, length: word(6), crc: word(7) };
}

function textBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function bytesText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

function entriesOf(bytes: Uint8Array): Entry[] {
  try {
    return JSON.parse(bytesText(bytes)) as Entry[];
  } catch {
    throw new Damaged("records that are no JSON");
  }
}

export class Log {
  /** Where the next commit goes, from the area's beginning, bytes. */
  private at = 0;
  private sequence = 0;

  private constructor(
    private readonly disk: Disk,
    private header: Header,
    private area: 0 | 1,
  ) {}

  get geometry(): Geometry {
    return this.header;
  }

  private get areaBytes(): number {
    return this.header.areaBlocks * this.header.blockBytes;
  }

  /** Bytes that a checkpoint may have. */
  get checkpointMost(): number {
    return Math.floor(this.areaBytes * CHECKPOINT_SHARE) - 2 * this.header.unit;
  }

  private roundUp(bytes: number): number {
    return Math.ceil(bytes / this.header.unit) * this.header.unit;
  }

  private sector(area: 0 | 1, at: number): number {
    return (area * this.areaBytes + at) / this.disk.sectorBytes;
  }

  private read(area: 0 | 1, at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(this.roundUp(length));
    for (let done = 0; done < bytes.length; done += PIECE) {
      this.disk.read(this.sector(area, at + done), bytes.subarray(done, done + PIECE));
    }
    return bytes.subarray(0, length);
  }

  /**
   * Takes a disk into use; one that is blank is formatted.
   * @throws Damaged in words: it has something else on it, or is not what was written
   */
  static mount(disk: Disk, now: number): { log: Log; nodes: Nodes } {
    const first = new Uint8Array(disk.sectorBytes);
    disk.read(0, first);
    const header = decodeHeader(first);
    if (header === null) return Log.format(disk, now);
    if (header.unit % disk.sectorBytes !== 0) {
      throw new Damaged(`the disk has sectors of ${disk.sectorBytes} bytes: it was made with ${header.unit}`);
    }
    const other = new Uint8Array(disk.sectorBytes);
    disk.read((header.areaBlocks * header.blockBytes) / disk.sectorBytes, other);
    const found = [header, decodeHeader(other)]
      .map((each, area) => ({ header: each, area: area as 0 | 1 }))
      .filter((each): each is { header: Header; area: 0 | 1 } => each.header !== null)
      .sort((a, b) => b.header.epoch - a.header.epoch);
    for (const candidate of found) {
      const log = new Log(disk, candidate.header, candidate.area);
      const nodes = log.load(now);
      if (nodes !== null) return { log, nodes };
    }
    throw new Damaged("the volume is damaged: neither of its two areas is whole");
  }

  private static format(disk: Disk, now: number): { log: Log; nodes: Nodes } {
    const unit = disk.sectorBytes;
    const geometry = geometryFor(disk.sectors * unit);
    const log = new Log(disk, { ...geometry, unit, epoch: 0, length: 0, crc: 0 }, 1);
    const begun = textBytes('[["d",');
    for (let at = 0; at < BLANK_BYTES; at += PIECE) {
      const bytes = log.read(0, at, PIECE);
      // Formatting may have been cut: then the first checkpoint is there without its header.
      if (at === 0 && begun.every((byte, i) => bytes[unit + i] === byte)) bytes.fill(0, unit, 2 * unit);
      if (bytes.some((byte) => byte !== 0)) {
        throw new Damaged("the disk has something else on it, which is left alone: a new volume is empty");
      }
    }
    if (disk.readOnly) throw new Damaged("the disk is empty, and cannot be written");
    // What an earlier volume may have left behind the blank beginning.
    log.write(1, 0, new Uint8Array(unit));
    disk.flush();
    const nodes = new Nodes(now);
    log.checkpoint(nodes);
    return { log, nodes };
  }

  /** All nodes as of the last commit in the area; null when its checkpoint is not whole. */
  private load(now: number): Nodes | null {
    const { unit, length, crc, epoch } = this.header;
    if (unit + length > this.areaBytes) return null;
    const body = this.read(this.area, unit, length);
    if (crc32(body) !== crc) return null;
    const nodes = new Nodes(now);
    for (const entry of entriesOf(body)) nodes.apply(entry);
    this.at = unit + this.roundUp(length);
    let window = new Uint8Array(0);
    let from = 0;
    const bytes = (at: number, count: number): Uint8Array => {
      if (at < from || at + count > from + window.length) {
        from = at - (at % unit);
        const wanted = Math.min(Math.max(at - from + count, PIECE), this.areaBytes - from);
        window = this.read(this.area, from, wanted) as Uint8Array<ArrayBuffer>;
      }
      return window.subarray(at - from, at - from + count);
    };
    while (this.at + unit <= this.areaBytes) {
      const head = bytes(this.at, COMMIT_HEAD).slice();
      const view = new DataView(head.buffer);
      const size = view.getUint32(16, true);
      const mine =
        view.getUint32(0, true) === COMMIT_MAGIC &&
        view.getUint32(4, true) + view.getUint32(8, true) * 2 ** 32 === epoch &&
        view.getUint32(12, true) === this.sequence + 1 &&
        this.at + COMMIT_HEAD + size <= this.areaBytes;
      if (!mine) break;
      const payload = bytes(this.at + COMMIT_HEAD, size);
      if (crc32(payload, crc32(head.subarray(0, 20))) !== view.getUint32(20, true)) break;
      for (const entry of entriesOf(payload)) nodes.apply(entry);
      this.sequence++;
      this.at += this.roundUp(COMMIT_HEAD + size);
    }
    return nodes;
  }

  /**
   * Writes what has changed, behind the data that it refers to, and sees to it that it stays.
   * @param nodes all of them: for a checkpoint, if the log is full
   */
  commit(entries: readonly Entry[], nodes: Nodes): void {
    const payload = textBytes(asciiJson(entries));
    const size = this.roundUp(COMMIT_HEAD + payload.length);
    if (this.at + size > this.areaBytes) {
      this.checkpoint(nodes);
      return;
    }
    const { epoch } = this.header;
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    [COMMIT_MAGIC, epoch >>> 0, Math.floor(epoch / 2 ** 32), this.sequence + 1, payload.length].forEach((word, i) =>
      view.setUint32(4 * i, word, true),
    );
    view.setUint32(20, crc32(payload, crc32(bytes.subarray(0, 20))), true);
    bytes.set(payload, COMMIT_HEAD);
    this.write(this.area, this.at, bytes);
    this.disk.flush();
    this.sequence++;
    this.at += size;
  }

  private write(area: 0 | 1, at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += PIECE) {
      this.disk.write(this.sector(area, at + done), bytes.subarray(done, done + PIECE));
    }
  }

  /** Writes all nodes into the other area, which is in use from then on. */
  private checkpoint(nodes: Nodes): void {
    const { unit } = this.header;
    const area = this.area === 0 ? 1 : 0;
    let [length, crc, text] = [0, 0, "["];
    const put = (last: boolean) => {
      // Whole sectors, but for the end.
      const some = last ? text.length : text.length - (text.length % unit);
      const bytes = textBytes(text.slice(0, some));
      crc = crc32(bytes, crc);
      const padded = new Uint8Array(this.roundUp(some));
      padded.set(bytes);
      this.write(area, unit + length, padded);
      length += some;
      text = text.slice(some);
    };
    let first = true;
    for (const entry of nodes.all()) {
      text += first ? asciiJson(entry) : `,${asciiJson(entry)}`;
      first = false;
      if (text.length >= PIECE) put(false);
    }
    text += "]";
    put(true);
    const header = { ...this.header, epoch: this.header.epoch + 1, length, crc };
    this.disk.flush();
    this.write(area, 0, encodeHeader(header));
    this.disk.flush();
    [this.header, this.area, this.sequence, this.at] = [header, area, 0, unit + this.roundUp(length)];
  }
}
