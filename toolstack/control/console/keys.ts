/** Bytes from a terminal, decoded to keys: UTF-8 characters, control characters, escape sequences. */
import { decodeUtf8, utf8Length } from "../text.ts";

/** A character to insert, the name of a key ("left", "ctrl-a", "enter", ...), or the terminal's report of its size. */
export type Key = { text: string } | { name: string } | { columns: number; rows: number };

/** xterm's report of its text area's size, behind ESC. */
const SIZE_REPORT = /^\[8;(\d{1,4});(\d{1,4})t$/;

const CONTROL: Record<number, string> = { 8: "backspace", 9: "tab", 10: "newline", 13: "enter", 127: "backspace" };

/** Escape sequences behind ESC; those not listed are read to their end and ignored. */
const SEQUENCES: Record<string, string> = {
  "[A": "up",
  "[B": "down",
  "[C": "right",
  "[D": "left",
  "[H": "home",
  "[F": "end",
  OA: "up",
  OB: "down",
  OC: "right",
  OD: "left",
  OH: "home",
  OF: "end",
  "[1~": "home",
  "[3~": "delete",
  "[4~": "end",
  "[7~": "home",
  "[8~": "end",
  "[1;5C": "word-right",
  "[1;5D": "word-left",
  "[1;3C": "word-right",
  "[1;3D": "word-left",
  b: "word-left",
  f: "word-right",
  d: "kill-word-right",
  "\x7f": "kill-word-left",
};

/** Longest escape sequence read; a longer one is nonsense and dropped. */
const SEQUENCE_MAX = 16;

export class KeyDecoder {
  /** Text behind ESC so far; null outside a sequence. */
  private sequence: string | null = null;
  /** Bytes of an unfinished UTF-8 character. */
  private partial: number[] = [];

  /** Decodes one byte; null when it does not complete a key. A byte that is no UTF-8 becomes U+FFFD. */
  decode(byte: number): Key | null {
    if (this.sequence !== null) return this.continueSequence(byte);
    if (this.partial.length > 0) {
      if ((byte & 0xc0) === 0x80) return this.addToCharacter(byte);
      // The character was incomplete: it is dropped, and the byte starts a new one.
      this.partial = [];
    }
    if (byte === 0x1b) {
      this.sequence = "";
      return null;
    }
    if (byte < 0x20 || byte === 0x7f) {
      return { name: CONTROL[byte] ?? `ctrl-${String.fromCharCode(byte + 0x60)}` };
    }
    if (byte < 0x80) return { text: String.fromCharCode(byte) };
    if (utf8Length(byte) === 0) return { text: "\ufffd" };
    this.partial = [byte];
    return null;
  }

  private addToCharacter(byte: number): Key | null {
    this.partial.push(byte);
    if (this.partial.length < utf8Length(this.partial[0]!)) return null;
    const text = Array.from(decodeUtf8(Uint8Array.from(this.partial)))[0]!;
    this.partial = [];
    return { text };
  }

  private continueSequence(byte: number): Key | null {
    if (byte === 0x1b) {
      this.sequence = "";
      return null;
    }
    const sequence = this.sequence! + String.fromCharCode(byte);
    const first = sequence[0]!;
    const introduced = first === "[" || first === "O";
    const final = sequence.length > 1 ? byte >= 0x40 && byte <= 0x7e : !introduced;
    if (!final && sequence.length < SEQUENCE_MAX) {
      this.sequence = sequence;
      return null;
    }
    this.sequence = null;
    const size = SIZE_REPORT.exec(sequence);
    if (size !== null) return { columns: Number(size[2]), rows: Number(size[1]) };
    const name = SEQUENCES[sequence];
    return name === undefined ? null : { name };
  }
}
