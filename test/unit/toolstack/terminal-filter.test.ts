/** What of a guest's output a terminal gets. */
import test from "ava";
import fc from "fast-check";
import { TerminalFilter, type FilterLevel } from "../../../toolstack/api/terminal-filter.ts";

/** What is shown of pieces of bytes, and what the end adds. */
function shown(level: FilterLevel, pieces: readonly Uint8Array[]): { text: string; end: string } {
  const filter = new TerminalFilter(level);
  const text = Buffer.concat(pieces.map((piece) => Buffer.from(filter.filter(piece)))).toString("latin1");
  return { text, end: Buffer.from(filter.end()).toString("latin1") };
}

const latin1 = (text: string) => Buffer.from(text, "latin1");
const of = (level: FilterLevel, text: string) => shown(level, [latin1(text)]).text;

/** Sequences that are let through: at which level. */
const GOOD: [string, FilterLevel][] = [
  ["\x1b[31m", "text"],
  ["\x1b[0m", "text"],
  ["\x1b[m", "text"],
  ["\x1b[38;5;196m", "text"],
  ["\x1b[38:2::1:2:3m", "text"],
  ["\x1b[2J", "screen"],
  ["\x1b[H", "screen"],
  ["\x1b[10;20H", "screen"],
  ["\x1b[3A", "screen"],
  ["\x1b[K", "screen"],
  ["\x1b[1;24r", "screen"],
  ["\x1b[s", "screen"],
  ["\x1b[u", "screen"],
  ["\x1b7", "screen"],
  ["\x1bM", "screen"],
  ["\x1b=", "screen"],
  ["\x1b[?25l", "screen"],
  ["\x1b[?1049h", "screen"],
  ["\x1b[?1;25h", "screen"],
];

/** Sequences of which nothing is ever shown. */
const BAD = [
  "\x1b]0;title\x07",
  "\x1b]2;title\x1b\\",
  "\x1b]52;c;Y2xpcGJvYXJk\x07", // the clipboard
  "\x1b]8;;http://x\x1b\\",
  '\x1bP$q"p\x1b\\', // DCS: asks for a setting
  "\x1bP1;1|17/41\x1b\\", // programs a key
  "\x1bXsos\x1b\\",
  "\x1b^pm\x1b\\",
  "\x1b_apc\x1b\\",
  "\x1b[c", // what are you?
  "\x1b[>c",
  "\x1b[6n", // where is the cursor?
  "\x1b[?6n",
  "\x1b[21t", // reports the title
  "\x1b[8;1;1t", // another size
  "\x1b[x",
  "\x1b[>q",
  "\x1b[?2004h", // bracketed paste
  "\x1b[?1000h", // mouse
  "\x1b[?25;1000h",
  "\x1b[4h", // insert mode
  "\x1b[20h",
  "\x1b[!p",
  "\x1b[?1$p",
  "\x1b[2 q",
  "\x1b[>4;1m", // other keys
  "\x1b[?4m",
  "\x1b[5i", // the printer
  "\x1b[1;80s",
  "\x1b[>1u",
  "\x1b[1;2;3;4;5T",
  "\x1b[3g",
  "\x1b[999999999b",
  "\x1bc", // reset
  "\x1bH",
  "\x1bN",
  "\x1bZ", // what are you? of old
  "\x1b(0", // alternate character sets
  "\x1b)0",
  "\x1b%G",
  "\x1b#8",
  "\x1b F",
  "\x0e",
  "\x0f",
  "\x05", // answerback
  "\x00",
  "\x11",
  "\x13",
  "\x7f",
];

test("colours and, for a screen, its control are let through; what else there is, never", (t) => {
  for (const [sequence, level] of GOOD) {
    t.is(of("screen", `a${sequence}b`), `a${sequence}b`);
    t.is(of("text", `a${sequence}b`), level === "text" ? `a${sequence}b` : "ab", JSON.stringify(sequence));
  }
  for (const sequence of BAD) {
    for (const level of ["text", "screen"] as const) t.is(of(level, `a${sequence}b`), "ab", JSON.stringify(sequence));
  }
});

