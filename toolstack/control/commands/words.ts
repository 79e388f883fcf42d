/**
 * Command lines: `;` separates commands, blanks separate words, '...' and "..." keep both together, a backslash takes
 * the next character as it is (except between single quotes). The argument of `js` is JavaScript and taken as it
 * stands, up to a `;` outside its own brackets and strings.
 */
import { CommandError } from "./command-error.ts";

/** The commands of a line, trimmed, empty ones left out. Throws CommandError for an open quote. */
export function splitCommands(line: string): string[] {
  const commands: string[] = [];
  for (let at = 0; at < line.length;) {
    const end = commandEnd(line, at);
    const command = line.slice(at, end).trim();
    if (command !== "") commands.push(command);
    at = end + 1;
  }
  return commands;
}

/** Index of the `;` that ends the command starting at `start`, or the line's length. */
function commandEnd(line: string, start: number): number {
  const script = /^\s*js\s/.test(line.slice(start));
  let quote = "";
  let depth = 0;
  for (let i = start; i < line.length; i++) {
    const c = line[i]!;
    if (c === "\\" && quote !== (script ? "" : "'")) {
      i++;
    } else if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === "'" || c === '"' || (script && c === "`")) {
      quote = c;
    } else if (script && "([{".includes(c)) {
      depth++;
    } else if (script && ")]}".includes(c)) {
      depth--;
    } else if (c === ";" && depth <= 0) {
      return i;
    }
  }
  // JavaScript's own parser says better what is wrong with JavaScript.
  if (quote !== "" && !script) throw new CommandError(`the quote ${quote} is not closed`);
  return line.length;
}

/** The words of one command, quotes taken off. Throws CommandError for an open quote. */
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
