/** The answer to a completion script: always lines of values, whatever goes wrong. */
import type { Candidate, Expected } from "./expected.ts";
import { wordsOf } from "./line.ts";
import { namesOf, type NameSource } from "./names.ts";
import { COMPLETE, FILES, SHELLS, type Shell } from "./scripts.ts";

/** A machine that does not answer within so long is not waited for: someone sits before the shell. */
const PATIENCE_MS = 2000;

/** What a script has asked: words behind the command, the last one up to the cursor. */
export interface Question {
  shell: Shell;
  words: string[];
  /** What of the last word the shell replaces. */
  replaced: string;
}

/** @param words of the command line, behind `chaos` or `xl`; null: no question of a script */
export function questionOf(words: readonly string[]): Question | null {
  const [first, shell, ...rest] = words;
  if (first !== COMPLETE || !SHELLS.includes(shell as Shell)) return null;
  if (shell !== "bash") {
    return { shell: shell as Shell, words: rest, replaced: rest[rest.length - 1] ?? "" };
  }
  const [line = "", current = ""] = rest;
  return { shell, words: wordsOf(line).slice(1), replaced: current };
}

/** A character that bash would read as more than itself. */
const SPECIAL = /[^\w@%+=:,./~-]/g;

function bashLine(value: string, current: string, replaced: string): string {
  // Quotes are typed: then the shell has them in what it replaces, and nothing is to be escaped.
  if (/^['"]/.test(replaced)) return `${replaced[0]}${value}`;
  const kept = current.endsWith(replaced) ? current.length - replaced.length : 0;
  return value.slice(kept).replace(SPECIAL, "\\$&");
}

/** The lines for a shell. */
export function answerLines(
  { shell, words, replaced }: Question,
  expected: Expected,
  found: readonly Candidate[],
): string[] {
  const current = words[words.length - 1] ?? "";
  const before = expected.before ?? "";
  const all = [...expected.candidates, ...found].map(({ value, summary }) => ({ value: before + value, summary }));
  const files = expected.files === true ? [FILES] : [];
  if (shell === "bash") {
    const fitting = all.filter(({ value }) => value.startsWith(current));
    return [...fitting.map(({ value }) => bashLine(value, current, replaced)), ...files];
  }
  // These two look for what fits themselves, and show summaries.
  const plain = (text: string) => text.replace(/\s+/g, " ");
  return [...all.map(({ value, summary }) => (summary ? `${value}\t${plain(summary)}` : value)), ...files];
}

/** What is there in time; nothing else. */
async function inTime(found: Promise<Candidate[]>): Promise<Candidate[]> {
  const late = new Promise<Candidate[]>((resolve) => setTimeout(() => resolve([]), PATIENCE_MS).unref());
  return await Promise.race([found.catch(() => []), late]);
}

/** Answers on standard output. @param source asks the machine; it is not touched if no name is wanted */
export async function answer(question: Question, expected: Expected, source: NameSource): Promise<void> {
  const current = (question.words[question.words.length - 1] ?? "").slice((expected.before ?? "").length);
  const found = expected.names === undefined ? [] : await inTime(namesOf(expected.names, source, current));
  process.stdout.write(
    answerLines(question, expected, found)
      .map((line) => `${line}\n`)
      .join(""),
  );
}
