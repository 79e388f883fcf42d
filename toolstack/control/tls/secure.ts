/**
 * A connection secured by TLS: what is read and written here is encrypted on the connection below. Nothing can be read or written before
 * the client has shown that it has a key.
 */
import { TLS_ENDED, TLS_ESTABLISHED, TLS_FAILED, TLS_HANDSHAKE } from "../../../abi/tls.ts";
import type { Connection } from "../net/connection.ts";
import type { Session } from "./module.ts";

/** Runs `run` after `ms` milliseconds; the result withdraws it. */
export type After = (ms: number, run: () => void) => () => void;

/** How long a client that does not read is waited for when the stream is closed. */
const CLOSE_MS = 5000;

export class SecureConnection implements Connection {
  onReady: () => void = () => {};
  /** The key that the client has shown to have; null until then. */
  identity: string | null = null;
  /** Of one that has failed: `Session.error`, 0 if it ended without an error of TLS; and the key that it named, if there is one. */
  failure: { error: number; named: string | null } | null = null;
  private over: null | "closed" | "reset" | "local" = null;
  /** Close_notify is to be sent, and then what is below is closed. */
  private closing = false;
  private finished = false;
  private withdrawLimit: () => void = () => {};

  /**
   * @param established called once, from the event loop, when the client has authenticated itself
   * @param failed called once instead of that, from the event loop, when it has not; the connection is over
   */
  constructor(
    private readonly below: Connection,
    private readonly session: Session,
    private readonly after: After,
    private readonly established: () => void,
    private readonly failed: () => void,
  ) {
    below.onReady = () => this.turn();
  }

  get peer(): string {
    return this.below.peer;
  }

  get ended(): null | "closed" | "reset" | "local" {
    return this.over;
  }

  /** Does what can be done now; from the event loop. */
  turn(): void {
    if (this.over !== null) {
      if (this.closing) this.drain();
      return;
    }
    if (this.identity !== null) {
      this.session.send(this.below);
      this.onReady();
      return;
    }
    let moved;
    do {
      moved = this.session.receive(this.below);
      this.session.step();
      this.session.send(this.below);
    } while (moved > 0 && this.session.state === TLS_HANDSHAKE);
    if (this.session.state === TLS_ESTABLISHED) {
      this.identity = this.session.identity ?? "";
      this.below.trusted = true;
      this.established();
      if (this.over === null) this.onReady();
    } else if (this.session.state !== TLS_HANDSHAKE || this.below.ended !== null) {
      this.fail();
      this.failed();
    }
  }

  read(into: Uint8Array): number {
    if (this.over !== null || this.identity === null) return 0;
    let bytes = 0;
    while (bytes < into.length && this.session.state === TLS_ESTABLISHED) {
      if (this.session.wanted > 0 && this.session.receive(this.below) === 0) break;
      const got = this.session.read(into.subarray(bytes));
      bytes += got;
      if (got === 0 && this.session.wanted === 0) break;
    }
    // A record is of no use before its end is there.
    this.below.expect?.(Math.max(this.session.wanted, 1));
    // Who reads less than there was room for does not ask again: whatever has ended is told now.
    if (bytes < into.length) this.settle();
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.over !== null || this.identity === null) return 0;
    let taken = 0;
    while (taken < bytes.length) {
      const part = this.session.write(bytes.subarray(taken));
      taken += part;
      const stays = this.session.send(this.below);
      if (part === 0 || stays > 0) break;
    }
    if (this.session.state === TLS_FAILED) this.fail();
    return taken;
  }

  close(): void {
    if (this.over !== null) return;
    if (this.identity === null) {
      this.abort();
      return;
    }
    this.end("local");
  }

  abort(): void {
    if (this.over !== null && !this.closing) return;
    this.over ??= "local";
    this.release();
    this.below.abort();
  }

  /** Nothing more was there to read: is it over? */
  private settle(): void {
    const { state } = this.session;
    if (state === TLS_ENDED) this.end("closed");
    else if (state === TLS_FAILED || this.below.ended !== null) this.fail();
  }

  /** Ends it in order: what is encrypted is sent, then close_notify. */
  private end(how: "closed" | "local"): void {
    this.over = how;
    this.closing = true;
    this.withdrawLimit = this.after(CLOSE_MS, () => this.abort());
    this.drain();
  }

  private drain(): void {
    this.finished ||= this.session.finish();
    const stays = this.session.send(this.below);
    if (this.finished && stays === 0) {
      this.release();
      this.below.close();
    } else if (this.below.ended !== null) {
      this.abort();
    }
  }

  /** It has failed: the client is told why, as far as TLS does that. */
  private fail(): void {
    this.over = "reset";
    const { state, error, identity } = this.session;
    this.failure = { error: state === TLS_FAILED ? error : 0, named: identity };
    this.session.send(this.below);
    this.release();
    this.below.close();
  }

  private release(): void {
    this.closing = false;
    this.withdrawLimit();
    this.session.close();
  }
}
