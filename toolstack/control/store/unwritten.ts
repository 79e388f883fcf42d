/**
 * Nodes that exist logically but are created only at first access: the toolstack writes some sixty nodes for each
 * domain, and most small guests never read them. A domain's nodes are created when a path among them is first
 * looked up; they appear in the lists of the directories above them, which are updated, for all domains
 * together, when one of these is accessed.
 */
import { baseName, parentOf } from "./path.ts";

/** Nodes of one domain. */
export interface Unwritten {
  /** Their root paths; the nodes above exist. */
  readonly tops: readonly string[];
  /** Creates them all. The directories above already list them. */
  write(): void;
}

interface Entry extends Unwritten {
  readonly domain: number;
  /** The directories above have it in their lists. */
  named: boolean;
}

export class UnwrittenNodes {
  private readonly byDomain = new Map<number, Entry>();
  private readonly byTop = new Map<string, Entry>();
  private readonly unnamed = new Set<Entry>();
  /** Directories that have such nodes in their lists, or are to have them; how many parts their paths have at most. */
  private readonly above = new Set<string>();
  private depth = 0;

  /** @param rename adds names to a directory's list, each with a NUL byte behind it, or takes one out */
  constructor(private readonly rename: (directory: string, added: string, removed: string) => void) {}

  /** False when everything is written: then nothing need be asked. */
  get any(): boolean {
    return this.byDomain.size > 0;
  }

  has(domain: number): boolean {
    return this.byDomain.has(domain);
  }

  add(domain: number, { tops, write }: Unwritten): void {
    const entry: Entry = { domain, tops, write, named: false };
    this.byDomain.set(domain, entry);
    this.unnamed.add(entry);
    for (const top of tops) {
      this.byTop.set(top, entry);
      const directory = parentOf(top);
      if (this.above.has(directory)) continue;
      this.above.add(directory);
      this.depth = Math.max(this.depth, top.split("/").length - 1);
    }
  }

  /** To be called before the node at `path` is looked up: true when something was written for it. */
  lookedAt(path: string, missing: boolean): boolean {
    if (this.unnamed.size > 0 && this.above.has(path)) {
      this.nameAll();
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
    if (entry.named) for (const top of entry.tops) this.rename(parentOf(top), "", baseName(top));
    else this.unnamed.delete(entry);
  }

  private entryOf(path: string): Entry | undefined {
    for (let parts = 0, end = 0; parts < this.depth && end >= 0; parts++) {
      end = path.indexOf("/", end + 1);
      const entry = this.byTop.get(end < 0 ? path : path.slice(0, end));
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  private write(entry: Entry): void {
    this.nameAll();
    this.forget(entry);
    entry.write();
  }

  private forget({ domain, tops }: Entry): void {
    this.byDomain.delete(domain);
    for (const top of tops) this.byTop.delete(top);
  }

  private nameAll(): void {
    if (this.unnamed.size === 0) return;
    const names = new Map<string, string>();
    for (const entry of this.unnamed) {
      entry.named = true;
      for (const top of entry.tops) {
        const directory = parentOf(top);
        names.set(directory, `${names.get(directory) ?? ""}${baseName(top)}\0`);
      }
    }
    this.unnamed.clear();
    for (const [directory, added] of names) this.rename(directory, added, "");
  }
}
