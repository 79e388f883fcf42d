/** Listings as text: columns as wide as they need. */
import { shortSize } from "./sizes.ts";

export type Cell = string | number | boolean | null | undefined | Readonly<Record<string, number>>;

/** One row: values by column. */
export type Row = Readonly<Record<string, Cell>>;

export interface Column {
  /** The key in the row, and in JSON. */
  key: string;
  title: string;
  /** Numbers are set to the right. */
  right?: boolean;
  /** A number of bytes, shown with a unit. */
  bytes?: boolean;
  /** A number, shown with so many digits behind the point. */
  decimals?: number;
}

function shown(value: Cell, { bytes, decimals }: Column): string {
  if (value === null || value === undefined) return "-";
  if (typeof value === "number" && bytes) return shortSize(value);
  if (typeof value === "number" && decimals !== undefined) return value.toFixed(decimals);
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value);
  return entries.length === 0 ? "-" : entries.map(([name, number]) => `${name}=${number}`).join(" ");
}

/** The lines of a table: the titles, then the rows. */
export function* tableLines(columns: readonly Column[], rows: readonly Row[]): Generator<string> {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map((column) => shown(row[column.key], column))),
  ];
  const widths = columns.map((_, i) => cells.reduce((most, line) => Math.max(most, line[i]!.length), 0));
  for (const line of cells) {
    const text = line.map((cell, i) => (columns[i]!.right ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)));
    yield text.join("  ").trimEnd();
  }
}
