/**
 * Firing watches in small steps: a transaction may change a thousand nodes, and thousands of watches may be set above them.
 * Changes are queued when they happen, with the nodes as they are then; a small number of watches is fired immediately, the
 * rest in small steps. One announcer's changes are processed in order; announcers take turns.
 */
import { nodeCost, type StoreNode } from "./node.ts";
import { isSpecial, parentOf, ROOT } from "./path.ts";
import { READ, type Subject } from "./permissions.ts";
import { ANNOUNCEMENT_OVERHEAD, type Account } from "./quota.ts";
import { eventPath, type Cause, type Watches, type WatchesHere } from "./watches.ts";

/** Units of work that are done immediately: a watch considered is one. */
export const ANNOUNCE_UNITS = 256;
/** With at most this many watching domains, all are checked: finding those with access would cost more. */
const FEW = 8;

/** Something that happened at `path`. */
interface Change {
  readonly path: string;
  /** Only for watches at that very path, not for those above. */
  readonly exact: boolean;
  /** Access to any of these permits notification: the node before and after, and its parent. Null: see `mayHear`. */
  readonly nodes: readonly StoreNode[] | null;
  readonly cost: number;
}

/** What an announcer asks of the store. */
export interface Audience {
  readonly watches: Watches;
  /** Domains that act for others (XS_SET_TARGET) too. */
  readonly actors: ReadonlySet<number>;
  mayRead(subject: Subject, node: StoreNode): boolean;
  mayHearSpecial(subject: Subject, name: string): boolean;
  /** Not all watches could be fired immediately. */
  pending(announcer: Announcer): void;
}

export class Announcer {
  private changes: Change[] = [];
  private next = 0;
  /** The change being processed. */
  private telling: Iterator<number> | null = null;

  /**
   * @param cause the client that made the changes
   * @param account the account charged for queued changes
   * @param done called when all deferred watches have been fired
   */
  constructor(
    private readonly audience: Audience,
    private readonly cause: Cause | null,
    private readonly account: Account | null,
    private readonly done: () => void,
  ) {}

  /** True if no watches are left to be fired. */
  get idle(): boolean {
    return this.next === this.changes.length;
  }

  /** Queues a change for `flush` or `fire`. @param kept bytes of a node that is referenced only here */
  add(path: string, exact: boolean, nodes: readonly StoreNode[] | null, before?: StoreNode): void {
    if (!this.audience.watches.any(path, exact)) return;
    const cost = ANNOUNCEMENT_OVERHEAD + (before === undefined ? 0 : nodeCost(path, before));
    this.account?.add(cost);
    this.changes.push({ path, exact, nodes, cost });
  }

  /** Fires a small number of watches; the rest is left to the store's `fire`. */
  flush(): void {
    if (this.idle) return;
    this.fire(ANNOUNCE_UNITS);
    if (!this.idle) this.audience.pending(this);
  }

  /** Tells of what was noted, for about `units` of work. @returns the units that it took */
  fire(units: number): number {
    let used = 0;
    while (used < units && !this.idle) {
      this.telling ??= this.tell(this.changes[this.next]!);
      const step = this.telling.next();
      if (step.done !== true) {
        used += step.value;
        continue;
      }
      used++;
      this.telling = null;
      const { cost } = this.changes[this.next++]!;
      this.account?.add(-cost);
    }
    if (this.idle) {
      this.changes = [];
      this.next = 0;
    }
    return used;
  }

  /** As `fire`, for deferred watches; returns whether it is done. */
  fireRest(units: number): number {
    const used = this.fire(units);
    if (this.idle) this.done();
    return used;
  }

  /** Takes over the unfinished changes of another announcer, whose client no longer exists. */
  takeOver(other: Announcer): void {
    for (const change of other.changes.slice(other.next)) {
      other.account?.add(-change.cost);
      this.changes.push({ ...change, cost: 0 });
    }
    other.changes = [];
    other.next = 0;
    other.telling = null;
    this.flush();
  }

  /** Tells of one change; gives the units of work that each step took. */
  private *tell(change: Change): IterableIterator<number> {
    const { path, exact } = change;
    const candidates = this.candidates(change);
    for (let at = path; ; at = parentOf(at)) {
      const here = this.audience.watches.at(at);
      if (here !== undefined) {
        const some = here.size > FEW && candidates !== null;
        for (const domain of some ? candidates : here.keys()) yield this.tellDomain(change, here, domain);
      }
      if (exact || at === ROOT || isSpecial(at)) return;
    }
  }

  private tellDomain(change: Change, here: WatchesHere, domain: number): number {
    const watches = here.get(domain);
    if (watches === undefined || !this.mayHear(watches[0]!.watcher.subject, change)) return 1;
    for (const watch of watches) watch.watcher.event(eventPath(watch, change.path), watch.token, this.cause);
    return watches.length;
  }

  /** Domains that may have access; null if it may be any. */
  private candidates({ nodes }: Change): Set<number> | null {
    if (nodes === null) return null;
    const domains = new Set([0, ...this.audience.actors]);
    for (const { permissions } of nodes) {
      if ((permissions[0]!.access & READ) !== 0) return null;
      for (const { domain } of permissions) domains.add(domain);
    }
    return domains;
  }

  private mayHear(subject: Subject, { path, nodes }: Change): boolean {
    if (nodes === null) return this.audience.mayHearSpecial(subject, path);
    return nodes.some((node) => this.audience.mayRead(subject, node));
  }
}
