/** Text and bytes: UTF-8 in both directions (the engine has no TextEncoder). */

/** Calls `put` with each byte of the UTF-8 form of `text`; lone surrogates become U+FFFD. */
export function forEachUtf8Byte(text: string, put: (byte: number) => void): void {
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      put(code);
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) {
      const low = code < 0xdc00 ? text.charCodeAt(i + 1) : NaN;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i++;
      } else {
        code = 0xfffd;
      }
    }
    if (code < 0x800) {
      put(0xc0 | (code >> 6));
    } else {
      if (code < 0x10000) {
        put(0xe0 | (code >> 12));
      } else {
        put(0xf0 | (code >> 18));
        put(0x80 | ((code >> 12) & 0x3f));
      }
      put(0x80 | ((code >> 6) & 0x3f));
    }
    put(0x80 | (code & 0x3f));
  }
}

/** Where a piece of `text` from `from` on ends that has `most` characters, or one more: surrogate pairs are not split. */
export function pieceEnd(text: string, from: number, most: number): number {
  const end = from + most;
  const split = end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800;
  return Math.min(split ? end + 1 : end, text.length);
}

export function encodeUtf8(text: string): Uint8Array {
  if (/[^\x00-\x7f]/.test(text)) {
    const bytes: number[] = [];
    forEachUtf8Byte(text, (byte) => bytes.push(byte));
    return Uint8Array.from(bytes);
  }
  const { length } = text;
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Length of the UTF-8 sequence that `first` starts; 0 when it cannot start one. */
export function utf8Length(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

/** Bytes that are given to a native function at once: as its arguments. */
const PIECE_BYTES = 4096;

/** Each byte as a character: the engine does this natively, in a fraction of what a loop takes. */
function binaryText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + PIECE_BYTES) as unknown as number[]);
  }
  return text;
}

/** Decodes UTF-8; every byte that is not part of a valid sequence becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  const binary = binaryText(bytes);
  if (!/[^\x00-\x7f]/.test(binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    return decodeDamaged(bytes);
  }
}

function decodeDamaged(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const first = bytes[i]!;
    const length = utf8Length(first);
    let code = length === 1 ? first : first & (0x7f >> length);
    let valid = length > 0 && i + length <= bytes.length;
    for (let k = 1; valid && k < length; k++) {
      const next = bytes[i + k]!;
      if ((next & 0xc0) !== 0x80) valid = false;
      code = (code << 6) | (next & 0x3f);
    }
    if (valid && length === 3) valid = code >= 0x800 && (code < 0xd800 || code > 0xdfff);
    if (valid && length === 4) valid = code >= 0x10000 && code <= 0x10ffff;
    text += valid ? String.fromCodePoint(code) : "\ufffd";
    i += valid ? length : 1;
  }
  return text;
}

/** Decodes up to the first NUL byte. */
export function decodeCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end));
}

/** "0x1000". */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
