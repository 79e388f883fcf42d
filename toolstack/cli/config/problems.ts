/** What is wrong with, or worth knowing of, a domain's configuration, and where it is written. */

/** Where something is written. */
export interface Place {
  /** A file as the user named it, or an argument of the command line, in words. */
  source: string;
  /** From 1; none in an argument. */
  line?: number;
}

export interface Problem {
  place: Place;
  /** The key as the user writes it, such as `memory` or `vifs[1].mac`; none where the file as a whole is meant. */
  key?: string;
  text: string;
}

/** `web.cfg:3: memory: "much" is not a whole number from 1 to 1048576`. */
export function formatProblem({ place, key, text }: Problem): string {
  const line = place.line === undefined ? "" : `:${place.line}`;
  return `${place.source}${line}: ${key === undefined ? "" : `${key}: `}${text}`;
}

/** Everything that is wrong with one configuration; nothing was done with it. The message has a line for each problem. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.name = "ConfigError";
  }
}

/** How deeply a parser may recurse is up to the engine: what it cannot do is a fault of the text, too. */
export function withoutOverflow<Result>(source: string, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ConfigError([{ place: { source }, text: "lists are nested too deeply" }]);
  }
}

/**
 * In the order in which a user reads them: by source, then by line.
 * @param sources in their order; those of the problems, as they come, if not given
 */
export function inOrder(
  problems: readonly Problem[],
  sources: readonly string[] = [...new Set(problems.map(({ place }) => place.source))],
): Problem[] {
  return [...problems].sort(
    (a, b) =>
      sources.indexOf(a.place.source) - sources.indexOf(b.place.source) || (a.place.line ?? 0) - (b.place.line ?? 0),
  );
}

/** Those of `found` that are not about what is told of in `told`, or parts of it. */
export function notYetTold(found: readonly Problem[], told: readonly Problem[]): Problem[] {
  return found.filter(({ key = "" }) => !told.some((one) => isPartOf(key, one.key ?? "")));
}

/** Whether `disk[1].vdev` is part of `disk[1]`: yes, and of itself. */
function isPartOf(key: string, other: string): boolean {
  return key === other || (key.startsWith(other) && /[.[]/.test(key[other.length]));
}

/** The accepted one that was probably meant; undefined when none is near: two edits at most, and less than half the word. */
export function nearest(word: string, accepted: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.min(2, Math.ceil(word.length / 2) - 1);
  for (const candidate of accepted) {
    const distance = editDistance(word, candidate);
    if (distance > least || (distance === least && best !== undefined)) continue;
    best = candidate;
    least = distance;
  }
  return best;
}

/** Levenshtein's: insertions, deletions and replacements of a character. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
