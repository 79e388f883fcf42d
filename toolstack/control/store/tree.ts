/**
 * The nodes of the store by their paths, and the accounts of the domains that own them. A request sees them through a
 * `View`: this one, or a transaction's.
 */
import { nodeCost, nodeOf, withoutChildren, type Branch, type StoreNode } from "./node.ts";
import { ROOT } from "./path.ts";
import type { Permissions } from "./permissions.ts";
import { Account, Pool } from "./quota.ts";
import { UnwrittenNodes } from "./unwritten.ts";

/** The set of nodes that a request reads and changes. */
export interface View {
  /** The node there, undefined for none. */
  get(path: string): StoreNode | undefined;
  /** As `get`, for who only reads: it may be a copy of a node that is not written yet. */
  look(path: string): StoreNode | undefined;
  /** Puts a node in; its parent has it among its children, or will when the request is done. */
  put(path: string, node: StoreNode): void;
  remove(path: string): void;
  /** Bytes more that `account` will be counted with when `node` is put there. */
  growth(account: Account, path: string, node: StoreNode): number;
  /** Nodes that the domain owns, as this view has them. */
  nodesOf(account: Account): number;
  /**
   * Announces a change at `path`; to be called while removed nodes can still be looked up.
   * @param exact only to watches of exactly that path
   * @param before the previous node, if domains that could read it are still to be notified
   */
  changed(path: string, exact: boolean, before?: StoreNode): void;
}

/** A domain known to the store. */
export class KnownDomain {
  /** Paths of the nodes that it owns; null for none, and for domain 0, which is never forgotten. */
  owned: Set<string> | null = null;
  private made: Account | null = null;

  constructor(
    private readonly id: number,
    private readonly pool: Pool,
    /** The tree's generation when it was made known: older nodes' permissions do not speak of it. */
    readonly since: number,
  ) {}

  /** Most domains have nothing to be counted. */
  get account(): Account {
    return (this.made ??= new Account(this.id, this.id !== 0, this.pool));
  }

  /** Gives back what it is counted with. */
  settle(): void {
    if (this.made !== null) this.made.add(-this.made.bytes);
  }
}

export class Tree {
  private readonly nodes = new Map<string, StoreNode>();
  private readonly domains = new Map<number, KnownDomain>();
  private readonly pool = new Pool();
  private latest = 0;
  /** Rises with every node that is looked up or changed: what a request costs. */
  work = 0;
  /** Nodes that are written at the first change. */
  readonly unwritten = new UnwrittenNodes(
    (directory, added, removed) => this.rename(directory, added, removed),
    (path, branch) => this.graft(path, branch),
    (id) => this.domains.get(id)!.since,
  );

  constructor() {
    this.addDomain(0);
    this.put(ROOT, { data: "", permissions: [{ domain: 0, access: 0 }], children: "", generation: this.advance() });
  }

  /** A new generation: higher than every one before. */
  advance(): number {
    return ++this.latest;
  }

  get(path: string): StoreNode | undefined {
    this.work++;
    const node = this.nodes.get(path);
    const { unwritten } = this;
    if (!unwritten.any) return node;
    const fresh = node === undefined ? unwritten.writeAt(path) : unwritten.listed(path);
    return fresh ? this.nodes.get(path) : node;
  }

  /** As `get`, for who only reads: what is not written is shown. */
  look(path: string): StoreNode | undefined {
    this.work++;
    const node = this.nodes.get(path);
    const { unwritten } = this;
    if (!unwritten.any) return node;
    if (node === undefined) return unwritten.show(path);
    return unwritten.listed(path) ? this.nodes.get(path) : node;
  }

  put(path: string, node: StoreNode): void {
    this.work++;
    const owner = this.ownerOf(node);
    const old = this.nodes.get(path);
    if (old !== undefined) this.uncount(path, old);
    this.nodes.set(path, node);
    owner.account.nodes++;
    owner.account.add(nodeCost(path, node));
    if (owner.owned !== null) owner.owned.add(path);
    else if (owner.account.limited) owner.owned = new Set([path]);
  }

  remove(path: string): void {
    this.work++;
    const old = this.nodes.get(path);
    if (old === undefined) return;
    this.uncount(path, old);
    this.nodes.delete(path);
  }

  /**
   * Puts a node and all below it where there is none, as a part of what a new domain has; the list of the node above has it
   * already. No check is made, and nobody is told: it is the way to write dozens of nodes in a moment.
   */
  graft(path: string, branch: Branch): void {
    this.put(path, nodeOf(branch, this.advance()));
    const [, , , below] = branch;
    if (below !== undefined) for (const each of below) this.graft(`${path}/${each[0]}`, each);
  }

  private rename(directory: string, added: string, removed: ReadonlySet<string> | undefined): void {
    const node = this.nodes.get(directory);
    if (node === undefined) return;
    const left = removed === undefined ? node.children : withoutChildren(node, removed);
    const children = left + added;
    this.put(directory, { ...node, children, generation: this.advance() });
  }

  growth(account: Account, path: string, node: StoreNode): number {
    if (this.ownerOf(node).account !== account) return 0;
    const old = this.nodes.get(path);
    return (
      nodeCost(path, node) - (old !== undefined && this.ownerOf(old).account === account ? nodeCost(path, old) : 0)
    );
  }

  private uncount(path: string, old: StoreNode): void {
    const { account, owned } = this.ownerOf(old);
    account.nodes--;
    account.add(-nodeCost(path, old));
    owned?.delete(path);
  }

  /** The node's owner; domain 0 if the owner no longer exists. */
  private ownerOf(node: StoreNode): KnownDomain {
    return this.domains.get(node.permissions[0]!.domain) ?? this.domains.get(0)!;
  }

  /** Makes a domain known. Nodes it may own or be allowed come after it. */
  addDomain(id: number): KnownDomain {
    const domain = new KnownDomain(id, this.pool, this.latest);
    this.domains.set(id, domain);
    return domain;
  }

  domain(id: number): KnownDomain | undefined {
    return this.domains.get(id);
  }

  /** Removes a domain, whose nodes have been removed. */
  dropDomain(id: number): void {
    this.domains.get(id)!.settle();
    this.domains.delete(id);
  }

  /** True if an entry for `domain` made at `generation` refers to the domain that has this number now. */
  entryHolds(domain: number, generation: number): boolean {
    const known = this.domains.get(domain);
    return known !== undefined && known.since <= generation;
  }

  /** The permissions without entries for domains that no longer exist, for a node's next generation. */
  lasting(node: StoreNode): Permissions {
    const { permissions, generation } = node;
    if (permissions.length === 1) return permissions;
    const holds = permissions.every(({ domain }, i) => i === 0 || this.entryHolds(domain, generation));
    if (holds) return permissions;
    return permissions.filter(({ domain }, i) => i === 0 || this.entryHolds(domain, generation));
  }

  /** Every path with its node that is written; for checks. */
  entries(): IterableIterator<[string, StoreNode]> {
    this.unwritten.settle();
    return this.nodes.entries();
  }
}
