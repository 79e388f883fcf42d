/** The store as domain 0 runs it: the connected domains, and the toolstack's access (`local`). */
import { HVM_PARAM_STORE_PFN } from "../../../abi/hvm.ts";
import { closeChannel } from "../events.ts";
import { reportFailure } from "../failures.ts";
import { HypercallError } from "../hypercall.ts";
import { getHvmParam } from "../hypercalls/hvm.ts";
import { attempt, REQUEST } from "../suspects.ts";
import { Task } from "../tasks.ts";
import { ANNOUNCE_UNITS } from "./announcements.ts";
import { Client } from "./client.ts";
import { bindStore, StoreConnection } from "./connection.ts";
import { LocalStore } from "./local.ts";
import { changesState, handleRequest, type DomainManager } from "./requests.ts";
import { restoreClient, saveClient, type SavedClient } from "./saved.ts";
import { INTRODUCE_DOMAIN, RELEASE_DOMAIN, Store } from "./store.ts";
import { EINVAL, EIO, ENOENT } from "./store-error.ts";
import type { Unwritten } from "./unwritten.ts";
import { errorReply, type Header } from "./wire.ts";

/** Bytes in a domain's account, overheads included, up to which its nodes may fit into a record of 32 KiB. */
const SAVED_BYTES = 256 * 1024;

/** A domain that the store serves. */
class Served {
  private made: Client | null = null;
  private told = false;
  /** It has shut down, and watchers of @releaseDomain know. */
  shutdown = false;
  /** Null until the guest first calls: most small guests never do. */
  private line: StoreConnection | null = null;
  /** Ours, while there is no connection. */
  private readonly port: number;

  /** @throws HypercallError */
  constructor(
    private readonly service: StoreService,
    private readonly domain: number,
    private readonly gfn: number,
    port: number,
    fresh: boolean,
  ) {
    this.port = bindStore(domain, port, fresh, () => this.connection.onEvent());
  }

  get connection(): StoreConnection {
    return (this.line ??= new StoreConnection(this.domain, this.gfn, this.port, () => this.client, this));
  }

  /** Service begins again: a guest that called meanwhile is served. */
  resume(): void {
    this.line?.called();
  }

  get client(): Client {
    return (this.made ??= new Client(this.service.store, this.domain));
  }

  request(header: Header, payload: string): void {
    const { service, domain, client } = this;
    const done = attempt(REQUEST, domain, () =>
      handleRequest(client, service, header, payload, (error) =>
        reportFailure(`the store, for domain ${domain}`, error),
      ),
    );
    if (!done) {
      service.notice(
        `domain ${domain}: a request to the store (type ${header.type}) ended domain 0 twice: refused with EIO`,
      );
      client.answer(errorReply(header, EIO.errno));
    }
    if (changesState(header.type)) service.changed(domain);
  }

  /** Reported once: a guest can break and re-establish its connection any number of times. */
  broken(error: number): void {
    if (!this.told)
      this.service.notice(`domain ${this.domain} broke the xenstore protocol (error ${error}): disconnected`);
    this.told = true;
    this.service.changed(this.domain);
  }

  reconnected(): void {
    this.service.changed(this.domain);
  }

  get holds(): boolean {
    return this.service.holds;
  }

  /** Its client, null while it has asked for nothing. */
  get existing(): Client | null {
    return this.made;
  }

  /** Drops its client state and releases its ring. */
  close(): void {
    this.made?.leave();
    if (this.line !== null) this.line.close();
    else closeChannel(this.port);
  }
}

export class StoreService implements DomainManager {
  readonly store = new Store();
  readonly local = new LocalStore(this.store);
  private readonly served = new Map<number, Served>();

  /** True while domains are adopted: none is served before all are known and their state is restored. */
  private held = false;

  /** Called when what the store keeps for a domain may have changed by its request. */
  changed: (domain: number) => void = () => {};

  /** Fires deferred watches. */
  private readonly telling = new Task("telling of changes in the store", () => this.store.fire(ANNOUNCE_UNITS));

  /** @param notice prints a line about something that happened by itself */
  constructor(readonly notice: (text: string) => void) {
    this.store.wake = () => this.telling.request();
  }

  /**
   * Connects a new domain.
   * @param gfn its ring page, and its port for domain 0
   * @param fresh it has never run
   * @param nodes its nodes in the store, written at the first change
   * @throws HypercallError; then it is not connected
   */
  connect(domain: number, gfn: number, port: number, fresh: boolean, nodes?: Unwritten): void {
    this.store.addDomain(domain, nodes);
    try {
      this.served.set(domain, new Served(this, domain, gfn, port, fresh));
    } catch (error) {
      this.store.removeDomain(domain);
      throw error;
    }
    this.store.announceSpecial(INTRODUCE_DOMAIN);
  }

  /** Suspends service until `serveAll`. */
  hold(): void {
    this.held = true;
  }

  /** True while service is suspended. */
  get holds(): boolean {
    return this.held;
  }

  /** Resumes service, including clients that sent an event meanwhile. */
  serveAll(): void {
    this.held = false;
    for (const served of this.served.values()) served.resume();
  }

  /** False for a domain that has asked for nothing yet: then there is nothing to be saved. */
  hasAsked(domain: number): boolean {
    return (this.served.get(domain)?.existing ?? null) !== null;
  }

  /** False for a domain that has so much in the store that its nodes are not worth the try. */
  maySaveNodes(domain: number): boolean {
    return (this.store.tree.domain(domain)?.account.bytes ?? 0) <= SAVED_BYTES;
  }

  /** What `restore` is to be given after a restart of domain 0; null for a domain that has asked for nothing yet. */
  save(domain: number, withNodes: boolean): SavedClient | null {
    const client = this.served.get(domain)?.existing ?? null;
    return client === null ? null : saveClient(this.local, client, withNodes);
  }

  /** Restores the state saved by an earlier store for a domain that was just connected. */
  restore(domain: number, saved: SavedClient): void {
    const served = this.served.get(domain);
    if (served === undefined) return;
    restoreClient(this.local, served.client, saved);
  }

  /** A domain has shut down: fires @releaseDomain, once. */
  shutDown(domain: number): void {
    const served = this.served.get(domain);
    if (served === undefined || served.shutdown) return;
    served.shutdown = true;
    this.store.announceSpecial(RELEASE_DOMAIN);
  }

  /** Disconnects a domain and forgets it, with its watches, transactions and nodes. Harmless for one that is not connected. */
  disconnect(domain: number): void {
    const served = this.served.get(domain);
    if (served === undefined) return;
    this.served.delete(domain);
    try {
      served.close();
    } finally {
      this.store.removeDomain(domain);
    }
  }

  introduce(domain: number, port: number): void {
    const served = this.served.get(domain);
    try {
      if (served === undefined) {
        this.connect(domain, getHvmParam(domain, HVM_PARAM_STORE_PFN), port, false);
      } else {
        served.client.close();
        served.connection.rebind(port);
      }
    } catch (error) {
      if (error instanceof HypercallError) throw EINVAL;
      throw error;
    }
  }

  release(domain: number): void {
    if (!this.served.has(domain)) throw ENOENT;
    this.disconnect(domain);
  }

  resume(domain: number): void {
    const served = this.served.get(domain);
    if (served === undefined) throw ENOENT;
    served.shutdown = false;
  }

  client(domain: number): Client | undefined {
    return this.served.get(domain)?.client;
  }
}
