/**
 * A volume: files and folders on a disk. What is done is seen at once, and is on the disk, all of it or nothing, when `commit` has returned.
 */
import type { Disk } from "./disk.ts";
import { FileData } from "./file-data.ts";
import { Log } from "./log.ts";
import {
  Damaged,
  type Entry,
  fileEntry,
  type FileNode,
  type FolderNode,
  nameBytes,
  newFile,
  newFolder,
  type Node,
  NODE_BYTES,
  Nodes,
  ROOT,
} from "./nodes.ts";
import { Space } from "./space.ts";

/** What is wrong with an operation: a code of Node's, ENOENT and such. Nothing has changed. */
export class VolumeError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const MESSAGES = {
  EBUSY: "the volume itself",
  EEXIST: "file already exists",
  EINVAL: "invalid argument",
  EIO: "the disk has failed",
  EISDIR: "illegal operation on a directory",
  ENAMETOOLONG: "name too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EROFS: "read-only file system",
} as const;

const NAME_MOST = 255;
/** Bytes that are written with one look at what is free. */
const WRITE_PIECE = 256 * 1024;

function failed(code: keyof typeof MESSAGES): never {
  throw new VolumeError(code, MESSAGES[code]);
}

/** A file that is open. */
export type VolumeFile = FileNode;

export interface OpenOptions {
  create?: boolean;
  /** With `create`: it must not be there. */
  exclusive?: boolean;
  truncate?: boolean;
}

export class Volume {
  /** What has changed since the last commit besides files' contents. */
  private pending: Entry[] = [];
  private readonly changed = new Set<FileNode>();
  private readonly data: FileData;
  private broken = false;

  private constructor(
    private readonly disk: Disk,
    private readonly log: Log,
    private readonly nodes: Nodes,
    private readonly space: Space,
    private readonly now: () => number,
  ) {
    this.data = new FileData(disk, space, nodes, log.geometry.blockBytes, (blocks, bytes) =>
      this.reserve(blocks, bytes),
    );
  }

  /**
   * Takes a disk into use; one that is blank is formatted.
   * @param now ms since 1970
   * @throws Damaged in words
   */
  static mount(disk: Disk, now: () => number): Volume {
    const { log, nodes } = Log.mount(disk, now());
    const { blockBytes, areaBlocks } = log.geometry;
    const space = new Space(2 * areaBlocks, Math.floor((disk.sectors * disk.sectorBytes) / blockBytes));
    for (const node of nodes.byNumber.values()) {
      if (node.kind !== "file") continue;
      for (let i = 0; i < node.runs.length; i += 2) {
        if (node.runs[i] !== 0 && !space.adopt(node.runs[i]!, node.runs[i + 1]!)) {
          throw new Damaged(
            "the volume is damaged, or the disk has become smaller: a file has blocks that it cannot have",
          );
        }
      }
    }
    return new Volume(disk, log, nodes, space, now);
  }

  get readOnly(): boolean {
    return this.disk.readOnly;
  }

  /** Bytes of a block, of the volume's data, and of those that are free. */
  sizes(): { blockBytes: number; bytes: number; free: number } {
    const { blockBytes } = this.log.geometry;
    const { space } = this;
    return { blockBytes, bytes: (space.end - space.first) * blockBytes, free: space.freeAfterCommit * blockBytes };
  }

  private reserve(blocks: () => number, bytes: () => number): void {
    if (blocks() > this.space.free && this.space.free < this.space.freeAfterCommit) this.commit();
    if (blocks() > this.space.free || this.nodes.bytes + bytes() > this.log.checkpointMost) failed("ENOSPC");
  }

  private mayWrite(): void {
    if (this.readOnly) failed("EROFS");
    if (this.broken) failed("EIO");
  }

  // --- Paths -------------------------------------------------------------------------------------------------------------------

  /** What a path names; undefined: nothing. */
  find(path: readonly string[]): Node | undefined {
    let node: Node = this.nodes.root;
    for (const name of path) {
      if (node.kind !== "folder") failed("ENOTDIR");
      const number = node.entries.get(name);
      if (number === undefined) return undefined;
      node = this.nodes.byNumber.get(number)!;
    }
    return node;
  }

  /** The names in a folder. */
  names(path: readonly string[]): string[] {
    const node = this.get(path);
    return node.kind === "folder" ? [...node.entries.keys()] : failed("ENOTDIR");
  }

  get(path: readonly string[]): Node {
    return this.find(path) ?? failed("ENOENT");
  }

  private folderOf(path: readonly string[]): { folder: FolderNode; name: string } {
    const name = path.at(-1) ?? failed("EBUSY");
    if (name.length > NAME_MOST) failed("ENAMETOOLONG");
    const folder = this.get(path.slice(0, -1));
    if (folder.kind !== "folder") failed("ENOTDIR");
    return { folder, name };
  }

  private touch(folder: FolderNode): void {
    folder.modified = this.now();
    this.pending.push(["d", folder.number, folder.modified, folder.made]);
  }

  private link(folder: FolderNode, name: string, node: Node): void {
    this.nodes.link(folder, name, node.number);
    this.pending.push(["l", folder.number, name, node.number]);
    this.touch(folder);
  }

  private unlinkName(folder: FolderNode, name: string): void {
    this.nodes.unlink(folder, name);
    this.pending.push(["u", folder.number, name]);
    this.touch(folder);
  }

