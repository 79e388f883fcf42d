/** HTTP/1.1 messages as they come (RFC 9112): heads and bodies out of the bytes of a connection. */
import { Buffer } from "../data/buffer.ts";
import { codedError } from "../program/errors.ts";
import type { Socket } from "../network/net.ts";
import { Readable } from "../data/streams.ts";
import { decodeAscii } from "../data/text.ts";

const HEAD_MOST = 16 * 1024;
/** The longest line with a chunk's size. */
const CHUNK_LINE_MOST = 256;

export type Headers = Record<string, string | string[] | undefined>;

/** Fields of which the first counts, and a second one is dropped: Node's list. */
const SINGLE = new Set(
  (
    "age authorization content-length content-type etag expires from host if-modified-since if-unmodified-since " +
    "last-modified location max-forwards proxy-authorization referer retry-after server user-agent"
  ).split(" "),
);

/** A request that came to a server, or the answer that came to a client. */
export class IncomingMessage extends Readable {
  method: string | undefined;
  url: string | undefined;
  statusCode: number | undefined;
  statusMessage: string | undefined;
  httpVersion = "1.1";
  headers: Headers = {};
  rawHeaders: string[] = [];
  trailers: Headers = {};
  complete = false;
  aborted = false;
  /** Called when the reader wants more. */
  wantMore: () => void = () => {};

  constructor(readonly socket: Socket) {
    super();
  }
  get connection(): Socket {
    return this.socket;
  }
  override _read(): void {
    this.wantMore();
  }
  setTimeout(ms: number, hear?: () => void): this {
    this.socket.setTimeout(ms, hear);
    return this;
  }
  /** Whether the connection is to stay after this message, by its version and fields. */
  get keepsAlive(): boolean {
    const words = String(this.headers.connection ?? "").toLowerCase();
    return this.httpVersion === "1.0" ? words.includes("keep-alive") : !words.includes("close");
  }
}

function addField(headers: Headers, name: string, value: string): void {
  const before = headers[name];
  if (name === "set-cookie") headers[name] = [...((before as string[] | undefined) ?? []), value];
  else if (before === undefined) headers[name] = value;
  else if (!SINGLE.has(name)) headers[name] = `${String(before)}${name === "cookie" ? "; " : ", "}${value}`;
}

/** A field's name: a token of RFC 9110. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Names in lower case by names as they are usually sent: those need not be looked at character by character. */
const USUAL_NAMES = new Map(
  (
    "Accept Accept-Charset Accept-Encoding Accept-Language Authorization Cache-Control Connection Content-Length " +
    "Content-Type Cookie Date ETag Expect Host If-Modified-Since If-None-Match Last-Modified Location Origin Pragma Range " +
    "Referer Server Set-Cookie Transfer-Encoding Upgrade-Insecure-Requests User-Agent Vary X-Forwarded-For"
  )
    .split(" ")
    .flatMap((name): [string, string][] => [
      [name, name.toLowerCase()],
      [name.toLowerCase(), name.toLowerCase()],
    ]),
);

/** A field's name in lower case; undefined for what is no name. */
export function fieldName(name: string): string | undefined {
  return USUAL_NAMES.get(name) ?? (TOKEN.test(name) ? name.toLowerCase() : undefined);
}

function parseFirstLine(line: string, message: IncomingMessage): void {
  const version = line.endsWith(" HTTP/1.1") ? "1.1" : line.endsWith(" HTTP/1.0") ? "1.0" : undefined;
  const space = line.indexOf(" ");
  const url = line.slice(space + 1, -9);
  const method = line.slice(0, space);
  if (version !== undefined && space > 0 && url !== "" && !/\s/.test(url) && TOKEN.test(method)) {
    message.httpVersion = version;
    message.method = method;
    message.url = url;
    return;
  }
  const answer = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(line);
  if (!answer) throw codedError("HPE_INVALID_CONSTANT", "this is no HTTP/1.1");
  message.httpVersion = `1.${answer[1]}`;
  message.statusCode = Number(answer[2]);
  message.statusMessage = answer[3] ?? "";
}

function parseHead(head: string, message: IncomingMessage): void {
  let end = head.indexOf("\r\n");
  parseFirstLine(end < 0 ? head : head.slice(0, end), message);
  while (end >= 0) {
    const start = end + 2;
    end = head.indexOf("\r\n", start);
    const line = end < 0 ? head.slice(start) : head.slice(start, end);
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    const lower = colon < 1 ? undefined : fieldName(name);
    if (lower === undefined) throw codedError("HPE_INVALID_HEADER_TOKEN", "a malformed header field");
    const value = line.slice(colon + 1).trim();
    message.rawHeaders.push(name, value);
    addField(message.headers, lower, value);
  }
}

/** How the end of a body is found. */
type Body = { left: number } | "chunked" | "until-close";

function bodyOf(message: IncomingMessage, without: boolean): Body {
  const { "transfer-encoding": encoding, "content-length": length } = message.headers;
  if (without) return { left: 0 };
  if (encoding !== undefined) {
    if (length !== undefined) throw codedError("HPE_INVALID_TRANSFER_ENCODING", "two lengths of a body");
    if (String(encoding).toLowerCase() !== "chunked") {
      throw codedError("HPE_INVALID_TRANSFER_ENCODING", `the transfer coding ${String(encoding)} is not known`);
    }
    return "chunked";
  }
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(String(length)))
      throw codedError("HPE_UNEXPECTED_CONTENT_LENGTH", "a malformed Content-Length");
    return { left: Number(length) };
  }
  return message.method === undefined ? "until-close" : { left: 0 };
}

