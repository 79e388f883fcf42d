/**
 * A line editor: the line scrolls horizontally within the terminal's width minus one column, and never wraps. It is independent
 * of consoles and commands: bytes in, text out.
 */
import { columnsOf } from "./columns.ts";
import { KeyDecoder } from "./keys.ts";

/** Characters of the longest line. */
export const LINE_MAX = 8192;
const HISTORY_MAX = 200;
/** Total characters of all lines in the history. */
const HISTORY_CHARACTERS = 64 * 1024;
/** Asks a terminal for its size, as xterm has it; others ignore the request. */
const ASK_SIZE = "\x1b[18t";

export interface LineEditorHost {
  write(text: string): void;
  /** Words that could stand where the cursor is, given the line up to there; the editor keeps those that fit. */
  complete(before: string): string[];
  /** Columns of the terminal. */
  columns(): number;
  /** The terminal has reported its size. */
  resized(columns: number, rows: number): void;
}

/** What a fed byte led to: nothing yet, a finished line or one that was too long, Ctrl-C, or Ctrl-D on an empty line. */
export type EditorEvent =
  { kind: "line"; text: string } | { kind: "refused"; reason: string } | { kind: "interrupt" } | { kind: "end" } | null;

export class LineEditor {
  private readonly keys = new KeyDecoder();
  private readonly history: string[] = [];
  private historyCharacters = 0;
  /** Place in the history while browsing; history.length is the line being written. */
  private historyAt = 0;
  private unfinished = "";
  private line: string[] = [];
  private cursor = 0;
  /** First character shown. */
  private first = 0;
  private killed: string[] = [];
  private dirty = false;
  /** Columns up to the end of what is on the screen, prompt included, while it is not dirty. */
  private shown = 0;
  private afterCarriageReturn = false;
  /** Characters of this line that found no room: it will not be run. */
  private excess = 0;

  constructor(
    private readonly host: LineEditorHost,
    private readonly prompt: string,
  ) {}

  /** Shows the prompt with an empty line. */
  begin(): void {
    this.setLine("");
    this.excess = 0;
    this.historyAt = this.history.length;
    this.unfinished = "";
    this.host.write(this.prompt);
    this.dirty = false;
    this.shown = this.prompt.length;
  }

  /** Removes prompt and line from the screen, for other output. */
  hide(): void {
    this.host.write("\r\x1b[K");
  }

  /** Shows prompt and line again. */
  show(): void {
    this.dirty = true;
    this.redraw();
  }

  /**
   * Takes one byte of input.
   * @param last no more bytes are at hand: the screen is brought up to date, and a tab is a key, not pasted text
   */
  feed(byte: number, last: boolean): EditorEvent {
    const key = this.keys.decode(byte);
    const skipped = this.afterCarriageReturn && byte === 0x0a;
    this.afterCarriageReturn = byte === 0x0d;
    let event: EditorEvent = null;
    if (key !== null && !skipped) {
      if ("text" in key) this.insert(key.text, last);
      else if ("columns" in key) this.resize(key.columns, key.rows);
      else if (key.name === "tab" && !last) this.insert(" ", last);
      else event = this.press(key.name);
    }
    if (last && event === null) this.redraw();
    return event;
  }

  private press(name: string): EditorEvent {
    switch (name) {
      case "enter":
      case "newline":
        return this.finish();
      case "ctrl-c":
        this.redraw();
        this.host.write("^C\n");
        return { kind: "interrupt" };
      case "ctrl-d":
        if (this.line.length === 0) {
          this.host.write("\n");
          return { kind: "end" };
        }
        this.remove(this.cursor, this.cursor + 1);
        break;
      case "left":
      case "ctrl-b":
        this.moveTo(this.cursor - 1);
        break;
      case "right":
      case "ctrl-f":
        this.moveTo(this.cursor + 1);
        break;
      case "home":
      case "ctrl-a":
        this.moveTo(0);
        break;
      case "end":
      case "ctrl-e":
        this.moveTo(this.line.length);
        break;
      case "word-left":
        this.moveTo(this.wordLeft());
        break;
      case "word-right":
        this.moveTo(this.wordRight());
        break;
      case "backspace":
        if (this.cursor > 0) this.remove(this.cursor - 1, this.cursor);
        break;
      case "delete":
        this.remove(this.cursor, this.cursor + 1);
        break;
      case "ctrl-k":
        this.kill(this.cursor, this.line.length);
        break;
      case "ctrl-u":
        this.kill(0, this.cursor);
        break;
      case "ctrl-w":
      case "kill-word-left":
        this.kill(this.wordLeft(), this.cursor);
        break;
      case "kill-word-right":
        this.kill(this.cursor, this.wordRight());
        break;
      case "ctrl-y":
        this.insertAll(this.killed);
        break;
      case "ctrl-l":
        this.host.write(`\x1b[H\x1b[2J${ASK_SIZE}`);
        this.dirty = true;
        break;
      case "up":
      case "ctrl-p":
        this.browse(-1);
        break;
      case "down":
      case "ctrl-n":
        this.browse(1);
        break;
      case "tab":
        this.completeWord();
        break;
    }
    return null;
  }

