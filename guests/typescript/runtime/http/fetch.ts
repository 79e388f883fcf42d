/** fetch, Headers, Request, Response: the web's, for http: alone, with bodies that are read as a whole. */
import { Buffer, toBuffer } from "../data/buffer.ts";
import { ClientRequest, type IncomingMessage } from "./http.ts";
import { TOKEN } from "./http-message.ts";
import { STATUS_CODES } from "./http-status.ts";
import { bytesOf, decodeUtf8 } from "../data/text.ts";
import { DOMException } from "../data/web-events.ts";

const REDIRECTS_MOST = 20;

export type HeadersInput = Headers | Record<string, string> | Iterable<[string, string]> | undefined;

export class Headers {
  private readonly fields = new Map<string, string[]>();

  constructor(from?: HeadersInput) {
    if (from === undefined || from === null) return;
    const pairs = Symbol.iterator in from ? from : Object.entries(from);
    for (const [name, value] of pairs) this.append(name, value);
  }
  private static name(name: string): string {
    if (!TOKEN.test(String(name))) throw new TypeError(`"${name}" is no name of a header field`);
    return String(name).toLowerCase();
  }
  append(name: string, value: string): void {
    const key = Headers.name(name);
    this.fields.set(key, [...(this.fields.get(key) ?? []), String(value).trim()]);
  }
  set(name: string, value: string): void {
    this.fields.set(Headers.name(name), [String(value).trim()]);
  }
  get(name: string): string | null {
    return this.fields.get(Headers.name(name))?.join(", ") ?? null;
  }
  has(name: string): boolean {
    return this.fields.has(Headers.name(name));
  }
  delete(name: string): void {
    this.fields.delete(Headers.name(name));
  }
  getSetCookie(): string[] {
    return [...(this.fields.get("set-cookie") ?? [])];
  }
  *entries(): Generator<[string, string]> {
    for (const name of [...this.fields.keys()].sort()) {
      const values = this.fields.get(name)!;
      if (name === "set-cookie") for (const value of values) yield [name, value];
      else yield [name, values.join(", ")];
    }
  }
  *keys(): Generator<string> {
    for (const [name] of this.entries()) yield name;
  }
  *values(): Generator<string> {
    for (const [, value] of this.entries()) yield value;
  }
  forEach(call: (value: string, name: string, headers: this) => void): void {
    for (const [name, value] of this.entries()) call(value, name, this);
  }
  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries();
  }
}

export type BodyInput = string | ArrayBuffer | ArrayBufferView | URLSearchParams | null | undefined;

/** A body's bytes, and the type that it has by itself. */
function bodyBytes(body: BodyInput): { bytes: Buffer | null; type: string | undefined } {
  if (body === null || body === undefined) return { bytes: null, type: undefined };
  if (typeof body === "string") return { bytes: toBuffer(body), type: "text/plain;charset=UTF-8" };
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body))
    return { bytes: toBuffer(bytesOf(body)), type: undefined };
  if (body instanceof URLSearchParams) {
    return { bytes: toBuffer(String(body)), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  throw new TypeError("a body is a string, bytes or URLSearchParams here");
}

/** What Request and Response have in common: a body that is read once. */
class Body {
  bodyUsed = false;
  constructor(protected readonly source: () => Promise<Uint8Array>) {}
  async bytes(): Promise<Uint8Array> {
    if (this.bodyUsed) throw new TypeError("the body has been read");
    this.bodyUsed = true;
    return new Uint8Array(await this.source());
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  }
  async text(): Promise<string> {
    const text = decodeUtf8(await this.bytes());
    return text.startsWith("\ufeff") ? text.slice(1) : text;
  }
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
}

export interface ResponseOptions {
  status?: number;
  statusText?: string;
  headers?: HeadersInput;
}

export class Response extends Body {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly type = "default";
  url = "";
  redirected = false;
  private readonly options: ResponseOptions;

  constructor(body?: BodyInput | (() => Promise<Uint8Array>), options: ResponseOptions = {}) {
    const given = typeof body === "function" ? undefined : bodyBytes(body);
    super(typeof body === "function" ? body : async () => given!.bytes ?? new Uint8Array(0));
    this.options = options;
    this.status = options.status ?? 200;
    this.statusText = options.statusText ?? "";
    this.headers = new Headers(options.headers);
    if (given?.type !== undefined && !this.headers.has("content-type")) this.headers.set("content-type", given.type);
  }
  static json(value: unknown, options: ResponseOptions = {}): Response {
    const response = new Response(JSON.stringify(value), options);
    if (!new Headers(options.headers).has("content-type")) response.headers.set("content-type", "application/json");
    return response;
  }
  static error(): Response {
    return new Response(null, { status: 0 });
  }
  static redirect(url: string | URL, status = 302): Response {
    return new Response(null, { status, headers: { location: String(url) } });
  }
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }
  clone(): Response {
    if (this.bodyUsed) throw new TypeError("the body has been read");
    const shared = this.source();
    Object.assign(this, { source: () => shared });
    const clone = new Response(() => shared, { ...this.options, headers: this.headers });
    [clone.url, clone.redirected] = [this.url, this.redirected];
    return clone;
  }
}

