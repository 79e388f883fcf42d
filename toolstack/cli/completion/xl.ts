/** What may stand at the cursor of `xl`: by the usage texts of its commands, so that what they say is what is offered. */
import { SHELLS } from "./scripts.ts";
import { candidatesOf, NOTHING, type Candidate, type Expected } from "./expected.ts";

/** What completion wants to know of `xl`. */
export interface XlCommands {
  names: readonly string[];
  /** Of a command: its words in the first line, and a line for each option that says more. */
  usage(name: string): string;
}

interface Usage {
  words: string[];
  options: Candidate[];
  /** Options that take a value, and what that is. */
  valued: Map<string, string>;
}

/** `-d, --delay=SECONDS  between updates`, `-e, -F, -q  as xl's`, `-f FILE, --defconfig=FILE  the file`. */
function readOptions(lines: readonly string[]): Pick<Usage, "options" | "valued"> {
  const options: Candidate[] = [];
  const valued = new Map<string, string>();
  for (const line of lines) {
    const [, names, summary] = /^(-.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    for (const name of names?.split(", ") ?? []) {
      const [, value, placeholder] = /^(-[^ =]+)(?:[ =](.+))?$/.exec(name) ?? [];
      if (value === undefined) continue;
      options.push({ value, summary });
      if (placeholder !== undefined) valued.set(value, placeholder);
    }
  }
  // A letter in front of a long form takes what that does.
  for (const line of lines) {
    const [, letter, long] = /^(-\w), (--[^ =]+)=/.exec(line) ?? [];
    if (letter !== undefined) valued.set(letter, valued.get(long!)!);
  }
  return { options, valued };
}

/** What a usage line is made of: words in brackets may hold blanks. */
const USAGE_WORD = /<[^>]*>\S*|\[[^\]]*\]\S*|\S+/g;

/** @param text a command's name and usage in a line, then one for each option */
export function readUsage(text: string): Usage {
  const [first = "", ...more] = text.split("\n");
  const words = (first.match(USAGE_WORD) ?? []).slice(1).filter((word) => !/^\[(options?\]|vars\]|-)/.test(word));
  return { words, ...readOptions(more) };
}

function ofWord(word: string): Expected {
  if (/domain/i.test(word)) return { candidates: [], names: "domain" };
  if (/file/i.test(word)) return { candidates: [], files: true };
  const choices = /^<([a-z0-9|]+)>$/.exec(word)?.[1]?.split("|") ?? [];
  return choices.length > 1 ? { candidates: candidatesOf(choices) } : NOTHING;
}

/** @param words behind `xl`, the last one up to the cursor */
export function xlExpected(xl: XlCommands, words: readonly string[]): Expected {
  const current = words[words.length - 1] ?? "";
  const before = words.slice(0, -1);
  // xl's own options are in front of the command.
  const at = before.findIndex((word) => !word.startsWith("-"));
  const [name, ...typed] = at < 0 ? [] : before.slice(at);
  if (name === undefined) return current.startsWith("-") ? NOTHING : { candidates: candidatesOf(xl.names) };
  if (name === "help") return { candidates: candidatesOf(xl.names) };
  if (name === "completion") return { candidates: candidatesOf(SHELLS) };
  const usage = readUsage(xl.names.includes(name) ? xl.usage(name) : "");
  let plain = 0;
  let open: string | undefined;
  for (const word of typed) {
    if (open !== undefined) open = undefined;
    else if (word.startsWith("-")) open = usage.valued.get(word);
    else plain++;
  }
  if (open !== undefined) return ofWord(open);
  if (current.startsWith("-")) return { candidates: usage.options };
  const last = usage.words[usage.words.length - 1] ?? "";
  return ofWord(usage.words[plain] ?? (/\(s\)>|\.\.\./.test(last) ? last : ""));
}
