/** Streams from outside to domain 0: what carries them (TCP, TLS on top of it, a console) and what serves them see this alone. */

/** A stream of bytes in both directions, as a TCP connection is. Nothing here waits: `onReady` says when to try again. */
export interface Connection {
  /** Who is at the other end, for logs: "10.0.2.2:41234". */
  readonly peer: string;
  /** Why it is over, once it is: the peer has closed it in order, it was reset or timed out, or closed here. Null while it is open. */
  readonly ended: null | "closed" | "reset" | "local";
  /** Who serves it knows who is there: it is not dropped for being silent, or for another. */
  trusted?: boolean;
  /** Takes up to `into.length` received bytes; 0: none are there now (look at `ended`, which is set only when all was read). */
  read(into: Uint8Array): number;
  /** Fewer received bytes than these are of no use: while the connection goes on, `onReady` need not tell of them. 1 if never called. */
  expect?(bytes: number): void;
  /** Accepts as many bytes as there is room for now; returns how many. 0 when it is over. */
  write(bytes: Uint8Array): number;
  /** Called from the event loop, never from within a call above, when read or write may do more, or it has ended. */
  onReady: () => void;
  /** Sends what was accepted, then ends the stream. */
  close(): void;
  /** Ends it at once, and forgets what was not sent. */
  abort(): void;
}

/** A connection that was made from here, whose two directions end each by itself. */
export interface OutgoingConnection extends Connection {
  /** How far it is; `refused`: nobody listens there. */
  readonly progress: "connecting" | "connected" | "refused";
  /** The peer sends nothing more, and everything was read. It ends when this side has said the same, by `finish`. */
  readonly peerFinished: boolean;
  /** Sends what was accepted, and tells the peer that nothing more comes. */
  finish(): void;
}

/** Connections to a port; each accepted one is given to `accept`. */
export type Listen = (port: number, accept: (connection: Connection) => void) => { close(): void };
