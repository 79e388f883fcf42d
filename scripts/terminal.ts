/** This terminal, or whatever standard input and output are, connected to a machine's console. */
import type { Readable } from "node:stream";
import { type Machine, PROMPT } from "./machine.ts";

/** Ctrl-\ as a terminal in raw mode sends it. */
export const END_KEY = "\x1c";
/** So many in a row, each within WITHIN_MS of the one before, end the machine; single ones are for a guest. */
const TIMES = 2;
const WITHIN_MS = 1000;

/** A description of the special keys. */
export const KEYS_HELP = "Ctrl-C interrupts a command, Ctrl-\\ twice ends the machine";

/** In front of a guest's console that is there to be typed at (toolstack/control/commands/console.ts), and what leaves it. */
const GUEST_CONSOLE = ": Ctrl-] leaves]";
const LEAVE = "\x1d";
/** Ctrl-D at the prompt is its `exit`: the second one in a row is not asked about domains that run. */
const END_OF_INPUT = "\x04\x04";

/** Bytes of input buffered before the first prompt. */
const EARLY_BYTES = 64 * 1024;

/** Counts the keys that end the machine. */
export class EndKeys {
  private count = 0;
  private latest = -Infinity;

  /**
   * @param typed what was typed
   * @param now in milliseconds, of any clock
   * @returns whether the machine is to end; if not, what was typed is for it
   */
  ends(typed: string, now = performance.now()): boolean {
    const times = typed.split(END_KEY).length - 1;
    if (times === 0) return false;
    if (now - this.latest > WITHIN_MS) this.count = 0;
    this.latest = now;
    this.count += times;
    return this.count >= TIMES;
  }
}

/** Whether a guest's console is what the user sees: it was shown after Typevisor's latest prompt. */
export function showsGuest(output: string): boolean {
  return output.lastIndexOf(GUEST_CONSOLE) > output.lastIndexOf(PROMPT);
}

/**
 * The word that tells domain 0 how large the terminal is, unless standard output is none, and whether guests' output is to be shown without
 * what would reprogram it.
 */
export function terminalWord({ isTTY, columns, rows }: Partial<NodeJS.WriteStream>, safe: boolean): string[] {
  const words = [...(isTTY && columns && rows ? [`${columns}x${rows}`] : []), ...(safe ? ["safe"] : [])];
  return words.length > 0 ? [`terminal=${words.join()}`] : [];
}

/** Tells the prompt that the terminal has another size now, as a terminal reports it; a guest's console is not for that. */
export function reportSize(machine: Machine, { columns, rows }: Partial<NodeJS.WriteStream>): void {
  if (columns && rows && !showsGuest(machine.output)) machine.send(`\x1b[8;${rows};${columns}t`);
}

/**
 * Passes the machine's output on no faster than `out` accepts it: the machine waits meanwhile.
 * @param write what writes to `out`; false when that has enough
 */
export function showOutput(
  machine: Machine,
  out: NodeJS.WritableStream,
  write: (text: string) => boolean = (text) => out.write(text),
): void {
  machine.on("output", (text) => {
    if (write(text)) return;
    machine.pauseOutput();
    out.once("drain", () => machine.resumeOutput());
  });
}

/** What of standard input matters here; a terminal is put into raw mode by the caller. */
type Input = Readable & { isTTY?: boolean };

/**
 * Sends what comes from `input` to the machine, from Typevisor's first prompt on: firmware and boot loaders read the serial
 * port too. A pipe or file is read no faster than the machine takes it, and its end ends the session: the prompt's `exit`
 * behind all that was sent, a guest's console left before where one is shown.
 * @param end called when a key ends the machine
 * @returns what disconnects
 */
export function sendInput(machine: Machine, input: Input, end: () => void): () => void {
  const terminal = input.isTTY === true;
  const keys = new EndKeys();
  let early: Buffer[] | null = [];
  let ended = false;
  let left = false;

  const send = (data: Buffer) => {
    if (early !== null) {
      if (early.reduce((sum, { length }) => sum + length, 0) < EARLY_BYTES) early.push(data);
    } else if (!machine.send(data) && !terminal) {
      input.pause();
      machine.once("taken", () => input.resume());
    }
  };
  const onData = (data: Buffer) => {
    if (terminal && keys.ends(data.toString("latin1"))) end();
    else send(data);
  };
  const onEnd = () => {
    ended = true;
    send(Buffer.from(END_OF_INPUT));
    onOutput();
  };
  const onOutput = () => {
    if (early !== null && machine.output.includes(PROMPT)) {
      const typed = Buffer.concat(early);
      early = null;
      if (typed.length > 0) send(typed);
      if (!terminal) input.resume();
    }
    if (!ended || early !== null || showsGuest(machine.output) === left) return;
    left = !left;
    if (left) machine.send(LEAVE + END_OF_INPUT);
  };

  machine.on("output", onOutput);
  input.on("data", onData);
  input.once("end", onEnd);
  // A pipe waits where it is until the prompt is there.
  if (!terminal) input.pause();
  return () => {
    machine.off("output", onOutput);
    input.off("data", onData);
    input.off("end", onEnd);
    input.pause();
  };
}
