/**
 * Transactions: each node accessed is recorded with its generation, and changes are kept separately.
 * At the end every accessed node must be unchanged (else EAGAIN, and the client retries); then its
 * changes are committed together. So transactions are serializable.
 */
import { nodeCost, type StoreNode } from "./node.ts";
import {
  ACCESS_OVERHEAD,
  MAX_NODES,
  MAX_TRANSACTION_NODES,
  MAX_TRANSACTIONS,
  TRANSACTION_OVERHEAD,
  type Account,
} from "./quota.ts";
import { EAGAIN, ENOMEM, ENOSPC } from "./store-error.ts";
import type { Tree, View } from "./tree.ts";

/** A path that the transaction touched. */
interface Access {
  /** The node as it was found. */
  readonly before: StoreNode | undefined;
  /** The node as the transaction has it. */
  node: StoreNode | undefined;
  modified: boolean;
  event: "none" | "exact" | "all";
}

/** Announces a committed change. */
export type Announce = (path: string, exact: boolean, before?: StoreNode) => void;

export class Transaction implements View {
  private readonly accesses = new Map<string, Access>();
  /** Nodes more (or fewer) that each domain owns by this transaction. */
  private readonly owned = new Map<number, number>();
  /** Bytes the account is counted with for this transaction. */
  private bytes = 0;
  /** It touched too much, or was cut off by a restart of domain 0: it can only be ended. */
  private failure: typeof ENOMEM | typeof EAGAIN | null = null;

  /** Throws ENOSPC for one transaction too many, ENOMEM. */
  constructor(
    private readonly tree: Tree,
    private readonly account: Account,
  ) {
    if (account.limited && account.transactions >= MAX_TRANSACTIONS) throw ENOSPC;
    this.take(TRANSACTION_OVERHEAD);
    account.transactions++;
  }

  private take(bytes: number): void {
    this.account.take(bytes);
    this.bytes += bytes;
  }

  /** Makes its end an EAGAIN, whatever else happens in it. */
  spoil(): void {
    this.failure = EAGAIN;
  }

  private access(path: string): Access {
    const known = this.accesses.get(path);
    if (known !== undefined) return known;
    if (this.account.limited && this.accesses.size >= MAX_TRANSACTION_NODES) {
      this.failure ??= ENOMEM;
      throw ENOSPC;
    }
    this.take(ACCESS_OVERHEAD + path.length);
    const node = this.tree.get(path);
    const access: Access = { before: node, node, modified: false, event: "none" };
    this.accesses.set(path, access);
    return access;
  }

  get(path: string): StoreNode | undefined {
    return this.access(path).node;
  }

  /** What it sees is to be the same at its end: written. */
  look(path: string): StoreNode | undefined {
    return this.get(path);
  }

  growth(_account: Account, path: string, node: StoreNode): number {
    return nodeCost(path, node) - this.keptFor(path);
  }

  /** Bytes that the changed node at `path` takes now. */
  private keptFor(path: string): number {
    const access = this.access(path);
    return access.modified && access.node !== undefined ? nodeCost(path, access.node) : 0;
  }

  put(path: string, node: StoreNode): void {
    this.set(path, node);
  }

  remove(path: string): void {
    this.set(path, undefined);
  }

  private set(path: string, node: StoreNode | undefined): void {
    const more = (node === undefined ? 0 : nodeCost(path, node)) - this.keptFor(path);
    this.account.add(more);
    this.bytes += more;
    const access = this.access(path);
    if (access.node !== undefined) this.count(access.node, -1);
    if (node !== undefined) this.count(node, 1);
    access.node = node;
    access.modified = true;
  }

  private count(node: StoreNode, change: number): void {
    const owner = node.permissions[0]!.domain;
    this.owned.set(owner, (this.owned.get(owner) ?? 0) + change);
  }

  nodesOf(account: Account): number {
    return account.nodes + (this.owned.get(account.domain) ?? 0);
  }

  changed(path: string, exact: boolean): void {
    const access = this.access(path);
    if (access.event !== "all") access.event = exact ? "exact" : "all";
  }

  /** Ends it and releases its resources. */
  private close(): void {
    this.account.transactions--;
    this.account.add(-this.bytes);
    this.bytes = 0;
  }

  /** Ends it without a trace. */
  abort(): void {
    this.close();
  }

  /**
   * Ends it and makes its changes.
   * @throws EAGAIN something it saw has changed meanwhile; ENOSPC the domain would own too many nodes; ENOMEM it
   *   touched more than a transaction may. Nothing has changed then.
   */
  commit(announce: Announce): void {
    this.close();
    if (this.failure !== null) throw this.failure;
    const { tree, account } = this;
    // Nodes are never changed in place: the same object is the same generation.
    for (const [path, { before }] of this.accesses) if (tree.get(path) !== before) throw EAGAIN;
    const more = this.owned.get(account.domain) ?? 0;
    if (account.limited && more > 0 && account.nodes + more > MAX_NODES) throw ENOSPC;
    for (const [path, { node, modified }] of this.accesses) {
      if (!modified) continue;
      if (node !== undefined) tree.put(path, { ...node, generation: tree.advance() });
      else tree.remove(path);
    }
    for (const [path, { before, event }] of this.accesses) {
      if (event !== "none") announce(path, event === "exact", before);
    }
  }
}
