/** Node's own TLS as the client, over TCP on this computer, and a TCP connection as domain 0 sees one. */
import net from "node:net";
import tls from "node:tls";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import { KEY, type Lab } from "./lab.ts";
import type { SecureConnection } from "../../../../toolstack/control/tls/secure.ts";

/** What is received and not read, and what is accepted and not sent, at most. */
const BUFFER = 65536;

export class SocketConnection implements Connection {
  ended: Connection["ended"] = null;
  onReady: () => void = () => {};
  readonly peer: string;
  private received: Buffer[] = [];
  private waits = 0;
  private ending: Connection["ended"] = null;

  constructor(private readonly socket: net.Socket) {
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => {
      this.received.push(bytes as Buffer);
      this.waits += bytes.length;
      if (this.waits >= BUFFER) socket.pause();
      this.onReady();
    });
    socket.on("drain", () => this.onReady());
    socket.on("end", () => this.end("closed"));
    socket.on("error", () => this.end("reset"));
    socket.on("close", () => this.end("reset"));
  }

  private end(how: "closed" | "reset"): void {
    this.ending ??= how;
    if (this.waits === 0) this.ended ??= this.ending;
    this.onReady();
  }

  read(into: Uint8Array): number {
    let bytes = 0;
    while (bytes < into.length && this.received.length > 0) {
      const first = this.received[0];
      const part = first.copy(into, bytes);
      bytes += part;
      if (part === first.length) this.received.shift();
      else this.received[0] = first.subarray(part);
    }
    this.waits -= bytes;
    if (this.waits < BUFFER) this.socket.resume();
    if (this.waits === 0 && this.ending !== null) this.ended ??= this.ending;
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.ended !== null) return 0;
    const room = Math.max(BUFFER - this.socket.writableLength, 0);
    const part = bytes.slice(0, room);
    if (part.length > 0) this.socket.write(part);
    return part.length;
  }

  close(): void {
    this.ended ??= "local";
    this.socket.end();
  }

  abort(): void {
    this.ended ??= "local";
    this.socket.destroy();
  }
}

export interface Listening {
  port: number;
  /** Authenticated connections, and who waits for the next. */
  next: () => Promise<SecureConnection>;
  close: () => Promise<void>;
}

/** A port of this computer, served by the lab's server. */
export function serve({ server }: Lab): Promise<Listening> {
  const accepted: SecureConnection[] = [];
  const waiting: ((connection: SecureConnection) => void)[] = [];
  const sockets = new Set<net.Socket>();
  const listener = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    server.add(new SocketConnection(socket), (connection) => {
      const waiter = waiting.shift();
      if (waiter === undefined) accepted.push(connection);
      else waiter(connection);
    });
  });
  return new Promise((resolve) => {
    listener.listen(0, "127.0.0.1", () =>
      resolve({
        port: (listener.address() as net.AddressInfo).port,
        next: () => {
          const connection = accepted.shift();
          return connection !== undefined ? Promise.resolve(connection) : new Promise((done) => waiting.push(done));
        },
        close: () =>
          new Promise((done) => {
            for (const socket of sockets) socket.destroy();
            listener.close(() => done());
          }),
      }),
    );
  });
}

export const CLIENT: tls.ConnectionOptions = {
  host: "127.0.0.1",
  ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
  ecdhCurve: "X25519",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
  pskCallback: () => ({ identity: KEY.identity, psk: KEY.key }),
  checkServerIdentity: () => undefined,
};

export interface Client {
  socket: tls.TLSSocket;
  /** Resolves when the handshake is done; rejects with what ended it. */
  secured: Promise<void>;
  /** Resolves when it is over, with the error if there was one. */
  over: Promise<Error | null>;
}

export function connect(port: number, options: tls.ConnectionOptions = {}): Client {
  const socket = tls.connect({ ...CLIENT, port, ...options });
  let error: Error | null = null;
  const secured = new Promise<void>((resolve, reject) => {
    socket.on("secureConnect", resolve);
    socket.on("error", (reason) => {
      error ??= reason;
      reject(reason);
    });
    socket.on("close", () => reject(error ?? new Error("closed")));
  });
  secured.catch(() => {});
  return { socket, secured, over: new Promise((resolve) => socket.on("close", () => resolve(error))) };
}

/** Reads from a connection until it is over or there are `wanted` bytes. */
export function readAll(connection: Connection, wanted: number = Infinity): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  const into = new Uint8Array(32768);
  return new Promise((resolve) => {
    const turn = () => {
      for (let got; (got = connection.read(into)) > 0;) {
        parts.push(Buffer.from(into.slice(0, got)));
        bytes += got;
      }
      if (connection.ended === null && bytes < wanted) return;
      connection.onReady = () => {};
      resolve(Buffer.concat(parts));
    };
    connection.onReady = turn;
    turn();
  });
}

/** Writes all of it, as there is room. */
export function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  let at = 0;
  return new Promise((resolve) => {
    const turn = () => {
      for (let part; (part = connection.write(bytes.subarray(at))) > 0;) at += part;
      if (at < bytes.length && connection.ended === null) return;
      connection.onReady = () => {};
      resolve();
    };
    connection.onReady = turn;
    turn();
  });
}
