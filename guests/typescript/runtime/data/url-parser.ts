/**
 * The WHATWG URL parser, without domain names beyond ASCII: those are refused. Its states are the standard's, in the order in which a
 * URL passes them, as functions of the text that is left.
 */

/** Schemes with an authority and a default port: "special" ones. */
const SPECIAL: Record<string, string> = {
  "http:": "80",
  "https:": "443",
  "ws:": "80",
  "wss:": "443",
  "ftp:": "21",
  "file:": "",
};

export interface Parts {
  protocol: string;
  username: string;
  password: string;
  /** null: the URL has no authority. */
  host: string | null;
  port: string;
  /** A text: an opaque path. */
  path: string[] | string;
  search: string | null;
  hash: string | null;
}

const C0 = "\\u0000-\\u001f\\u007f-\\u{10ffff}";
const FRAGMENT = ` "<>\``;
const set = (characters: string) => new RegExp(`[${C0}${characters.replace(/[\\\]^-]/g, "\\$&")}]`, "gu");
const ENCODED = {
  opaque: set(""),
  fragment: set(FRAGMENT),
  query: set(' "#<>'),
  specialQuery: set(` "#<>'`),
  path: set(' "#<>?`{}^'),
  user: set(' "#<>?`{}/:;=@[]\\^|'),
};

/** What is in no set but that of user names. */
const PLAIN = /^[\w.~%&+=-]*$/;

function encode(text: string, which: RegExp): string {
  if (which !== ENCODED.user && PLAIN.test(text)) return text;
  return text
    .toWellFormed()
    .replace(which, (character) =>
      encodeURIComponent(character).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
    );
}

