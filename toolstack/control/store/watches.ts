/**
 * Who wants to hear of changes. Watches are found by the path they stand at, so a change costs one look-up for each part
 * of its path, however many watches there are.
 */
import { isSpecial, parentOf, ROOT } from "./path.ts";
import type { Subject } from "./permissions.ts";

/** A guest whose request caused events: it is kept from more requests while many of them wait for others. */
export interface Cause {
  /** One more event of its making waits (1), or one no longer does (-1). */
  waiting(change: number): void;
}

/** Who watches. */
export interface Watcher {
  readonly subject: Subject;
  /** @param cause whose request it was; null for domain 0's doing, and for the first event of a watch */
  event(path: string, token: string, cause: Cause | null): void;
}

export interface Watch {
  readonly watcher: Watcher;
  /** Absolute, or a special name. */
  readonly path: string;
  readonly token: string;
  /** Characters taken off the paths in its events: the watch was set by a relative path. */
  readonly prefix: number;
}

/** The path as the watcher names it. */
export function eventPath(watch: Watch, path: string): string {
  return watch.prefix === 0 ? path : path.slice(watch.prefix);
}

export class Watches {
  private readonly byPath = new Map<string, Watch[]>();

  add(watch: Watch): void {
    const there = this.byPath.get(watch.path);
    if (there === undefined) this.byPath.set(watch.path, [watch]);
    else there.push(watch);
  }

  remove(watch: Watch): void {
    const rest = this.byPath.get(watch.path)!.filter((other) => other !== watch);
    if (rest.length === 0) this.byPath.delete(watch.path);
    else this.byPath.set(watch.path, rest);
  }

  /**
   * Sends the events of a change at `path`.
   * @param exact only to watches at that very path, not at those above
   * @param mayHear who may know of it
   */
  fire(path: string, exact: boolean, cause: Cause | null, mayHear: (subject: Subject) => boolean): void {
    if (this.byPath.size === 0) return;
    const asked = new Map<Watcher, boolean>();
    for (let at = path; ; at = parentOf(at)) {
      for (const watch of this.byPath.get(at) ?? []) {
        let may = asked.get(watch.watcher);
        if (may === undefined) asked.set(watch.watcher, (may = mayHear(watch.watcher.subject)));
        if (may) watch.watcher.event(eventPath(watch, path), watch.token, cause);
      }
      if (exact || at === ROOT || isSpecial(at)) return;
    }
  }
}
