/**
 * One domain as a client of the store: its watches, its open transactions, and its queued messages. The transport of
 * messages is in connection.ts.
 */
import { XENSTORE_PAYLOAD_MAX, XS_WATCH_EVENT } from "../../../abi/xs-wire.ts";
import { Announcer } from "./announcements.ts";
import type { Scope } from "./operations.ts";
import { homeOf } from "./path.ts";
import type { Subject } from "./permissions.ts";
import { MAX_OUTSTANDING, MAX_WATCHES, MESSAGE_OVERHEAD, WATCH_OVERHEAD, type Account } from "./quota.ts";
import type { Store } from "./store.ts";
import { E2BIG, EEXIST, ENOENT } from "./store-error.ts";
import { Transaction } from "./transaction.ts";
import type { KnownDomain, View } from "./tree.ts";
import type { Cause, Watch, Watcher } from "./watches.ts";
import { encodeMessage, type Message } from "./wire.ts";

/** Events not read for this long are dropped (xenstored's timeout). */
export const EVENT_TIMEOUT_MS = 20_000;

/** Messages already sent that the queue keeps before it is shortened. */
const SENT_KEPT = 64;

/** A message on its way to the domain. */
interface Outgoing extends Message {
  /** An event; one like another that waits already is not sent twice. */
  readonly event: boolean;
  readonly cause: Cause | null;
  /** Event: time in ms. */
  readonly since: number;
}

/** What a client's transport offers. */
export interface Transport {
  /** There is something to send, or requests may be served again. */
  wake(): void;
  /** Time in ms, for the timeout of unread events. */
  now(): number;
}

/** A client as permissions see it. Its target is the domain that had the number then: when that is gone, it has none. */
class ClientSubject implements Subject {
  readonly privileged: boolean;
  private aim: { id: number; known: KnownDomain } | null = null;

  constructor(
    private readonly store: Store,
    readonly domain: number,
  ) {
    this.privileged = domain === 0;
  }

  get target(): number {
    if (this.aim === null) return -1;
    return this.store.tree.domain(this.aim.id) === this.aim.known ? this.aim.id : -1;
  }

  set target(id: number) {
    const known = this.store.tree.domain(id);
    this.aim = known === undefined ? null : { id, known };
  }
}

export class Client implements Watcher, Cause {
  readonly home: string;
  readonly account: Account;
  readonly subject: Subject;
  private readonly view: View;
  private readonly watches: Watch[] = [];
  private readonly transactions = new Map<number, Transaction>();
  private nextTransaction = 1;
  /** From `first` on. */
  private outgoing: Outgoing[] = [];
  private first = 0;
  private events = 0;
  /** The oldest message as it goes over the wire. */
  private encoded: string | undefined;
  /** Payloads of events that wait, special ones left out. */
  private readonly waitingEvents = new Set<string>();
  /** Fires watches for its changes. */
  readonly announcer: Announcer;
  private transport: Transport = { wake: () => {}, now: () => 0 };

  /** @param domain known to the store */
  constructor(
    readonly store: Store,
    readonly domain: number,
  ) {
    this.home = homeOf(domain);
    this.account = store.tree.domain(domain)!.account;
    this.subject = new ClientSubject(store, domain);
    this.announcer = new Announcer(store, this, this.account, () => this.transport.wake());
    this.view = store.view(this.announcer);
  }

  /** Connects it to what carries its messages. */
  attach(transport: Transport): void {
    this.transport = transport;
  }

  /**
   * True while it may make requests: others have been told of what it changed, and not too many answers, and events for
   * others, wait to be taken.
   */
  get mayAsk(): boolean {
    if (!this.announcer.idle) return false;
    return !this.account.limited || this.account.outstanding < MAX_OUTSTANDING;
  }

  waiting(change: number): void {
    this.account.outstanding += change;
    if (change < 0 && this.account.outstanding === MAX_OUTSTANDING - 1) this.transport.wake();
  }

  /** What a request acts on. @param transaction null for none */
  scope(transaction: Transaction | null): Scope {
    const { store, subject, account } = this;
    return { tree: store.tree, view: transaction ?? this.view, subject, account };
  }

  /** Throws ENOENT for a number that no open transaction has; null for 0. */
  transaction(id: number): Transaction | null {
    if (id === 0) return null;
    const transaction = this.transactions.get(id);
    if (transaction === undefined) throw ENOENT;
    return transaction;
  }

  /** Opens a transaction and returns its number. Throws ENOSPC, ENOMEM. */
  begin(): number {
    const transaction = new Transaction(this.store.tree, this.account);
    while (this.nextTransaction === 0 || this.transactions.has(this.nextTransaction)) this.skipNumber();
    const id = this.nextTransaction;
    this.skipNumber();
    this.transactions.set(id, transaction);
    return id;
  }

  private skipNumber(): void {
    this.nextTransaction = (this.nextTransaction + 1) >>> 0;
  }

  /** Opens transaction `id`, which the domain had before a restart: it can only fail with EAGAIN. */
  reopen(id: number): void {
    const transaction = new Transaction(this.store.tree, this.account);
    transaction.spoil();
    this.transactions.set(id, transaction);
    this.nextTransaction = Math.max(this.nextTransaction, id + 1) >>> 0;
  }

  get openTransactions(): number[] {
    return [...this.transactions.keys()];
  }

