/** node:http: servers, and requests with a connection each. */
import EventEmitter from "events";
import type { Buffer } from "../data/buffer.ts";
import { codedError } from "../program/errors.ts";
import { guard, type Headers, IncomingMessage, Parser } from "./http-message.ts";
import { OutgoingMessage } from "./http-outgoing.ts";
import { STATUS_CODES } from "./http-status.ts";
import { type AddressInfo, Server as NetServer, Socket } from "../network/net.ts";
import { addTick } from "../guest/ticks.ts";

export { IncomingMessage, OutgoingMessage, STATUS_CODES };
export const METHODS = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

type Done = (error?: Error | null) => void;
type HeaderInput = Record<string, number | string | string[] | undefined> | [string, string][] | string[];

const withoutBody = (status: number) => status === 204 || status === 304 || status < 200;

const date = { second: -1, text: "" };

/** The time as fields have it: made once a second. */
function dateText(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== date.second) {
    date.second = second;
    date.text = new Date(now).toUTCString();
  }
  return date.text;
}

export class ServerResponse extends OutgoingMessage {
  statusCode = 200;
  statusMessage = "";
  override socket: Socket;
  private keepAlive: boolean;

  constructor(
    readonly req: IncomingMessage,
    private readonly onSent: (keepAlive: boolean) => void = () => {},
  ) {
    super();
    this.socket = req.socket;
    this.keepAlive = req.keepsAlive;
  }
  get connection(): Socket {
    return this.socket;
  }
  get finished(): boolean {
    return this.writableEnded;
  }
  writeHead(status: number, reason?: string | HeaderInput, headers?: HeaderInput): this {
    if (this.headersSent) throw codedError("ERR_HTTP_HEADERS_SENT", "the head has been sent");
    this.statusCode = status;
    if (typeof reason === "string") this.statusMessage = reason;
    const given = typeof reason === "string" ? headers : (reason ?? headers);
    if (Array.isArray(given)) {
      const pairs = typeof given[0] === "string" ? pairsOf(given as string[]) : (given as [string, string][]);
      for (const [name, value] of pairs) this.appendHeader(name, value);
    } else {
      for (const [name, value] of Object.entries(given ?? {})) if (value !== undefined) this.setHeader(name, value);
    }
    return this;
  }
  writeContinue(): void {
    this.socket.write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  setTimeout(ms: number, hear?: () => void): this {
    this.socket.setTimeout(ms, hear);
    return this;
  }
  protected startLine(): string {
    return `HTTP/1.1 ${this.statusCode} ${this.statusMessage || (STATUS_CODES[this.statusCode] ?? "Unknown")}`;
  }
  protected completeFields(length: number | undefined): void {
    const none = withoutBody(this.statusCode);
    this.bodyAllowed = !none && this.req.method !== "HEAD";
    const { fields } = this;
    if (this.sendDate && !fields.has("date")) this.addField("Date", "date", dateText());
    if (none) {
      fields.delete("transfer-encoding");
    } else if (!fields.has("content-length") && !fields.has("transfer-encoding")) {
      if (length !== undefined && !(length === 0 && this.req.method === "HEAD"))
        this.addField("Content-Length", "content-length", String(length));
      else if (this.req.httpVersion === "1.0") this.keepAlive = false;
      else if (length === undefined) this.addField("Transfer-Encoding", "transfer-encoding", "chunked");
    }
    const encoding = fields.get("transfer-encoding");
    this.chunked = encoding !== undefined && /chunked/i.test(String(encoding.value));
    const connection = fields.get("connection")?.value;
    if (connection === undefined) this.addField("Connection", "connection", this.keepAlive ? "keep-alive" : "close");
    else if (/close/i.test(String(connection))) this.keepAlive = false;
  }
  protected sendBytes(parts: Buffer[], done: Done = () => {}): void {
    if (parts.length === 0) done();
    else this.socket.send(parts, done);
  }
  protected sentAll(): void {
    this.onSent(this.keepAlive);
  }
}

function pairsOf(flat: string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i): [string, string] => [flat[i * 2]!, flat[i * 2 + 1]!]);
}

const KEEP_ALIVE_MS = 5000;

export class Server extends NetServer {
  keepAliveTimeout = KEEP_ALIVE_MS;
  timeout = 0;
  headersTimeout = 60_000;
  requestTimeout = 300_000;

