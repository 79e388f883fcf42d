/**
 * What a terminal does not get of a guest's output. A serial console passes every byte, and among them may be sequences (ECMA-48, xterm)
 * that set the terminal's title or the clipboard, have it type an answer, or leave it in another mode or character set when the guest is
 * long gone. The filter lets through text in UTF-8 and
 *
 * - `text`: colours (SGR) alone, for output that is read;
 * - `screen`: also what programs need that draw on the screen: moving the cursor, erasing, scrolling, a few modes, which `end` takes back.
 *
 * All else is left out, a sequence as a whole. It decides about sequences, not about bytes, however they are cut into pieces. Controls of
 * eight bits (C1) are left out whether they are encoded in UTF-8 or alone: a terminal may take either for the beginning of a sequence.
 */

export type FilterLevel = "text" | "screen";

const BELL = 0x07;
const LF = 0x0a;
const CR = 0x0d;
const CANCEL = 0x18;
const SUBSTITUTE = 0x1a;
const ESCAPE = 0x1b;
const DELETE = 0x7f;

/** Controls that are text's own: bell, backspace, tab, line feed, vertical tab, form feed, carriage return. */
const isTextControl = (byte: number) => byte >= BELL && byte <= CR;

/** What is neither text in ASCII nor a control of text's: one pass of the engine's own tells whether there is any. */
const REMARKABLE = /[^\x07-\x0d\x20-\x7e]/;
/** Bytes that are given to a native function at once, as its arguments. */
const PIECE_BYTES = 4096;

function isPlain(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    if (REMARKABLE.test(String.fromCharCode.apply(null, piece as unknown as number[]))) return false;
  }
  return true;
}

/** The longest sequence that is let through, and the longest string (a title, say) that is taken for one, bytes. */
const SEQUENCE_MOST = 64;
const STRING_MOST = 4096;

/** What the filter is in the middle of. */
const GROUND = 0;
/** Behind ESC. */
const ESCAPED = 1;
/** Behind ESC and an intermediate byte. */
const INTERMEDIATE = 2;
/** Behind ESC [. */
const CONTROL = 3;
/** In the string of an OSC, DCS, SOS, PM or APC. */
const STRING = 4;
/** In a string, behind ESC. */
const STRING_ESCAPED = 5;
/** In a character of several bytes. */
const CHARACTER = 6;

/** Final bytes of control sequences without a private mark: cursor, erasing, inserting, scrolling, the scroll region, the saved cursor. */
const SCREEN_FINALS = new Set("@ABCDEFGHIJKLMPSTXZ`adefrsu");
/** Of sequences of two bytes: save and restore the cursor, line feed, next line, reverse line feed, keypad modes. */
const SCREEN_ESCAPES = new Set("78DEM=>");
/** DEC's private modes that may change, and what each is by default: cursor keys, wrap, blink, cursor, the other screen. */
const MODES: ReadonlyMap<string, "h" | "l"> = new Map([
  ["1", "l"],
  ["7", "h"],
  ["12", "l"],
  ["25", "h"],
  ["47", "l"],
  ["1047", "l"],
  ["1048", "l"],
  ["1049", "l"],
]);

/** Whether a second byte goes with the first of a character: neither too long a form, nor a surrogate, nor beyond Unicode, nor a C1 control. */
function isSecond(first: number, second: number): boolean {
  if (second < 0x80 || second > 0xbf) return false;
  if (first === 0xc2) return second >= 0xa0;
  if (first === 0xe0) return second >= 0xa0;
  if (first === 0xed) return second < 0xa0;
  if (first === 0xf0) return second >= 0x90;
  if (first === 0xf4) return second < 0x90;
  return true;
}

