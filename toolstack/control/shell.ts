/**
 * The prompt: lines from the editor are run as commands, one after the other. What is typed while a command runs waits
 * for it, except Ctrl-C, which interrupts it; `console` takes the input for itself.
 */
import type { InputTaker, Interruption } from "./commands/command.ts";
import { complete } from "./commands/complete.ts";
import { runLine } from "./commands/run.ts";
import { LineEditor } from "./console/line-editor.ts";
import { atLineStart, print } from "./console/output.ts";
import type { Domains } from "./domains/domains.ts";
import { endMachine } from "./end-machine.ts";
import { detach } from "./failures.ts";

const PROMPT = "typevisor> ";
const CTRL_C = 0x03;
const CTRL_RIGHT_BRACKET = 0x1d;
/** Bytes typed ahead that are kept. */
const AHEAD_MAX = 64 * 1024;

/** An interruption that the shell raises. */
export class ShellInterruption implements Interruption {
  raised = false;
  private listeners: (() => void)[] = [];

  onRaise(listener: () => void): void {
    if (this.raised) listener();
    else this.listeners.push(listener);
  }

  raise(): void {
    this.raised = true;
    for (const listener of this.listeners.splice(0)) listener();
  }
}

export class Shell {
  private readonly editor: LineEditor;
  /** Input not used yet. */
  private ahead: number[] = [];
  /** The running command's, null at the prompt. */
  private interruption: ShellInterruption | null = null;
  private taker: InputTaker | null = null;
  /** False until the first prompt or command: in exec mode for ever. */
  private active = false;

  constructor(private readonly domains: Domains) {
    this.editor = new LineEditor({ write: print, complete: (before) => complete(before, domains) }, PROMPT);
  }

  /** Shows the first prompt. */
  start(): void {
    this.active = true;
    this.editor.begin();
    this.edit();
  }

  /** Shows the first prompt with a command on it, and runs that. */
  startWith(line: string): void {
    this.active = true;
    this.editor.begin();
    print(`${line}\n`);
    this.run(line);
  }

  /** Input from the console. */
  input(bytes: Uint8Array): void {
    if (this.taker !== null) {
      const used = this.taker(bytes);
      if (used < bytes.length) {
        this.taker = null;
        this.input(bytes.subarray(used));
      }
      return;
    }
    if (this.interruption !== null) {
      this.inputWhileRunning(bytes);
      return;
    }
    if (this.ahead.length < AHEAD_MAX) this.ahead.push(...bytes);
    if (this.active) this.edit();
  }

  /** Prints a line about something that happened by itself, without spoiling what is being typed. */
  notice(text: string): void {
    const editing = this.active && this.interruption === null;
    if (editing) this.editor.hide();
    else if (!atLineStart()) print("\n");
    print(`${text}\n`);
    if (editing) this.editor.show();
  }

  private inputWhileRunning(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte === CTRL_C || byte === CTRL_RIGHT_BRACKET) {
        this.ahead = [];
        print("^C\n");
        this.interruption!.raise();
      } else if (this.ahead.length < AHEAD_MAX) {
        this.ahead.push(byte);
      }
    }
  }

  /** Feeds the editor until a line is finished or the input is used up. */
  private edit(): void {
    while (this.ahead.length > 0 && this.interruption === null) {
      let used = 0;
      let line: string | null = null;
      while (used < this.ahead.length && line === null) {
        const byte = this.ahead[used++]!;
        const event = this.editor.feed(byte, used === this.ahead.length);
        if (event?.kind === "line") {
          line = event.text;
        } else if (event !== null) {
          if (event.kind === "end") print("`poweroff` switches the machine off.\n");
          this.editor.begin();
        }
      }
      this.ahead.splice(0, used);
      if (line !== null) this.run(line);
    }
  }

  private run(line: string): void {
    const interruption = new ShellInterruption();
    this.interruption = interruption;
    detach("the prompt", async () => {
      try {
        await runLine(line, {
          domains: this.domains,
          interruption,
          interactive: true,
          takeInput: (taker) => this.takeInput(taker),
          endMachine,
        });
      } finally {
        this.taker = null;
        this.interruption = null;
        if (!atLineStart()) print("\n");
        this.editor.begin();
        this.edit();
      }
    });
  }

  private takeInput(taker: InputTaker | null): void {
    this.taker = taker;
    if (taker === null || this.ahead.length === 0) return;
    const bytes = Uint8Array.from(this.ahead);
    this.ahead = [];
    this.input(bytes);
  }
}
