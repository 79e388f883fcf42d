/** node:net: TCP over lwIP. */
import EventEmitter from "events";
import { type Buffer, ownBuffer } from "../data/buffer.ts";
import { codedError, networkError } from "../program/errors.ts";
import { call, clockNs, OPERATION, transfer, TRANSFER_SIZE, word } from "../guest/host.ts";
import { EVENT, forgetSocket, hold, watchConnections, watchSocket } from "../guest/loop.ts";
import { addressText, listenAddress, openNetwork, parseAddress, whenReady } from "./network.ts";
import { lookup } from "./dns.ts";
import { Duplex } from "../data/streams.ts";
import { addTick } from "../guest/ticks.ts";
import { clearTimeout, setTimeout } from "../guest/timers.ts";

type Done = (error?: Error | null) => void;

export interface AddressInfo {
  address: string;
  family: "IPv4";
  port: number;
}

export interface ConnectOptions {
  port: number;
  host?: string;
}

/** Takes (port, host?, done?), (options, done?): net.connect's and net.Socket.connect's arguments. */
function connectArguments(values: unknown[]): [ConnectOptions, (() => void) | undefined] {
  const done = values.find((value) => typeof value === "function") as (() => void) | undefined;
  const [first, second] = values;
  if (typeof first === "object" && first !== null) return [first as ConnectOptions, done];
  return [{ port: Number(first), host: typeof second === "string" ? second : undefined }, done];
}

export class Socket extends Duplex {
  connecting = false;
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  remoteFamily: string | undefined;
  localAddress: string | undefined;
  localPort: number | undefined;
  bytesRead = 0;
  bytesWritten = 0;
  timeout = 0;
  private handle = 0;
  private release: () => void = () => {};
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer is due, and when something happened last: system time, ns. */
  private timerAt = 0;
  private latest = 0;
  private readonly halfOpen: boolean;
  /** Bytes that are still to be passed to TCP, and who hears of it. */
  private outgoing: Uint8Array[] = [];
  private outgoingDone: Done[] = [];
  private flushing = false;
  private blocked = false;
  private peerClosed = false;
  private paused = false;

