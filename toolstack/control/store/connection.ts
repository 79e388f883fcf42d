/**
 * A domain's connection to the store: its ring page and event channel, served at intervals so that a guest that sends requests
 * continuously cannot monopolise domain 0.
 */
import { XENSTORE_ERROR_COMM } from "../../../abi/xs-wire.ts";
import { closeChannel, onInterdomain, onNewDomain } from "../events.ts";
import { HypercallError } from "../hypercall.ts";
import { send } from "../hypercalls/event-channel.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { releaseMapPage, takeMapPage } from "../map-space.ts";
import { systemTime } from "../clock.ts";
import { Task } from "../tasks.ts";
import { after } from "../timers.ts";
import { EVENT_TIMEOUT_MS, type Client } from "./client.ts";
import { Exchange, type ExchangeHooks } from "./exchange.ts";
import { StoreRing } from "./ring.ts";

/** Requests served per guest and interval, and the interval; and requests in one piece of work. */
const BURST = 64;
const INTERVAL_MS = 10;
const PIECE_REQUESTS = 8;

/** A mapped ring page, and the message exchange over it. */
interface Opened {
  readonly client: Client;
  readonly exchange: Exchange;
  readonly page: number;
}

export interface ConnectionHooks extends ExchangeHooks {
  /** Nobody is served yet. */
  readonly holds: boolean;
}

/**
 * Binds to a domain's port for the store.
 * @param fresh the domain has never run
 * @throws HypercallError
 */
export function bindStore(domain: number, guestPort: number, fresh: boolean, handler: () => void): number {
  return (fresh ? onNewDomain : onInterdomain)(domain, guestPort, handler);
}

export class StoreConnection {
  /** Null until the guest first calls: most small guests never do. */
  private opened: Opened | null = null;
  private credit = BURST;
  private refill: (() => void) | null = null;
  private sweep: (() => void) | null = null;
  private open = true;
  /** The exchange is running: what wakes it now is seen by it anyway. */
  private busy = false;
  private readonly task: Task;
  private heldBack = false;
  /** The guest's ring page could not be mapped: nothing is exchanged. */
  private pageless = false;

  /**
   * The guest's ring page is mapped when it first calls.
   * @param port ours, bound by `bindStore`; closed by `close`
   * @param client makes its client
   */
  constructor(
    private readonly domain: number,
    private readonly gfn: number,
    private port: number,
    private readonly client: () => Client,
    private readonly hooks: ConnectionHooks,
  ) {
    this.task = new Task(`the store, for domain ${domain}`, () => this.serve());
  }

  /** The guest has called. */
  onEvent(): void {
    if (this.hooks.holds) this.heldBack = true;
    else this.task.request();
  }

  /** Serves a guest that sent an event while service was suspended. */
  called(): void {
    if (this.heldBack) this.task.request();
    this.heldBack = false;
  }

  /** Maps the ring page; null when the guest has none there (any more). */
  private openRing(): Opened | null {
    if (this.pageless) return null;
    const page = takeMapPage();
    foreignFrames()[0] = this.gfn;
    try {
      mapForeign(this.domain, 1, page);
    } catch (error) {
      releaseMapPage(page);
      if (!(error instanceof HypercallError)) throw error;
      this.pageless = true;
      this.hooks.broken(XENSTORE_ERROR_COMM);
      return null;
    }
    const client = this.client();
    const { hooks } = this;
    const exchange = new Exchange(client, new StoreRing(page), hooks);
    client.attach({ wake: () => this.wake(), now: () => systemTime() / 1e6 });
    return (this.opened = { client, exchange, page });
  }

  /** Binds to another port of the guest: its old one was closed. Throws HypercallError. */
  rebind(guestPort: number): void {
    const old = this.port;
    this.port = onInterdomain(this.domain, guestPort, () => this.onEvent());
    closeChannel(old);
  }

  /** Lets go of page and port. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.refill?.();
    this.sweep?.();
    try {
      closeChannel(this.port);
    } finally {
      const { opened } = this;
      if (opened !== null) {
        opened.client.attach({ wake: () => {}, now: () => 0 });
        unmapPage(opened.page);
        releaseMapPage(opened.page);
      }
    }
  }

  /** There is something to send. Deferred: another client's request may be in progress. */
  private wake(): void {
    if (!this.busy) this.onEvent();
  }

  /** Does a piece of the pending work; returns whether there is more that may be done immediately. */
  private serve(): boolean {
    if (!this.open || this.port === 0) return false;
    this.busy = true;
    try {
      const opened = this.opened ?? this.openRing();
      if (opened === null) return false;
      const { client, exchange } = opened;
      const requests = Math.min(this.credit, PIECE_REQUESTS);
      const { done, moved, more } = exchange.run(requests);
      if (moved) send(this.port);
      this.spend(done);
      if (client.eventsWait) this.watchEvents(client, exchange);
      return (more || done === requests) && this.credit > 0;
    } finally {
      this.busy = false;
    }
  }

  private spend(requests: number): void {
    if (requests === 0) return;
    this.credit -= requests;
    this.refill ??= after(INTERVAL_MS, () => {
      const spent = this.credit <= 0;
      this.refill = null;
      this.credit = BURST;
      if (spent) this.task.request();
    });
  }

  /** Drops unread events after a timeout. */
  private watchEvents(client: Client, exchange: Exchange): void {
    this.sweep ??= after(EVENT_TIMEOUT_MS, () => {
      this.sweep = null;
      client.dropStaleEvents(exchange.begun);
      if (client.eventsWait) this.watchEvents(client, exchange);
    });
  }
}
