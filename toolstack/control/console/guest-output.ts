/**
 * Guests' output on the machine's console: a line that looks like one of Typevisor's own is marked as the guest's, by "(d7) " in front, as
 * the hypervisor marks what guests write into its log. Where the beginning of such a line was shown already, the mark is in its middle.
 */
import { TerminalFilter, type FilterLevel } from "../../api/terminal-filter.ts";
import { atLineStart, printBytes } from "./output.ts";
import { encodeUtf8 } from "../text.ts";

/** How lines begin that a guest is not to speak with: the hypervisor's, a panic's, the verdict of exec mode, the log of domains. */
const DIGITS = [..."0123456789"];
const OWN = ["(TV)", "(XEN)", ...DIGITS.map((digit) => `(d${digit}`), "PANIC:", "TYPEVISOR-EXEC:"].map((text) =>
  encodeUtf8(text),
);
const FIRST = new Set(OWN.map((word) => word[0]!));

const LF = 0x0a;
const CR = 0x0d;
const ESCAPE = 0x1b;
const OPEN_BRACKET = 0x5b;

/** Whether the line so far is the beginning of one of OWN, or begins with it whole. */
function compare(line: readonly number[]): "no" | "part" | "whole" {
  let result: "no" | "part" = "no";
  for (const word of OWN) {
    const common = Math.min(word.length, line.length);
    let i = 0;
    while (i < common && word[i] === line[i]) i++;
    if (i < common) continue;
    if (word.length <= line.length) return "whole";
    result = "part";
  }
  return result;
}

/** Index of the next end of a line from `from` on; the length when there is none. */
function lineEnd(bytes: Uint8Array, from: number): number {
  const [feed, back] = [bytes.indexOf(LF, from), bytes.indexOf(CR, from)];
  if (feed < 0) return back < 0 ? bytes.length : back;
  return back < 0 ? feed : Math.min(feed, back);
}

export class GuestOutput {
  private readonly mark: Uint8Array;
  /** The line so far while it may be the beginning of one of OWN; null: it is not. */
  private line: number[] | null = [];
  /** In a control sequence at the beginning of a line, which leaves it a beginning. */
  private sequence: "" | "escape" | "control" = "";

  /**
   * @param put takes what is shown
   * @param atStart whether that is at the beginning of a line, because somebody else has ended the guest's
   */
  constructor(
    domain: number,
    private readonly put: (bytes: Uint8Array) => void,
    private readonly atStart: () => boolean,
  ) {
    this.mark = encodeUtf8(`(d${domain}) `);
  }

  show(bytes: Uint8Array): void {
    if (this.line === null && this.atStart()) this.line = [];
    /** What was not passed on yet begins here. */
    let from = 0;
    for (let at = 0; at < bytes.length;) {
      const byte = bytes[at]!;
      if (byte === LF || byte === CR) {
        this.line = [];
        this.sequence = "";
        at++;
      } else if (this.line === null) {
        at = lineEnd(bytes, at);
      } else if (this.skips(byte)) {
        at++;
      } else if (this.line.length === 0 && !FIRST.has(byte)) {
        this.line = null;
      } else {
        this.line.push(byte);
        at++;
        const like = compare(this.line);
        if (like === "part") continue;
        if (like === "whole") {
          // In front of what of the line is in these bytes.
          const start = Math.max(from, at - this.line.length);
          if (start > from) this.put(bytes.subarray(from, start));
          this.put(this.mark);
          from = start;
        }
        this.line = null;
      }
    }
    if (from < bytes.length) this.put(from === 0 ? bytes : bytes.subarray(from));
  }

  /** Whether a byte at the beginning of a line belongs to a control sequence (ECMA-48). */
  private skips(byte: number): boolean {
    if (this.line!.length > 0) return false;
    if (this.sequence === "" && byte !== ESCAPE) return false;
    if (this.sequence === "") this.sequence = "escape";
    else if (this.sequence === "escape") this.sequence = byte === OPEN_BRACKET ? "control" : "";
    else if (byte >= 0x40 && byte <= 0x7e) this.sequence = "";
    return true;
  }
}

/** A domain's output on the machine's console. */
export class GuestView {
  private readonly output: GuestOutput;
  private readonly filter: TerminalFilter | null;

  /** @param level what of it is let through; `raw`: everything */
  constructor(domain: number, level: FilterLevel | "raw") {
    this.output = new GuestOutput(domain, printBytes, atLineStart);
    this.filter = level === "raw" ? null : new TerminalFilter(level);
  }

  show(bytes: Uint8Array): void {
    this.output.show(this.filter === null ? bytes : this.filter.filter(bytes));
  }

  /** Nothing more is shown: what the guest has changed of the terminal is set back. */
  end(): void {
    if (this.filter !== null) printBytes(this.filter.end());
  }
}
