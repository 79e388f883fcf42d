/**
 * The prompt: lines from the editor are run as commands, one after the other. What is typed while a command runs waits
 * for it, except Ctrl-C, which interrupts it; `console` takes the input for itself.
 */
import { systemTime } from "./clock.ts";
import type { InputTaker } from "./commands/command.ts";
import { RaisableInterruption } from "./interruption.ts";
import { complete } from "./commands/complete.ts";
import { runLine } from "./commands/run.ts";
import type { InputSink } from "./console/input.ts";
import { LineEditor } from "./console/line-editor.ts";
import { atLineStart, print } from "./console/output.ts";
import { setTerminalSize, terminalSize } from "./console/terminal.ts";
import type { Domains } from "./domains/domains.ts";
import { endMachine } from "./end-machine.ts";
import { detach } from "./failures.ts";
import { after } from "./timers.ts";

const PROMPT = "typevisor> ";
const CTRL_C = 0x03;
/** Lines that were typed ahead are run in one turn for so long. */
const TURN_NS = 3e6;
/** Bytes of type-ahead that are buffered; more is left in the source. */
const AHEAD_MAX = 64 * 1024;

export class Shell implements InputSink {
  private readonly editor: LineEditor;
  /** Input not used yet. */
  private ahead: number[] = [];
  /** The running command's, null at the prompt. */
  private interruption: RaisableInterruption | null = null;
  private taker: InputTaker | null = null;
  private using = false;
  /** When this turn's work on input began, system time in ns. */
  private since = 0;
  /** Input comes because there is room for it, in the same turn. */
  private refilling = false;
  /** The next line waits for a separate turn. */
  private resting = false;
  /** The latest line that was run. */
  private latest = "";
  /** False until the first prompt or command: in exec mode always. */
  private active = false;

  /** @param more called when there is room for input again: calls `input` if there is any */
  constructor(
    private readonly domains: Domains,
    private readonly more: () => void,
  ) {
    this.editor = new LineEditor(
      {
        write: print,
        complete: (before) => complete(before, domains),
        columns: () => terminalSize().columns,
        resized: setTerminalSize,
      },
      PROMPT,
    );
  }

  /** Shows the first prompt. */
  start(): void {
    this.active = true;
    this.editor.begin();
    this.use();
  }

  /** Shows the first prompt with a command on it, and runs that. */
  startWith(line: string): void {
    this.active = true;
    this.editor.begin();
    print(`${line}\n`);
    this.run(line);
  }

  room(): number {
    return AHEAD_MAX - this.ahead.length;
  }

  /** Input from the console. */
  input(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.ahead.push(bytes[i]!);
    if (!this.refilling) this.since = systemTime();
    if (this.interruption !== null && this.taker === null) this.look();
    else this.use();
  }

  /** Prints a line about an asynchronous event, without disturbing the line being edited. */
  notice(text: string): void {
    const editing = this.active && this.interruption === null;
    if (editing) this.editor.hide();
    else if (!atLineStart()) print("\n");
    print(`${text}\n`);
    if (editing) this.editor.show();
  }

  /** Looks for Ctrl-C in what was typed while a command runs that takes no input: it raises the interruption. */
  private look(): void {
    const key = this.ahead.lastIndexOf(CTRL_C);
    if (key < 0) return;
    // What was typed before it goes with the command.
    this.ahead = this.ahead.slice(key + 1);
    print("^C\n");
    this.interruption!.raise();
  }

  /** Passes input to its current consumer, as far as accepted. */
  private use(): void {
    // A consumer that signals room while it receives input is served by the loop already running.
    if (this.using) return;
    this.using = true;
    const before = this.ahead.length;
    try {
      while (this.ahead.length > 0 && (this.taker !== null ? this.give(this.taker) : this.edit()));
    } finally {
      this.using = false;
    }
    if (this.ahead.length === before) return;
    this.refilling = true;
    try {
      this.more();
    } finally {
      this.refilling = false;
    }
  }

  /** Processes type-ahead: in a new turn, so that guests are served, if this one has lasted long. */
  private goOn(): void {
    if (systemTime() - this.since < TURN_NS) {
      this.use();
      return;
    }
    this.resting = true;
    after(0, () => {
      this.resting = false;
      this.since = systemTime();
      this.use();
    });
  }

  /** Passes input to the command that captured it; false when it accepts no more now. */
  private give(taker: InputTaker): boolean {
    const bytes = Uint8Array.from(this.ahead.slice(0, taker.room()));
    if (bytes.length === 0) return false;
    const used = taker.take(bytes);
    this.ahead = this.ahead.slice(used);
    if (used < bytes.length) this.taker = null;
    return true;
  }

  /** Feeds the editor until a line is finished or the input is used up; false if no editor is active. */
  private edit(): boolean {
    if (!this.active || this.resting || this.interruption !== null) return false;
    let used = 0;
    let line: string | null = null;
    while (used < this.ahead.length && line === null) {
      const byte = this.ahead[used++]!;
      const event = this.editor.feed(byte, used === this.ahead.length);
      if (event?.kind === "line") {
        line = event.text;
      } else if (event?.kind === "end") {
        line = "exit";
      } else if (event !== null) {
        if (event.kind === "refused") print(`${event.reason}\n`);
        this.editor.begin();
      }
    }
    this.ahead = this.ahead.slice(used);
    if (line !== null) this.run(line);
    return true;
  }

  private run(line: string): void {
    const interruption = new RaisableInterruption();
    this.interruption = interruption;
    const repeated = line === this.latest;
    this.latest = line;
    detach("the prompt", async () => {
      try {
        await runLine(line, {
          domains: this.domains,
          interruption,
          interactive: true,
          repeated,
          takeInput: (taker) => {
            this.taker = taker;
            if (taker !== null) this.use();
          },
          inputWanted: () => this.use(),
          endMachine,
        });
      } finally {
        this.taker = null;
        this.interruption = null;
        if (!atLineStart()) print("\n");
        this.editor.begin();
        this.goOn();
      }
    });
    // Typed ahead with the command itself; a command that takes input has taken it by now.
    if (this.interruption === interruption && this.taker === null) this.look();
  }
}
