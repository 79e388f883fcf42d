/**
 * The store: nodes, watches, the domains it knows, and the two special events. What domains ask of it by messages is in
 * client.ts and requests.ts; domain 0 itself uses it through local.ts.
 */
import { removeTree } from "./operations.ts";
import { isSpecial, parentOf, ROOT } from "./path.ts";
import { accessOf, NO_ACCESS, OWN, READ, WRITE, type Permissions, type Subject } from "./permissions.ts";
import type { StoreNode } from "./node.ts";
import { EACCES, EINVAL } from "./store-error.ts";
import { Tree, type KnownDomain, type View } from "./tree.ts";
import { Watches, type Cause } from "./watches.ts";

export const INTRODUCE_DOMAIN = "@introduceDomain";
export const RELEASE_DOMAIN = "@releaseDomain";

const PRIVILEGED_ONLY: Permissions = [{ domain: 0, access: NO_ACCESS }];

export class Store {
  readonly tree = new Tree();
  readonly watches = new Watches();
  /** What is yet to be written for new domains, by their ids: few guests ever look. */
  private readonly pending = new Map<number, () => void>();
  /** Who may hear of domains that come and go. */
  private readonly special = new Map<string, Permissions>([
    [INTRODUCE_DOMAIN, PRIVILEGED_ONLY],
    [RELEASE_DOMAIN, PRIVILEGED_ONLY],
  ]);

  /** The nodes as everybody sees them. `cause`: who is asked to wait when events pile up. */
  view(cause: Cause | null): View {
    const { tree } = this;
    return {
      get: (path) => tree.get(path),
      put: (path, node) => tree.put(path, node),
      remove: (path) => tree.remove(path),
      growth: (account, path, node) => tree.growth(account, path, node),
      nodesOf: (account) => account.nodes,
      changed: (path, exact, before) => this.announce(path, exact, cause, before),
    };
  }

  /**
   * Tells the watchers of a change who may read the node or its parent, or could read it before.
   * @param before the node as it was
   */
  announce(path: string, exact: boolean, cause: Cause | null, before?: StoreNode): void {
    const node = this.tree.get(path);
    this.watches.fire(path, exact, cause, (subject) => {
      const reads = (seen: StoreNode | undefined) => seen !== undefined && this.mayRead(subject, seen);
      if (reads(before)) return true;
      return node !== undefined && (reads(node) || (path !== ROOT && reads(this.tree.get(parentOf(path)))));
    });
  }

  private mayRead(subject: Subject, node: StoreNode): boolean {
    const holds = (domain: number) => this.tree.entryHolds(domain, node.generation);
    return (accessOf(subject, node.permissions, holds) & READ) !== 0;
  }

  /** Sends a special event to those who may have it. */
  announceSpecial(name: string): void {
    this.watches.fire(name, true, null, (subject) => (this.specialAccess(subject, name) & READ) !== 0);
  }

  private specialAccess(subject: Subject, name: string): number {
    return accessOf(subject, this.special.get(name)!, (domain) => this.tree.domain(domain) !== undefined);
  }

  /** XS_SET_PERMS of a special name. Throws EINVAL, EACCES. */
  setSpecialPermissions(subject: Subject, name: string, permissions: Permissions): void {
    if (!isSpecial(name) || !this.special.has(name)) throw EINVAL;
    const needed = WRITE | OWN;
    if ((this.specialAccess(subject, name) & needed) !== needed) throw EACCES;
    this.special.set(name, permissions);
  }

  /**
   * Makes a domain known.
   * @param populate writes its nodes, once somebody asks anything of the store
   */
  addDomain(id: number, populate: () => void): KnownDomain {
    const domain = this.tree.addDomain(id);
    this.pending.set(id, populate);
    return domain;
  }

  /** Writes what is pending: before anything is asked of the store. */
  settle(): void {
    if (this.pending.size === 0) return;
    const all = [...this.pending.values()];
    this.pending.clear();
    for (const populate of all) populate();
  }

  /** True when `addDomain`'s nodes for the domain have been written. */
  populated(id: number): boolean {
    return !this.pending.has(id);
  }

  /** Forgets a domain: its nodes go, wherever they are, with what others put below them. Its client is closed already. */
  removeDomain(id: number): void {
    this.pending.delete(id);
    const { tree } = this;
    const { account } = tree.domain(id)!;
    if (account.nodes > 0) {
      const view = this.view(null);
      const owned = [...tree.entries()].filter(([, node]) => node.permissions[0]!.domain === id);
      for (const [path] of owned) if (path !== ROOT && tree.get(path) !== undefined) removeTree(tree, view, path);
    }
    for (const [name, permissions] of this.special) {
      if (!permissions.some(({ domain }) => domain === id)) continue;
      const rest = permissions.slice(1).filter(({ domain }) => domain !== id);
      const owner = permissions[0]!.domain === id ? { domain: 0, access: permissions[0]!.access } : permissions[0]!;
      this.special.set(name, [owner, ...rest]);
    }
    tree.dropDomain(id);
    this.announceSpecial(RELEASE_DOMAIN);
  }
}
