/** Strict parsing of a command's options and arguments: an undeclared one is an error that lists the declared ones. */
import { CommandError } from "./command-error.ts";

/** `value`: the option takes a value, and this is its name in the usage line; without: it is a switch. */
export interface OptionSpec {
  value?: string;
  required?: boolean;
  /** It may be given several times: its values are in `lists`. */
  repeatable?: boolean;
  /** A letter that stands for it: `-d VALUE`. */
  short?: string;
}

export interface ParsedOptions {
  values: Map<string, string>;
  /** Values of repeatable options, in the order given. */
  lists: Map<string, string[]>;
  switches: Set<string>;
  /** Words that are not options. */
  rest: string[];
}

/**
 * Reads `--name value`, `--name=value`, switches, letters that stand for them, and plain words.
 * @param words the command's words after its name
 * @param specs the options by name, without dashes
 * @param argumentNames the plain words wanted; those in brackets, behind the others, need not be there; the last one may end in
 *   "..." for one or more
 * @throws CommandError
 */
export function parseOptions(
  words: string[],
  specs: Record<string, OptionSpec>,
  argumentNames: readonly string[] = [],
): ParsedOptions {
  const parsed: ParsedOptions = { values: new Map(), lists: new Map(), switches: new Set(), rest: [] };
  for (let i = 0; i < words.length; i++) {
    let word = words[i]!;
    if (!word.startsWith("--")) {
      const letter = word.length === 2 && word[0] === "-" ? longName(specs, word[1]!) : undefined;
      if (letter !== undefined) word = `--${letter}`;
    }
    if (!word.startsWith("--")) {
      if (word.startsWith("-") && word.length > 1 && !/^-[0-9]/.test(word)) {
        throw new CommandError(`unknown option ${word}${known(specs)}`);
      }
      parsed.rest.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const spec = Object.prototype.hasOwnProperty.call(specs, name) ? specs[name]! : undefined;
    if (spec === undefined) throw new CommandError(`unknown option --${name}${known(specs)}`);
    if (parsed.values.has(name) || parsed.switches.has(name)) throw new CommandError(`--${name} is given twice`);
    if (spec.value === undefined) {
      if (equals >= 0) throw new CommandError(`--${name} takes no value`);
      parsed.switches.add(name);
      continue;
    }
    if (equals < 0 && i + 1 >= words.length) throw new CommandError(`--${name} needs a value: ${spec.value}`);
    const value = equals >= 0 ? word.slice(equals + 1) : words[++i]!;
    if (spec.repeatable) parsed.lists.set(name, [...(parsed.lists.get(name) ?? []), value]);
    else parsed.values.set(name, value);
  }
  for (const name of requiredOf(specs)) {
    if (!parsed.values.has(name) && !parsed.lists.has(name))
      throw new CommandError(`--${name} ${specs[name]!.value ?? ""} is missing`);
  }
  const next = argumentNames[parsed.rest.length];
  if (next !== undefined && !next.startsWith("[")) throw new CommandError(`${next.replace("...", "")} is missing`);
  const several = argumentNames[argumentNames.length - 1]?.endsWith("...") === true;
  if (parsed.rest.length > argumentNames.length && !several) {
    throw new CommandError(`one word too many: "${parsed.rest[argumentNames.length]}"`);
  }
  return parsed;
}

/** The name of the option that a letter stands for. */
function longName(specs: Record<string, OptionSpec>, letter: string): string | undefined {
  return Object.keys(specs).find((name) => specs[name]!.short === letter);
}

/** The options that must be there, by tables of options: those of commands that keep theirs are looked through once. */
const required = new WeakMap<Record<string, OptionSpec>, string[]>();

function requiredOf(specs: Record<string, OptionSpec>): string[] {
  let names = required.get(specs);
  if (names === undefined) {
    names = Object.keys(specs).filter((name) => specs[name]!.required);
    required.set(specs, names);
  }
  return names;
}

function known(specs: Record<string, OptionSpec>): string {
  const names = Object.keys(specs);
  return names.length === 0 ? "; this command has none" : `; known: ${names.map((name) => `--${name}`).join(" ")}`;
}

/** A whole number between two bounds. Throws CommandError that names the option and the bounds. */
export function parseCount(what: string, text: string, least: number, most: number): number {
  return checkBounds(what, /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN, least, most, text);
}

/** As `parseCount`, of a number. @param shown as it was given */
export function checkBounds(what: string, value: number, least: number, most: number, shown = String(value)): number {
  if (!(value >= least && value <= most)) {
    throw new CommandError(`${what}: "${shown}" is not a whole number from ${least} to ${most}`);
  }
  return value;
}

/** MiB in the units of a size. Without a unit it is MiB, as for xl. */
const UNITS_MIB: Record<string, number> = { "": 1, K: 1 / 1024, M: 1, G: 1024, T: 1024 * 1024 };

/**
 * A size in whole MiB: "512", "512M", "2G", "1.5GiB", "65536K".
 * @throws CommandError that names the option and the bounds, which are in MiB
 */
export function parseMib(what: string, text: string, least: number, most: number): number {
  const plain = /^[0-9]{1,12}$/.test(text); // nearly always; what is below takes many times as long
  const [, number, unit] = plain
    ? ["", text, ""]
    : (/^([0-9]{1,12}(?:\.[0-9]{1,6})?)(?:([KMGT])(?:i?B)?)?$/i.exec(text) ?? []);
  const mib = Number(number ?? NaN) * UNITS_MIB[(unit ?? "").toUpperCase()]!;
  return checkMib(what, mib, least, most, text);
}

/** As `parseMib`, of a number of MiB. @param shown as it was given */
export function checkMib(what: string, mib: number, least: number, most: number, shown = String(mib)): number {
  if (!(Number.isInteger(mib) && mib >= least && mib <= most)) {
    throw new CommandError(
      `${what}: "${shown}" is not a whole number of MiB from ${least} to ${most}; 2G and 512M are sizes too`,
    );
  }
  return mib;
}
