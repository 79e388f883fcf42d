/** The web's URL and URLSearchParams, and node:url. */
import { custom } from "../program/inspect.ts";
import {
  encodeFragment,
  encodeQuery,
  encodeUser,
  isSpecial,
  parseHost,
  parsePort,
  type Parts,
  parseUrl,
  pathText,
  appendPath,
} from "./url-parser.ts";

/** application/x-www-form-urlencoded, one name or value. */
function formEncode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/%20/g, "+")
    .replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function formDecode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text.toWellFormed();
  const spaced = text.replace(/\+/g, " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Only what is a percent sign and two digits, and those bytes as UTF-8 as far as they are.
    return spaced.replace(/(%[0-9a-f]{2})+/gi, (codes) =>
      new TextDecoder().decode(Uint8Array.from(codes.slice(1).split("%"), (code) => Number.parseInt(code, 16))),
    );
  }
}

type ParamsInput = string | Iterable<[string, string]> | Record<string, string> | undefined;

export class URLSearchParams {
  private list: [string, string][] = [];
  /** Called when it has changed. */
  declare changed: () => void;

  constructor(from?: ParamsInput) {
    if (from === undefined || from === null) return;
    if (typeof from === "string") this.replace(from);
    else if (Symbol.iterator in from) this.list = [...from].map(([name, value]) => [String(name), String(value)]);
    else this.list = Object.entries(from).map(([name, value]) => [name, String(value)]);
  }
  /** All of it anew, from a query. */
  replace(query: string): void {
    this.list = (query.startsWith("?") ? query.slice(1) : query)
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const at = pair.indexOf("=");
        return at < 0 ? [formDecode(pair), ""] : [formDecode(pair.slice(0, at)), formDecode(pair.slice(at + 1))];
      });
  }
  get size(): number {
    return this.list.length;
  }
  append(name: string, value: string): void {
    this.list.push([String(name), String(value)]);
    this.changed();
  }
  delete(name: string, value?: string): void {
    this.list = this.list.filter(([key, one]) => key !== name || (value !== undefined && one !== value));
    this.changed();
  }
  get(name: string): string | null {
    return this.list.find(([key]) => key === name)?.[1] ?? null;
  }
  getAll(name: string): string[] {
    return this.list.filter(([key]) => key === name).map(([, value]) => value);
  }
  has(name: string, value?: string): boolean {
    return this.list.some(([key, one]) => key === name && (value === undefined || one === value));
  }
  set(name: string, value: string): void {
    const at = this.list.findIndex(([key]) => key === name);
    const others = this.list.filter(([key], i) => key !== name || i === at);
    if (at < 0) others.push([String(name), String(value)]);
    else others[at] = [String(name), String(value)];
    this.list = others;
    this.changed();
  }
  sort(): void {
    this.list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.changed();
  }
  forEach(call: (value: string, name: string, params: this) => void): void {
    for (const [name, value] of this.list) call(value, name, this);
  }
  entries(): IterableIterator<[string, string]> {
    return this.list.map(([name, value]): [string, string] => [name, value]).values();
  }
  keys(): IterableIterator<string> {
    return this.list.map(([name]) => name).values();
  }
  values(): IterableIterator<string> {
    return this.list.map(([, value]) => value).values();
  }
  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
  toString(): string {
    return this.list.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
  }
}

// Who makes one for a URL says what is to happen when it changes.
Object.defineProperty(URLSearchParams.prototype, "changed", { value: () => {}, writable: true, enumerable: false });

/** The latest base: servers give the same with every request. */
const latestBase: { text: string; parts: Parts | undefined } = { text: "", parts: undefined };

function parseBase(base: string): Parts {
  if (latestBase.parts === undefined || latestBase.text !== base) {
    latestBase.parts = parseUrl(base);
    latestBase.text = base;
  }
  return latestBase.parts;
}

export class URL {
  private parts: Parts;
  private params: URLSearchParams | undefined;

