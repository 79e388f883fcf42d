/** Places in the bundle back to places in the program's own files (the source map format, ECMA-426). */
import { decodeUtf8 } from "../data/text.ts";
import { fileBytes, programInfo } from "./host.ts";

/** Name under which the bundle is evaluated: toolstack/cli/app/program.ts. */
export const BUNDLE = "app.js";

/** Columns of a line that begin something, ascending: column, source, line, column there; all from 0. */
type Segment = [number, number, number, number];

export interface SourceMap {
  sources: string[];
  lines: Segment[][];
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Reads a source map's JSON text. */
export function parseSourceMap(text: string): SourceMap {
  const { sources, mappings } = JSON.parse(text) as { sources: string[]; mappings: string };
  const values = new Map([...DIGITS].map((digit, value) => [digit, value]));
  let [source, line, column] = [0, 0, 0];
  const lines = mappings.split(";").map((group) => {
    let generated = 0;
    const segments: Segment[] = [];
    for (const piece of group.split(",")) {
      const fields = variableLength(piece, values);
      if (fields.length < 4) continue;
      generated += fields[0]!;
      source += fields[1]!;
      line += fields[2]!;
      column += fields[3]!;
      segments.push([generated, source, line, column]);
    }
    return segments;
  });
  return { sources, lines };
}

/** Base 64 numbers of variable length: five bits each, the lowest first; the lowest of all is the sign. */
function variableLength(text: string, values: Map<string, number>): number[] {
  const numbers: number[] = [];
  let [value, shift] = [0, 0];
  for (const digit of text) {
    const bits = values.get(digit) ?? 0;
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if ((bits & 32) !== 0) continue;
    numbers.push(value % 2 === 1 ? -((value - 1) / 2) : value / 2);
    [value, shift] = [0, 0];
  }
  return numbers;
}

/** The place in the program's files, "src/app.ts:12:5", of a line and column of the bundle, both from 1; undefined where it has none. */
export function originalPlace(map: SourceMap, line: number, column: number): string | undefined {
  const found = map.lines[line - 1]?.findLast(([at]) => at <= column - 1);
  return found && `${map.sources[found[1]]}:${found[2] + 1}:${found[3] + 1}`;
}

/** A stack with every place of the bundle replaced by the program's own. */
export function mapStackBy(map: SourceMap, stack: string): string {
  return stack.replace(/\bapp\.js:(\d+):(\d+)/g, (text, line: string, column: string) => {
    return originalPlace(map, Number(line), Number(column)) ?? text;
  });
}

let loaded: SourceMap | undefined;

/** The same by this program's map, which is read at its first use. */
export function mapStack(stack: string): string {
  if (!stack.includes(BUNDLE)) return stack;
  loaded ??= parseSourceMap(decodeUtf8(fileBytes(programInfo.sourceMap)));
  return mapStackBy(loaded, stack);
}
