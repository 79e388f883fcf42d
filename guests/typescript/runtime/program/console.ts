/** `console`. */
import { clockNs } from "../guest/host.ts";
import { format, inspect, type InspectOptions } from "./inspect.ts";
import { print } from "../guest/output.ts";

let indent = "";
const counts = new Map<string, number>();
const starts = new Map<string, number>();

function line(...values: unknown[]): void {
  const text = format(...values);
  print(`${indent}${indent === "" ? text : text.replace(/\n/g, `\n${indent}`)}\n`);
}

function elapsed(label: string, rest: unknown[]): void {
  const start = starts.get(label);
  if (start === undefined) line(`Warning: No such label '${label}' for console.timeLog()`);
  else line(`${label}: ${((clockNs() - start) / 1e6).toFixed(3)}ms`, ...rest);
}

/** Rows of cells in columns of their widest. */
function table(rows: unknown): void {
  if (typeof rows !== "object" || rows === null) return line(rows);
  const entries = Object.entries(rows as Record<string, unknown>);
  const isRow = (row: unknown): row is Record<string, unknown> => typeof row === "object" && row !== null;
  const columns = [...new Set(entries.flatMap(([, row]) => (isRow(row) ? Object.keys(row) : [])))];
  const plainValues = entries.some(([, row]) => !isRow(row));
  const head = ["(index)", ...columns, ...(plainValues ? ["Values"] : [])];
  const cells = entries.map(([key, row]) => [
    key,
    ...columns.map((column) => (isRow(row) && column in row ? inspect(row[column], { depth: 0 }) : "")),
    ...(plainValues ? [isRow(row) ? "" : inspect(row)] : []),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((width) => "─".repeat(width + 2)).join(middle) + right;
  const row = (texts: string[]) => `│ ${texts.map((text, i) => text.padEnd(widths[i]!)).join(" │ ")} │`;
  line([rule("┌", "┬", "┐"), row(head), rule("├", "┼", "┤"), ...cells.map(row), rule("└", "┴", "┘")].join("\n"));
}

export const console = {
  log: line,
  info: line,
  debug: line,
  error: line,
  warn: line,
  dir: (value: unknown, options?: InspectOptions) => line(inspect(value, options)),
  table,
  trace: (...values: unknown[]) => {
    const error = new Error(format(...values));
    error.name = "Trace";
    line(error);
  },
  assert: (condition: unknown, ...values: unknown[]) => {
    if (!condition) line(...(values.length === 0 ? ["Assertion failed"] : ["Assertion failed:", ...values]));
  },
  count: (label = "default") => {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    line(`${label}: ${counts.get(label)}`);
  },
  countReset: (label = "default") => void counts.delete(label),
  group: (...values: unknown[]) => {
    if (values.length > 0) line(...values);
    indent += "  ";
  },
  groupEnd: () => {
    indent = indent.slice(2);
  },
  time: (label = "default") => void starts.set(label, clockNs()),
  timeLog: (label = "default", ...values: unknown[]) => elapsed(label, values),
  timeEnd: (label = "default") => {
    elapsed(label, []);
    starts.delete(label);
  },
};
