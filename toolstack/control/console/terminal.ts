/**
 * The size of the terminal at the other end of the serial line. Typevisor's command line says it (`terminal=COLUMNSxROWS`), or
 * the terminal itself in a report (`CSI 8 ; rows ; columns t` of xterm); a line without either is as wide as all are.
 */

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

/** Sets the size from the option `terminal=`: "132x43". */
export function readTerminalSize(text: string | undefined): void {
  const [, columns, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(text ?? "") ?? [];
  if (columns !== undefined) setTerminalSize(Number(columns), Number(rows));
}
