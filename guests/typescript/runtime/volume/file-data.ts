/**
 * A file's bytes in blocks. What the last commit knows is not overwritten: a block is written where it is only if it is new since then, or if
 * what is written is behind the bytes that the commit knows; else it moves.
 */
import type { Disk } from "./disk.ts";
import { type FileNode, type Nodes, RUN_BYTES } from "./nodes.ts";
import type { Space } from "./space.ts";

/** Bytes that are read in one piece, a multiple of every block's. */
const PIECE = 32 * 1024;

export class FileData {
  /** Something was written since the disk was flushed last. */
  unflushed = false;

  /** @param reserve makes sure of so many free blocks, and of so many bytes more in a checkpoint; throws when there are none */
  constructor(
    private readonly disk: Disk,
    private readonly space: Space,
    private readonly nodes: Nodes,
    private readonly blockBytes: number,
    private readonly reserve: (blocks: () => number, bytes: () => number) => void,
  ) {}

  /** Where a block of a file is (0: nowhere, it is zeroes), and how many behind it lie behind each other, or nowhere, too. */
  private place(file: FileNode, index: number): { block: number; count: number } {
    let at = 0;
    for (let i = 0; i < file.runs.length; i += 2) {
      const [start, count] = [file.runs[i]!, file.runs[i + 1]!];
      if (index < at + count) return { block: start === 0 ? 0 : start + index - at, count: at + count - index };
      at += count;
    }
    return { block: 0, count: Infinity };
  }

  private setRuns(file: FileNode, runs: number[], firstChanged: number): void {
    this.nodes.bytes += ((runs.length - file.runs.length) / 2) * RUN_BYTES;
    file.runs = runs;
    file.sameRuns = Math.min(file.sameRuns, firstChanged);
  }

  /** Puts blocks of a file elsewhere, and gives back where they were. @param start 0: nowhere */
  private move(file: FileNode, index: number, start: number, count: number): void {
    const runs: number[] = [];
    const add = (from: number, many: number) => {
      if (many <= 0) return;
      const last = runs.length - 2;
      const follows =
        last >= 0 && (from === 0 ? runs[last] === 0 : runs[last] !== 0 && runs[last]! + runs[last + 1]! === from);
      if (follows) runs[last + 1]! += many;
      else runs.push(from, many);
    };
    const part = (from: number, skip: number) => (from === 0 ? 0 : from + skip);
    let [at, firstChanged, placed] = [0, -1, false];
    for (let i = 0; i < file.runs.length; i += 2) {
      const [from, many] = [file.runs[i]!, file.runs[i + 1]!];
      const [before, end] = [Math.min(Math.max(index - at, 0), many), Math.min(Math.max(index + count - at, 0), many)];
      if (firstChanged < 0 && at + many >= index) firstChanged = Math.max(runs.length / 2 - 1, 0);
      add(from, before);
      if (end > before || at + before === index) {
        if (!placed && at + before === index) {
          add(start, count);
          placed = true;
        }
        if (from !== 0 && end > before) this.space.release(from + before, end - before);
      }
      add(part(from, end), many - Math.max(end, before));
      at += many;
    }
    if (!placed) {
      if (firstChanged < 0) firstChanged = Math.max(runs.length / 2 - 1, 0);
      add(0, index - at);
      add(start, count);
    }
    this.setRuns(file, runs, Math.max(firstChanged, 0));
  }

  private sectorOf(block: number, offset: number): number {
    return (block * this.blockBytes + offset) / this.disk.sectorBytes;
  }

  /** Fills `into` from a place of a file on; bytes that were read, fewer at its end. */
  read(file: FileNode, at: number, into: Uint8Array): number {
    const { blockBytes } = this;
    const { sectorBytes } = this.disk;
    const length = Math.max(0, Math.min(into.length, file.size - at));
    for (let done = 0; done < length;) {
      const [index, offset] = [Math.floor((at + done) / blockBytes), (at + done) % blockBytes];
      const { block, count } = this.place(file, index);
      const skip = offset % sectorBytes;
      const some = Math.min(length - done, count * blockBytes - offset, PIECE - skip);
      if (block === 0) into.fill(0, done, done + some);
      else {
        const bytes = new Uint8Array(Math.ceil((skip + some) / sectorBytes) * sectorBytes);
        this.disk.read(this.sectorOf(block, offset - skip), bytes);
        into.set(bytes.subarray(skip, skip + some), done);
      }
      done += some;
    }
    return length;
  }

  /** Whether bytes of a block may be written where it is. @param from place in the file of the first of them */
  private staysAt(file: FileNode, block: number, from: number): boolean {
    return block !== 0 && (from >= file.committedSize || this.space.isFresh(block));
  }

  /** Blocks that a write needs. */
  private needed(file: FileNode, at: number, length: number): number {
    const { blockBytes } = this;
    let blocks = 0;
    for (let index = Math.floor(at / blockBytes); index * blockBytes < at + length; index++) {
      if (!this.staysAt(file, this.place(file, index).block, Math.max(at, index * blockBytes))) blocks++;
    }
    return blocks;
  }