  private finish(): EditorEvent {
    const text = this.line.join("");
    const { excess } = this;
    this.cursor = this.line.length;
    // A finished line stays on the screen as a whole; the terminal may wrap it now.
    if (excess === 0 && (this.first > 0 || this.prompt.length + this.columns(0, this.line.length) >= this.width)) {
      this.host.write(`\r${this.prompt}${text}\x1b[K`);
    } else {
      this.redraw();
    }
    this.host.write("\n");
    this.setLine("");
    if (excess > 0) {
      const reason = `a line of ${text.length + excess} characters was not run: ${LINE_MAX} are the most`;
      return { kind: "refused", reason };
    }
    this.remember(text);
    return { kind: "line", text };
  }

  private remember(text: string): void {
    if (text.trim() === "" || this.history[this.history.length - 1] === text) return;
    this.history.push(text);
    this.historyCharacters += text.length;
    while (this.history.length > HISTORY_MAX || this.historyCharacters > HISTORY_CHARACTERS) {
      this.historyCharacters -= this.history.shift()!.length;
    }
  }

  private resize(columns: number, rows: number): void {
    this.host.resized(columns, rows);
    this.dirty = true;
  }

  /** Inserts characters at the cursor, as far as the line has room. */
  private insertAll(characters: string[]): void {
    const some = characters.slice(0, LINE_MAX - this.line.length);
    this.excess += characters.length - some.length;
    this.line.splice(this.cursor, 0, ...some);
    this.moveTo(this.cursor + some.length);
  }

  /** @param last no more input is at hand */
  private insert(text: string, last: boolean): void {
    if (this.line.length === LINE_MAX) {
      this.excess++;
      return;
    }
    const atEnd = this.cursor === this.line.length;
    if (atEnd) this.line.push(text);
    else this.line.splice(this.cursor, 0, text);
    this.cursor++;
    // The commonest case, a character typed at the end of a short line, is shown by itself; what is pasted, when it is whole.
    if (last && atEnd && !this.dirty && this.shown + columnsOf(text) <= this.width) {
      this.host.write(text);
      this.shown += columnsOf(text);
    } else {
      this.dirty = true;
    }
  }

  /** Columns that are used: in the last one some terminals wrap. */
  private get width(): number {
    return this.host.columns() - 1;
  }

  private remove(from: number, to: number): void {
    this.line.splice(from, to - from);
    this.moveTo(from);
    this.dirty = true;
  }

  private kill(from: number, to: number): void {
    if (to > from) this.killed = this.line.slice(from, to);
    this.remove(from, to);
  }

  private moveTo(place: number): void {
    this.cursor = Math.max(0, Math.min(place, this.line.length));
    this.dirty = true;
  }

  private wordLeft(): number {
    let place = this.cursor;
    while (place > 0 && this.line[place - 1] === " ") place--;
    while (place > 0 && this.line[place - 1] !== " ") place--;
    return place;
  }

  private wordRight(): number {
    let place = this.cursor;
    while (place < this.line.length && this.line[place] === " ") place++;
    while (place < this.line.length && this.line[place] !== " ") place++;
    return place;
  }

  private setLine(text: string): void {
    this.line = Array.from(text);
    this.cursor = this.line.length;
    this.first = 0;
    this.dirty = true;
  }

  private browse(step: number): void {
    const place = this.historyAt + step;
    if (place < 0 || place > this.history.length) return;
    if (this.historyAt === this.history.length) this.unfinished = this.line.join("");
    this.historyAt = place;
    this.setLine(place === this.history.length ? this.unfinished : this.history[place]!);
  }

  private completeWord(): void {
    const before = this.line.slice(0, this.cursor).join("");
    const word = /[^\s;]*$/.exec(before)![0];
    const fitting = this.host.complete(before).filter((candidate) => candidate.startsWith(word));
    if (fitting.length === 0) return;
    let common = fitting[0]!;
    for (const candidate of fitting) {
      while (!candidate.startsWith(common)) common = common.slice(0, -1);
    }
    const addition = common.slice(word.length) + (fitting.length === 1 ? " " : "");
    if (addition !== "") {
      this.insertAll(Array.from(addition));
      return;
    }
    this.redraw();
    this.host.write(`\n${fitting.join("  ")}\n`);
    this.dirty = true;
  }

  private columns(from: number, to: number): number {
    let sum = 0;
    for (let i = from; i < to; i++) sum += columnsOf(this.line[i]!);
    return sum;
  }

  /** Draws prompt and visible part of the line again, if something changed, with the cursor in its place. */
  private redraw(): void {
    if (!this.dirty) return;
    this.dirty = false;
    const room = this.width - this.prompt.length - 1;
    if (this.cursor < this.first) this.first = this.cursor;
    let before = this.columns(this.first, this.cursor);
    while (before > room) before -= columnsOf(this.line[this.first++]!);
    let end = this.first;
    let used = 0;
    while (end < this.line.length && used + columnsOf(this.line[end]!) <= room) used += columnsOf(this.line[end++]!);
    const column = this.prompt.length + before;
    const shown = this.line.slice(this.first, end).join("");
    this.shown = this.prompt.length + used;
    const back = column === this.prompt.length + used ? "" : `\r\x1b[${column}C`;
    this.host.write(`\r${this.prompt}${shown}\x1b[K${back}`);
  }
}
