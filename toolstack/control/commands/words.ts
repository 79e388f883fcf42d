/**
 * Command lines: `;` separates commands, blanks separate words, '...' and "..." keep both together, a backslash takes
 * the next character literally (except between single quotes). The argument of `js` is JavaScript and used
 * verbatim, up to a `;` outside brackets and strings that is followed by a command's name.
 */
import { CommandError } from "../../api/command-error.ts";
import { depths } from "./script.ts";

/**
 * The commands of a line, trimmed, without empty ones.
 * @param isCommand whether a word is a command's name
 * @throws CommandError for an open quote
 */
export function splitCommands(line: string, isCommand: (word: string) => boolean): string[] {
  const commands: string[] = [];
  for (let at = 0; at < line.length;) {
    const end = /^\s*js\s/.test(line.slice(at)) ? scriptEnd(line, at, isCommand) : commandEnd(line, at);
    const command = line.slice(at, end).trim();
    if (command !== "") commands.push(command);
    at = end + 1;
  }
  return commands;
}

/** Index of the `;` that ends the command starting at `start`, or the line's length. */
function commandEnd(line: string, start: number): number {
  let quote = "";
  for (let i = start; i < line.length; i++) {
    const c = line[i]!;
    if (c === "\\" && quote !== "'") {
      i++;
    } else if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === "'" || c === '"') {
      quote = c;
    } else if (c === ";") {
      return i;
    }
  }
  if (quote !== "") throw new CommandError(`the quote ${quote} is not closed`);
  return line.length;
}

/** Index of the `;` that ends the script of the `js` starting at `start`. JavaScript's own parser says what is wrong with it. */
function scriptEnd(line: string, start: number, isCommand: (word: string) => boolean): number {
  const script = line.slice(start);
  const depth = depths(script);
  for (let i = 0; i < script.length; i++) {
    if (script[i] !== ";" || depth[i]! !== 0) continue;
    const next = /^\s*([^\s;]*)/.exec(script.slice(i + 1))![1]!;
    if (isCommand(next)) return start + i;
  }
  return line.length;
}

/** The words of one command, quotes removed. Throws CommandError for an open quote. */
export function splitWords(command: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let i = 0; i < command.length; i++) {
    const c = command[i]!;
    if (c === "\\" && quote !== "'" && i + 1 < command.length) {
      word = (word ?? "") + command[++i];
    } else if (quote !== "") {
      if (c === quote) quote = "";
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (c === " " || c === "\t") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + c;
    }
  }
  if (quote !== "") throw new CommandError(`the quote ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}
