/** Requests as they are typed: words and options become arguments; usage and help. */
import type { Argument } from "./argument.ts";
import { parseOptions, type OptionSpec } from "./options.ts";
import type { AnyRequest, Arguments, Params, RequestDefinition } from "./request.ts";

/** `onPoweroff` is typed `--on-poweroff`. */
export function optionName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A request's arguments as in usage lines: `ID [--timeout SECONDS] [--no-wait]`. */
export function usageOf(request: AnyRequest): string {
  const parts = Object.entries(request.arguments as Arguments).map(([key, { place, value, required, many }]) => {
    const dots = many ? "..." : "";
    if (place === "word") return required ? `${value}${dots}` : `[${value}${dots}]`;
    const typed = `--${optionName(key)}${value === null ? "" : ` ${value}`}`;
    return `${required ? typed : `[${typed}]`}${dots}`;
  });
  return parts.join(" ");
}

/** Help on a request's arguments, a line for each that says more than its name, and its details. */
export function explanationOf(request: AnyRequest): string[] {
  const lines = Object.entries(request.arguments as Arguments).map(([key, { place, value, summary, short }]) => {
    const letter = short === undefined ? "" : `-${short}, `;
    return [place === "word" ? value! : `${letter}--${optionName(key)}`, summary] as const;
  });
  const explained = lines.filter(([, summary]) => summary !== "");
  const width = Math.max(0, ...explained.map(([name]) => name.length)) + 2;
  return [...explained.map(([name, summary]) => `${name.padEnd(width)}${summary}`), ...request.details];
}

/** What the parser wants to know of a request: derived once. */
interface Grammar {
  options: Record<string, OptionSpec>;
  /** Keys of the options, by their typed names. */
  keys: Map<string, string>;
  words: { key: string; name: string; many: boolean }[];
  /** The words as the parser is told of them. */
  names: string[];
  /** The options with those that only a command line has, by these: the parser knows tables that it has seen before. */
  merged: Map<object, Record<string, OptionSpec>>;
}

const grammars = new WeakMap<AnyRequest, Grammar>();

function grammarOf(request: AnyRequest): Grammar {
  let grammar = grammars.get(request);
  if (grammar !== undefined) return grammar;
  grammar = { options: {}, keys: new Map(), words: [], names: [], merged: new Map() };
  for (const [key, { place, value, required, many, short }] of Object.entries(request.arguments as Arguments)) {
    if (place === "word") {
      grammar.words.push({ key, name: value!, many });
      grammar.names.push(`${required ? value : `[${value}]`}${many ? "..." : ""}`);
      continue;
    }
    const name = optionName(key);
    grammar.keys.set(name, key);
    grammar.options[name] = { value: value ?? undefined, required, repeatable: many, short };
  }
  grammars.set(request, grammar);
  return grammar;
}

function withMore(grammar: Grammar, more: Record<string, OptionSpec>): Record<string, OptionSpec> {
  let merged = grammar.merged.get(more);
  if (merged === undefined) grammar.merged.set(more, (merged = { ...grammar.options, ...more }));
  return merged;
}

/**
 * The arguments of a request from the words behind its name.
 * @param more options that only this command line has, such as `--json`, always the same table; found in `switches`
 * @throws CommandError
 */
export function readWords<A extends Arguments, R>(
  request: RequestDefinition<A, R>,
  typed: string[],
  more?: Record<string, OptionSpec>,
): { params: Params<A>; switches: Set<string> } {
  const grammar = grammarOf(request);
  const options = more === undefined ? grammar.options : withMore(grammar, more);
  const { values, lists, switches, rest } = parseOptions(typed, options, grammar.names);
  const params: Record<string, unknown> = {};
  /** Of an option that is the request's own. */
  const own = (name: string, take: (key: string, read: Argument<unknown>["read"]) => void) => {
    const key = grammar.keys.get(name);
    if (key !== undefined) take(key, request.arguments[key]!.read);
  };
  values.forEach((value, name) => own(name, (key, read) => (params[key] = read(`--${name}`, value))));
  lists.forEach((list, name) => own(name, (key, read) => (params[key] = list.map((each) => read(`--${name}`, each)))));
  switches.forEach((name) => own(name, (key) => (params[key] = true)));
  grammar.words.forEach(({ key, name, many }, i) => {
    const { read } = request.arguments[key]!;
    if (i >= rest.length) return;
    params[key] = many ? rest.slice(i).map((each) => read(name, each)) : read(name, rest[i]!);
  });
  return { params: params as Params<A>, switches };
}