/** Cuts the bytes of a connection into messages. */
export class Parser {
  private rest: Uint8Array = new Uint8Array(0);
  private message: IncomingMessage | undefined;
  private body: Body = { left: 0 };
  /** In a chunked body: bytes of the chunk that are to come; -1: a line with a size is next; -2: trailers are. */
  private chunkLeft = -1;
  private blocked = false;

  /**
   * @param onMessage hears of each head; says whether this message has no body whatever its head says
   * @param onEnd hears when a message has come completely
   */
  constructor(
    private readonly socket: Socket,
    private readonly onMessage: (message: IncomingMessage) => boolean,
    private readonly onEnd: (message: IncomingMessage) => void,
  ) {}
  /** More bytes of the connection. @throws a coded error for what is no HTTP */
  push(bytes: Uint8Array): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    this.run();
    // A peer that sends on without waiting for answers must wait.
    if (this.rest.length > HEAD_MOST && this.message === undefined) this.socket.pause();
  }
  /** The connection's other side has ended. */
  close(): void {
    const message = this.message;
    if (message === undefined) return;
    if (this.body === "until-close") {
      this.endMessage();
      return;
    }
    message.aborted = true;
    message.emit("aborted");
    // As in Node, it is no error of a program that does not ask.
    message.destroy(
      message.listenerCount("error") > 0 ? codedError("ECONNRESET", "the connection ended within a message") : null,
    );
  }
  /** Whether a message has begun and not ended. */
  get busy(): boolean {
    return this.message !== undefined;
  }
  /** Bytes that no message took: behind a request for an upgrade. */
  takeRest(): Uint8Array {
    const { rest } = this;
    this.rest = new Uint8Array(0);
    return rest;
  }
  /** Whether messages are looked for; false stops it behind the message that has begun. */
  private waiting = false;
  hold(waiting: boolean): void {
    this.waiting = waiting;
    if (waiting) return;
    this.socket.resume();
    this.run();
  }
  private run(): void {
    while (this.message === undefined ? !this.waiting && this.takeHead() : !this.blocked && this.takeBody());
  }
  private takeHead(): boolean {
    // Empty lines before a request are none of it (RFC 9112, 2.2).
    let start = 0;
    while (this.rest[start] === 13 || this.rest[start] === 10) start++;
    if (start > 0) this.rest = this.rest.subarray(start);
    if (this.rest.length === 0) return false;
    const text = latin1(this.rest.subarray(0, HEAD_MOST));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.rest.length >= HEAD_MOST) throw codedError("HPE_HEADER_OVERFLOW", "the head is too long");
      return false;
    }
    this.rest = this.rest.subarray(end + 4);
    const message = new IncomingMessage(this.socket);
    parseHead(text.slice(0, end), message);
    this.body = bodyOf(message, false);
    this.message = message;
    this.chunkLeft = -1;
    this.blocked = false;
    message.wantMore = () => {
      this.blocked = false;
      this.socket.resume();
      guard(this.socket, () => this.run());
    };
    if (this.onMessage(message)) this.body = bodyOf(message, true);
    return true;
  }
  private takeBody(): boolean {
    if (this.body === "chunked") return this.takeChunk();
    if (this.body === "until-close") return this.pass(this.rest.length) && false;
    if (this.body.left === 0) {
      this.endMessage();
      return true;
    }
    const length = Math.min(this.body.left, this.rest.length);
    if (length === 0) return false;
    this.body.left -= length;
    return this.pass(length) || this.body.left === 0;
  }
  /** Passes bytes to the message's reader; false when it has enough. */
  private pass(length: number): boolean {
    if (length === 0) return true;
    const piece = this.rest.slice(0, length);
    this.rest = this.rest.subarray(length);
    if (this.message!.push(piece)) return true;
    this.blocked = true;
    this.socket.pause();
    return false;
  }
  private takeLine(): string | undefined {
    const text = latin1(this.rest.subarray(0, CHUNK_LINE_MOST));
    const end = text.indexOf("\r\n");
    if (end < 0) {
      if (this.rest.length >= CHUNK_LINE_MOST) throw codedError("HPE_INVALID_CHUNK_SIZE", "a malformed chunk");
      return undefined;
    }
    this.rest = this.rest.subarray(end + 2);
    return text.slice(0, end);
  }
  private takeChunk(): boolean {
    if (this.chunkLeft > 0) {
      const length = Math.min(this.chunkLeft, this.rest.length);
      if (length === 0) return false;
      this.chunkLeft -= length;
      return this.pass(length);
    }
    const line = this.takeLine();
    if (line === undefined) return false;
    if (this.chunkLeft === 0) {
      if (line !== "") throw codedError("HPE_INVALID_CHUNK_SIZE", "a chunk is longer than it said");
      this.chunkLeft = -1;
    } else if (this.chunkLeft === -1) {
      const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?$/i.exec(line);
      if (size === null) throw codedError("HPE_INVALID_CHUNK_SIZE", "a malformed chunk");
      this.chunkLeft = Number.parseInt(size[1]!, 16) || -2;
    } else if (line === "") {
      this.endMessage();
    }
    return true;
  }
  private endMessage(): void {
    const message = this.message!;
    this.message = undefined;
    message.complete = true;
    message.push(null);
    this.onEnd(message);
  }
}

/** Bytes as characters: heads are ASCII, and may have other bytes in values. */
function latin1(bytes: Uint8Array): string {
  const ascii = decodeAscii(bytes);
  if (ascii !== undefined) return ascii;
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** Runs a parser; what it refuses ends the connection. What a program's own listeners throw is not its concern. */
export function guard(socket: Socket, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!String((error as { code?: unknown }).code).startsWith("HPE_")) throw error;
    socket.emit("malformed", error);
  }
}
