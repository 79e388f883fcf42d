/**
 * Nodes that exist logically but are written only when one of them is to be changed: a new domain has some sixty of them, which
 * most small guests never touch, and of which others look at a few. Who only reads is shown what would be written. The
 * directories above have them in their lists, which are updated, for all domains together, when one of these is accessed. So
 * are the lists when domains' nodes have been removed: making and ending a domain takes the same time however many others
 * there are.
 */
import { nodeOf, type Branch, type StoreNode } from "./node.ts";
import { baseName, parentOf } from "./path.ts";

/** Nodes of one domain. */
export interface Unwritten {
  /** The directories above their root paths, which exist; the same for all domains. */
  readonly directories: readonly string[];
  /** Their root paths, one in each of the directories. */
  tops(): readonly string[];
  /** What there is at each of the root paths, in that order. */
  branches(): readonly Branch[];
}

interface Entry {
  readonly domain: number;
  readonly nodes: Unwritten;
  readonly tops: readonly string[];
  /** The directories above have it in their lists. */
  named: boolean;
}

export class UnwrittenNodes {
  /** Of domains that were added since somebody last looked for a node that may be one of such. */
  private readonly fresh = new Map<number, Unwritten>();
  /** Those of all others. */
  private readonly byDomain = new Map<number, Entry>();
  private readonly byTop = new Map<string, Entry>();
  private readonly unnamed = new Set<Entry>();
  /** Names to be taken out of the lists of directories. */
  private readonly gone = new Map<string, Set<string>>();
  /** Directories that have such nodes in their lists, or are to have them; how many parts their paths have at most. */
  private readonly above = new Set<string>();
  private latestAbove: readonly string[] | null = null;
  private depth = 0;
  /** What was shown of a domain last: who reads a node often reads another. */
  private shown: { entry: Entry; branches: readonly Branch[] } | null = null;

  /**
   * @param rename takes names out of a directory's list and adds others to it, each with a NUL byte behind it
   * @param graft writes a branch at a path which the directory above has in its list
   * @param generationOf a domain's nodes
   */
  constructor(
    private readonly rename: (directory: string, added: string, removed: ReadonlySet<string> | undefined) => void,
    private readonly graft: (path: string, branch: Branch) => void,
    private readonly generationOf: (domain: number) => number,
  ) {}

  /** False when everything is written: then nothing need be asked. */
  get any(): boolean {
    return this.fresh.size > 0 || this.byDomain.size > 0 || this.gone.size > 0;
  }

  has(domain: number): boolean {
    return this.fresh.has(domain) || this.byDomain.has(domain);
  }

  add(domain: number, nodes: Unwritten): void {
    this.fresh.set(domain, nodes);
    if (nodes.directories === this.latestAbove) return;
    this.latestAbove = nodes.directories;
    for (const directory of nodes.directories) {
      this.above.add(directory);
      this.depth = Math.max(this.depth, directory.split("/").length);
    }
  }

  /** To be called before a node that is there is looked up: true when its list was brought up to date. */
  listed(path: string): boolean {
    if (this.isSettled || !this.above.has(path)) return false;
    this.settle();
    return true;
  }

  /** Writes what there is at a path where no node is written, with all of that domain's; false for nothing. */
  writeAt(path: string): boolean {
    const entry = this.entryOf(path);
    if (entry !== undefined) this.write(entry);
    return entry !== undefined;
  }

  /** What there is at a path where no node is written. */
  show(path: string): StoreNode | undefined {
    const entry = this.entryOf(path);
    if (entry === undefined) return undefined;
    if (this.shown?.entry !== entry) this.shown = { entry, branches: entry.nodes.branches() };
    for (const [i, top] of entry.tops.entries()) {
      if (path !== top && !path.startsWith(`${top}/`)) continue;
      const branch = branchAt(this.shown.branches[i]!, path.slice(top.length + 1));
      return branch === undefined ? undefined : nodeOf(branch, this.generationOf(entry.domain));
    }
    return undefined;
  }

  /** Writes a domain's nodes. */
  writeFor(domain: number): void {
    this.enterAll();
    const entry = this.byDomain.get(domain);
    if (entry !== undefined) this.write(entry);
  }

  /** Removes a domain whose nodes have not been created. */
  drop(domain: number): void {
    if (this.fresh.delete(domain)) return;
    const entry = this.byDomain.get(domain);
    if (entry === undefined) return;
    this.forget(entry);
    if (entry.named) for (const top of entry.tops) this.unlist(top);
    else this.unnamed.delete(entry);
  }

  /** A root path that was written has been removed: the directory above it will not list it any more. */
  unlist(top: string): void {
    const slash = top.lastIndexOf("/");
    const directory = top.slice(0, slash);
    const name = top.slice(slash + 1);
    const names = this.gone.get(directory);
    if (names === undefined) this.gone.set(directory, new Set([name]));
    else names.add(name);
  }

  private entryOf(path: string): Entry | undefined {
    this.enterAll();
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
    const branches = entry.nodes.branches();
    for (const [i, top] of entry.tops.entries()) this.graft(top, branches[i]!);
  }

  private forget(entry: Entry): void {
    if (this.shown?.entry === entry) this.shown = null;
    this.byDomain.delete(entry.domain);
    for (const top of entry.tops) this.byTop.delete(top);
  }

  /** Asks those that are fresh for their root paths. */
  private enterAll(): void {
    if (this.fresh.size === 0) return;
    for (const [domain, nodes] of this.fresh) {
      const entry: Entry = { domain, nodes, tops: nodes.tops(), named: false };
      this.byDomain.set(domain, entry);
      this.unnamed.add(entry);
      for (const top of entry.tops) this.byTop.set(top, entry);
    }
    this.fresh.clear();
  }

  /** The lists of the directories above are up to date. */
  private get isSettled(): boolean {
    return this.fresh.size === 0 && this.unnamed.size === 0 && this.gone.size === 0;
  }

  /** Brings the lists of the directories above up to date. */
  settle(): void {
    if (this.isSettled) return;
    this.enterAll();
    const names = new Map<string, string>();
    for (const entry of this.unnamed) {
      entry.named = true;
      for (const top of entry.tops) {
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

/** What there is below a branch, by the path from it; the branch itself for none. */
function branchAt(branch: Branch, below: string): Branch | undefined {
  let at: Branch | undefined = branch;
  if (below !== "") for (const part of below.split("/")) at = at?.[3]?.find(([name]) => name === part);
  return at;
}
