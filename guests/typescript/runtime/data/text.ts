/** TextEncoder and TextDecoder (UTF-8 only), atob and btoa. Clean text is converted by the guest, everything else here. */
import { decodePiece, encodePiece, transfer, TRANSFER_SIZE } from "../guest/host.ts";
import { joined } from "./join.ts";

/** Characters that certainly have room in the transfer buffer as UTF-8. */
const PIECE = Math.floor(TRANSFER_SIZE / 3);

/** UTF-8 of a text; lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  if (text.length <= PIECE && !text.includes("\0")) {
    const length = encodePiece(text.isWellFormed() ? text : text.toWellFormed());
    return transfer.slice(0, length);
  }
  const parts: Uint8Array[] = [];
  const whole = text.toWellFormed();
  for (let at = 0; at < whole.length;) {
    const nul = whole.indexOf("\0", at);
    let end = Math.min(nul < 0 ? whole.length : nul, at + PIECE);
    if (end === at) {
      parts.push(new Uint8Array(1));
      at++;
      continue;
    }
    // Not between the halves of a pair.
    if (end < whole.length && (whole.charCodeAt(end - 1) & 0xfc00) === 0xd800) end--;
    parts.push(transfer.slice(0, encodePiece(whole.slice(at, end))));
    at = end;
  }
  return joined(parts);
}

/** How many bytes a sequence with this first byte has; 0: it begins none. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/** Whether `second` may follow `first` (WHATWG Encoding, UTF-8 decoder: the bounds that exclude overlong forms and surrogates). */
function mayFollow(first: number, second: number): boolean {
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  return second >= least && second <= most;
}

/** The WHATWG decoder: each maximal part of a broken sequence becomes one U+FFFD. `broken` hears of them. */
function decodeSlowly(bytes: Uint8Array, broken: () => void): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at]!;
    const length = sequenceLength(first);
    let have = 1;
    if (length > 1 && at + 1 < bytes.length && mayFollow(first, bytes[at + 1]!)) {
      have = 2;
      while (have < length && at + have < bytes.length && (bytes[at + have]! & 0xc0) === 0x80) have++;
    }
    if (length === 0 || have < length) {
      broken();
      text += "\ufffd";
    } else {
      let code = length === 1 ? first : first & (0x7f >> length);
      for (let i = 1; i < length; i++) code = (code << 6) | (bytes[at + i]! & 0x3f);
      text += String.fromCodePoint(code);
    }
    at += have;
  }
  return text;
}

/** Bytes at the end that may be the beginning of a sequence. */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

/** Text of bytes that are all ASCII, and not NUL, at most as many as the transfer buffer has; undefined for others. */
export function decodeAscii(bytes: Uint8Array): string | undefined {
  transfer.set(bytes);
  const text = decodePiece(bytes.length);
  return text?.length === bytes.length ? text : undefined;
}

/** Text of UTF-8; `broken` hears of each place that is none. */
export function decodeUtf8(bytes: Uint8Array, broken: () => void = () => {}): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    let piece = bytes.subarray(at, at + TRANSFER_SIZE);
    if (at + piece.length < bytes.length) {
      const back = unfinished(piece);
      if (back > 0) piece = piece.subarray(0, piece.length - back);
    }
    transfer.set(piece);
    text += decodePiece(piece.length) ?? decodeSlowly(piece, broken);
    at += piece.length;
  }
  return text;
}

/** Bytes of whatever a web API takes as a buffer. */
export function bytesOf(source: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (source instanceof Uint8Array) return source;
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}

export class TextEncoder {
  get encoding(): string {
    return "utf-8";
  }
  encode(text = ""): Uint8Array {
    return encodeUtf8(String(text));
  }
  encodeInto(text: string, to: Uint8Array): { read: number; written: number } {
    let [read, written] = [0, 0];
    for (const character of text) {
      const bytes = encodeUtf8(character);
      if (written + bytes.length > to.length) break;
      to.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

const UTF8_LABELS = ["utf-8", "utf8", "unicode-1-1-utf-8"];

export class TextDecoder {
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  private rest = new Uint8Array(0);
  private started = false;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    if (!UTF8_LABELS.includes(label.trim().toLowerCase())) {
      throw new RangeError(`the encoding "${label}" is not supported: only utf-8 is`);
    }
    this.fatal = options.fatal ?? false;
    this.ignoreBOM = options.ignoreBOM ?? false;
  }
  get encoding(): string {
    return "utf-8";
  }
  decode(source: ArrayBuffer | ArrayBufferView = new Uint8Array(0), options: { stream?: boolean } = {}): string {
    let bytes = bytesOf(source);
    if (this.rest.length > 0) {
      const joined = new Uint8Array(this.rest.length + bytes.length);
      joined.set(this.rest);
      joined.set(bytes, this.rest.length);
      bytes = joined;
    }
    const keep = options.stream ? unfinished(bytes) : 0;
    this.rest = bytes.slice(bytes.length - keep);
    let text = decodeUtf8(bytes.subarray(0, bytes.length - keep), () => {
      if (this.fatal) throw new TypeError("The encoded data was not valid for encoding utf-8");
    });
    if (!this.started && !this.ignoreBOM && text.startsWith("\ufeff")) text = text.slice(1);
    this.started = (options.stream ?? false) && (this.started || text.length > 0);
    return text;
  }
}
