/**
 * The terminal at the other end of the serial line. Typevisor's command line says its size (`terminal=COLUMNSxROWS`), or the terminal
 * itself in a report (`CSI 8 ; rows ; columns t` of xterm); a line without either is as wide as all are. With `safe` behind the size, or
 * instead of it, guests' output is shown without what would reprogram the terminal (`toolstack/api/terminal-filter.ts`).
 */
import type { FilterLevel } from "../../api/terminal-filter.ts";

export interface TerminalSize {
  columns: number;
  /** 0: not known. */
  rows: number;
}

const NARROWEST = 20;
const WIDEST = 1000;

let size: TerminalSize = { columns: 80, rows: 0 };

export function terminalSize(): Readonly<TerminalSize> {
  return size;
}

/** Sets the reported size; an implausible one is ignored. */
export function setTerminalSize(columns: number, rows: number): void {
  if (columns >= NARROWEST && columns <= WIDEST && rows > 0 && rows <= WIDEST) size = { columns, rows };
}

let safe = false;

/** What of guests' output is shown on the machine's console, where the command does not say it. */
export function guestLevel(): FilterLevel | "raw" {
  return safe ? "screen" : "raw";
}

/** Reads the option `terminal=`: "132x43", "132x43,safe", "safe". */
export function readTerminal(text: string | undefined): void {
  for (const word of (text ?? "").split(",")) {
    const [, columns, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(word) ?? [];
    if (columns !== undefined) setTerminalSize(Number(columns), Number(rows));
    if (word === "safe") safe = true;
  }
}
