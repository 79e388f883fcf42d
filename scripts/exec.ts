/**
 * Non-interactive commands for Typevisor's console: passing them to domain 0 on Typevisor's command line, and
 * reading their results from its console.
 */
import { randomBytes } from "node:crypto";
import { AwaitError, type Machine } from "./machine.ts";

/** Room for Typevisor's command line (abi/boot-info.ts, commandLine). */
const COMMAND_LINE_BYTES = 3968;
const ID_BYTES = 8;
/** After the outcome the machine powers itself off; it gets this long for it. */
const POWER_OFF_MS = 20_000;

const PANIC = /^PANIC: /m;

/** The line of the outcome: with a word behind it that only Typevisor was told, so that no guest can print one. */
function outcomeLine(id: string): RegExp {
  return new RegExp(`^TYPEVISOR-EXEC: (\\d+) ok, (\\d+) failed ${id}\r?$`, "m");
}

export interface ExecOutcome {
  ok: number;
  failed: number;
  panicked: boolean;
  /** Whether the machine went off by itself afterwards. */
  poweredOff: boolean;
}

/** Commands for a machine, and what it says their outcome with. */
export interface Execution {
  /** For Typevisor's command line. */
  words: string;
  id: string;
}

/** Makes Typevisor run `commands` without a person, and power off. */
export function execution(commands: string): Execution {
  const id = randomBytes(ID_BYTES).toString("hex");
  return { words: `${commandsWord("exec", commands, "--exec")} exec-id=${id}`, id };
}

/**
 * The word `NAME=commands` for the command line. Everything but letters, digits, '.', '_' and '-' is percent-encoded: loaders
 * and GRUB's shell each have their own idea of quotes.
 * @param option where they come from, for the error
 */
export function commandsWord(name: "exec" | "start", commands: string, option: string): string {
  const encoded = encodeURIComponent(commands).replace(
    /[!~*'()]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const word = `${name}=${encoded}`;
  if (word.length >= COMMAND_LINE_BYTES) {
    throw new Error(
      `${option}: ${word.length} bytes of commands are too many: at most ${COMMAND_LINE_BYTES - 1} when encoded`,
    );
  }
  return word;
}

/** A longer line is passed on in pieces. */
const LINE_CHARACTERS = 64 * 1024;

/** Passes on whole lines of the machine's output, all but the protocol's own. */
export class ExecOutput {
  private partial = "";
  private readonly outcome: RegExp;

  constructor(
    private readonly print: (text: string) => void,
    id: string,
  ) {
    this.outcome = outcomeLine(id);
  }

  push(text: string): void {
    const lines = (this.partial + text.replace(/\r/g, "")).split("\n");
    this.partial = lines.pop() ?? "";
    for (const line of lines) this.line(line, "\n");
    if (this.partial.length < LINE_CHARACTERS) return;
    this.print(this.partial);
    this.partial = "";
  }

  finish(): void {
    if (this.partial !== "") this.line(this.partial, "\n");
    this.partial = "";
  }

  private line(line: string, end: string): void {
    if (!this.outcome.test(line)) this.print(line + end);
  }
}

/**
 * Waits for the outcome of the commands that `machine` was started with, and for its end.
 * @throws AwaitError when time is over, or the machine ends before the outcome without a panic
 */
export async function waitForOutcome(machine: Machine, id: string, timeoutMs: number): Promise<ExecOutcome> {
  const outcome: ExecOutcome = { ok: 0, failed: 0, panicked: false, poweredOff: false };
  const pattern = new RegExp(`${outcomeLine(id).source}|${PANIC.source}[^\\n]*\\n`, "m");
  const { match } = await machine.waitFor(pattern, timeoutMs, "the end of the commands (TYPEVISOR-EXEC)");
  if (match[1] !== undefined) {
    outcome.ok = Number(match[1]);
    outcome.failed = Number(match[2]);
  }
  try {
    await machine.waitForEnd(POWER_OFF_MS);
    outcome.poweredOff = machine.endedWell();
  } catch (error) {
    if (!(error instanceof AwaitError)) throw error;
  }
  await machine.stop();
  outcome.panicked = PANIC.test(machine.output.replace(/\r/g, ""));
  return outcome;
}
