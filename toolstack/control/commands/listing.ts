/** Listings: columns for people, or with --json one line of JSON for programs. */
import { print, printed } from "../console/output.ts";
import type { CommandContext } from "./command.ts";

/** One row: values by column. */
export type Row = Readonly<Record<string, string | number | boolean | null | Readonly<Record<string, number>>>>;

export interface Column {
  /** The key in the row, and in JSON. */
  key: string;
  title: string;
  /** Numbers are set to the right. */
  right?: boolean;
}

function shown(value: Row[string] | undefined): string {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value);
  return entries.length === 0 ? "-" : entries.map(([name, number]) => `${name}=${number}`).join(" ");
}

/** Prints rows, as wide as they need; with `json` all of them as an array. */
export async function printListing(
  columns: readonly Column[],
  rows: readonly Row[],
  json: boolean,
  { interruption }: CommandContext,
): Promise<void> {
  if (json) {
    print(`${JSON.stringify(rows)}\n`);
    return;
  }
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ key }) => shown(row[key])))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  for (const line of cells) {
    if (interruption.raised) return;
    const text = line.map((cell, i) => (columns[i]!.right ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)));
    print(`${text.join("  ").trimEnd()}\n`);
    await printed(interruption);
  }
}