/** encodeURIComponent leaves these as they are: a set that names them means it. */
function encodeAll(text: string, which: RegExp): string {
  return encode(text, which).replace(/'/g, which === ENCODED.specialQuery ? "%27" : "'");
}

export const isSpecial = (protocol: string): boolean => Object.hasOwn(SPECIAL, protocol);
export const defaultPort = (protocol: string): string => SPECIAL[protocol] ?? "";

/** A number as hosts have it: decimal, 0x hexadecimal or 0 octal; NaN for none. */
function hostNumber(text: string): number {
  if (/^0x[0-9a-f]*$/i.test(text)) return text.length === 2 ? 0 : Number.parseInt(text, 16);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^\d+$/.test(text) ? Number(text) : Number.NaN;
}

/** "10.0.0.2" of an IPv4 address in any spelling; undefined when the host is a name. */
function ipv4(host: string): string | undefined {
  const parts = host.replace(/\.$/, "").split(".");
  const last = parts.at(-1)!;
  if (!/^\d+$/.test(last) && !/^0x[0-9a-f]*$/i.test(last)) return undefined;
  const numbers = parts.map(hostNumber);
  const most = 256 ** (5 - numbers.length);
  if (
    numbers.length > 4 ||
    numbers.some(Number.isNaN) ||
    numbers.slice(0, -1).some((n) => n > 255) ||
    numbers.at(-1)! >= most
  ) {
    throw new TypeError(`Invalid URL: the host ${host}`);
  }
  let value = numbers.pop()!;
  numbers.forEach((n, i) => (value += n * 256 ** (3 - i)));
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/** The shortest text of an IPv6 address (RFC 5952). */
function ipv6(text: string): string {
  const fail = () => new TypeError(`Invalid URL: the host [${text}]`);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted && dotted.slice(2).some((n) => Number(n) > 255)) throw fail();
  const [a, b, c, d] = dotted ? dotted.slice(2).map(Number) : [];
  const whole = dotted ? `${dotted[1]}${(a! * 256 + b!).toString(16)}:${(c! * 256 + d!).toString(16)}` : text;
  const halves = whole.split("::");
  const words = (half: string) => (half === "" ? [] : half.split(":"));
  const [front, back] = [words(halves[0]!), words(halves[1] ?? "")];
  const missing = 8 - front.length - back.length;
  if (halves.length > 2 || (halves.length === 2 ? missing < 1 : missing !== 0)) throw fail();
  const pieces = [...front, ...Array<string>(missing).fill("0"), ...back];
  if (pieces.some((piece) => !/^[0-9a-f]{1,4}$/i.test(piece))) throw fail();
  const short = pieces.map((piece) => Number.parseInt(piece, 16).toString(16)).join(":");
  const zeros = [...short.matchAll(/(?<![^:])0(?::0)+(?![^:])/g)].sort((x, y) => y[0].length - x[0].length)[0];
  return zeros
    ? `${short.slice(0, zeros.index).replace(/:$/, "")}::${short.slice(zeros.index + zeros[0].length).replace(/^:/, "")}`
    : short;
}

/** A host in its normal form. @throws TypeError for what is none */
export function parseHost(text: string, special: boolean): string {
  if (text.startsWith("[")) {
    if (!text.endsWith("]")) throw new TypeError(`Invalid URL: the host ${text}`);
    return `[${ipv6(text.slice(1, -1))}]`;
  }
  if (!special) {
    if (/[\0\t\n\r #/:<>?@[\\\]^|]/.test(text)) throw new TypeError(`Invalid URL: the host ${text}`);
    return encode(text, ENCODED.opaque);
  }
  let name: string;
  try {
    name = decodeURIComponent(text).toLowerCase();
  } catch {
    throw new TypeError(`Invalid URL: the host ${text}`);
  }

  if (name === "" || /[^\u0021-\u007e]|[#%/:<>?@[\\\]^|]/.test(name)) {
    throw new TypeError(`Invalid URL: the host ${text}${/[^\0-\x7f]/.test(name) ? ": only ASCII is supported" : ""}`);
  }
  return ipv4(name) ?? name;
}

export function parsePort(text: string, protocol: string): string {
  if (!/^\d*$/.test(text) || Number(text) > 65535) throw new TypeError(`Invalid URL: the port ${text}`);
  return text === "" || String(Number(text)) === defaultPort(protocol) ? "" : String(Number(text));
}

const DOT = [".", "%2e"];
const DOTS = ["..", ".%2e", "%2e.", "%2e%2e"];
const isOneOf = (part: string, all: string[]) => part.length <= 6 && all.includes(part.toLowerCase());
const isDot = (part: string) => isOneOf(part, DOT);
const isDots = (part: string) => isOneOf(part, DOTS);
const isDrive = (part: string) => /^[a-z][:|]$/i.test(part);

/** Appends a path to one that is there, component by component. */
export function appendPath(path: string[], text: string, protocol: string): string[] {
  const out = [...path];
  const parts = (isSpecial(protocol) ? text.replaceAll("\\", "/") : text).split("/");
  parts.forEach((part, i) => {
    const last = i === parts.length - 1;
    if (isDots(part)) {
      if (!(protocol === "file:" && out.length === 1 && isDrive(out[0]!))) out.pop();
      if (last) out.push("");
    } else if (isDot(part)) {
      if (last) out.push("");
    } else {
      const drive = protocol === "file:" && out.length === 0 && isDrive(part);
      out.push(drive ? `${part[0]}:` : encode(part, ENCODED.path));
    }
  });
  return out;
}

export const encodeQuery = (text: string, protocol: string): string =>
  isSpecial(protocol) ? encodeAll(text, ENCODED.specialQuery) : encode(text, ENCODED.query);
export const encodeFragment = (text: string): string => encode(text, ENCODED.fragment);
export const encodeUser = (text: string): string => encodeAll(text, ENCODED.user).replace(/'/g, "%27");

function setAuthority(parts: Parts, text: string): void {
  const at = text.lastIndexOf("@");
  if (at >= 0) {
    const user = text.slice(0, at);
    const colon = user.indexOf(":");
    parts.username = encodeUser(colon < 0 ? user : user.slice(0, colon));
    parts.password = colon < 0 ? "" : encodeUser(user.slice(colon + 1));
  }
  const host = text.slice(at + 1);
  const [, name, port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(host) ?? [];
  if (name === undefined) throw new TypeError(`Invalid URL: the host ${host}`);
  const special = isSpecial(parts.protocol);
  if (name === "" && (special || at >= 0 || port !== undefined)) throw new TypeError("Invalid URL: it has no host");
  parts.host = name === "" ? "" : parseHost(name, special);
  parts.port = parsePort(port ?? "", parts.protocol);
}

function setPath(parts: Parts, text: string): void {
  const special = isSpecial(parts.protocol);
  const rest = /^[/\\]/.test(text) && (special || text[0] === "/") ? text.slice(1) : text;
  parts.path = text === "" && !special ? [] : appendPath([], rest, parts.protocol);
}

/** Takes "?..." and "#..." off the end. */
function cutEnd(text: string): { front: string; query: string | null; fragment: string | null } {
  const hash = text.indexOf("#");
  const [before, fragment] = hash < 0 ? [text, null] : [text.slice(0, hash), text.slice(hash + 1)];
  const mark = before.indexOf("?");
  return {
    front: mark < 0 ? before : before.slice(0, mark),
    query: mark < 0 ? null : before.slice(mark + 1),
    fragment,
  };
}

/** Parts of a text that has a scheme. */
function parseAbsolute(parts: Parts, front: string): void {
  const special = isSpecial(parts.protocol);
  const slashes = (special ? /^[/\\]*/ : /^\/\//).exec(front)?.[0] ?? "";
  if (parts.protocol === "file:") {
    const [, host, path] = /^[/\\]{2}([^/\\]*)(.*)$/s.exec(front) ?? [null, "", front];
    const isHost = host !== "" && !isDrive(host!);
    parts.host = isHost ? parseHost(host!, true) : "";
    if (parts.host === "localhost") parts.host = "";
    setPath(parts, isHost || host === "" ? path! : `/${host}${path}`);
  } else if (special || slashes === "//") {
    const [, authority, path] = (special ? /^([^/\\]*)(.*)$/s : /^([^/]*)(.*)$/s).exec(front.slice(slashes.length))!;
    setAuthority(parts, authority!);
    setPath(parts, path!);
  } else if (front.startsWith("/")) {
    setPath(parts, front);
  } else {
    parts.path = encode(front, ENCODED.opaque);
  }
}

/** Parts of a text without a scheme, which is relative to `base`. */
function parseRelative(parts: Parts, base: Parts, front: string, hasQuery: boolean): void {
  if (typeof base.path === "string") {
    if (front !== "" || hasQuery) throw new TypeError("Invalid URL: the base cannot have relative ones");
    Object.assign(parts, base, { hash: null });
    return;
  }
  const slash = isSpecial(base.protocol) ? /^[/\\]/ : /^\//;
  const two = isSpecial(base.protocol) ? /^[/\\]{2}/ : /^\/\//;
  parts.protocol = base.protocol;
  if (two.test(front)) {
    parseAbsolute(parts, base.protocol === "file:" ? front : `//${front.slice(2)}`);
    return;
  }
  const { username, password, host, port } = base;
  Object.assign(parts, { username, password, host, port });
  if (slash.test(front)) setPath(parts, front);
  else if (front === "") parts.path = [...base.path];
  else parts.path = appendPath(base.path.slice(0, -1), front, base.protocol);
  if (front === "" && !hasQuery) parts.search = base.search;
}

/** Parses a URL. @throws TypeError when the text is none */
export function parseUrl(text: string, base?: Parts): Parts {
  const clean = /[\0- ]/.test(text) ? text.replace(/^[\0- ]+|[\0- ]+$/g, "").replace(/[\t\n\r]/g, "") : text;
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(clean)?.[0];
  const { front, query, fragment } = cutEnd(scheme === undefined ? clean : clean.slice(scheme.length));
  const parts: Parts = {
    protocol: scheme?.toLowerCase() ?? "",
    username: "",
    password: "",
    host: null,
    port: "",
    path: [],
    search: null,
    hash: null,
  };
  if (scheme === undefined) {
    if (base === undefined) throw new TypeError(`Invalid URL: ${text}`);
    parseRelative(parts, base, front, query !== null);
  } else if (
    base !== undefined &&
    parts.protocol === base.protocol &&
    isSpecial(parts.protocol) &&
    !front.startsWith("//")
  ) {
    parseRelative(parts, base, front, query !== null);
  } else {
    parseAbsolute(parts, front);
  }
  if (query !== null) parts.search = encodeQuery(query, parts.protocol);
  if (fragment !== null) parts.hash = encodeFragment(fragment);
  return parts;
}

export function pathText({ path }: Parts): string {
  return typeof path === "string" ? path : path.map((part) => `/${part}`).join("");
}
