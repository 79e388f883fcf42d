/**
 * The store: nodes, watches, known domains, and the two special events. Requests by messages are in
 * client.ts and requests.ts; domain 0 itself uses it through local.ts.
 */
import { ANNOUNCE_UNITS, Announcer, type Audience } from "./announcements.ts";
import { removeTree } from "./operations.ts";
import { isSpecial, parentOf, ROOT } from "./path.ts";
import { accessOf, NO_ACCESS, OWN, READ, WRITE, type Permissions, type Subject } from "./permissions.ts";
import { childNames, type StoreNode } from "./node.ts";
import { EACCES, EINVAL } from "./store-error.ts";
import { Tree, type KnownDomain, type View } from "./tree.ts";
import type { Unwritten } from "./unwritten.ts";
import { Watches } from "./watches.ts";

export const INTRODUCE_DOMAIN = "@introduceDomain";
export const RELEASE_DOMAIN = "@releaseDomain";

const PRIVILEGED_ONLY: Permissions = [{ domain: 0, access: NO_ACCESS }];

export class Store implements Audience {
  readonly tree = new Tree();
  readonly watches = new Watches();
  /** Domains that act for another one too. */
  readonly actors = new Set<number>();
  /** Announces changes that no client requested. */
  private readonly own = new Announcer(this, null, null, () => {});
  /** Announcers with deferred watches, processed in turn. */
  private announcers: Announcer[] = [];
  /** Permissions for the special events. */
  private readonly special = new Map<string, Permissions>([
    [INTRODUCE_DOMAIN, PRIVILEGED_ONLY],
    [RELEASE_DOMAIN, PRIVILEGED_ONLY],
  ]);
  /** Called when there is something for `fire` to do. */
  wake: () => void = () => {};

  /** The committed nodes. @param announcer announces changes made through this view */
  view(announcer: Announcer): View {
    const { tree } = this;
    return {
      get: (path) => tree.get(path),
      look: (path) => tree.look(path),
      put: (path, node) => tree.put(path, node),
      remove: (path) => tree.remove(path),
      growth: (account, path, node) => tree.growth(account, path, node),
      nodesOf: (account) => account.nodes,
      changed: (path, exact, before) => this.announce(path, exact, announcer, before),
    };
  }

  /**
   * Queues a change for watchers that may read the node or its parent, or could read it before.
   * @param before the node as it was
   */
  announce(path: string, exact: boolean, announcer: Announcer, before?: StoreNode): void {
    if (!this.watches.any(path, exact)) return;
    const node = this.tree.get(path);
    const nodes = before === undefined ? [] : [before];
    if (node !== undefined) {
      nodes.push(node);
      if (path !== ROOT) nodes.push(this.tree.get(parentOf(path))!);
    }
    announcer.add(path, exact, nodes, before);
  }

  pending(announcer: Announcer): void {
    if (this.announcers.includes(announcer)) return;
    this.announcers.push(announcer);
    this.wake();
  }

  /** Fires deferred watches, for about `units` of work. @returns whether there are more */
  fire(units: number): boolean {
    for (let left = units; left > 0 && this.announcers.length > 0;) {
      const announcer = this.announcers.shift()!;
      left -= Math.max(announcer.fireRest(Math.min(left, ANNOUNCE_UNITS)), 1);
      if (!announcer.idle) this.announcers.push(announcer);
    }
    return this.announcers.length > 0;
  }

  mayRead(subject: Subject, node: StoreNode): boolean {
    const holds = (domain: number) => this.tree.entryHolds(domain, node.generation);
    return (accessOf(subject, node.permissions, holds) & READ) !== 0;
  }

  mayHearSpecial(subject: Subject, name: string): boolean {
    return (this.specialAccess(subject, name) & READ) !== 0;
  }

  /** Sends a special event to the clients permitted to receive it. */
  announceSpecial(name: string): void {
    if (!this.watches.any(name, true)) return;
    this.own.add(name, true, null);
    this.own.flush();
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

  /** Lets a domain act for another one too (XS_SET_TARGET). */
  setTarget(subject: Subject, target: number): void {
    this.tree.unwritten.writeFor(target);
    subject.target = target;
    this.actors.add(subject.domain);
  }

  /**
   * Makes a domain known.
   * @param nodes its nodes in the store, written at the first change
   */
  addDomain(id: number, nodes?: Unwritten): KnownDomain {
    const domain = this.tree.addDomain(id);
    if (nodes !== undefined) this.tree.unwritten.add(id, nodes);
    return domain;
  }

  /** True when nodes for the domain have been written. */
  populated(id: number): boolean {
    return !this.tree.unwritten.has(id);
  }

  /**
   * Removes the node at `path`, one of the root paths of a domain's nodes, with everything below it; nothing if it is not there.
   * What `removeTree` does, in steps that do not depend on how many others there are in the directory above.
   */
  uproot(path: string): void {
    const node = this.tree.get(path);
    if (node === undefined) return;
    this.uprootBelow(path, node);
    this.announce(path, false, this.own);
    this.tree.remove(path);
    this.tree.unwritten.unlist(path);
    this.own.flush();
  }

  /** Watches fire while permissions can still be looked up: descendants are removed first, one by one. */
  private uprootBelow(path: string, node: StoreNode): void {
    const { tree } = this;
    for (const name of childNames(node)) {
      const at = `${path}/${name}`;
      const child = tree.get(at);
      if (child === undefined) continue;
      if (child.children !== "") this.uprootBelow(at, child);
      if (this.watches.at(at) !== undefined) this.announce(at, true, this.own);
      tree.remove(at);
    }
  }

  /** Takes over the unannounced changes of a closed client. */
  inherit(announcer: Announcer): void {
    this.announcers = this.announcers.filter((other) => other !== announcer);
    this.own.takeOver(announcer);
  }

  /** Forgets a domain: its nodes go, wherever they are, with what others put below them. Its client is closed already. */
  removeDomain(id: number): void {
    const { tree } = this;
    tree.unwritten.drop(id);
    const { owned } = tree.domain(id)!;
    if (owned !== null && owned.size > 0) this.removeAll([...owned]);
    for (const [name, permissions] of this.special) {
      if (permissions === PRIVILEGED_ONLY || !permissions.some(({ domain }) => domain === id)) continue;
      const rest = permissions.slice(1).filter(({ domain }) => domain !== id);
      const owner = permissions[0]!.domain === id ? { domain: 0, access: permissions[0]!.access } : permissions[0]!;
      this.special.set(name, [owner, ...rest]);
    }
    tree.dropDomain(id);
    this.actors.delete(id);
    this.announceSpecial(RELEASE_DOMAIN);
  }

  private removeAll(paths: readonly string[]): void {
    const view = this.view(this.own);
    for (const path of paths) if (path !== ROOT && this.tree.get(path) !== undefined) removeTree(this.tree, view, path);
  }
}
