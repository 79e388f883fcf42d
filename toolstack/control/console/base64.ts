/** Base64 (RFC 4648) in lines, for bytes that come in pieces. */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Bytes of a line, whose text has 76 characters. */
const LINE_BYTES = 57;

function encode(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a, b, c] = [bytes[i]!, bytes[i + 1], bytes[i + 2]];
    const word = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    text += ALPHABET[word >> 18]! + ALPHABET[(word >> 12) & 63]!;
    text += b === undefined ? "=" : ALPHABET[(word >> 6) & 63]!;
    text += c === undefined ? "=" : ALPHABET[word & 63]!;
  }
  return text;
}

export class Base64Lines {
  private readonly line = new Uint8Array(LINE_BYTES);
  private used = 0;

  /** @param print takes a line, with its "\n" */
  constructor(private readonly print: (line: string) => void) {}

  put(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + LINE_BYTES - this.used);
      this.line.set(part, this.used);
      this.used += part.length;
      at += part.length;
      if (this.used === LINE_BYTES) this.end();
    }
  }

  /** Prints what is left. */
  end(): void {
    if (this.used > 0) this.print(`${encode(this.line.subarray(0, this.used))}\n`);
    this.used = 0;
  }
}
