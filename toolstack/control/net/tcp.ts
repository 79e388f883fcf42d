/** TCP: connections of the sandbox's streams, and who listens on which port. */
import {
  NET_ABORT,
  NET_CLOSE,
  NET_CONNECT,
  NET_END,
  NET_LISTEN,
  NET_RECEIVE_BYTES,
  NET_STREAMS,
  NET_UNLISTEN,
  NetStream,
  STREAM_CLOSED,
  STREAM_CONNECTING,
  STREAM_FREE,
  STREAM_OPEN,
  STREAM_REFUSED,
} from "../../../abi/net.ts";
import { reportFailure } from "../failures.ts";
import { formatIpv4 } from "../../api/devices/addresses.ts";
import { after } from "../timers.ts";
import type { Connection, OutgoingConnection } from "./connection.ts";
import type { NetModule } from "./module.ts";

/** A peer that has said nothing for so long after it has connected is dropped, unless it is trusted. */
const SILENT_MS = 60_000;
/** What can be waited for always finds room. */
const WANTED_MOST = NET_RECEIVE_BYTES / 2;
const MOST_LISTENERS = 8;

type Accept = (connection: TcpConnection) => void;

export class TcpConnection implements Connection {
  onReady: () => void = () => {};
  readonly peer: string;
  /** Withdraws the timer that drops it when it says nothing. */
  withdraw: () => void = () => {};
  protected over: Connection["ended"] = null;
  private isTrusted = false;

  /** @param tcp its owner, by which it ends and is called */
  constructor(
    protected readonly tcp: Tcp,
    protected readonly module: NetModule,
    readonly number: number,
    readonly generation: number,
  ) {
    const port = module.stream(number, NetStream.port) & 0xffff;
    this.peer = `${formatIpv4(module.peerAddress(number))}:${port}`;
  }

  get ended(): Connection["ended"] {
    return this.over;
  }

  /** A trusted connection is never dropped for a new one; others are, the oldest first, when there are 64. */
  get trusted(): boolean {
    return this.isTrusted;
  }

  set trusted(trusted: boolean) {
    this.isTrusted = trusted;
    if (this.over === null) this.module.setTrusted(this.number, trusted);
  }

  expect(bytes: number): void {
    if (this.over === null) this.module.setWanted(this.number, Math.min(bytes, WANTED_MOST));
  }

  read(into: Uint8Array): number {
    if (this.over !== null) return 0;
    const bytes = this.module.read(this.number, into);
    if (bytes > 0) this.tcp.soon(); // the window is announced
    if (this.look()) this.tcp.tellLater(this);
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.over !== null) return 0;
    const accepted = this.module.write(this.number, bytes);
    this.tcp.soon();
    return accepted;
  }

  close(): void {
    this.end("local", NET_CLOSE);
  }

  abort(): void {
    this.end("local", NET_ABORT);
  }

  /** Resets it, unless the peer has said something, or is trusted; true when it has ended now. */
  dropSilent(): boolean {
    if (this.over !== null || this.isTrusted || this.module.stream(this.number, NetStream.produced) !== 0) return false;
    this.end("reset", NET_ABORT);
    return true;
  }

  /** Ends it, if its stream has ended and was read to its end; true when it has ended now. */
  look(): boolean {
    if (this.over !== null) return false;
    const state = this.module.isOpen ? this.module.stream(this.number, NetStream.state) : STREAM_FREE;
    if (state === STREAM_OPEN || (this.module.isOpen && this.module.available(this.number) > 0)) return false;
    return this.streamEnded(state);
  }

  /** Its stream is no longer open, and everything was read; true when it has ended by that. */
  protected streamEnded(state: number): boolean {
    this.end(state === STREAM_CLOSED ? "closed" : "reset", NET_CLOSE);
    return true;
  }

  /** The stream is another connection's now, or the sandbox has stopped. */
  lost(): void {
    if (this.over !== null) return;
    this.over = "reset";
    this.withdraw();
    this.tcp.forget(this);
  }

  protected end(reason: "closed" | "reset" | "local", operation: number): void {
    if (this.over !== null) return;
    this.over = reason;
    this.withdraw();
    this.tcp.forget(this);
    this.module.call(operation, this.number);
    this.tcp.soon();
  }
}

class OutgoingTcp extends TcpConnection implements OutgoingConnection {
  progress: OutgoingConnection["progress"] = "connecting";
  peerFinished = false;
  private finished = false;

  finish(): void {
    if (this.over !== null || this.finished) return;
    this.finished = true;
    if (this.peerFinished) {
      this.end("closed", NET_CLOSE);
      this.tcp.tellLater(this);
      return;
    }
    this.module.call(NET_END, this.number);
    this.tcp.soon();
  }

