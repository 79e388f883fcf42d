/**
 * `npm run bench [-- --only NAME] [--no-xen] [--json]`: a table of the cost of operations. Each row is one file of rows/, with its
 * definition. Costs are instruction counts in QEMU (`-icount shift=0,sleep=off`: the TSC advances by one with every
 * instruction executed), so they repeat on any computer; memory is from the hypervisor's own accounting.
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { build } from "../build.ts";
import { orExplain, progress } from "../build/task.ts";
import { installPackages } from "../setup.ts";
import { comparison } from "./comparison.ts";

export interface BenchFigure {
  /** What is measured: one row may have several figures, distinguished here. */
  what: string;
  value: number;
  unit: "instructions" | "KiB" | "ms" | "1/s";
  /** Real Xen's figure for the same, measured in the same emulator, where it has the operation. */
  xen?: number;
}

export interface BenchRow {
  /** Name for --only. */
  name: string;
  /** Exactly what is counted, from where to where. */
  definition: string;
  measure: () => Promise<BenchFigure[]>;
}

const rowFolder = path.join(path.dirname(fileURLToPath(import.meta.url)), "rows");

/** All rows, in the order of their files' names. */
async function loadRows(): Promise<BenchRow[]> {
  const files = readdirSync(rowFolder)
    .filter((name) => name.endsWith(".ts"))
    .sort();
  const modules = await Promise.all(
    files.map((name) => import(path.join(rowFolder, name)) as Promise<{ row: BenchRow }>),
  );
  return modules.map((module) => module.row);
}

function formatNumber(value: number | undefined): string {
  return value === undefined ? "" : Math.round(value).toLocaleString("en-US");
}

/** Typevisor's figure as a part of Xen's: 0.36. */
function ratio({ value, xen }: BenchFigure): string {
  return xen === undefined || xen === 0 ? "" : (value / xen).toFixed(2);
}

function printTable(measured: { row: BenchRow; figures: BenchFigure[] }[]): void {
  const lines = measured.flatMap(({ row, figures }) =>
    figures.map((figure) => [
      row.name,
      figure.what,
      formatNumber(figure.value),
      formatNumber(figure.xen),
      ratio(figure),
      figure.unit,
    ]),
  );
  const table = [["row", "what", "Typevisor", "Xen 4.17", "ratio", "unit"], ...lines];
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  for (const line of table) {
    const cells = line.map((cell, column) =>
      column >= 2 && column <= 4 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    console.log(cells.join("  ").trimEnd());
  }
  console.log("");
  for (const { row } of measured) console.log(`${row.name}: ${row.definition}`);
}

async function main(): Promise<void> {
  const options = new Command("npm run bench --")
    .description("Prints what things cost in Typevisor, with Xen's figures beside them.")
    .option("--only <name>", "measure one row")
    .option("--no-xen", "measure Typevisor only: Xen's figures take most of the time")
    .option("--json", "print one JSON document instead of a table")
    .parse()
    .opts<{ only?: string; xen: boolean; json?: boolean }>();
  comparison.xen = options.xen;

  const rows = await loadRows();
  const chosen = options.only === undefined ? rows : rows.filter((row) => row.name === options.only);
  if (chosen.length === 0) {
    progress(`there is no row ${options.only}; the rows are: ${rows.map((row) => row.name).join(", ")}`);
    process.exitCode = 1;
    return;
  }
  installPackages(["build", "qemu"]);
  await orExplain(build);

  const measured: { row: BenchRow; figures: BenchFigure[] }[] = [];
  for (const row of chosen) {
    progress(`measuring ${row.name} ...`);
    try {
      measured.push({ row, figures: await row.measure() });
    } catch (error) {
      progress(`${row.name}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
  if (options.json) {
    const document = measured.map(({ row, figures }) => ({ name: row.name, definition: row.definition, figures }));
    console.log(JSON.stringify(document, null, 2));
  } else {
    printTable(measured);
  }
}

await main();