  /** Ends an open transaction. Throws as Transaction.commit. */
  end(id: number, commit: boolean): void {
    const transaction = this.transactions.get(id)!;
    this.transactions.delete(id);
    if (!commit) transaction.abort();
    else transaction.commit((path, exact, before) => this.store.announce(path, exact, this.announcer, before));
  }

  /** Adds a watch; its first event is the caller's to send. Throws EEXIST, E2BIG, ENOMEM. */
  watch(path: string, token: string, relative: boolean): Watch {
    if (this.findWatch(path, token) !== undefined) throw EEXIST;
    if (this.account.limited && this.account.watches >= MAX_WATCHES) throw E2BIG;
    this.account.take(watchCost(path, token));
    this.account.watches++;
    const watch: Watch = { watcher: this, path, token, prefix: relative ? this.home.length + 1 : 0 };
    this.watches.push(watch);
    this.store.watches.add(watch);
    return watch;
  }

  /** Throws ENOENT. */
  unwatch(path: string, token: string): void {
    const watch = this.findWatch(path, token);
    if (watch === undefined) throw ENOENT;
    this.watches.splice(this.watches.indexOf(watch), 1);
    this.dropWatch(watch);
  }

  private findWatch(path: string, token: string): Watch | undefined {
    return this.watches.find((watch) => watch.path === path && watch.token === token);
  }

  private dropWatch(watch: Watch): void {
    this.store.watches.remove(watch);
    this.account.watches--;
    this.account.add(-watchCost(watch.path, watch.token));
  }

  get allWatches(): readonly Watch[] {
    return this.watches;
  }

  /** XS_RESET_WATCHES: no watch and no transaction is left. */
  reset(): void {
    for (const watch of this.watches.splice(0)) this.dropWatch(watch);
    for (const transaction of this.transactions.values()) transaction.abort();
    this.transactions.clear();
  }

  /** Drops its watches, transactions and queued messages. Watches for its changes are still fired. */
  close(): void {
    this.reset();
    const dropped = this.outgoing.slice(this.first);
    this.outgoing = [];
    this.first = 0;
    this.encoded = undefined;
    for (const message of dropped) this.delivered(message);
  }

  /** As `close`, for good: its domain is about to be forgotten. */
  leave(): void {
    this.close();
    this.store.inherit(this.announcer);
  }

  event(path: string, token: string, cause: Cause | null): void {
    const length = path.length + token.length + 2;
    // Xen: names that need more than a message are not told; special events are all told.
    if (length > XENSTORE_PAYLOAD_MAX || !this.account.mayTake(length + MESSAGE_OVERHEAD)) return;
    const payload = `${path}\0${token}\0`;
    if (!path.startsWith("@")) {
      if (this.waitingEvents.has(payload)) return;
      this.waitingEvents.add(payload);
    }
    cause?.waiting(1);
    const since = this.transport.now();
    this.queue({ type: XS_WATCH_EVENT, request: 0, transaction: 0, payload, event: true, cause, since });
  }

  /** Queues the answer to a request. */
  answer({ type, request, transaction, payload }: Message): void {
    this.account.outstanding++;
    this.queue({ type, request, transaction, payload, event: false, cause: null, since: 0 });
  }

  private queue(message: Outgoing): void {
    this.account.add(message.payload.length + MESSAGE_OVERHEAD);
    if (message.event) this.events++;
    this.outgoing.push(message);
    this.transport.wake();
  }

  /** The bytes of the oldest message that waits. */
  get nextOutput(): string | undefined {
    if (this.encoded === undefined && this.first < this.outgoing.length) {
      this.encoded = encodeMessage(this.outgoing[this.first]!);
    }
    return this.encoded;
  }

  /** The oldest message was sent as a whole. */
  sent(): void {
    const message = this.outgoing[this.first++]!;
    this.encoded = undefined;
    if (this.first === this.outgoing.length || this.first > SENT_KEPT) {
      this.outgoing = this.outgoing.slice(this.first);
      this.first = 0;
    }
    this.delivered(message);
  }

  private delivered(message: Outgoing): void {
    this.account.add(-message.payload.length - MESSAGE_OVERHEAD);
    if (!message.event) {
      this.waiting(-1);
      return;
    }
    this.events--;
    this.waitingEvents.delete(message.payload);
    message.cause?.waiting(-1);
  }

  /**
   * Drops the events that have waited for longer than Xen lets them.
   * @param begun the oldest message is partly sent, and stays
   */
  dropStaleEvents(begun: boolean): void {
    const limit = this.transport.now() - EVENT_TIMEOUT_MS;
    const kept: Outgoing[] = [];
    const stale: Outgoing[] = [];
    for (let i = this.first; i < this.outgoing.length; i++) {
      const message = this.outgoing[i]!;
      const drop = message.event && message.since <= limit && !(begun && i === this.first);
      (drop ? stale : kept).push(message);
    }
    if (stale.length === 0) return;
    this.outgoing = kept;
    this.first = 0;
    if (!begun) this.encoded = undefined;
    for (const message of stale) this.delivered(message);
  }

  /** True while an event waits. */
  get eventsWait(): boolean {
    return this.events > 0;
  }
}

function watchCost(path: string, token: string): number {
  return WATCH_OVERHEAD + path.length + token.length;
}