test("C1 controls are left out in both encodings; characters that contain their bytes are not", (t) => {
  for (let code = 0x80; code < 0xa0; code++) {
    for (const bytes of [Buffer.of(code), Buffer.from(String.fromCodePoint(code))]) {
      t.is(shown("screen", [Buffer.concat([latin1("a"), bytes, latin1("b")])]).text, "ab");
    }
  }
  for (const text of ["\u203a \u00db\u{1f600}", "\u2019\u20ac", "\u00a0\u07ff\u0800\uffff\u{10000}\u{10ffff}"]) {
    t.is(Buffer.from(of("screen", Buffer.from(text).toString("latin1")), "latin1").toString(), text);
  }
  // Forms that are too long, or no characters: a careless decoder would make controls of them.
  for (const bytes of [
    "\xc0\x9b",
    "\xc1\x9b",
    "\xe0\x80\x9b",
    "\xe0\x82\x9b",
    "\xf0\x80\x82\x9b",
    "\xed\xa0\x80",
    "\xf4\x90\x80\x80",
    "\xff",
  ]) {
    t.notRegex(of("screen", bytes), /[\x80-\x9f]/, JSON.stringify(bytes));
  }
  // One that is cut short by what follows.
  t.is(of("screen", "\xe2\x9b\x1b[31m\xe2A"), "\x1b[31mA");
});

test("what is forgotten ends with the line; what is too long is not shown; what is cancelled neither", (t) => {
  t.is(of("text", "a\x1b]0;no end\nb"), "a\nb");
  t.is(of("text", "a\x1b[31\nb"), "a\nb");
  t.is(of("text", `a\x1b[${"1;".repeat(200)}mb`), "ab");
  t.is(of("text", "a\x1b[31\x18b\x1b]0;x\x1ac"), "abc");
  t.is(of("text", "a\x1b]0;x\x1b[31mb"), "a\x1b[31mb");
  t.is(of("text", "a\x1b\x1b[31mb"), "a\x1b[31mb");
  t.regex(of("text", `\x1b]0;${"x".repeat(10_000)}`), /^x{1,6000}$/, "text again, behind what a string may have");
});

test("the end sets back what was changed, and only that", (t) => {
  const end = (text: string) => shown("screen", [latin1(text)]).end;
  t.is(end("plain\n\x1b[2J"), "");
  t.is(end("\x1b[31mred"), "\x1b[0m");
  t.is(end("\x1b[?25l"), "\x1b[?25h");
  t.is(end("\x1b[?25l\x1b[?25h"), "");
  t.is(end("\x1b[?1049h\x1b[1;5r\x1b="), "\x1b[?1049l\x1b7\x1b[r\x1b8\x1b>");
  t.is(end("cut \x1b]0;"), "");
});

/** What may be in filtered output: text, and good sequences whole. */
const CLEAN: Record<FilterLevel, RegExp> = {
  text: /^(?:[\x07-\x0d\x20-\x7e\xa0-\xff]|[\xc2-\xf4][\x80-\xbf]+|\x1b\[[0-9;:]*m)*$/,
  screen: /^(?:[\x07-\x0d\x20-\x7e\xa0-\xff]|[\xc2-\xf4][\x80-\xbf]+|\x1b[78DEM=>]|\x1b\[\??[0-9;:]*[@-Za-z`])*$/,
};

const word = fc.oneof(
  fc.constantFrom(...BAD, ...GOOD.map(([sequence]) => sequence)),
  fc.constantFrom(
    "\x1b",
    "[",
    "]",
    "P",
    "?",
    ";",
    "1",
    "25",
    "h",
    "m",
    "\\",
    "\x07",
    "\x18",
    "\n",
    "\r",
    "x",
    "\x9b",
    "\x9d",
    "\x90",
    "\xc2",
    "\xe2\x80",
    "\xff",
  ),
  fc.string({ unit: "binary", maxLength: 4 }).map((text) => Buffer.from(text).toString("latin1")),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);

test("however it is cut, the result is the same and clean; the filter of its own output changes nothing", (t) => {
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 10 }),
      fc.constantFrom("text" as const, "screen" as const),
      (words, cuts, level) => {
        const bytes = latin1(words.join(""));
        const pieces: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const length = cuts[i % cuts.length]!;
          pieces.push(bytes.subarray(at, at + length));
          at += length;
        }
        const whole = shown(level, [bytes]);
        t.deepEqual(shown(level, pieces), whole);
        t.regex(whole.text, CLEAN[level]);
        t.is(of(level, whole.text), whole.text);
      },
    ),
    { numRuns: 5000 },
  );
});

test("plain text is passed on as it is, without a copy", (t) => {
  const filter = new TerminalFilter("text");
  const bytes = Buffer.from("Linux version 6.1\r\n\tand so on".repeat(1000));
  t.is(filter.filter(bytes), bytes);
});
