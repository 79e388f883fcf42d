/** The control service: clients of the control protocol, so many at a time. */
import { VERSION } from "../../api/version.ts";
import { handlers } from "../commands/table.ts";
import type { Domains } from "../domains/domains.ts";
import type { Connection } from "../net/connection.ts";
import type { TlsServer } from "../tls/listen.ts";
import { Session, type SessionServices } from "./session.ts";

/** Clients at a time. */
export const CLIENTS_MOST = 32;

export class ControlServer {
  private clients = 0;
  /** Set when it listens: connections that are and are not authenticated, for `js`. */
  connections: (() => TlsServer["sizes"]) | null = null;
  private readonly services: SessionServices;

  constructor(domains: Domains) {
    this.services = { domains, handlers, software: `typevisor ${VERSION}` };
  }

  /** Serves a client that has authenticated itself; one too many is disconnected. */
  accept(connection: Connection): void {
    if (this.clients >= CLIENTS_MOST) {
      connection.abort();
      return;
    }
    this.clients++;
    new Session(connection, this.services, () => {
      this.clients--;
    });
  }

  /** Clients at present. */
  get count(): number {
    return this.clients;
  }
}
