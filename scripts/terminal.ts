/** What a Ctrl-C typed at `npm start` means: the machine's end, or a key for the guest whose console is shown. */
import { PROMPT } from "./machine.ts";

/** Ctrl-C as a terminal in raw mode sends it. */
export const CTRL_C = "\x03";

/** In front of a guest's console that is there to be typed at (toolstack/control/commands/console.ts). */
const GUEST_CONSOLE = ": Ctrl-] leaves]";
/** So many in a row, each within WITHIN_MS of the one before, end the machine even from a guest's console. */
const TIMES = 3;
const WITHIN_MS = 1000;

/** How a machine is ended from the keyboard, in words. */
export const INTERRUPT_HELP = "Ctrl-C ends the machine (three times where a guest's console is shown)";

/** Whether a guest's console is what the user sees: it was shown after Typevisor's latest prompt. */
function showsGuest(output: string): boolean {
  return output.lastIndexOf(GUEST_CONSOLE) > output.lastIndexOf(PROMPT);
}

/** Counts the Ctrl-Cs of one machine. */
export class Interrupts {
  private count = 0;
  private latest = -Infinity;

  /**
   * @param text what was typed
   * @param output what the machine has printed so far
   * @param now in milliseconds, of any clock
   * @returns whether the machine is to end; if not, the text is for it
   */
  ends(text: string, output: string, now = performance.now()): boolean {
    const typed = text.split(CTRL_C).length - 1;
    if (typed === 0) return false;
    if (!showsGuest(output)) return true;
    if (now - this.latest > WITHIN_MS) this.count = 0;
    this.latest = now;
    this.count += typed;
    return this.count >= TIMES;
  }
}