  override look(): boolean {
    if (this.over === null && this.progress === "connecting" && this.module.isOpen) {
      const state = this.module.stream(this.number, NetStream.state);
      if (state === STREAM_OPEN || state === STREAM_CLOSED) this.progress = "connected";
      else if (state === STREAM_REFUSED) this.progress = "refused";
    }
    return super.look();
  }

  protected override streamEnded(state: number): boolean {
    if (state === STREAM_CONNECTING) return false;
    if (state === STREAM_CLOSED && !this.finished) {
      this.peerFinished = true;
      return false;
    }
    if (state === STREAM_CLOSED) this.peerFinished = true;
    return super.streamEnded(state);
  }
}

export class Tcp {
  private readonly connections: (TcpConnection | null)[] = Array.from({ length: NET_STREAMS }, () => null);
  private readonly listeners = new Map<number, Accept>();
  private telling: TcpConnection[] = [];

  /** @param soon has the module polled soon */
  constructor(
    private readonly module: NetModule,
    readonly soon: () => void,
  ) {}

  /** Connections that there are now. */
  get count(): number {
    return this.connections.filter((connection) => connection !== null).length;
  }

  /**
   * Gives `accept` each connection to a port, from now on, or from when there is an address.
   * @throws Error when somebody listens there, or on too many ports
   */
  listen(port: number, accept: Accept): { close(): void } {
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`${port} is no port: 1 to 65535`);
    if (this.listeners.has(port)) throw new Error(`port ${port} is in use`);
    if (this.listeners.size >= MOST_LISTENERS) throw new Error(`${MOST_LISTENERS} ports are in use already`);
    this.listeners.set(port, accept);
    this.module.call(NET_LISTEN, port);
    let open = true;
    return {
      close: () => {
        if (!open) return;
        open = false;
        this.listeners.delete(port);
        this.module.call(NET_UNLISTEN, port);
      },
    };
  }

  /**
   * Begins to connect to an address, four bytes in network order. `onReady` is called when that has succeeded or failed. It is not dropped
   * for another connection, and its two directions end each by itself.
   * @returns null when there is no room for one more
   */
  connect(address: Uint8Array, port: number): OutgoingConnection | null {
    const word = new DataView(address.buffer, address.byteOffset).getUint32(0, true);
    const number = (this.module.call(NET_CONNECT, word, port) ?? 0) - 1;
    if (number < 0) return null;
    const before = this.connections[number]!;
    if (before !== null) {
      before.lost();
      this.tellLater(before);
    }
    const connection = new OutgoingTcp(this, this.module, number, this.module.stream(number, NetStream.generation));
    this.connections[number] = connection;
    this.soon();
    return connection;
  }

  /** The module is open: it listens where somebody does. */
  opened(): void {
    for (const port of this.listeners.keys()) this.module.call(NET_LISTEN, port);
  }

  /** Looks at the streams that have changed, and calls those concerned. */
  dispatch(): void {
    const told = new Set(this.telling);
    this.telling = [];
    if (this.module.isOpen) {
      for (const number of this.module.takeChanged()) {
        const connection = this.changed(number);
        if (connection !== null) told.add(connection);
      }
    } else {
      for (const connection of this.connections) {
        if (connection === null) continue;
        connection.lost();
        told.add(connection);
      }
    }
    for (const connection of told) {
      try {
        connection.onReady();
      } catch (error) {
        reportFailure(`the connection from ${connection.peer}`, error);
      }
    }
  }

  /** A connection has ended within a call of its owner's: it is told later. */
  tellLater(connection: TcpConnection): void {
    this.telling.push(connection);
    this.soon();
  }

  forget({ number }: TcpConnection): void {
    this.connections[number] = null;
  }

  /** Returns the connection to be called. */
  private changed(number: number): TcpConnection | null {
    const known = this.connections[number]!;
    const generation = this.module.stream(number, NetStream.generation);
    if (known !== null && known.generation === generation) {
      known.look();
      return known;
    }
    if (known !== null) {
      known.lost();
      this.tellLater(known);
    }
    return this.module.stream(number, NetStream.state) === STREAM_FREE ? null : this.accept(number, generation);
  }

  private accept(number: number, generation: number): TcpConnection | null {
    const accept = this.listeners.get(this.module.stream(number, NetStream.port) >>> 16);
    if (accept === undefined) {
      this.module.call(NET_ABORT, number);
      return null;
    }
    const connection = new TcpConnection(this, this.module, number, generation);
    this.connections[number] = connection;
    connection.withdraw = after(SILENT_MS, () => {
      if (connection.dropSilent()) this.tellLater(connection);
    });
    accept(connection);
    connection.look();
    return connection;
  }
}
