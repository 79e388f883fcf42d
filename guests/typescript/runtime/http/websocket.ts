/** The web's WebSocket (RFC 6455), for ws: alone. */
import { asBuffer, toBuffer } from "../data/buffer.ts";
import { webcrypto } from "../data/crypto.ts";
import { Socket } from "../network/net.ts";
import { sha1 } from "../data/sha1.ts";
import { bytesOf, TextDecoder } from "../data/text.ts";
import { URL } from "../data/url.ts";
import { DOMException, Event, EventTarget } from "../data/web-events.ts";
import { encodeFrame, FrameError, FrameParser, type Message, OPCODE } from "./websocket-frames.ts";

/** RFC 6455, section 1.3. */
const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_MOST = 16 * 1024;
const NO_STATUS = 1005;
const ABNORMAL = 1006;

export class MessageEvent extends Event {
  constructor(
    type: string,
    readonly data: unknown,
  ) {
    super(type);
  }
}

export class CloseEvent extends Event {
  constructor(
    type: string,
    readonly code: number,
    readonly reason: string,
    readonly wasClean: boolean,
  ) {
    super(type);
  }
}

type Handler<E> = ((event: E) => void) | null;

export class WebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly url: string;
  readyState = WebSocket.CONNECTING;
  protocol = "";
  readonly extensions = "";
  binaryType: "arraybuffer" | "blob" = "arraybuffer";
  onopen: Handler<Event> = null;
  onmessage: Handler<MessageEvent> = null;
  onerror: Handler<Event> = null;
  onclose: Handler<CloseEvent> = null;
  private readonly socket = new Socket();
  private readonly parser = new FrameParser();
  private readonly protocols: string[];
  private head: Uint8Array | undefined = new Uint8Array(0);
  private expected = "";
  private closing: { code: number; reason: string } | undefined;

  constructor(url: string | URL, protocols: string | string[] = []) {
    super();
    const parsed = new URL(String(url));
    if (parsed.protocol === "http:") parsed.protocol = "ws:";
    if (parsed.protocol !== "ws:" || parsed.hash !== "") {
      throw new DOMException(
        `${parsed.href}: only ws: URLs without a fragment: a guest's programs have no TLS`,
        "SyntaxError",
      );
    }
    this.url = parsed.href;
    this.protocols = typeof protocols === "string" ? [protocols] : protocols;
    const { socket } = this;
    socket.on("connect", () => this.greet(parsed));
    socket.on("data", (bytes: Uint8Array) => this.receive(bytes));
    socket.on("error", () => this.emit(new Event("error")));
    socket.on("close", () => this.closed());
    socket.connect({ port: Number(parsed.port || 80), host: parsed.hostname });
  }
  private emit(event: Event): void {
    const handler = this[`on${event.type}` as "onopen"] as Handler<Event>;
    handler?.call(this, event);
    this.dispatchEvent(event);
  }
  private greet({ host, pathname, search }: URL): void {
    const key = asBuffer(webcrypto.getRandomValues(new Uint8Array(16))).toString("base64");
    this.expected = asBuffer(sha1(toBuffer(key + MAGIC))).toString("base64");
    const fields = [
      `Host: ${host}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${key}`,
      "Sec-WebSocket-Version: 13",
    ];
    if (this.protocols.length > 0) fields.push(`Sec-WebSocket-Protocol: ${this.protocols.join(", ")}`);
    this.socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
  }
  private receive(bytes: Uint8Array): void {
    try {
      const rest = this.head === undefined ? bytes : this.takeHead(bytes);
      if (rest !== undefined) for (const message of this.parser.push(rest)) this.handle(message);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.emit(new Event("error"));
      this.sendClose(error.code, "");
      this.socket.destroySoon();
    }
  }
  /** The server's answer to the greeting; returns what is behind it when it is complete and right. */
  private takeHead(bytes: Uint8Array): Uint8Array | undefined {
    const all = new Uint8Array(this.head!.length + bytes.length);
    all.set(this.head!);
    all.set(bytes, this.head!.length);
    this.head = all;
    const text = asBuffer(all).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0 && all.length < HEAD_MOST) return undefined;
    const fields = new Map(
      text
        .slice(0, end)
        .split("\r\n")
        .slice(1)
        .map((line): [string, string] => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
        }),
    );
    const good =
      /^HTTP\/1\.1 101 /.test(text) &&
      fields.get("upgrade")?.toLowerCase() === "websocket" &&
      fields.get("sec-websocket-accept") === this.expected &&
      !fields.has("sec-websocket-extensions");
    const protocol = fields.get("sec-websocket-protocol") ?? "";
    if (!good || (protocol !== "" && !this.protocols.includes(protocol)))
      throw new FrameError(ABNORMAL, "no WebSocket server");
    this.head = undefined;
    this.protocol = protocol;
    this.readyState = WebSocket.OPEN;
    this.emit(new Event("open"));
    return all.subarray(end + 4);
  }
  private handle({ opcode, payload }: Message): void {
    if (opcode === OPCODE.ping) this.sendFrame(OPCODE.pong, payload);
    else if (opcode === OPCODE.close) this.peerCloses(payload);
    else if (opcode === OPCODE.text) this.emit(new MessageEvent("message", utf8(payload)));
    else if (opcode === OPCODE.binary) this.emit(new MessageEvent("message", payload.buffer));
  }
  private peerCloses(payload: Uint8Array): void {
    if (payload.length === 1) throw new FrameError(1002, "a status of one byte");
    const code = payload.length >= 2 ? payload[0]! * 256 + payload[1]! : NO_STATUS;
    this.closing = { code, reason: utf8(payload.subarray(2)) };
    if (this.readyState === WebSocket.OPEN) this.sendClose(code, "");
    this.readyState = WebSocket.CLOSING;
    this.socket.end();
  }
  private closed(): void {
    this.readyState = WebSocket.CLOSED;
    const { code, reason } = this.closing ?? { code: ABNORMAL, reason: "" };
    this.emit(new CloseEvent("close", code, reason, this.closing !== undefined));
  }
  private sendFrame(opcode: number, payload: Uint8Array): void {
    if (this.head !== undefined || !this.socket.writable) return;
    this.socket.write(encodeFrame(opcode, payload, webcrypto.getRandomValues(new Uint8Array(4))));
  }
  private sendClose(code: number, reason: string): void {
    const text = toBuffer(reason);
    const payload = new Uint8Array(code === NO_STATUS || code === ABNORMAL ? 0 : 2 + text.length);
    if (payload.length > 0) {
      new DataView(payload.buffer).setUint16(0, code);
      payload.set(text, 2);
    }
    this.sendFrame(OPCODE.close, payload);
  }
  get bufferedAmount(): number {
    return this.socket.writableLength;
  }
  send(data: string | ArrayBuffer | ArrayBufferView): void {
    if (this.readyState === WebSocket.CONNECTING)
      throw new DOMException("the connection is not open yet", "InvalidStateError");
    if (this.readyState !== WebSocket.OPEN) return;
    if (typeof data === "string") this.sendFrame(OPCODE.text, toBuffer(data));
    else this.sendFrame(OPCODE.binary, bytesOf(data));
  }
  close(code = NO_STATUS, reason = ""): void {
    if (code !== NO_STATUS && code !== 1000 && !(code >= 3000 && code < 5000)) {
      throw new DOMException("the code is 1000, or 3000 to 4999", "InvalidAccessError");
    }
    if (toBuffer(reason).length > 123) throw new DOMException("the reason is longer than 123 bytes", "SyntaxError");
    if (this.readyState >= WebSocket.CLOSING) return;
    if (this.readyState === WebSocket.CONNECTING) this.socket.destroy();
    else this.sendClose(code, reason);
    this.readyState = WebSocket.CLOSING;
  }
}

function utf8(payload: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    throw new FrameError(1007, "a text is no UTF-8");
  }
}
