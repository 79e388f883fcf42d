/** A client of the control protocol (toolstack/api/protocol.ts) on any stream: several requests at a time, each with its stream. */
import { Duplex } from "node:stream";
import {
  BODY_MOST,
  DATA_MOST,
  CANCEL,
  DATA,
  DATA_END,
  decodeWindow,
  encodeFrame,
  encodeWindow,
  ERROR,
  type ErrorKind,
  type Frame,
  FrameReader,
  HELLO,
  PROGRESS,
  PROTOCOL_VERSION,
  ProtocolError,
  REQUEST,
  RESULT,
  RESULT_PART,
  WINDOW,
  WINDOW_FIRST,
} from "../../api/protocol.ts";
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";

/** A request that Typevisor refused, or could not answer. */
export class RequestFailed extends Error {
  constructor(
    readonly kind: ErrorKind,
    message: string,
  ) {
    super(message);
  }
}

/** The connection is over, or was never there. */
export class ConnectionLost extends Error {}

export interface RequestOptions {
  /** A line of progress. */
  onProgress?: (text: string) => void;
  /** Aborted: the request is cancelled; it is still answered. */
  signal?: AbortSignal;
}

/** A request that was made. */
export interface Pending<R> {
  /** @throws RequestFailed, ConnectionLost */
  result: Promise<R>;
  /** Its bytes in both directions. Data must be read for the other side to go on. */
  stream: Duplex;
}

/** What Typevisor says of itself. */
export interface Greeting {
  api: number;
  software: string;
  requests: string[];
}

class RequestStream extends Duplex {
  private allowed = WINDOW_FIRST;
  /** Bytes for which Typevisor was not given new room yet. */
  private received = 0;
  private unsent: { bytes: Buffer; done: (error?: Error | null) => void } | null = null;

  constructor(private readonly sendFrame: (type: number, body?: Uint8Array) => void) {
    super();
  }

  /** What was received last has been taken, or nearly. */
  override _read(): void {
    if (this.received === 0) return;
    this.sendFrame(WINDOW, encodeWindow(this.received));
    this.received = 0;
  }

  /** Bytes from Typevisor. */
  receive(bytes: Uint8Array): void {
    this.received += bytes.length;
    this.push(Buffer.from(bytes));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.unsent = { bytes: chunk, done };
    this.pump();
  }

  allow(bytes: number): void {
    this.allowed += bytes;
    this.pump();
  }

  private pump(): void {
    while (this.unsent !== null) {
      const { bytes, done } = this.unsent;
      const part = bytes.subarray(0, DATA_MOST);
      // Typevisor tells of room when there is more of it: no frame is cut to what is left.
      if (part.length > this.allowed) return;
      this.allowed -= part.length;
      this.sendFrame(DATA, part);
      this.unsent = part.length === bytes.length ? null : { bytes: bytes.subarray(part.length), done };
      if (this.unsent === null) done();
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    this.sendFrame(DATA_END);
    done();
  }

  private outputEnded = false;

  /** Nothing more comes from Typevisor. */
  endOutput(): void {
    if (this.outputEnded) return;
    this.outputEnded = true;
    this.push(null);
  }

  /** The request was answered. */
  finish(): void {
    this.endOutput();
    const unsent = this.unsent;
    this.unsent = null;
    unsent?.done();
  }
}

/** @throws ProtocolError for what is not JSON */
function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
  } catch {
    throw new ProtocolError("a body that is not JSON");
  }
}