  /**
   * Writes bytes into a file, which grows if they are behind its end: what is between is zeroes.
   * @throws what `reserve` throws; then nothing has changed
   */
  write(file: FileNode, at: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const { blockBytes } = this;
    this.reserve(
      () => this.needed(file, at, bytes.length) + (at > file.size ? 1 : 0),
      () => (this.needed(file, at, bytes.length) + 3) * RUN_BYTES,
    );
    if (at > file.size) this.clearTail(file, at);
    for (let done = 0; done < bytes.length;) {
      const place = at + done;
      const [index, offset] = [Math.floor(place / blockBytes), place % blockBytes];
      const { block, count } = this.place(file, index);
      const rest = bytes.subarray(done);
      if (this.staysAt(file, block, place)) {
        const some = rest.subarray(
          0,
          offset === 0 ? Math.min(count, this.staying(file, index, rest.length)) * blockBytes : blockBytes - offset,
        );
        this.writeAt(block, offset, some);
        done += some.length;
      } else done += this.writeElsewhere(file, index, offset, rest);
      file.size = Math.max(file.size, at + done);
    }
  }

  /** Blocks from one on that all may be written where they are, of those that `length` bytes fill; at least 1. */
  private staying(file: FileNode, index: number, length: number): number {
    const most = Math.ceil(length / this.blockBytes);
    let count = 1;
    while (count < most && this.staysAt(file, this.place(file, index + count).block, (index + count) * this.blockBytes))
      count++;
    return count;
  }

  /** Into new blocks; returns how many bytes. */
  private writeElsewhere(file: FileNode, index: number, offset: number, bytes: Uint8Array): number {
    const { blockBytes, space } = this;
    const most = Math.ceil((offset + bytes.length) / blockBytes);
    let moving = 1;
    while (moving < most && !this.staysAt(file, this.place(file, index + moving).block, (index + moving) * blockBytes))
      moving++;
    const before = index > 0 ? this.place(file, index - 1).block : 0;
    const here = this.place(file, index).block;
    const { start, count } = space.take(moving, (before || here) + 1);
    const length = Math.min(bytes.length, count * blockBytes - offset);
    const whole = new Uint8Array(Math.ceil((offset + length) / blockBytes) * blockBytes);
    // What the first and the last of them have besides.
    if (offset > 0) this.readBlock(file, index, whole.subarray(0, blockBytes));
    const last = Math.floor((offset + length - 1) / blockBytes);
    if ((offset + length) % blockBytes !== 0 && !(offset > 0 && last === 0)) {
      this.readBlock(file, index + last, whole.subarray(last * blockBytes, (last + 1) * blockBytes));
    }
    whole.set(bytes.subarray(0, length), offset);
    this.put(start, 0, whole);
    this.move(file, index, start, count);
    return length;
  }

  /** The bytes of a block that belong to the file; zeroes behind its end. */
  private readBlock(file: FileNode, index: number, into: Uint8Array): void {
    this.read(file, index * this.blockBytes, into);
  }

  /** Writes bytes into a block, or several behind each other: sectors that they fill in part keep the rest. */
  private writeAt(block: number, offset: number, bytes: Uint8Array): void {
    const { sectorBytes } = this.disk;
    const skip = offset % sectorBytes;
    const length = Math.ceil((skip + bytes.length) / sectorBytes) * sectorBytes;
    if (skip === 0 && length === bytes.length) {
      this.put(block, offset, bytes);
      return;
    }
    const whole = new Uint8Array(length);
    if (skip > 0) this.disk.read(this.sectorOf(block, offset - skip), whole.subarray(0, sectorBytes));
    if ((skip + bytes.length) % sectorBytes !== 0 && !(skip > 0 && length === sectorBytes)) {
      this.disk.read(this.sectorOf(block, offset - skip + length - sectorBytes), whole.subarray(length - sectorBytes));
    }
    whole.set(bytes, skip);
    this.put(block, offset - skip, whole);
  }

  private put(block: number, offset: number, bytes: Uint8Array): void {
    this.unflushed = true;
    this.disk.write(this.sectorOf(block, offset), bytes);
  }

  /** Before a file grows to a size: what its last block has behind its end becomes zeroes. */
  private clearTail(file: FileNode, size: number): void {
    const tail = file.size % this.blockBytes;
    const gap = tail === 0 ? 0 : Math.min(this.blockBytes - tail, size - file.size);
    const { block } = this.place(file, Math.floor(file.size / this.blockBytes));
    if (gap > 0 && block !== 0) {
      const at = file.size;
      if (this.staysAt(file, block, at)) this.writeAt(block, tail, new Uint8Array(gap));
      else this.writeElsewhere(file, Math.floor(at / this.blockBytes), tail, new Uint8Array(gap));
    }
    file.size = size;
  }

  /** Makes a file shorter, or longer with zeroes. */
  resize(file: FileNode, size: number): void {
    if (size > file.size) {
      this.reserve(
        () => 1,
        () => 3 * RUN_BYTES,
      );
      this.clearTail(file, size);
      return;
    }
    const keep = Math.ceil(size / this.blockBytes);
    const runs: number[] = [];
    let at = 0;
    for (let i = 0; i < file.runs.length; i += 2) {
      const [start, count] = [file.runs[i]!, file.runs[i + 1]!];
      const stay = Math.min(Math.max(keep - at, 0), count);
      if (stay > 0) runs.push(start, stay);
      if (start !== 0 && stay < count) this.space.release(start + stay, count - stay);
      at += count;
    }
    const cut = runs.length > 0 && runs.at(-1) !== file.runs[runs.length - 1] ? 1 : 0;
    this.setRuns(file, runs, runs.length / 2 - cut);
    file.size = size;
  }
}
