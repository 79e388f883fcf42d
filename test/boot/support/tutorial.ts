/**
 * The tutorial as a script: its fenced blocks, in order. A block whose first line is ```LANGUAGE file=NAME is a file to write; one with
 * terminal=N is what is typed in that terminal, and what it answers:
 *
 *   $ COMMAND             typed at the shell's prompt
 *   typevisor> COMMAND    typed at the machine's; without a command: its prompt comes
 *   ^C, ^]                typed whenever; what that prints is not compared
 *   ...                   any lines; at the end of a line: anything
 *   else                  a line of output, the same but for VARIES, and all numbers of the domains of the hypervisor itself
 *
 * A block with `continues` is more output of what was typed last in its terminal.
 */

export interface FileStep {
  kind: "file";
  name: string;
  text: string;
}

export interface TypeStep {
  kind: "type";
  terminal: number;
  /** The prompt that it is typed at; "more": nothing is typed. */
  at: "shell" | "machine" | "interrupt" | "more";
  words: string;
  expected: string[];
  /** Line of the page, for errors. */
  line: number;
}

export type Step = FileStep | TypeStep;

/** The machine's prompt as the page shows it. */
const MACHINE = "typevisor>";

/** The steps of a page. @throws Error that names the line of a block that makes no sense */
export function readSteps(page: string): Step[] {
  const steps: Step[] = [];
  const lines = page.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const [, info] = /^```(\S+ .+)$/.exec(lines[i]!) ?? [];
    if (info === undefined) continue;
    const end = lines.indexOf("```", i + 1);
    if (end < 0) throw new Error(`line ${i + 1}: the block does not end`);
    const body = lines.slice(i + 1, end);
    const file = /\bfile=(\S+)/.exec(info)?.[1];
    const terminal = /\bterminal=(\d+)/.exec(info)?.[1];
    if (file !== undefined) steps.push({ kind: "file", name: file, text: `${body.join("\n")}\n` });
    else if (terminal !== undefined) steps.push(...readBlock(body, Number(terminal), i + 2, / continues$/.test(info)));
    else throw new Error(`line ${i + 1}: neither a file nor a terminal: ${info}`);
    i = end;
  }
  return steps;
}

function readBlock(body: string[], terminal: number, first: number, continues: boolean): TypeStep[] {
  const steps: TypeStep[] = [];
  const begin = (at: TypeStep["at"], words: string, line: number) =>
    steps.push({ kind: "type", terminal, at, words, expected: [], line });
  if (continues) begin("more", "", first);
  for (const [i, text] of body.entries()) {
    const line = first + i;
    if (text.startsWith("$ ")) begin("shell", text.slice(2), line);
    else if (text === "^C" || text === "^]") begin("interrupt", text === "^C" ? "\x03" : "\x1d", line);
    else if (text.startsWith(`${MACHINE} `)) begin("machine", text.slice(MACHINE.length + 1), line);
    else if (steps.length === 0) throw new Error(`line ${line}: output of nothing: ${text}`);
    else steps.at(-1)!.expected.push(text);
  }
  return steps;
}

const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** What varies from run to run in a line: numbers with a fraction, MAC addresses, domains' states, the amount of blanks. */
const VARIES: readonly (readonly [RegExp, string])[] = [
  [/(?<![\d.])\d+\.\d+(?![\d.])/, "\\d+\\.\\d+"],
  [/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/, "(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"],
  [/(?<=^| )[-rbpscd]{6}(?= )/, "[-rbpscd]{6}"],
  [/ +/, "[ \\t]+"],
];
/** The hypervisor's own domains: how much memory they have is not what the tutorial is about. */
const OWN_DOMAIN = /^Domain-(0|IO) /;
const NUMBER = [/\d+/, "\\d+"] as const;

/** The pattern of a line. */
export function linePattern(line: string): string {
  if (line === "...") return "(?:.*\\n)*?";
  if (line.endsWith("...")) return `${linePattern(line.slice(0, -3).trimEnd()).replace(/\[ \\t\]\*\\n$/, "")}.*\\n`;
  const varies = OWN_DOMAIN.test(line) ? [...VARIES, NUMBER] : VARIES;
  let [pattern, rest] = ["", line];
  for (;;) {
    const found = varies.map(([which, stands]) => ({ match: which.exec(rest), stands }));
    const there = found.filter(({ match }) => match !== null).sort((a, b) => a.match!.index - b.match!.index);
    if (there.length === 0) return `${pattern}${escape(rest)}[ \\t]*\\n`;
    const { match, stands } = there[0]!;
    pattern += escape(rest.slice(0, match!.index)) + stands;
    rest = rest.slice(match!.index + match![0].length);
  }
}

/** The pattern of output: its beginning, or all of it. */
export function outputPattern(expected: string[], whole: boolean): RegExp {
  const lines = expected.filter((line) => line !== MACHINE).map(linePattern);
  // The machine's prompt does not end its line.
  const end = expected.includes(MACHINE) ? `${MACHINE} ?$` : whole ? "$" : "";
  return new RegExp(`^${lines.join("")}${end}`);
}

/** What a terminal shows: lines that were drawn again, as they were in the end; no control sequences. */
export function shown(output: string): string {
  return output
    .replace(/\x1b\][^\x07]*\x07/g, "")
    .split("\n")
    .map((line) => {
      const drawn = line.replace(/\r+$/, "").split(/\r|\x1b\[[01]?G|\x1b\[2K/);
      return drawn.at(-1)!.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "");
    })
    .join("\n");
}
