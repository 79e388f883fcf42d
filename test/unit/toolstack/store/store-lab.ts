/** A store whose clients are called directly: messages to a client are decoded and kept. */
import {
  XS_DIRECTORY,
  XS_ERROR,
  XS_GET_PERMS,
  XS_MKDIR,
  XS_READ,
  XS_RM,
  XS_SET_PERMS,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_UNWATCH,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from "../../../../abi/xs-wire.ts";
import { checkTree } from "../../../../toolstack/control/store/check.ts";
import { Client } from "../../../../toolstack/control/store/client.ts";
import { LocalStore } from "../../../../toolstack/control/store/local.ts";
import { handleRequest, type DomainManager } from "../../../../toolstack/control/store/requests.ts";
import { Store } from "../../../../toolstack/control/store/store.ts";
import { ENOENT } from "../../../../toolstack/control/store/store-error.ts";
import { decodeHeader, HEADER_BYTES } from "../../../../toolstack/control/store/wire.ts";

export class LabClient {
  readonly client: Client;
  /** Events that came, "path token". */
  events: string[] = [];
  /** False: nothing is taken from its queue. */
  takes = true;
  now = 0;

  constructor(
    private readonly lab: StoreLab,
    readonly domain: number,
  ) {
    this.client = new Client(lab.store, domain);
    this.client.attach({ wake: () => {}, now: () => this.now });
  }

  /** Takes what waits for it; returns the last answer. */
  take(): string {
    let answer = "";
    for (let next = this.client.nextOutput; next !== undefined; next = this.client.nextOutput) {
      const { type, length } = decodeHeader(next);
      const payload = next.slice(HEADER_BYTES);
      if (payload.length !== length) throw new Error("a message's length is not its payload's");
      if (type === XS_WATCH_EVENT) this.events.push(payload.slice(0, -1).replace("\0", " "));
      else answer = type === XS_ERROR ? `!${payload.slice(0, -1)}` : payload;
      this.client.sent();
    }
    return answer;
  }

  /** The answer's payload, or "!ERRNO". */
  ask(type: number, payload: string, transaction = 0): string {
    handleRequest(
      this.client,
      this.lab,
      { type, request: 7, transaction, length: payload.length },
      payload,
      (error) => {
        throw error;
      },
    );
    if (this.lab.tells) this.lab.tell();
    return this.takes ? this.take() : "";
  }

  read = (path: string, tx = 0) => this.ask(XS_READ, `${path}\0`, tx);
  list = (path: string, tx = 0) => this.ask(XS_DIRECTORY, `${path}\0`, tx);
  write = (path: string, data: string, tx = 0) => this.ask(XS_WRITE, `${path}\0${data}`, tx);
  mkdir = (path: string, tx = 0) => this.ask(XS_MKDIR, `${path}\0`, tx);
  rm = (path: string, tx = 0) => this.ask(XS_RM, `${path}\0`, tx);
  perms = (path: string, tx = 0) => this.ask(XS_GET_PERMS, `${path}\0`, tx);
  setPerms = (path: string, ...perms: string[]) => this.ask(XS_SET_PERMS, [path, ...perms, ""].join("\0"));
  watch = (path: string, token: string) => this.ask(XS_WATCH, `${path}\0${token}\0`);
  unwatch = (path: string, token: string) => this.ask(XS_UNWATCH, `${path}\0${token}\0`);
  start = () => Number(this.ask(XS_TRANSACTION_START, "\0").replace("\0", ""));
  end = (tx: number, how = "T") => this.ask(XS_TRANSACTION_END, `${how}\0`, tx);

  /** The events since the last time. */
  heard(): string[] {
    if (this.lab.tells) this.lab.tell();
    this.take();
    return this.events.splice(0);
  }
}

export class StoreLab implements DomainManager {
  readonly store = new Store();
  readonly local = new LocalStore(this.store);
  /** A privileged client, as a driver of domain 0 would be one. */
  readonly zero = new LabClient(this, 0);
  readonly clients = new Map<number, LabClient>();
  log: string[] = [];
  /** False: only watches that are fired immediately are processed. */
  tells = true;

  constructor() {
    this.local.write("/local/domain", "");
  }

  /** A guest with a home that it may read and a part of it, `data`, that is its own. */
  guest(domain: number): LabClient {
    this.store.addDomain(domain);
    const home = `/local/domain/${domain}`;
    this.local.write(home, "");
    this.local.setPermissions(home, "n0", `r${domain}`);
    this.local.write(`${home}/data`, "");
    this.local.setPermissions(`${home}/data`, `n${domain}`);
    const client = new LabClient(this, domain);
    this.clients.set(domain, client);
    return client;
  }

  /** Ends a guest as the service does. */
  remove(domain: number): void {
    this.clients.get(domain)!.client.leave();
    this.clients.delete(domain);
    this.local.remove(`/local/domain/${domain}`);
    this.store.removeDomain(domain);
  }

  /** Tells of all that has changed. */
  tell(): void {
    while (this.store.fire(1000));
  }

  /** What is wrong with the tree. */
  wrong(): string[] {
    return checkTree(this.store.tree);
  }

  introduce(domain: number, port: number): void {
    this.log.push(`introduce ${domain} ${port}`);
  }

  release(domain: number): void {
    if (!this.clients.has(domain)) throw ENOENT;
    this.remove(domain);
  }

  resume(domain: number): void {
    if (!this.clients.has(domain)) throw ENOENT;
    this.log.push(`resume ${domain}`);
  }

  client(domain: number): Client | undefined {
    return this.clients.get(domain)?.client;
  }
}