  constructor(text: string | URL, base?: string | URL) {
    this.parts = parseUrl(String(text), base === undefined ? undefined : parseBase(String(base)));
  }
  /** Made when it is asked for. */
  get searchParams(): URLSearchParams {
    if (this.params === undefined) {
      const params = new URLSearchParams(this.parts.search ?? "");
      const changed = () => {
        const query = String(params);
        this.parts.search = query === "" ? null : query;
      };
      Object.defineProperty(params, "changed", { value: changed });
      this.params = params;
    }
    return this.params;
  }
  static canParse(text: string | URL, base?: string | URL): boolean {
    return URL.parse(text, base) !== null;
  }
  static parse(text: string | URL, base?: string | URL): URL | null {
    try {
      return new URL(text, base);
    } catch {
      return null;
    }
  }
  get href(): string {
    const { protocol, username, password, host, search, hash } = this.parts;
    const user = username === "" && password === "" ? "" : `${username}${password === "" ? "" : `:${password}`}@`;
    const { path } = this.parts;
    // Without an authority, a path that begins with two slashes must not become one.
    const none = typeof path !== "string" && path.length > 1 && path[0] === "" ? "/." : "";
    const authority = host === null ? none : `//${user}${this.host}`;
    return `${protocol}${authority}${pathText(this.parts)}${search === null ? "" : `?${search}`}${hash === null ? "" : `#${hash}`}`;
  }
  set href(text: string) {
    this.parts = parseUrl(text);
    this.params?.replace(this.parts.search ?? "");
  }
  get origin(): string {
    const { protocol } = this.parts;
    return isSpecial(protocol) && protocol !== "file:" ? `${protocol}//${this.host}` : "null";
  }
  get protocol(): string {
    return this.parts.protocol;
  }
  set protocol(text: string) {
    const protocol = `${text.replace(/:.*$/s, "").toLowerCase()}:`;
    if (!/^[a-z][a-z0-9+.-]*:$/.test(protocol) || isSpecial(protocol) !== isSpecial(this.protocol)) return;
    this.parts.protocol = protocol;
    this.parts.port = parsePort(this.parts.port, protocol);
  }
  get username(): string {
    return this.parts.username;
  }
  set username(text: string) {
    if (this.parts.host) this.parts.username = encodeUser(text);
  }
  get password(): string {
    return this.parts.password;
  }
  set password(text: string) {
    if (this.parts.host) this.parts.password = encodeUser(text);
  }
  get host(): string {
    const { host, port } = this.parts;
    return `${host ?? ""}${port === "" ? "" : `:${port}`}`;
  }
  set host(text: string) {
    const [, name, port] = /^(\[[^\]]*\]|[^:/?#\\]*)(?::(\d*))?/.exec(text)!;
    this.hostname = name!;
    if (port !== undefined) this.port = port;
  }
  get hostname(): string {
    return this.parts.host ?? "";
  }
  set hostname(text: string) {
    if (typeof this.parts.path === "string" || text === "") return;
    try {
      this.parts.host = parseHost(text, isSpecial(this.protocol));
    } catch {
      // As the standard has it: what is no host changes nothing.
    }
  }
  get port(): string {
    return this.parts.port;
  }
  set port(text: string) {
    const digits = /^\d*/.exec(String(text))![0];
    if (!this.parts.host || Number(digits) > 65535 || (digits === "" && text !== "")) return;
    this.parts.port = parsePort(digits, this.protocol);
  }
  get pathname(): string {
    return pathText(this.parts);
  }
  set pathname(text: string) {
    if (typeof this.parts.path === "string") return;
    const escaped = text.replace(/[?#]/g, (c) => (c === "?" ? "%3F" : "%23"));
    this.parts.path = appendPath([], escaped.replace(isSpecial(this.protocol) ? /^[/\\]/ : /^\//, ""), this.protocol);
  }
  get search(): string {
    return this.parts.search ? `?${this.parts.search}` : "";
  }
  set search(text: string) {
    const query = text.replace(/^\?/, "");
    this.parts.search = query === "" ? null : encodeQuery(query.replace(/#/g, "%23"), this.protocol);
    this.params?.replace(query);
  }
  get hash(): string {
    return this.parts.hash ? `#${this.parts.hash}` : "";
  }
  set hash(text: string) {
    const fragment = text.replace(/^#/, "");
    this.parts.hash = fragment === "" ? null : encodeFragment(fragment);
  }
  toString(): string {
    return this.href;
  }
  toJSON(): string {
    return this.href;
  }
  [custom](): string {
    return `URL { href: '${this.href}' }`;
  }
}

export function fileURLToPath(url: string | URL): string {
  const { protocol, pathname } = new URL(String(url));
  if (protocol !== "file:") throw new TypeError("the URL is no file: URL");
  return decodeURIComponent(pathname);
}

export function pathToFileURL(path: string): URL {
  return new URL(`file://${path.split("/").map(encodeURIComponent).join("/")}`);
}

/** The old way to take a URL apart; what is no absolute URL is a path with a query. */
export function parse(text: string, parseQuery = false): Record<string, unknown> {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = new URL(text, "http://localhost");
  const query = url.search.slice(1);
  return {
    protocol: absolute ? url.protocol : null,
    host: absolute ? url.host : null,
    hostname: absolute ? url.hostname : null,
    port: absolute && url.port !== "" ? url.port : null,
    hash: url.hash || null,
    search: url.search || null,
    query: parseQuery ? Object.fromEntries(new URLSearchParams(query)) : query || null,
    pathname: url.pathname,
    path: `${url.pathname}${url.search}`,
    href: absolute ? url.href : text,
  };
}
