/** `Buffer`: the npm package's, whose conversions from and to UTF-8 are done by the guest. */
import { Buffer } from "buffer/";
import { decodeUtf8, encodeUtf8 } from "./text.ts";

const isUtf8 = (encoding: unknown) =>
  encoding === undefined || encoding === null || encoding === "utf8" || /^utf-?8$/i.test(String(encoding));

/** A view of the same bytes. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return ownBuffer(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
}

/** The same bytes, which nobody else has, as a Buffer: the npm package's are arrays with another prototype, too. */
export function ownBuffer(bytes: Uint8Array): Buffer {
  return Object.setPrototypeOf(bytes, Buffer.prototype) as Buffer;
}

/** Text of characters up to U+00FF, a byte each. */
export function latin1Bytes(text: string): Buffer {
  const bytes = encodeUtf8(text);
  // As many bytes as characters: they are all ASCII.
  return bytes.length === text.length ? ownBuffer(bytes) : slowFrom(text, "latin1");
}

type From = (value: unknown, encoding?: unknown, length?: unknown) => Buffer;
const { from: slowFrom, byteLength: slowLength } = Buffer as unknown as {
  from: From;
  byteLength: (...values: unknown[]) => number;
};
const { toString: slowText } = Buffer.prototype;

Object.assign(Buffer, {
  from: (value: unknown, encoding?: unknown, length?: unknown): Buffer =>
    typeof value === "string" && isUtf8(encoding) ? ownBuffer(encodeUtf8(value)) : slowFrom(value, encoding, length),
  byteLength: (value: unknown, encoding?: unknown): number =>
    typeof value === "string" && isUtf8(encoding) ? encodeUtf8(value).length : slowLength(value, encoding),
});
Buffer.prototype.toString = function (this: Buffer, encoding?: string, start?: number, end?: number): string {
  return isUtf8(encoding)
    ? decodeUtf8(this.subarray(start ?? 0, end ?? this.length))
    : slowText.call(this, encoding, start, end);
};

export { Buffer };

/** Bytes of a text, or of what has bytes. */
export function toBuffer(data: string | Uint8Array | ArrayBuffer, encoding?: string): Buffer {
  if (typeof data === "string") return Buffer.from(data, encoding as "utf8");
  if (data instanceof Uint8Array) return data instanceof Buffer ? data : asBuffer(data);
  if (data instanceof ArrayBuffer) return asBuffer(new Uint8Array(data));
  throw new TypeError("a string, Buffer or Uint8Array is needed");
}

/** A text of one byte a character, in base 64; the web's btoa. */
export function btoa(text: string): string {
  const binary = String(text);
  for (const character of binary) {
    if (character.charCodeAt(0) > 0xff) throw new RangeError("btoa: a character is beyond U+00FF");
  }
  return Buffer.from(binary, "latin1").toString("base64");
}

export function atob(text: string): string {
  const clean = String(text).replace(/[\t\n\f\r ]/g, "");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(clean) || clean.replace(/=+$/, "").length % 4 === 1) {
    throw new RangeError("atob: this is not base 64");
  }
  return Buffer.from(clean, "base64").toString("latin1");
}
