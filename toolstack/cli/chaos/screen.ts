/** The terminal as a screen of lines that are drawn again and again; q or Ctrl-C leaves. What was on it before comes back. */

/** Terminal control sequences (ECMA-48, xterm). */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const TO_LINE_END = "\x1b[K";
const TO_SCREEN_END = "\x1b[J";
const CTRL_C = 3;

export class Screen {
  private readonly leaving = new AbortController();
  private lines: readonly string[] = [];
  private readonly raw = process.stdin.isTTY === true;

  constructor() {
    process.stdout.write(ENTER);
    process.stdout.on("resize", this.draw);
    // Also when the process is ended at once.
    process.on("exit", this.restore);
    if (!this.raw) return;
    process.stdin.setRawMode(true);
    process.stdin.on("data", this.typed);
    process.stdin.on("end", this.ended);
  }

  /** Aborted when the user leaves. */
  get left(): AbortSignal {
    return this.leaving.signal;
  }

  /** Shows lines, as far as there is room. */
  show(lines: readonly string[]): void {
    this.lines = lines;
    this.draw();
  }

  close(): void {
    process.stdout.off("resize", this.draw);
    process.off("exit", this.restore);
    if (this.raw) {
      process.stdin.off("data", this.typed);
      process.stdin.off("end", this.ended);
      process.stdin.pause();
    }
    this.restore();
  }

  private readonly typed = (bytes: Buffer): void => {
    if (bytes.some((byte) => byte === CTRL_C || byte === 0x71 || byte === 0x51)) this.leaving.abort();
  };

  private readonly ended = (): void => this.leaving.abort();

  private readonly draw = (): void => {
    const { columns = 80, rows = 24 } = process.stdout;
    const shown = this.lines.slice(0, rows - 1).map((line) => `${line.slice(0, columns - 1)}${TO_LINE_END}\n`);
    process.stdout.write(`${HOME}${shown.join("")}${TO_SCREEN_END}`);
  };

  private readonly restore = (): void => {
    if (this.raw) process.stdin.setRawMode(false);
    process.stdout.write(LEAVE);
  };
}