  constructor(options?: unknown, onRequest?: (request: IncomingMessage, response: ServerResponse) => void) {
    super({ allowHalfOpen: true });
    const hear = typeof options === "function" ? (options as typeof onRequest) : onRequest;
    if (hear) this.on("request", hear);
    this.on("connection", (socket: Socket) => this.serve(socket));
  }
  setTimeout(ms: number): this {
    this.timeout = ms;
    return this;
  }
  closeAllConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }
  closeIdleConnections(): void {
    for (const [socket, parser] of this.idle) if (!parser.busy) socket.destroy();
  }
  /** Connections without a request that is being answered. */
  private readonly idle = new Map<Socket, Parser>();

  override close(done?: (error?: Error) => void): this {
    super.close(done);
    this.closeIdleConnections();
    return this;
  }
  /** One request after the other; the next is looked for when the answer has been passed on. */
  private serve(socket: Socket): void {
    let wanted = true;
    let peerEnded = false;
    let response: ServerResponse | undefined;
    const answered = (request: IncomingMessage, keepAlive: boolean) => {
      if (!keepAlive || peerEnded || !this.listening) {
        socket.end();
        return;
      }
      // What nobody read of the request is in the way of the next.
      if (!request.complete) request.resume();
      wanted = true;
      this.idle.set(socket, parser);
      socket.setTimeout(this.keepAliveTimeout);
      guard(socket, () => parser.hold(false));
    };
    const parser = new Parser(
      socket,
      (request) => {
        wanted = false;
        this.idle.delete(socket);
        parser.hold(true);
        socket.setTimeout(this.timeout);
        if (request.httpVersion === "1.1" && request.headers.host === undefined) {
          throw codedError("HPE_INVALID_HEADER_TOKEN", "a request without Host");
        }
        if (request.headers.upgrade !== undefined && this.listenerCount("upgrade") > 0) {
          socket.removeAllListeners("data");
          socket.setTimeout(0);
          this.emit("upgrade", request, socket, parser.takeRest());
          return true;
        }
        response = new ServerResponse(request, (keepAlive) => answered(request, keepAlive));
        const { expect } = request.headers;
        if (expect !== undefined && /^100-continue$/i.test(String(expect))) response.writeContinue();
        this.emit("request", request, response);
        return false;
      },
      () => {},
    );
    socket.setTimeout(this.headersTimeout);
    socket.on("timeout", () => {
      if (wanted || this.timeout > 0) socket.destroy();
    });
    this.idle.set(socket, parser);
    socket.on("close", () => {
      this.idle.delete(socket);
      if (response?.writableFinished === false) response.destroy();
    });
    socket.on("malformed", (error: Error) => {
      if (this.listenerCount("clientError") > 0) this.emit("clientError", error, socket);
      else if (socket.writable)
        socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    socket.on("error", (error: Error) => {
      if (this.listenerCount("clientError") > 0) this.emit("clientError", error, socket);
    });
    socket.on("data", (bytes: Uint8Array) => guard(socket, () => parser.push(bytes)));
    socket.on("end", () => {
      peerEnded = true;
      parser.close();
      if (wanted) socket.end();
    });
  }
}

export function createServer(
  options?: unknown,
  onRequest?: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  return new Server(options, onRequest);
}

export interface RequestOptions {
  protocol?: string;
  host?: string;
  hostname?: string;
  port?: number | string;
  path?: string;
  method?: string;
  headers?: Record<string, number | string | string[] | undefined>;
  auth?: string;
  timeout?: number;
  signal?: AbortSignal;
}

function optionsOf(url: string | URL | RequestOptions, more: RequestOptions = {}): RequestOptions {
  if (typeof url === "object" && !("href" in url)) return { ...url, ...more };
  const { protocol, hostname, port, pathname, search } = new URL(String(url));
  return { protocol, hostname, port: port === "" ? undefined : port, path: `${pathname}${search}`, ...more };
}

export class ClientRequest extends OutgoingMessage {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  override socket: Socket;
  reusedSocket = false;
  private answered = false;

  constructor(options: RequestOptions, onResponse?: (response: IncomingMessage) => void) {
    super();
    if ((options.protocol ?? "http:") !== "http:") {
      throw codedError(
        "ERR_INVALID_PROTOCOL",
        `${options.protocol} is not supported: a guest's programs have no TLS, only http:`,
      );
    }
    this.method = (options.method ?? "GET").toUpperCase();
    this.path = options.path ?? "/";
    this.host = options.hostname ?? options.host ?? "localhost";
    const port = Number(options.port ?? 80);
    if (/[\s\x7f]/.test(this.path))
      throw codedError("ERR_UNESCAPED_CHARACTERS", "the path has characters that must be escaped");
    for (const [name, value] of Object.entries(options.headers ?? {}))
      if (value !== undefined) this.setHeader(name, value);
    if (!this.hasHeader("host")) this.setHeader("Host", port === 80 ? this.host : `${this.host}:${port}`);
    if (options.auth !== undefined && !this.hasHeader("authorization")) {
      this.setHeader("Authorization", `Basic ${btoa(options.auth)}`);
    }
    if (onResponse) this.once("response", onResponse);
    this.socket = new Socket();
    this.open(port, options);
  }
  private open(port: number, options: RequestOptions): void {
    const { socket } = this;
    let response: IncomingMessage | undefined;
    const parser = new Parser(
      socket,
      (message) => {
        if (message.statusCode! < 200 && message.statusCode !== 101) return true;
        this.answered = true;
        response = message;
        if (!this.emit("response", message)) message.resume();
        return this.method === "HEAD" || withoutBody(message.statusCode!);
      },
      () => {
        if (this.answered) socket.end();
      },
    );
    const fail = (error: Error) => {
      if (!this.answered) this.destroy(error);
      else response?.destroy(error);
    };
    socket.on("data", (bytes: Uint8Array) => guard(socket, () => parser.push(bytes)));
    socket.on("malformed", fail);
    socket.on("error", fail);
    socket.on("end", () => {
      parser.close();
      if (!this.answered) fail(codedError("ECONNRESET", "socket hang up"));
    });
    socket.on("timeout", () => this.emit("timeout"));
    if (options.timeout) socket.setTimeout(options.timeout);
    options.signal?.addEventListener("abort", () => fail(options.signal!.reason as Error));
    addTick(() => {
      this.emit("socket", socket);
      socket.connect({ port, host: this.host });
    });
  }
  setTimeout(ms: number, hear?: () => void): this {
    if (hear) this.once("timeout", hear);
    this.socket.setTimeout(ms);
    return this;
  }
  setNoDelay(): void {}
  abort(): void {
    this.destroy();
  }
  override _destroy(error: Error | null, done: Done): void {
    if (!this.answered || error) this.socket.destroy();
    done(error);
  }
  protected startLine(): string {
    return `${this.method} ${this.path} HTTP/1.1`;
  }
  protected completeFields(length: number | undefined): void {
    if (!this.hasHeader("content-length") && !this.hasHeader("transfer-encoding")) {
      const bodiless = ["GET", "HEAD", "DELETE", "OPTIONS"].includes(this.method);
      if (length === undefined) this.setHeader("Transfer-Encoding", "chunked");
      else if (length > 0 || !bodiless) this.setHeader("Content-Length", length);
    }
    this.chunked = /chunked/i.test(String(this.getHeader("transfer-encoding") ?? ""));
    if (!this.hasHeader("connection")) this.setHeader("Connection", "close");
  }
  protected sendBytes(parts: Buffer[], done: Done = () => {}): void {
    if (parts.length === 0) done();
    else this.socket.send(parts, done);
  }
  protected sentAll(): void {}
  /** The answer is still to come. */
  override finishedWriting(): void {}
}

export function request(
  url: string | URL | RequestOptions,
  options?: RequestOptions | ((response: IncomingMessage) => void),
  onResponse?: (response: IncomingMessage) => void,
): ClientRequest {
  const hear = typeof options === "function" ? options : onResponse;
  return new ClientRequest(optionsOf(url, typeof options === "function" ? {} : options), hear);
}

export function get(...values: Parameters<typeof request>): ClientRequest {
  return request(...values).end();
}

/** Connections are not kept: an agent is only a name. */
export class Agent extends EventEmitter {
  destroy(): void {}
}
export const globalAgent = new Agent();
export type { AddressInfo, Headers };
