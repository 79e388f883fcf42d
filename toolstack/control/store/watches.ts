/**
 * Watches. They are indexed by path, and then by the domain that set them: a change
 * costs one look-up for each part of its path and for each domain with access, regardless of the number of other watchers.
 */
import { isSpecial, parentOf, ROOT } from "./path.ts";
import type { Subject } from "./permissions.ts";

/** A guest whose requests caused events: its further requests are delayed while many of these events are unread. */
export interface Cause {
  /** Number of its unread events changes by 1 or -1. */
  waiting(change: number): void;
}

/** The watcher. */
export interface Watcher {
  readonly subject: Subject;
  /** @param cause the client whose request it was; null for domain 0, and for the first event of a watch */
  event(path: string, token: string, cause: Cause | null): void;
}

export interface Watch {
  readonly watcher: Watcher;
  /** Absolute, or a special name. */
  readonly path: string;
  readonly token: string;
  /** Characters removed from the paths in its events: the watch was set by a relative path. */
  readonly prefix: number;
}

/** The path as the watcher names it. */
export function eventPath(watch: Watch, path: string): string {
  return watch.prefix === 0 ? path : path.slice(watch.prefix);
}

/** Watches at one path by the domains that set them; lists are never changed, only replaced. */
export type WatchesHere = ReadonlyMap<number, readonly Watch[]>;

export class Watches {
  private readonly byPath = new Map<string, Map<number, readonly Watch[]>>();

  add(watch: Watch): void {
    const { domain } = watch.watcher.subject;
    let here = this.byPath.get(watch.path);
    if (here === undefined) this.byPath.set(watch.path, (here = new Map()));
    here.set(domain, [...(here.get(domain) ?? []), watch]);
  }

  remove(watch: Watch): void {
    const { domain } = watch.watcher.subject;
    const here = this.byPath.get(watch.path)!;
    const rest = here.get(domain)!.filter((other) => other !== watch);
    if (rest.length > 0) here.set(domain, rest);
    else here.delete(domain);
    if (here.size === 0) this.byPath.delete(watch.path);
  }

  /** The watches at that very path. */
  at(path: string): WatchesHere | undefined {
    return this.byPath.get(path);
  }

  /** True when a change at `path` is watched there, or above it unless `exact`. */
  any(path: string, exact: boolean): boolean {
    if (this.byPath.size === 0) return false;
    for (let at = path; ; at = parentOf(at)) {
      if (this.byPath.has(at)) return true;
      if (exact || at === ROOT || isSpecial(at)) return false;
    }
  }
}
