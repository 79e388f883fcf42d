/**
 * What a request takes, declared once: the schema that its JSON form is checked by, and how the same thing is typed as a word or
 * an option. From these the console's commands, the command lines outside, their help and the reference page are made.
 */
import * as v from "valibot";
import { CommandError } from "./command-error.ts";
import { parseCount, parseMib } from "./options.ts";

/** What a value may be the name of: what command lines complete. */
export type NameKind = "domain" | "bridge" | "volume" | "disk" | "image" | "kernel" | "module";

export interface Argument<T> {
  /** A plain word, or an option with two dashes. */
  readonly place: "word" | "option";
  /** Its value's name in usage lines; of an option null: a switch. */
  readonly value: string | null;
  readonly summary: string;
  readonly required: boolean;
  /** It may be given several times. */
  readonly many: boolean;
  readonly schema: v.GenericSchema<T>;
  /** Of an option: a letter that stands for it, with one dash. */
  readonly short?: string;
  /** Of one of a few: which. */
  readonly choices?: readonly string[];
  /** Of a name: what of. */
  readonly names?: NameKind;
  /**
   * One value from a word.
   * @param what the name of the option or word, for the error
   * @throws CommandError
   */
  readonly read: (what: string, text: string) => unknown;
}

/** The longest text that a request may have in one place, characters. */
const TEXT_MOST = 4096;
/** The most values of an argument that may be given several times. */
const VALUES_MOST = 1024;

const text = v.pipe(v.string(), v.maxLength(TEXT_MOST));
const asTyped = (_what: string, typed: string) => typed;
const whole = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const many = <T>(each: v.GenericSchema<T>) => v.pipe(v.array(each), v.maxLength(VALUES_MOST));

const asChosen = (choices: readonly string[]) => (what: string, typed: string) => {
  if (!choices.includes(typed)) throw new CommandError(`${what}: "${typed}" is none of ${choices.join(", ")}`);
  return typed;
};

/** The same option, for which a letter stands, too. */
export function short<T>(letter: string, argument: Argument<T>): Argument<T> {
  return { ...argument, short: letter };
}

/** The same argument, whose values are names of such things. */
export function naming<T>(names: NameKind, argument: Argument<T>): Argument<T> {
  return { ...argument, names };
}

/** A word that must be there. */
export function word(value: string, summary: string): Argument<string> {
  return { place: "word", value, summary, required: true, many: false, schema: text, read: asTyped };
}

/** A word that may be there, the last one. */
export function optionalWord(value: string, summary: string): Argument<string | undefined> {
  return { place: "word", value, summary, required: false, many: false, schema: v.optional(text), read: asTyped };
}

/** One word or more. */
export function words(value: string, summary: string): Argument<string[]> {
  const schema = v.pipe(many(text), v.minLength(1));
  return { place: "word", value, summary, required: true, many: true, schema, read: asTyped };
}

/** Words that may be there, the last ones. */
export function optionalWords(value: string, summary: string): Argument<string[] | undefined> {
  return { place: "word", value, summary, required: false, many: true, schema: v.optional(many(text)), read: asTyped };
}

/** A word that is a whole number. */
export function countWord(value: string, summary: string, least: number, most: number): Argument<number> {
  const schema = whole(least, most);
  const read = (what: string, typed: string) => parseCount(what, typed, least, most);
  return { place: "word", value, summary, required: true, many: false, schema, read };
}

/** A word that is a size, in MiB. */
export function mibWord(value: string, summary: string, least: number, most: number): Argument<number> {
  const schema = whole(least, most);
  const read = (what: string, typed: string) => parseMib(what, typed, least, most);
  return { place: "word", value, summary, required: true, many: false, schema, read };
}

/** A word that is one of a few. */
export function choiceWord<T extends string>(
  value: string,
  summary: string,
  choices: readonly [T, ...T[]],
): Argument<T> {
  return {
    place: "word",
    value,
    summary,
    required: true,
    many: false,
    schema: v.picklist(choices),
    choices,
    read: asChosen(choices),
  };
}

/** `--NAME VALUE`. */
export function option(value: string, summary: string): Argument<string | undefined> {
  return { place: "option", value, summary, required: false, many: false, schema: v.optional(text), read: asTyped };
}

/** `--NAME VALUE`, which must be there. */
export function requiredOption(value: string, summary: string): Argument<string> {
  return { place: "option", value, summary, required: true, many: false, schema: text, read: asTyped };
}

/** `--NAME VALUE`, as often as wanted. */
export function listOption(value: string, summary: string): Argument<string[] | undefined> {
  const schema = v.optional(many(text));
  return { place: "option", value, summary, required: false, many: true, schema, read: asTyped };
}

/** `--NAME N`, a whole number. */
export function countOption(value: string, summary: string, least: number, most: number): Argument<number | undefined> {
  const schema = v.optional(whole(least, most));
  const read = (what: string, typed: string) => parseCount(what, typed, least, most);
  return { place: "option", value, summary, required: false, many: false, schema, read };
}

/** `--NAME SIZE`, in MiB. */
export function mibOption(value: string, summary: string, least: number, most: number): Argument<number | undefined> {
  const schema = v.optional(whole(least, most));
  const read = (what: string, typed: string) => parseMib(what, typed, least, most);
  return { place: "option", value, summary, required: false, many: false, schema, read };
}

/** `--NAME VALUE`, one of a few. */
export function choiceOption<T extends string>(
  value: string,
  summary: string,
  choices: readonly [T, ...T[]],
): Argument<T | undefined> {
  const schema = v.optional(v.picklist(choices));
  return { place: "option", value, summary, required: false, many: false, schema, choices, read: asChosen(choices) };
}

/** `--NAME`, without a value. */
export function switchOption(summary: string): Argument<boolean | undefined> {
  const schema = v.optional(v.boolean());
  return { place: "option", value: null, summary, required: false, many: false, schema, read: asTyped };
}