/** Bytes of the character that a byte begins; 0: none. */
function lengthOf(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

export class TerminalFilter {
  private state = GROUND;
  /** The sequence or character so far. */
  private readonly held = new Uint8Array(SEQUENCE_MOST);
  private heldBytes = 0;
  /** Bytes of the character, or of the string so far. */
  private length = 0;
  /** What the guest has changed and `end` sets back, as the sequence that does so. */
  private readonly changed = new Set<string>();
  private out = new Uint8Array(0);
  private outBytes = 0;

  constructor(private readonly level: FilterLevel) {}

  /**
   * What may be shown of some bytes; what is not decided yet comes with those that follow.
   * @returns the bytes themselves when there is nothing to leave out
   */
  filter(bytes: Uint8Array): Uint8Array {
    if (this.state === GROUND && isPlain(bytes)) return bytes;
    this.out = new Uint8Array(bytes.length + this.heldBytes);
    this.outBytes = 0;
    for (let at = 0; at < bytes.length; at++) this.take(bytes[at]!);
    return this.out.subarray(0, this.outBytes);
  }

  /** The output is over: what sets back what the guest has changed; empty if that is nothing. What is not complete is left out. */
  end(): Uint8Array {
    this.state = GROUND;
    this.heldBytes = 0;
    const text = [...this.changed].join("");
    this.changed.clear();
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  }

  private put(byte: number): void {
    this.out[this.outBytes++] = byte;
  }

  /** Begins something of which this is the first byte. */
  private hold(state: number, byte: number): void {
    this.state = state;
    this.held[0] = byte;
    this.heldBytes = 1;
  }

  /** Ends what was held: it is let through, or not. */
  private release(through: boolean): void {
    if (through) {
      this.out.set(this.held.subarray(0, this.heldBytes), this.outBytes);
      this.outBytes += this.heldBytes;
    }
    this.state = GROUND;
    this.heldBytes = 0;
  }

  private take(byte: number): void {
    switch (this.state) {
      case GROUND:
        this.ground(byte);
        break;
      case CHARACTER:
        this.character(byte);
        break;
      case STRING:
      case STRING_ESCAPED:
        this.string(byte);
        break;
      default:
        this.sequence(byte);
    }
  }

  private ground(byte: number): void {
    if ((byte >= 0x20 && byte < DELETE) || isTextControl(byte)) this.put(byte);
    else if (byte === ESCAPE) this.hold(ESCAPED, byte);
    else if (lengthOf(byte) > 0) {
      this.length = lengthOf(byte);
      this.hold(CHARACTER, byte);
    } else if (byte >= 0xa0 && byte < 0xc0) this.put(byte); // no UTF-8, and harmless
  }

  private character(byte: number): void {
    const good = this.heldBytes === 1 ? isSecond(this.held[0]!, byte) : (byte & 0xc0) === 0x80;
    if (!good) {
      this.release(false);
      this.ground(byte);
      return;
    }
    this.held[this.heldBytes++] = byte;
    if (this.heldBytes === this.length) this.release(true);
  }

  /** A string goes to ST or BEL; a line's end ends one that was forgotten. */
  private string(byte: number): void {
    const escaped = this.state === STRING_ESCAPED;
    this.state = STRING;
    if (byte === LF) {
      this.state = GROUND;
      this.put(byte);
    } else if (byte === BELL || byte === CANCEL || byte === SUBSTITUTE || ++this.length > STRING_MOST)
      this.state = GROUND;
    else if (byte === ESCAPE) this.state = STRING_ESCAPED;
    else if (escaped) {
      // ESC \ is ST; any other ESC begins a sequence.
      this.state = GROUND;
      if (byte === 0x5c) return;
      this.hold(ESCAPED, ESCAPE);
      this.sequence(byte);
    }
  }

  private sequence(byte: number): void {
    if (byte < 0x20 || byte >= DELETE) {
      // A terminal would do what it says in the middle of the sequence, or end it: it is ended.
      this.release(false);
      this.ground(byte);
      return;
    }
    if (this.heldBytes === SEQUENCE_MOST) {
      this.length = 0;
      this.release(false);
      // Its end is not shown as text either.
      if (byte < 0x40) this.hold(CONTROL, 0);
      return;
    }
    this.held[this.heldBytes++] = byte;
    if (this.state === CONTROL) {
      if (byte >= 0x40) this.release(this.isGoodControl());
    } else if (byte < 0x30) this.state = INTERMEDIATE;
    else if (this.state === INTERMEDIATE) this.release(false);
    else if (byte === 0x5b) this.state = CONTROL;
    else if ("]PX^_".includes(String.fromCharCode(byte))) {
      this.release(false);
      this.state = STRING;
      this.length = 0;
    } else this.release(this.isGoodEscape(String.fromCharCode(byte)));
  }

  private isGoodEscape(final: string): boolean {
    if (this.level === "text" || !SCREEN_ESCAPES.has(final)) return false;
    if (final === "=") this.changed.add("\x1b>");
    if (final === ">") this.changed.delete("\x1b>");
    return true;
  }

  private isGoodControl(): boolean {
    const text = String.fromCharCode.apply(null, this.held.subarray(2, this.heldBytes) as unknown as number[]);
    const [, mark, params, final] = /^(\??)([0-9;:]*)([@-~])$/.exec(text) ?? [];
    if (mark === undefined || this.held[0] !== ESCAPE) return false;
    if (mark === "?") return this.level === "screen" && this.isGoodMode(params!, final!);
    if (final === "m") {
      this.changed.add("\x1b[0m");
      return true;
    }
    if (this.level === "text" || !SCREEN_FINALS.has(final!)) return false;
    // With arguments, these are margins and keyboard modes; T with five reports the mouse.
    if ((final === "s" || final === "u") && params !== "") return false;
    if (final === "T" && params!.includes(";")) return false;
    // Back to the whole screen moves the cursor.
    if (final === "r") this.changed.add("\x1b7\x1b[r\x1b8");
    return true;
  }

  private isGoodMode(params: string, final: string): boolean {
    const modes = params.split(";");
    if ((final !== "h" && final !== "l") || !modes.every((mode) => MODES.has(mode))) return false;
    for (const mode of modes) {
      const back = `\x1b[?${mode}${MODES.get(mode)!}`;
      if (MODES.get(mode) === final) this.changed.delete(back);
      else this.changed.add(back);
    }
    return true;
  }
}