  private make<N extends Node>(path: readonly string[], create: (number: number, now: number) => N): N {
    const { folder, name } = this.folderOf(path);
    this.reserve(
      () => 0,
      () => NODE_BYTES + nameBytes(name),
    );
    const node = create(this.nodes.takeNumber(), this.now());
    this.nodes.put(node);
    if (node.kind === "file") this.changed.add(node);
    else this.pending.push(["d", node.number, node.modified, node.made]);
    this.link(folder, name, node);
    return node;
  }

  /** A node has no name any longer; a file that is open goes when it is closed. */
  private discard(node: Node): void {
    if (node.kind === "file") {
      node.unlinked = true;
      this.changed.delete(node);
      if (node.open === 0) this.drop(node);
    } else this.nodes.drop(node);
    this.pending.push(["x", node.number]);
  }

  private drop(file: FileNode): void {
    this.data.resize(file, 0);
    this.changed.delete(file);
    this.nodes.drop(file);
  }

  makeFolder(path: readonly string[]): void {
    this.mayWrite();
    if (this.find(path) !== undefined) failed("EEXIST");
    this.make(path, newFolder);
  }

  /** Removes a file's name. */
  unlink(path: readonly string[]): void {
    this.mayWrite();
    const node = this.get(path);
    if (node.kind === "folder") failed("EISDIR");
    const { folder, name } = this.folderOf(path);
    this.unlinkName(folder, name);
    this.discard(node);
  }

  /** Removes a folder. @param all with everything in it */
  removeFolder(path: readonly string[], all: boolean): void {
    this.mayWrite();
    const node = this.get(path);
    if (node.kind !== "folder") failed("ENOTDIR");
    if (node.number === ROOT) failed("EBUSY");
    if (!all && node.entries.size > 0) failed("ENOTEMPTY");
    for (const name of [...node.entries.keys()]) this.remove([...path, name]);
    const { folder, name } = this.folderOf(path);
    this.unlinkName(folder, name);
    this.discard(node);
  }

  /** Removes whatever a path names, and all that is in it. */
  remove(path: readonly string[]): void {
    if (this.get(path).kind === "folder") this.removeFolder(path, true);
    else this.unlink(path);
  }

  /** Gives what a path names another one; a file there, or an empty folder, makes way. */
  rename(from: readonly string[], to: readonly string[]): void {
    this.mayWrite();
    const node = this.get(from);
    const source = this.folderOf(from);
    const target = this.folderOf(to);
    const there = this.find(to);
    if (there === node) return;
    if (node.kind === "folder" && from.every((name, i) => to[i] === name)) failed("EINVAL");
    if (there !== undefined) {
      if (there.kind === "folder" && node.kind !== "folder") failed("EISDIR");
      if (there.kind !== "folder" && node.kind === "folder") failed("ENOTDIR");
      if (there.kind === "folder" && there.entries.size > 0) failed("ENOTEMPTY");
    }
    this.reserve(
      () => 0,
      () => nameBytes(target.name),
    );
    if (there !== undefined) this.discard(there);
    this.unlinkName(source.folder, source.name);
    this.link(target.folder, target.name, node);
  }

  setModified(path: readonly string[], modified: number): void {
    this.mayWrite();
    const node = this.get(path);
    node.modified = modified;
    if (node.kind === "file") this.changed.add(node);
    else this.pending.push(["d", node.number, modified, node.made]);
  }

  // --- Files -------------------------------------------------------------------------------------------------------------------

  /** Opens a file, which is to be closed. */
  open(path: readonly string[], { create = false, exclusive = false, truncate = false }: OpenOptions): FileNode {
    if (create || truncate) this.mayWrite();
    let file = this.find(path);
    if (file === undefined && create) file = this.make(path, newFile);
    else if (file !== undefined && create && exclusive) failed("EEXIST");
    if (file === undefined) failed("ENOENT");
    if (file.kind === "folder") failed("EISDIR");
    if (truncate && file.size > 0) this.resize(file, 0);
    file.open++;
    return file;
  }

  close(file: FileNode): void {
    file.open--;
    if (file.open === 0 && file.unlinked) this.drop(file);
  }

  read(file: FileNode, at: number, into: Uint8Array): number {
    return this.data.read(file, at, into);
  }

  /** @throws VolumeError ENOSPC: of a long write a part may be done */
  write(file: FileNode, at: number, bytes: Uint8Array): void {
    this.mayWrite();
    for (let done = 0; done < bytes.length; done += WRITE_PIECE) {
      this.data.write(file, at + done, bytes.subarray(done, done + WRITE_PIECE));
      this.note(file);
    }
  }

  resize(file: FileNode, size: number): void {
    this.mayWrite();
    this.data.resize(file, size);
    this.note(file);
  }

  private note(file: FileNode): void {
    file.modified = this.now();
    if (!file.unlinked) this.changed.add(file);
  }

  // --- The disk ----------------------------------------------------------------------------------------------------------------

  /** Whether something was done since the last commit. */
  get dirty(): boolean {
    return this.pending.length > 0 || this.changed.size > 0;
  }

  /** Sees to it that everything that was done stays. @throws VolumeError EIO: the disk has failed, and nothing can be written any more */
  commit(): void {
    if (this.broken) failed("EIO");
    if (this.dirty) {
      const files = [...this.changed];
      try {
        if (this.data.unflushed) this.disk.flush();
        this.data.unflushed = false;
        const entries = files.map((file) => fileEntry(file, file.sameRuns));
        this.log.commit([...entries, ...this.pending], this.nodes);
      } catch (error) {
        this.broken = true;
        throw error;
      }
      for (const file of files) [file.committedSize, file.sameRuns] = [file.size, file.runs.length / 2];
      this.changed.clear();
      this.pending = [];
    }
    this.space.settle();
  }
}