  constructor(options: { allowHalfOpen?: boolean } = {}) {
    super();
    this.writesThrough = true;
    this.halfOpen = options.allowHalfOpen ?? false;
  }
  /** Takes over a connection of the guest's. */
  adopt(handle: number): this {
    this.handle = handle;
    this.release = hold();
    watchSocket(handle, (events, value) => this.happened(events, value));
    if (call(OPERATION.names, handle) >= 0) {
      [this.localAddress, this.localPort] = [addressText(word(0)), word(1)];
      [this.remoteAddress, this.remotePort, this.remoteFamily] = [addressText(word(2)), word(3), "IPv4"];
    }
    return this;
  }
  connect(...values: unknown[]): this {
    const [{ port, host = "localhost" }, done] = connectArguments(values);
    if (!(Number(port) > 0 && Number(port) < 65536)) throw new RangeError(`the port should be 1 to 65535, not ${port}`);
    if (done) this.once("connect", done);
    this.connecting = true;
    const waiting = hold();
    const connect = (error: Error | null | undefined, address = ""): void => {
      waiting();
      if (this.destroyed) return;
      const number = parseAddress(address) ?? 0;
      const handle = error ? 0 : call(OPERATION.connect, number, Number(port));
      if (error || handle <= 0) {
        this.destroy(error ?? networkError(handle, "connect", address, Number(port)));
        return;
      }
      this.adopt(handle);
      [this.remoteAddress, this.remotePort] = [address, Number(port)];
    };
    try {
      whenReady((error) => (error ? connect(error) : lookup(host, connect)));
    } catch (error) {
      addTick(() => connect(error as Error));
    }
    return this;
  }
  private happened(events: number, value: number): void {
    if ((events & EVENT.connected) !== 0) {
      this.connecting = false;
      this.adoptNames();
      this.emit("connect");
      this.emit("ready");
      this.flush();
    }
    if ((events & EVENT.readable) !== 0) this.receive();
    if ((events & EVENT.writable) !== 0) {
      this.blocked = false;
      this.flush();
    }
    if ((events & EVENT.peerClosed) !== 0) {
      this.peerClosed = true;
      this.receive();
    }
    if ((events & EVENT.failed) !== 0) this.failed(value);
    this.touch();
  }
  private adoptNames(): void {
    if (call(OPERATION.names, this.handle) >= 0) [this.localAddress, this.localPort] = [addressText(word(0)), word(1)];
  }
  private failed(value: number): void {
    const { remoteAddress: address, remotePort: port } = this;
    // Both sides have ended, and this was the last that lwIP had to say.
    if (value === 15 && this.peerClosed && this.writableEnded) {
      this.destroy();
      return;
    }
    if (!this.connecting) this.destroy(networkError(value, "read", address, port));
    else if (value === 14)
      this.destroy(codedError("ECONNREFUSED", `connect ${address}:${port} is refused`, { address, port }));
    else this.destroy(networkError(value === 13 ? 3 : value, "connect", address, port));
  }
  override _read(): void {
    // Unless it had enough, all that had come was read when it came.
    if (!this.paused) return;
    this.paused = false;
    this.receive();
  }
  private receive(): void {
    while (!this.paused && this.handle > 0) {
      const length = call(OPERATION.read, this.handle, TRANSFER_SIZE);
      if (length <= 0) break;
      this.bytesRead += length;
      this.paused = !this.push(ownBuffer(transfer.slice(0, length)));
      // Less than there was room for: there is nothing more.
      if (length < TRANSFER_SIZE) break;
    }
    if (this.peerClosed && !this.paused) {
      this.peerClosed = false;
      this.push(null);
    }
  }
  /** Everything that came was read. */
  protected override ended(): void {
    if (!this.halfOpen) this.end();
    super.ended();
  }
  /** What is written in one callback goes out in one piece. */
  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.outgoing.push(chunk);
    this.outgoingDone.push(done);
    this.bytesWritten += chunk.length;
    this.scheduleFlush();
  }
  /** What a message of HTTP sends: as several writes of which the last has `done`, without a stream's steps between them. */
  send(parts: Uint8Array[], done: Done): void {
    if (this.writableEnded || this.destroyed || this.writes.length > 0) {
      const last = parts.pop();
      for (const part of parts) this.write(part);
      if (last === undefined) done();
      else this.write(last, undefined, done);
      return;
    }
    for (const part of parts) {
      this.outgoing.push(part);
      this.bytesWritten += part.length;
    }
    this.outgoingDone.push(done);
    this.scheduleFlush();
  }
  override _final(done: Done): void {
    this.outgoingDone.push((error) => {
      if (!error && this.handle > 0) call(OPERATION.shutdown, this.handle);
      done(error);
    });
    this.scheduleFlush();
  }
  private scheduleFlush(): void {
    if (this.flushing || this.connecting) return;
    this.flushing = true;
    addTick(() => {
      this.flushing = false;
      this.flush();
    });
  }
  private flush(): void {
    while (this.outgoing.length > 0 && !this.blocked && this.handle > 0 && !this.destroyed) {
      let filled = 0;
      for (const part of this.outgoing) {
        const room = TRANSFER_SIZE - filled;
        transfer.set(part.length <= room ? part : part.subarray(0, room), filled);
        filled += Math.min(part.length, room);
        if (filled === TRANSFER_SIZE) break;
      }
      const taken = call(OPERATION.write, this.handle, filled);
      if (taken < 0) {
        this.destroy(networkError(taken, "write", this.remoteAddress, this.remotePort));
        return;
      }
      this.blocked = taken < filled;
      this.dropOutgoing(taken);
    }
    if (this.outgoing.length > 0) return;
    for (const done of this.outgoingDone.splice(0)) done();
  }
  private dropOutgoing(bytes: number): void {
    while (bytes > 0) {
      const first = this.outgoing[0]!;
      if (first.length > bytes) {
        this.outgoing[0] = first.subarray(bytes);
        return;
      }
      bytes -= first.length;
      this.outgoing.shift();
    }
  }
  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.timer);
    if (this.handle > 0) {
      forgetSocket(this.handle);
      call(OPERATION.close, this.handle, error || !this.writableFinished ? 1 : 0);
    }
    this.handle = 0;
    this.release();
    for (const tell of this.outgoingDone.splice(0)) tell(error ?? codedError("ECONNRESET", "the socket is closed"));
    done(error);
  }
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }
  setTimeout(ms: number, hear?: () => void): this {
    this.timeout = ms;
    if (hear) this.once("timeout", hear);
    this.touch();
    return this;
  }
  /** Something happened. The timer is left as it is, if it comes early enough: then it looks how long that is ago. */
  private touch(): void {
    if (this.timeout <= 0 || this.destroyed) return;
    this.latest = clockNs();
    const due = this.latest + this.timeout * 1e6;
    if (this.timer !== undefined && this.timerAt <= due) return;
    clearTimeout(this.timer);
    this.arm(due, this.latest);
  }
  private arm(due: number, now: number): void {
    this.timerAt = due;
    this.timer = setTimeout(() => this.look(), (due - now) / 1e6).unref();
  }
  private look(): void {
    this.timer = undefined;
    if (this.timeout <= 0 || this.destroyed) return;
    const due = this.latest + this.timeout * 1e6;
    const now = clockNs();
    if (due <= now) this.emit("timeout");
    else this.arm(due, now);
  }
  address(): AddressInfo | object {
    return this.localAddress === undefined ? {} : { address: this.localAddress, family: "IPv4", port: this.localPort };
  }
  get readyState(): string {
    if (this.connecting) return "opening";
    return this.destroyed
      ? "closed"
      : this.readable && this.writable
        ? "open"
        : this.readable
          ? "readOnly"
          : "writeOnly";
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

export interface ListenOptions {
  port?: number;
  host?: string;
  backlog?: number;
}

const BACKLOG = 32;

export class Server extends EventEmitter {
  listening = false;
  maxConnections: number | undefined;
  private handle = 0;
  private release: () => void = () => {};
  readonly sockets = new Set<Socket>();
  private readonly halfOpen: boolean;

  constructor(options?: unknown, onConnection?: (socket: Socket) => void) {
    super();
    const hear = typeof options === "function" ? (options as (socket: Socket) => void) : onConnection;
    if (hear) this.on("connection", hear);
    this.halfOpen = (options as { allowHalfOpen?: boolean } | undefined)?.allowHalfOpen ?? false;
  }
  listen(...values: unknown[]): this {
    const done = values.find((value) => typeof value === "function") as (() => void) | undefined;
    const [first, second, third] = values;
    const options: ListenOptions =
      typeof first === "object" && first !== null
        ? first
        : {
            port: Number(typeof first === "function" ? 0 : (first ?? 0)),
            host: typeof second === "string" ? second : undefined,
            backlog: [second, third].find((value) => typeof value === "number"),
          };
    if (done) this.once("listening", done);
    try {
      if (this.listening) throw codedError("ERR_SERVER_ALREADY_LISTEN", "the server is listening already");
      openNetwork();
      const { port = 0, host, backlog = BACKLOG } = options;
      const handle = call(OPERATION.listen, listenAddress(host), port, backlog);
      if (handle <= 0) throw networkError(handle, "listen", host ?? "0.0.0.0", port);
      this.handle = handle;
      this.listening = true;
      this.release = hold();
      watchSocket(handle, () => {});
      SERVERS.set(handle, this);
      addTick(() => this.emit("listening"));
    } catch (error) {
      addTick(() => this.emit("error", error));
    }
    return this;
  }
  /** A connection was made to it. */
  accept(handle: number): void {
    const socket = new Socket({ allowHalfOpen: this.halfOpen }).adopt(handle);
    if (this.maxConnections !== undefined && this.sockets.size >= this.maxConnections) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.on("close", () => {
      this.sockets.delete(socket);
      this.checkClosed();
    });
    this.emit("connection", socket);
  }
  address(): AddressInfo | null {
    if (!this.listening || call(OPERATION.names, this.handle) < 0) return null;
    return { address: addressText(word(0)), family: "IPv4", port: word(1) };
  }
  close(done?: (error?: Error) => void): this {
    if (!this.listening) {
      if (done) addTick(() => done(codedError("ERR_SERVER_NOT_RUNNING", "the server is not listening")));
      return this;
    }
    if (done) this.once("close", done);
    this.listening = false;
    SERVERS.delete(this.handle);
    forgetSocket(this.handle);
    call(OPERATION.close, this.handle, 0);
    this.release();
    this.checkClosed();
    return this;
  }
  private checkClosed(): void {
    if (!this.listening && this.sockets.size === 0) addTick(() => this.emit("close"));
  }
  getConnections(done: (error: Error | null, count: number) => void): void {
    addTick(() => done(null, this.sockets.size));
  }
  ref(): this {
    return this;
  }
  unref(): this {
    this.release();
    return this;
  }
}

const SERVERS = new Map<number, Server>();

watchConnections((handle, listener) => {
  const server = SERVERS.get(listener);
  if (server === undefined) call(OPERATION.close, handle, 1);
  else server.accept(handle);
});

export function createServer(options?: unknown, onConnection?: (socket: Socket) => void): Server {
  return new Server(options, onConnection);
}
export function connect(...values: unknown[]): Socket {
  return new Socket().connect(...values);
}
export const createConnection = connect;
export const isIPv4 = (text: string): boolean => parseAddress(text) !== undefined;
export const isIPv6 = (text: string): boolean => text.includes(":") && /^[0-9a-f:.]+$/i.test(text);
export const isIP = (text: string): number => (isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0);
