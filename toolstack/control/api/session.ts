/**
 * One client of the control protocol (toolstack/api/protocol.ts), on a connection that is authenticated already. What a client can
 * take is bounded: requests at a time, bytes that wait for it, and how long it may leave them there.
 */
import {
  BODY_MOST,
  CANCEL,
  DATA,
  DATA_END,
  decodeWindow,
  encodeFrame,
  encodeWindow,
  ERROR,
  FrameReader,
  HELLO,
  HELLO_MS,
  PROGRESS,
  PROTOCOL_VERSION,
  ProtocolError,
  REQUEST,
  REQUESTS_MOST,
  RESULT,
  RESULT_PART,
  STALLED_MS,
  WINDOW,
  type ErrorKind,
  type Frame,
} from "../../api/protocol.ts";
import { parseJson } from "../../api/json.ts";
import { API_VERSION, checkParams } from "../../api/request.ts";
import { errorText, isExpected } from "../commands/error-text.ts";
import { handled, type AnyHandler, type RequestContext } from "../commands/handler.ts";
import type { Domains } from "../domains/domains.ts";
import { reportFailure } from "../failures.ts";
import { RaisableInterruption } from "../interruption.ts";
import type { Connection } from "../net/connection.ts";
import { Task } from "../tasks.ts";
import { decodeUtf8, encodeUtf8, pieceEnd } from "../text.ts";
import { after } from "../timers.ts";
import { ServerStream } from "./stream.ts";

/** Bytes read in one piece. */
const READ_BYTES = 16 * 1024;
/** Bytes that wait for the client beyond which streams wait. */
const OUT_FULL = 64 * 1024;
/** Characters of a result in one frame, of three bytes at most: some milliseconds' work. */
const PART_CHARACTERS = Math.floor(BODY_MOST / 3);
/** Bytes that wait for the client at most: errors and progress are not bounded by its windows. */
const OUT_MOST = 8 * 1024 * 1024;
/** Characters of an error's or a progress line's text. */
const TEXT_MOST = 4096;

/** What sessions share. */
export interface SessionServices {
  domains: Domains;
  /** Handlers by the names of their requests. */
  handlers: ReadonlyMap<string, AnyHandler>;
  /** Said in HELLO. */
  software: string;
}

/** A request that is not answered yet. */
interface Active {
  interruption: RaisableInterruption;
  stream: ServerStream;
}

export class Session {
  private readonly reader = new FrameReader();
  private readonly into = new Uint8Array(READ_BYTES);
  private out: Uint8Array[] = [];
  private outBytes = 0;
  private readonly active = new Map<number, Active>();
  private greeted = false;
  private over = false;
  private cancelStall: (() => void) | null = null;
  private readonly task = new Task("a control connection", () => this.work());

  /** @param ended called once, when the connection is over and nothing of the session is left */
  constructor(
    private readonly connection: Connection,
    private readonly services: SessionServices,
    private readonly ended: () => void,
  ) {
    connection.onReady = () => this.task.request();
    const cancel = after(HELLO_MS, () => {
      if (!this.greeted) this.fail("no HELLO");
    });
    this.cancelHello = cancel;
    this.task.request();
  }

  private readonly cancelHello: () => void;

  /** Reads a piece and sends what there is room for; true if there is more to read. */
  private work(): boolean {
    if (this.over) return false;
    this.flush();
    // A client that does not take its answers is not asked for more.
    const count = this.outBytes < OUT_FULL ? this.connection.read(this.into) : 0;
    if (count > 0) {
      try {
        this.reader.push(this.into.subarray(0, count), (frame) => this.frame(frame));
      } catch (error) {
        // What a client sends must not be able to do that: it is reported, and the client cannot be served on.
        if (!(error instanceof ProtocolError)) reportFailure("a control connection", error);
        this.fail(error instanceof ProtocolError ? error.message : "internal error");
      }
      // What it has put out goes at once; when less came than there was room for, that was all.
      this.flush();
      if (count === this.into.length && this.connection.ended === null) return !this.over;
    }
    if (this.connection.ended !== null) this.finish();
    return false;
  }

  private frame({ type, id, body }: Frame): void {
    if (this.over) return;
    if (!this.greeted) {
      if (type !== HELLO) throw new ProtocolError("the first frame is not HELLO");
      this.hello(body);
      return;
    }
    if (type === REQUEST) {
      this.request(id, body);
      return;
    }
    const active = this.active.get(id);
    if (active === undefined) {
      // Sent before the answer had arrived.
      if (type === DATA || type === DATA_END || type === WINDOW || type === CANCEL) return;
      throw new ProtocolError(`a frame of type ${type}`);
    }
    if (type === DATA) {
      if (!active.stream.input(body)) throw new ProtocolError("more DATA than there is room for");
    } else if (type === DATA_END) active.stream.onInputEnd();
    else if (type === WINDOW) active.stream.allow(decodeWindow(body));
    else if (type === CANCEL) active.interruption.raise();
    else throw new ProtocolError(`a frame of type ${type}`);
  }

  private hello(body: Uint8Array): void {
    const { protocol } = parseObject(body);
    if (protocol !== PROTOCOL_VERSION) {
      const theirs = typeof protocol === "number" ? protocol : "unknown";
      throw new ProtocolError(`protocol version ${theirs}: this is ${PROTOCOL_VERSION}`);
    }
    this.greeted = true;
    this.cancelHello();
    const { software } = this.services;
    this.send(HELLO, 0, {
      protocol: PROTOCOL_VERSION,
      api: API_VERSION,
      software,
      requests: [...this.services.handlers.keys()],
    });
  }