interface Open {
  stream: RequestStream;
  parts: Buffer[];
  options: RequestOptions;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class Client {
  private readonly reader = new FrameReader();
  private readonly open = new Map<number, Open>();
  private next = 1;
  private over: Error | null = null;
  private greet: ((greeting: Greeting) => void) | null = null;
  private refuse: ((error: Error) => void) | null = null;

  private constructor(
    private readonly transport: Duplex,
    private readonly peer: string,
  ) {
    transport.on("data", (bytes: Buffer) => this.take(bytes));
    transport.on("error", (error) => this.end(`${peer}: ${error.message}`));
    transport.on("close", () => this.end(`${peer}: the connection was closed`));
    transport.on("end", () => this.end(`${peer}: the connection was closed`));
  }

  /**
   * Greets Typevisor on a stream that is connected and secured.
   * @param peer its name for messages
   * @throws ConnectionLost, RequestFailed when it speaks another version
   */
  static async greet(
    transport: Duplex,
    software: string,
    peer: string,
  ): Promise<{ client: Client; greeting: Greeting }> {
    const client = new Client(transport, peer);
    const greeting = await new Promise<Greeting>((resolve, reject) => {
      client.greet = resolve;
      client.refuse = reject;
      client.send(HELLO, 0, { protocol: PROTOCOL_VERSION, software });
    });
    return { client, greeting };
  }

  /** Makes a request. */
  request<A extends Arguments, R>(
    request: RequestDefinition<A, R>,
    params: Params<A>,
    options: RequestOptions = {},
  ): Pending<R> {
    const id = this.next;
    this.next = (this.next % 0xffffffff) + 1;
    const stream = new RequestStream((type, body) => {
      if (this.open.has(id)) this.write(encodeFrame(type, id, body));
    });
    const result = new Promise<R>((resolve, reject) => {
      if (this.over !== null) {
        reject(this.over);
        return;
      }
      this.open.set(id, { stream, parts: [], options, resolve: resolve as (result: unknown) => void, reject });
      this.send(REQUEST, id, { request: request.name, params });
    });
    const cancel = () => {
      if (this.open.has(id)) this.write(encodeFrame(CANCEL, id));
    };
    if (options.signal?.aborted) cancel();
    else {
      const { signal } = options;
      signal?.addEventListener("abort", cancel);
      const over = () => signal?.removeEventListener("abort", cancel);
      result.then(over, over);
    }
    return { result, stream };
  }

  /** Ends the connection. */
  close(): void {
    this.end(`${this.peer}: the connection was closed here`);
    this.transport.end();
  }

  private take(bytes: Buffer): void {
    try {
      this.reader.push(bytes, (frame) => this.frame(frame));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.end(`${this.peer} does not speak Typevisor's control protocol: ${error.message}`);
      this.transport.destroy();
    }
  }

  private frame({ type, id, body }: Frame): void {
    const object = () => {
      const value = parse(body);
      if (typeof value !== "object" || value === null) throw new ProtocolError("a body that is no JSON object");
      return value as Record<string, unknown>;
    };
    if (id === 0) {
      if (type === HELLO) {
        this.greet?.(object() as unknown as Greeting);
        this.greet = this.refuse = null;
      } else if (type === ERROR) {
        this.end(`${this.peer}: ${String(object().message)}`);
      }
      return;
    }
    const open = this.open.get(id);
    if (open === undefined) return;
    switch (type) {
      case PROGRESS:
        open.options.onProgress?.(String(object().text));
        break;
      case DATA:
        open.stream.receive(body);
        break;
      case DATA_END:
        open.stream.endOutput();
        break;
      case WINDOW:
        open.stream.allow(decodeWindow(body));
        break;
      case RESULT_PART:
        open.parts.push(Buffer.from(body));
        break;
      case RESULT: {
        open.parts.push(Buffer.from(body));
        const result = parse(Buffer.concat(open.parts));
        this.open.delete(id);
        open.stream.finish();
        open.resolve(result ?? undefined);
        break;
      }
      case ERROR: {
        const { kind, message } = object();
        this.open.delete(id);
        open.stream.finish();
        open.reject(new RequestFailed(kind as ErrorKind, String(message)));
        break;
      }
    }
  }

  private send(type: number, id: number, body: object): void {
    const bytes = Buffer.from(JSON.stringify(body));
    if (bytes.length > BODY_MOST)
      throw new RequestFailed("request", `the request has ${bytes.length} bytes: ${BODY_MOST} at most`);
    this.write(encodeFrame(type, id, bytes));
  }

  private write(bytes: Uint8Array): void {
    if (this.over === null) this.transport.write(bytes);
  }

  private end(reason: string): void {
    if (this.over !== null) return;
    this.over = new ConnectionLost(reason);
    this.refuse?.(this.over);
    for (const { stream, reject } of this.open.values()) {
      stream.finish();
      reject(this.over);
    }
    this.open.clear();
  }
}
