/** Files and folders in memory, and the records that they are on the disk. */

export const ROOT = 1;

export interface FileNode {
  readonly kind: "file";
  readonly number: number;
  size: number;
  /** ms since 1970. */
  modified: number;
  readonly made: number;
  /** Where its blocks are, in runs: first block (0: a hole, which reads as zeroes) and count, again and again. */
  runs: number[];
  /** As of the last commit: its bytes, and how many of the first runs are the same still (in pairs). */
  committedSize: number;
  sameRuns: number;
  /** Handles that are open; and whether no folder has it any longer. */
  open: number;
  unlinked: boolean;
}

export interface FolderNode {
  readonly kind: "folder";
  readonly number: number;
  modified: number;
  made: number;
  readonly entries: Map<string, number>;
}

export type Node = FileNode | FolderNode;

/**
 * A record: a file (number, size, modified, made, how many runs of the one before stay, the others); a folder (number, modified, made); a name in
 * a folder; a name that is gone; a node that is gone.
 */
export type Entry =
  | ["f", number, number, number, number, number, number[]]
  | ["d", number, number, number]
  | ["l", number, string, number]
  | ["u", number, string]
  | ["x", number];

/** Bytes of a checkpoint that a node, a run of blocks, and a name take at most. */
export const NODE_BYTES = 96;
export const RUN_BYTES = 20;
export const nameBytes = (name: string) => asciiJson(name).length + 32;

/** JSON without a character beyond ASCII. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function newFile(number: number, now: number): FileNode {
  const [size, runs, committedSize, sameRuns, open] = [0, [], 0, 0, 0];
  return { kind: "file", number, size, modified: now, made: now, runs, committedSize, sameRuns, open, unlinked: false };
}

export function newFolder(number: number, now: number): FolderNode {
  return { kind: "folder", number, modified: now, made: now, entries: new Map() };
}

/** What is wrong with records: the disk has something else on it than was written. */
export class Damaged extends Error {}

export class Nodes {
  readonly byNumber = new Map<number, Node>();
  private next = ROOT + 1;
  /** Bytes that a checkpoint of all takes at most. */
  bytes = 0;

  constructor(now: number) {
    this.put(newFolder(ROOT, now));
  }

  get root(): FolderNode {
    return this.byNumber.get(ROOT) as FolderNode;
  }

  takeNumber(): number {
    return this.next++;
  }

  put(node: Node): void {
    this.byNumber.set(node.number, node);
    this.bytes += NODE_BYTES;
  }

  drop(node: Node): void {
    this.byNumber.delete(node.number);
    this.bytes -= NODE_BYTES + (node.kind === "file" ? (node.runs.length / 2) * RUN_BYTES : 0);
  }

  link(folder: FolderNode, name: string, number: number): void {
    if (!folder.entries.has(name)) this.bytes += nameBytes(name);
    folder.entries.set(name, number);
  }

  unlink(folder: FolderNode, name: string): void {
    if (folder.entries.delete(name)) this.bytes -= nameBytes(name);
  }

  /** Does what a record says. @throws Damaged */
  apply(entry: Entry): void {
    switch (entry[0]) {
      case "f": {
        const [, number, size, modified, made, keep, runs] = entry;
        const before = this.byNumber.get(number);
        const had = before?.kind === "file" ? before.runs : [];
        if (before !== undefined) this.drop(before);
        const file: FileNode = { ...newFile(number, made), size, modified, runs: [...had.slice(0, keep * 2), ...runs] };
        [file.committedSize, file.sameRuns] = [size, file.runs.length / 2];
        this.put(file);
        this.bytes += file.sameRuns * RUN_BYTES;
        break;
      }
      case "d": {
        const [, number, modified, made] = entry;
        const before = this.byNumber.get(number);
        if (before?.kind === "folder") [before.modified, before.made] = [modified, made];
        else this.put({ ...newFolder(number, made), modified });
        break;
      }
      case "l":
        this.link(this.folder(entry[1]), entry[2], entry[3]);
        break;
      case "u":
        this.unlink(this.folder(entry[1]), entry[2]);
        break;
      case "x": {
        const node = this.byNumber.get(entry[1]);
        if (node !== undefined) this.drop(node);
        return;
      }
      default:
        throw new Damaged("a record of an unknown kind");
    }
    if (entry[0] !== "u" && entry[0] !== "l") this.next = Math.max(this.next, entry[1] + 1);
  }

  private folder(number: number): FolderNode {
    const node = this.byNumber.get(number);
    if (node?.kind !== "folder") throw new Damaged(`a name in ${number}, which is no folder`);
    return node;
  }

  /** Records of all nodes. */
  *all(): Generator<Entry> {
    for (const node of this.byNumber.values()) {
      if (node.kind === "folder") yield ["d", node.number, node.modified, node.made];
      else if (!node.unlinked) yield fileEntry(node, 0);
    }
    for (const node of this.byNumber.values()) {
      if (node.kind === "folder") for (const [name, number] of node.entries) yield ["l", node.number, name, number];
    }
  }
}

/** @param keep runs that are as in the record before */
export function fileEntry(file: FileNode, keep: number): Entry {
  return ["f", file.number, file.size, file.modified, file.made, keep, file.runs.slice(keep * 2)];
}