  private request(id: number, body: Uint8Array): void {
    if (id === 0 || this.active.has(id)) throw new ProtocolError(`the request id ${id} is in use`);
    if (this.active.size >= REQUESTS_MOST) throw new ProtocolError(`more than ${REQUESTS_MOST} requests at a time`);
    const { request: name, params } = parseObject(body);
    const handler = typeof name === "string" ? this.services.handlers.get(name) : undefined;
    if (handler === undefined) {
      const what = typeof name === "string" ? `there is no request "${name}"` : "the request's name is missing";
      this.error(id, "request", what);
      return;
    }
    const interruption = new RaisableInterruption();
    const stream = new ServerStream({
      hasRoom: () => this.outBytes < OUT_FULL,
      data: (bytes) => this.put(encodeFrame(DATA, id, bytes)),
      dataEnd: () => this.put(encodeFrame(DATA_END, id)),
      window: (bytes) => this.put(encodeFrame(WINDOW, id, encodeWindow(bytes))),
    });
    this.active.set(id, { interruption, stream });
    const context: RequestContext = {
      domains: this.services.domains,
      interruption,
      progress: (text) => {
        if (this.active.has(id)) this.send(PROGRESS, id, { text: shortened(text) });
      },
      output: (bytes) => stream.write(bytes),
      outputRoom: () => stream.room(),
      stream,
    };
    void this.run(id, handler, params, context);
  }

  private async run(id: number, handler: AnyHandler, given: unknown, context: RequestContext): Promise<void> {
    const stream = context.stream!;
    try {
      const result: unknown = await handled(handler, checkParams(handler.request, given), context);
      await stream.sent();
      const rest = this.result(id, result);
      if (rest !== null) await rest;
    } catch (error) {
      await stream.sent();
      const kind = isExpected(error) ? "refused" : "internal";
      this.error(id, kind, errorText(error));
    }
  }

  /** Sends a result; what is more than one part of it in turns, as the client takes it. */
  private result(id: number, result: unknown): Promise<void> | null {
    const text = JSON.stringify(result === undefined ? null : result);
    if (text.length > PART_CHARACTERS) return this.resultInParts(id, text);
    if (this.active.delete(id)) this.put(encodeFrame(RESULT, id, encodeUtf8(text)));
    return null;
  }

  private async resultInParts(id: number, text: string): Promise<void> {
    for (let at = 0; ;) {
      const active = this.active.get(id);
      if (active === undefined) return;
      const end = pieceEnd(text, at, PART_CHARACTERS);
      const last = end === text.length;
      if (last) this.active.delete(id);
      this.put(encodeFrame(last ? RESULT : RESULT_PART, id, encodeUtf8(text.slice(at, end))));
      if (last) return;
      at = end;
      await active.stream.drained(() => this.outBytes < OUT_FULL);
    }
  }

  private error(id: number, kind: ErrorKind, message: string): void {
    this.active.delete(id);
    this.send(ERROR, id, { kind, message: shortened(message) });
  }

  private send(type: number, id: number, body: object): void {
    this.put(encodeFrame(type, id, encodeUtf8(JSON.stringify(body))));
  }

  private put(bytes: Uint8Array): void {
    if (this.over) return;
    if (this.outBytes + bytes.length > OUT_MOST) {
      this.connection.abort();
      this.finish();
      return;
    }
    this.out.push(bytes);
    this.outBytes += bytes.length;
    this.task.request();
  }

  private flush(): void {
    let sent = 0;
    while (this.out.length > 0) {
      const bytes = this.out[0]!;
      const count = this.connection.write(bytes);
      sent += count;
      if (count < bytes.length) {
        this.out[0] = bytes.subarray(count);
        break;
      }
      this.out.shift();
    }
    this.outBytes -= sent;
    this.watchStall(sent > 0);
    if (sent > 0 && this.outBytes < OUT_FULL) for (const { stream } of this.active.values()) stream.pump();
  }

  /** @param moved the client has taken something */
  private watchStall(moved: boolean): void {
    if (moved || this.out.length === 0) {
      this.cancelStall?.();
      this.cancelStall = null;
    }
    if (this.out.length > 0) this.cancelStall ??= after(STALLED_MS, () => this.stalled());
  }

  private stalled(): void {
    this.connection.abort();
    this.finish();
  }

  /** The client has broken the protocol. */
  private fail(message: string): void {
    if (this.over) return;
    this.send(ERROR, 0, { kind: "protocol", message: shortened(message) });
    this.flush();
    this.connection.close();
    this.finish();
  }

  /** The connection is over: requests end as if they were cancelled, and their answers are dropped. */
  private finish(): void {
    if (this.over) return;
    this.over = true;
    this.cancelHello();
    this.cancelStall?.();
    this.out = [];
    this.outBytes = 0;
    const active = [...this.active.values()];
    this.active.clear();
    for (const { interruption, stream } of active) {
      interruption.raise();
      stream.end();
    }
    this.connection.onReady = () => {};
    this.ended();
  }
}

/** A text for people, which fits into a frame whatever it quotes: a character has six bytes of JSON at most. */
function shortened(text: string): string {
  return text.length <= TEXT_MOST ? text : `${text.slice(0, TEXT_MOST)}...`;
}

/** @throws ProtocolError for what is no object in JSON */
function parseObject(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(decodeUtf8(body));
  } catch {
    throw new ProtocolError("a body that is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("a body that is no JSON object");
  }
  return value as Record<string, unknown>;
}
