import test from "ava";
import { LineEditor, type EditorEvent } from "../../../toolstack/control/console/line-editor.ts";

/** A terminal of one row that understands what the editor writes. */
class Terminal {
  row: string[] = [];
  column = 0;
  widest = 0;

  write(text: string): void {
    for (let i = 0; i < text.length;) {
      const sequence = /^\x1b\[(\d*)(?:;\d+)*([A-Za-z])/.exec(text.slice(i));
      if (sequence !== null) {
        const n = Number(sequence[1] || 1);
        if (sequence[2] === "K") this.row.length = this.column;
        else if (sequence[2] === "C") this.column += n;
        else if (sequence[2] === "J") this.row = [];
        else if (sequence[2] === "H") this.column = 0;
        i += sequence[0].length;
        continue;
      }
      const c = String.fromCodePoint(text.codePointAt(i)!);
      i += c.length;
      if (c === "\r") this.column = 0;
      else if (c === "\n") {
        this.row = [];
        this.column = 0;
      } else {
        this.row[this.column++] = c;
        this.widest = Math.max(this.widest, this.column);
      }
    }
  }

  get text(): string {
    return Array.from(this.row, (c) => c ?? " ").join("");
  }
}

function setup(words: string[] = []) {
  const terminal = new Terminal();
  let columns = 80;
  const editor = new LineEditor(
    {
      write: (text) => terminal.write(text),
      complete: () => words,
      columns: () => columns,
      resized: (wide) => (columns = wide),
    },
    "> ",
  );
  editor.begin();
  const lines: string[] = [];
  const events: string[] = [];
  /** Types `text`, each byte as a key press of its own unless `paste`. */
  const type = (text: string | Uint8Array, paste = false) => {
    const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
    bytes.forEach((byte, i) => {
      const event: EditorEvent = editor.feed(byte, !paste || i === bytes.length - 1);
      if (event === null) return;
      if (event.kind === "line") lines.push(event.text);
      else if (event.kind === "refused") events.push(event.reason);
      else events.push(event.kind);
      editor.begin();
    });
  };
  return { terminal, type, lines, events };
}

const LEFT = "\x1b[D";
const UP = "\x1b[A";
const DOWN = "\x1b[B";

const edits: [string, string, string][] = [
  ["plain text", "list\r", "list"],
  ["backspace", "lisx\x7ft\r", "list"],
  ["arrows and insertion", `lst${LEFT}${LEFT}i\r`, "list"],
  ["Home, End", "ist\x1b[Hl\x1b[F!\r", "list!"],
  ["Ctrl-A, Ctrl-E", "ist\x01l\x05!\r", "list!"],
  ["Delete and Ctrl-D", "xxlist\x01\x1b[3~\x04\r", "list"],
  ["Ctrl-K", `listen${LEFT}${LEFT}\x0b\r`, "list"],
  ["Ctrl-U", `rmlist${LEFT}${LEFT}${LEFT}${LEFT}\x15\r`, "list"],
  ["Ctrl-W and Ctrl-Y", "one two  \x17three \x19\r", "one three two  "],
  ["words left and right", "a bc d\x1bb\x1bbX\x1b[1;5CY\r", "a XbcY d"],
  ["unknown escape sequences", "li\x1b[15~\x1b[200;3;4~\x1bQst\r", "list"],
  ["UTF-8, deleted by the character", "né€😀\x7f\x7f!\r", "né!"],
  ["Ctrl-L keeps the line", "li\x0cst\r", "list"],
];
for (const [what, typed, line] of edits) {
  test(`line editor: ${what}`, (t) => {
    const { type, lines } = setup();
    type(typed);
    t.deepEqual(lines, [line]);
  });
}

test("bytes that are no UTF-8 and cut-off characters do no harm", (t) => {
  const { type, lines } = setup();
  type(Uint8Array.from([0x61, 0xff, 0xc3, 0x62, 0xe2, 0x82, 0x0d]));
  t.deepEqual(lines, ["a\ufffdb"]);
});

test("history: up, down, the unfinished line comes back, repeats are kept once", (t) => {
  const { type, lines } = setup();
  type("one\rtwo\rtwo\r");
  type(`new${UP}${UP}\r`);
  type(`new${UP}${DOWN}\r`);
  type(`${UP}${UP}${UP}${UP}${UP}${UP}\r`);
  t.deepEqual(lines, ["one", "two", "two", "one", "new", "one"]);
});

test("Ctrl-C drops the line, Ctrl-D ends on an empty one", (t) => {
  const { type, lines, events } = setup();
  type("abc\x03\x04ok\r");
  t.deepEqual(events, ["interrupt", "end"]);
  t.deepEqual(lines, ["ok"]);
});

test("pasted lines end with CR, LF or both; a pasted tab is a blank", (t) => {
  const { type, lines } = setup(["completed"]);
  type("a\tb\r\nc\nd\re\r\n", true);
  t.deepEqual(lines, ["a b", "c", "d", "e"]);
});

test("tab completes a word, its common beginning, or lists", (t) => {
  const { type, lines, terminal } = setup(["pause", "poweroff", "list"]);
  type("l\t");
  t.is(terminal.text, "> list ");
  type("\x15p\t");
  t.is(terminal.text, "> p");
  type("a\t\r");
  t.deepEqual(lines, ["pause "]);
});

test("the screen shows what the line is, with the cursor in place, for lines longer than it", (t) => {
  const { type, terminal } = setup();
  const long = Array.from({ length: 150 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
  type(long);
  t.true(terminal.widest <= 79);
  t.is(terminal.text, `> ${long.slice(-76)}`);
  type("\x01");
  t.is(terminal.column, 2);
  t.true(terminal.text.startsWith(`> ${long.slice(0, 70)}`));
  type("X");
  t.true(terminal.text.startsWith(`> X${long.slice(0, 70)}`));
  t.is(terminal.column, 3);
});

test("wide characters take two columns", (t) => {
  const { type, terminal } = setup();
  type(`日本${LEFT}`);
  t.is(terminal.column, 4);
});

test("a line of 8,192 characters is taken, a longer one is refused in words, and the next one works", (t) => {
  const { type, lines, events } = setup();
  type(`${"x".repeat(8192)}\r`, true);
  t.is(lines[0]!.length, 8192);
  type(`${"y".repeat(9000)}\r`, true);
  t.deepEqual(events, ["a line of 9000 characters was not run: 8192 are the most"]);
  type("list\r");
  t.is(lines[1], "list");
  // What was killed comes back only as far as there is room.
  type(`${"z".repeat(8000)}\x15\x19\x19\r`, true);
  t.is(events.length, 2);
  type(`${"z".repeat(8193)}\x15ok\r`, true);
  t.is(events.length, 3, "what is missing in it was never seen: it stays refused");
});

test("history keeps the latest lines within a limit", (t) => {
  const { type, lines } = setup();
  for (let i = 0; i < 12; i++) type(`${i}:${"x".repeat(8000)}\r`, true);
  type(`${UP.repeat(20)}\r`);
  t.regex(lines.at(-1)!, /^4:/);
});

test("the terminal's report of its size sets the width; Ctrl-L asks for it", (t) => {
  const { type, terminal, lines } = setup();
  type(`\x1b[8;40;132t${"x".repeat(120)}`);
  t.is(terminal.text, `> ${"x".repeat(120)}`);
  type("\x1b[8;40;40t");
  t.is(terminal.text, `> ${"x".repeat(36)}`);
  type("\r");
  t.is(lines[0]!.length, 120);
});