export interface RequestOptions {
  method?: string;
  headers?: HeadersInput;
  body?: BodyInput;
  redirect?: "follow" | "manual" | "error";
  signal?: AbortSignal | null;
}

export class Request extends Body {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly redirect: "follow" | "manual" | "error";
  readonly signal: AbortSignal | undefined;
  readonly content: Buffer | null;

  constructor(from: string | URL | Request, options: RequestOptions = {}) {
    const before = from instanceof Request ? from : undefined;
    const { bytes, type } =
      options.body === undefined ? { bytes: before?.content ?? null, type: undefined } : bodyBytes(options.body);
    super(async () => bytes ?? new Uint8Array(0));
    this.content = bytes;
    this.url = before?.url ?? new URL(String(from)).href;
    this.method = (options.method ?? before?.method ?? "GET").toUpperCase();
    this.headers = new Headers(options.headers ?? before?.headers);
    this.redirect = options.redirect ?? before?.redirect ?? "follow";
    this.signal = options.signal ?? before?.signal;
    if (bytes !== null && (this.method === "GET" || this.method === "HEAD"))
      throw new TypeError(`${this.method} has no body`);
    if (type !== undefined && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }
  clone(): Request {
    return new Request(this);
  }
}

function collect(message: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    message.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    message.on("end", () => resolve(Buffer.concat(chunks)));
    message.on("error", (error: Error) => reject(error));
  });
}

/** One request and its answer. */
function exchange(url: URL, request: Request, method: string, body: Buffer | null): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { hostname, port, pathname, search, protocol } = url;
    const client = new ClientRequest(
      {
        protocol,
        hostname,
        port: port === "" ? 80 : port,
        path: `${pathname}${search}`,
        method,
        headers: { accept: "*/*", "user-agent": "typevisor", ...Object.fromEntries(request.headers) },
        signal: request.signal,
      },
      resolve,
    );
    client.on("error", reject);
    client.end(body);
  });
}

export async function fetch(from: string | URL | Request, options?: RequestOptions): Promise<Response> {
  const request = new Request(from, options);
  let url = new URL(request.url);
  let [method, body] = [request.method, request.content];
  for (let redirects = 0; ; redirects++) {
    request.signal?.throwIfAborted();
    let message: IncomingMessage;
    try {
      message = await exchange(url, request, method, body);
    } catch (cause) {
      if (cause instanceof DOMException) throw cause;
      throw Object.assign(new TypeError("fetch failed"), { cause });
    }
    const status = message.statusCode!;
    const { location } = message.headers;
    if (![301, 302, 303, 307, 308].includes(status) || typeof location !== "string" || request.redirect === "manual") {
      const headers = Array.from({ length: message.rawHeaders.length / 2 }, (_, i): [string, string] => [
        message.rawHeaders[i * 2]!,
        message.rawHeaders[i * 2 + 1]!,
      ]);
      const statusText = message.statusMessage || (STATUS_CODES[status] ?? "");
      const response = new Response(() => collect(message), { status, statusText, headers });
      response.url = url.href;
      response.redirected = redirects > 0;
      return response;
    }
    message.resume();
    if (request.redirect === "error" || redirects === REDIRECTS_MOST)
      throw new TypeError("fetch failed: redirected too often");
    url = new URL(location, url);
    if (status === 303 || (status < 303 && method === "POST")) [method, body] = ["GET", null];
  }
}
