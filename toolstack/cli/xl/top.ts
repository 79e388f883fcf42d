/** `xl top`: xentop's columns, in place on a terminal, else as `xentop -b`. */
import { topTable, type TopSample, type TopTable } from "../../api/results/top.ts";
import { parseCount } from "../../api/options.ts";
import { Screen } from "../chaos/screen.ts";
import { watchSamples } from "../chaos/samples.ts";
import type { ToolSession } from "../chaos/session.ts";
import { readArguments, type XlOutput } from "./arguments.ts";

const KIB = 1024;
const SECTOR_BYTES = 512;
const MOST_SECONDS = 3600;
const MOST_ITERATIONS = 1_000_000_000;
type Domain = TopTable["domains"][number];

/** State letters in xentop's order: dying, shut down, blocked, crashed, paused, running; ours are in `xl list`'s. */
function stateOf({ state }: Domain): string {
  return Array.from("dsbcpr", (letter) => (state.includes(letter) ? letter : "-")).join("");
}

const COLUMNS: readonly [title: string, width: number, value: (domain: Domain, sample: TopTable) => string][] = [
  ["NAME", 10, ({ name }) => name],
  ["STATE", 6, stateOf],
  ["CPU(sec)", 10, ({ cpuNs }) => String(Math.floor(cpuNs / 1e9))],
  ["CPU(%)", 6, ({ cpuPercent }) => (cpuPercent ?? 0).toFixed(1)],
  ["MEM(k)", 10, ({ memoryBytes }) => String(memoryBytes / KIB)],
  ["MEM(%)", 6, ({ memoryBytes }, all) => ((memoryBytes * 100) / all.memoryBytes).toFixed(1)],
  ["MAXMEM(k)", 10, ({ maxMemoryBytes }) => (maxMemoryBytes === null ? "no limit" : String(maxMemoryBytes / KIB))],
  [
    "MAXMEM(%)",
    9,
    ({ maxMemoryBytes }, all) =>
      maxMemoryBytes === null ? "n/a" : ((maxMemoryBytes * 100) / all.memoryBytes).toFixed(1),
  ],
  ["VCPUS", 5, ({ vcpus }) => String(vcpus)],
  ["NETS", 4, ({ vifs }) => String(vifs)],
  ["NETTX(k)", 8, ({ txBytes }) => String(Math.floor((txBytes ?? 0) / KIB))],
  ["NETRX(k)", 8, ({ rxBytes }) => String(Math.floor((rxBytes ?? 0) / KIB))],
  ["VBDS", 4, ({ vbds }) => String(vbds)],
  // Requests that found no room: there are none here.
  ["VBD_OO", 8, () => "0"],
  ["VBD_RD", 8, ({ reads }) => String(reads ?? 0)],
  ["VBD_WR", 8, ({ writes }) => String(writes ?? 0)],
  ["VBD_RSECT", 10, ({ readBytes }) => String(Math.floor((readBytes ?? 0) / SECTOR_BYTES))],
  ["VBD_WSECT", 10, ({ writtenBytes }) => String(Math.floor((writtenBytes ?? 0) / SECTOR_BYTES))],
  ["SSID", 4, () => "0"],
];

/** A table as `xentop -b` prints it. @param whole names are not cut to their column */
export function xentopLines(before: TopSample | null, now: TopSample, whole = false): string[] {
  const table = topTable(before, now);
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => {
        const width = COLUMNS[i]![1];
        return (i === 0 && !whole ? cell.slice(0, width) : cell).padStart(width);
      })
      .join(" ");
  return [
    line(COLUMNS.map(([title]) => title)),
    ...table.domains.map((domain) => line(COLUMNS.map(([, , value]) => value(domain, table)))),
  ];
}

export async function top(
  session: Pick<ToolSession, "ask" | "signal">,
  words: string[],
  { out }: XlOutput,
): Promise<void> {
  const options = {
    d: { long: "delay", value: true },
    i: { long: "iterations", value: true },
    b: { long: "batch" },
    f: { long: "full-name" },
  };
  const { given, values } = readArguments("top", words, options, 0);
  const seconds = parseCount("delay", values.get("d") ?? "3", 1, MOST_SECONDS);
  let iterations = values.has("i") ? parseCount("iterations", values.get("i")!, 1, MOST_ITERATIONS) : Infinity;
  const screen = process.stdout.isTTY === true && !given.has("b") ? new Screen() : null;
  try {
    for await (const { before, now } of watchSamples(session, seconds, screen?.left)) {
      const lines = xentopLines(before, now, given.has("f"));
      if (screen !== null) screen.show(lines);
      else out(lines.map((line) => `${line}\n`).join(""));
      if (--iterations === 0) return;
    }
  } finally {
    screen?.close();
  }
}
