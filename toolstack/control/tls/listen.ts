/**
 * Connections to a port of which only those are accepted whose client has a key. Until then a connection is one of a bounded number, has
 * five seconds, and waits before that if its address has failed before. Failures are logged once for each address, and then every tenth,
 * hundredth and so on.
 */
import { TLS_NO_MEMORY, TLS_NOT_AUTHENTICATED, TLS_RENEGOTIATION, TLS_SESSIONS } from "../../../abi/tls.ts";
import type { Connection, Listen } from "../net/connection.ts";
import { count } from "../../api/sizes.ts";
import { addressOf, BackOff } from "./back-off.ts";
import { TLS_LOST, TlsModule, type TlsHost, type TlsKey } from "./module.ts";
import { SecureConnection, type After } from "./secure.ts";

/** What the server needs of domain 0. */
export interface TlsSurroundings {
  host: TlsHost;
  /** Fresh bytes that nobody can predict, for a new instance; and what is stirred in for each session. */
  seed: () => Uint8Array;
  stir: () => Uint8Array;
  after: After;
  /** ms of a clock that does not go back. */
  now: () => number;
  log: (text: string) => void;
}

/** Time for a handshake, without the wait before it. */
const HANDSHAKE_MS = 5000;
/** Connections that are not authenticated: of more, the oldest from the address that has most of them is dropped. */
const MOST_PENDING = 16;
/** Connections that are. */
export const MOST_CONNECTIONS = TLS_SESSIONS - MOST_PENDING;

/** A connection that is not authenticated yet. */
interface Pending {
  readonly below: Connection;
  readonly address: string;
  /** Once its handshake has begun. */
  secured: SecureConnection | null;
  withdraw: () => void;
}

/** What a failure was, in words. */
function reason(error: number, named: string | null): string {
  switch (error) {
    case 0:
      return "it was closed before it had authenticated itself";
    case TLS_NOT_AUTHENTICATED:
      return named === null ? "there is no key of the name that it gave" : `it does not have the key ${named}`;
    case TLS_NO_MEMORY:
      return "its handshake takes more memory than there is for one";
    case TLS_RENEGOTIATION:
      return "it wanted to renegotiate";
    case TLS_LOST:
      return "the TLS sandbox was stopped";
    default:
      return `it does not speak TLS 1.2 with ECDHE-PSK-CHACHA20-POLY1305 and X25519 (mbedTLS error -0x${(-error).toString(16)})`;
  }
}

function isPowerOfTen(n: number): boolean {
  while (n % 10 === 0) n /= 10;
  return n === 1;
}

export class TlsServer {
  private readonly module: TlsModule;
  private readonly backOff: BackOff;
  /** In the order of their arrival. */
  private readonly pending = new Set<Pending>();
  private readonly accepted = new Set<SecureConnection>();
  private turnedAway = 0;

  /** @throws Error for keys that are not possible */
  constructor(
    private readonly around: TlsSurroundings,
    keys: readonly TlsKey[],
  ) {
    this.module = new TlsModule(around.host, keys, around.seed, around.stir, () => this.stopped());
    this.backOff = new BackOff(around.now);
  }

  /** Connections now: not authenticated, authenticated, and the addresses remembered for their failures. */
  get sizes(): { pending: number; accepted: number; sessions: number; addresses: number } {
    this.sweep();
    const { pending, accepted, module, backOff } = this;
    return { pending: pending.size, accepted: accepted.size, sessions: module.open, addresses: backOff.size };
  }

  /** As `listen`, but `accept` gets only connections whose client has authenticated itself. */
  secure(listen: Listen): (port: number, accept: (connection: SecureConnection) => void) => { close(): void } {
    return (port, accept) => listen(port, (connection) => this.add(connection, accept));
  }

  /** A new connection: `accept` gets it when its client has authenticated itself. */
  add(below: Connection, accept: (connection: SecureConnection) => void): void {
    const address = addressOf(below.peer);
    const pending: Pending = { below, address, secured: null, withdraw: () => {} };
    if (this.pending.size >= MOST_PENDING) this.drop(this.victim());
    this.pending.add(pending);
    const wait = this.backOff.wait(address);
    if (wait === 0) {
      this.begin(pending, accept);
      return;
    }
    // What it sends stays in the network's own buffers.
    below.onReady = () => {
      if (below.ended !== null) this.forget(pending);
    };
    pending.withdraw = this.around.after(wait, () => this.begin(pending, accept));
  }

  private begin(pending: Pending, accept: (connection: SecureConnection) => void): void {
    const { below } = pending;
    this.sweep();
    const session = this.accepted.size < MOST_CONNECTIONS ? this.module.session() : null;
    if (session === null) {
      this.forget(pending);
      below.abort();
      if (isPowerOfTen(++this.turnedAway)) {
        const why =
          this.accepted.size < MOST_CONNECTIONS ? "no room for its session" : count(this.accepted.size, "connection");
        this.around.log(`control: ${below.peer} was turned away (${why}): ${count(this.turnedAway, "time")}`);
      }
      return;
    }
    const secured = new SecureConnection(
      below,
      session,
      this.around.after,
      () => {
        this.forget(pending);
        this.backOff.succeeded(pending.address);
        this.accepted.add(secured);
        accept(secured);
      },
      () => this.fail(pending, reason(secured.failure!.error, secured.failure!.named)),
    );
    pending.secured = secured;
    pending.withdraw = this.around.after(HANDSHAKE_MS, () => {
      secured.abort();
      this.fail(pending, `no handshake within ${HANDSHAKE_MS / 1000} s`);
    });
    // The client may have sent something already. Not from within whoever has called here.
    const withdrawLimit = pending.withdraw;
    const withdrawTurn = this.around.after(0, () => secured.turn());
    pending.withdraw = () => {
      withdrawLimit();
      withdrawTurn();
    };
  }

  private fail(pending: Pending, why: string): void {
    this.forget(pending);
    const failures = this.backOff.failed(pending.address);
    if (isPowerOfTen(failures)) {
      this.around.log(`control: ${pending.below.peer} is refused: ${why} (${count(failures, "failure")} from there)`);
    }
  }

  private forget(pending: Pending): void {
    pending.withdraw();
    this.pending.delete(pending);
  }

  /** The oldest from the address that has most. */
  private victim(): Pending {
    const counts = new Map<string, number>();
    for (const { address } of this.pending) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    return [...this.pending].find(({ address }) => counts.get(address) === most)!;
  }

  private drop(pending: Pending): void {
    (pending.secured ?? pending.below).abort();
    this.fail(pending, "there are too many that have not authenticated themselves");
  }

  /** Forgets the accepted ones that are over. */
  private sweep(): void {
    for (const connection of this.accepted) if (connection.ended !== null) this.accepted.delete(connection);
  }

  /**
   * Has clients authenticate themselves by other keys: all connections end.
   * @throws Error for keys that are not possible; then nothing has changed
   */
  setKeys(keys: readonly TlsKey[]): void {
    this.module.setKeys(keys);
    this.tellAll();
  }

  /** The sandbox has ended: whoever had a session learns it. */
  private stopped(): void {
    this.around.log("control: the TLS sandbox was stopped, and its connections with it; the next one starts it anew");
    this.tellAll();
  }

  private tellAll(): void {
    for (const connection of this.accepted) this.around.after(0, () => connection.turn());
    for (const { secured } of this.pending) if (secured !== null) this.around.after(0, () => secured.turn());
  }
}
