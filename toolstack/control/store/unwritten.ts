/**
 * Nodes that exist logically but are created only at first access: the toolstack writes some sixty nodes for each
 * domain, and most small guests never read them. A domain's nodes are created when a path among them is first
 * looked up; they appear in the lists of the directories above them, which are updated, for all domains
 * together, when one of these is accessed. So are the lists when domains' nodes have been removed: making and ending a domain
 * takes the same time however many others there are.
 */
import { baseName, parentOf } from "./path.ts";

/** Nodes of one domain. */
export interface Unwritten {
  /** The directories above their root paths, which exist; the same for all domains. */
  readonly directories: readonly string[];
  /** Their root paths, one in each of the directories. */
  tops(): readonly string[];
  /** Creates them all. The directories above already list them. */
  write(): void;
}

interface Entry {
  readonly domain: number;
  readonly nodes: Unwritten;
  /** Null until somebody has looked for a node that may be one of these. */
  tops: readonly string[] | null;
  /** The directories above have it in their lists. */
  named: boolean;
}

export class UnwrittenNodes {
  private readonly byDomain = new Map<number, Entry>();
  /** Those whose root paths are known. */
  private readonly byTop = new Map<string, Entry>();
  private readonly untold = new Set<Entry>();
  private readonly unnamed = new Set<Entry>();
  /** Names to be taken out of the lists of directories. */
  private readonly gone = new Map<string, Set<string>>();
  /** Directories that have such nodes in their lists, or are to have them; how many parts their paths have at most. */
  private readonly above = new Set<string>();
  private latestAbove: readonly string[] | null = null;
  private depth = 0;

  /** @param rename takes names out of a directory's list and adds others to it, each with a NUL byte behind it */
  constructor(
    private readonly rename: (directory: string, added: string, removed: ReadonlySet<string> | undefined) => void,
  ) {}

  /** False when everything is written: then nothing need be asked. */
  get any(): boolean {
    return this.byDomain.size > 0 || this.gone.size > 0;
  }

  has(domain: number): boolean {
    return this.byDomain.has(domain);
  }

  add(domain: number, nodes: Unwritten): void {
    const entry: Entry = { domain, nodes, tops: null, named: false };
    this.byDomain.set(domain, entry);
    this.untold.add(entry);
    this.unnamed.add(entry);
    if (nodes.directories === this.latestAbove) return;
    this.latestAbove = nodes.directories;
    for (const directory of nodes.directories) {
      this.above.add(directory);
      this.depth = Math.max(this.depth, directory.split("/").length);
    }
  }

  /** To be called before the node at `path` is looked up: true when something was written for it. */
  lookedAt(path: string, missing: boolean): boolean {
    if ((this.unnamed.size > 0 || this.gone.size > 0) && this.above.has(path)) {
      this.settle();
      return true;
    }
    const entry = missing ? this.entryOf(path) : undefined;
    if (entry !== undefined) this.write(entry);
    return entry !== undefined;
  }

  /** Writes a domain's nodes. */
  writeFor(domain: number): void {
    const entry = this.byDomain.get(domain);
    if (entry !== undefined) this.write(entry);
  }

  /** Removes a domain whose nodes have not been created. */
  drop(domain: number): void {
    const entry = this.byDomain.get(domain);
    if (entry === undefined) return;
    this.forget(entry);
    if (entry.named) for (const top of entry.tops!) this.unlist(top);
    else this.unnamed.delete(entry);
  }

  /** A root path that was written has been removed: the directory above it will not list it any more. */
  unlist(top: string): void {
    const directory = parentOf(top);
    const names = this.gone.get(directory);
    if (names === undefined) this.gone.set(directory, new Set([baseName(top)]));
    else names.add(baseName(top));
  }

  private entryOf(path: string): Entry | undefined {
    if (this.untold.size > 0) this.tellAll();
    for (let parts = 0, end = 0; parts < this.depth && end >= 0; parts++) {
      end = path.indexOf("/", end + 1);
      const entry = this.byTop.get(end < 0 ? path : path.slice(0, end));
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  private write(entry: Entry): void {
    this.settle();
    this.forget(entry);
    entry.nodes.write();
  }

  private forget(entry: Entry): void {
    this.byDomain.delete(entry.domain);
    if (entry.tops === null) this.untold.delete(entry);
    else for (const top of entry.tops) this.byTop.delete(top);
  }

  /** Asks those that are new for their root paths. */
  private tellAll(): void {
    for (const entry of this.untold) {
      entry.tops = entry.nodes.tops();
      for (const top of entry.tops) this.byTop.set(top, entry);
    }
    this.untold.clear();
  }

  /** Brings the lists of the directories above up to date. */
  settle(): void {
    if (this.unnamed.size === 0 && this.gone.size === 0) return;
    this.tellAll();
    const names = new Map<string, string>();
    for (const entry of this.unnamed) {
      entry.named = true;
      for (const top of entry.tops!) {
        const directory = parentOf(top);
        names.set(directory, `${names.get(directory) ?? ""}${baseName(top)}\0`);
      }
    }
    this.unnamed.clear();
    const gone = new Map(this.gone);
    this.gone.clear();
    for (const [directory, removed] of gone) {
      this.rename(directory, names.get(directory) ?? "", removed);
      names.delete(directory);
    }
    for (const [directory, added] of names) this.rename(directory, added, undefined);
  }
}
