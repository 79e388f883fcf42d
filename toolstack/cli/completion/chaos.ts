/** What may stand at the cursor of `chaos`: by its commander commands, and by the requests that these are made of. */
import type { Argument as Word, Command, Option } from "commander";
import type { Argument } from "../../api/argument.ts";
import { requestOf } from "../chaos/request-commands.ts";
import { candidatesOf, NOTHING, type Expected } from "./expected.ts";

/** Placeholders of files and folders. */
const FILE = /file|folder|\.(ts|json)$/i;

/** Its own options, and those of the commands that it is one of. */
function optionsOf(command: Command): Option[] {
  return [...command.options, ...(command.parent === null ? [] : optionsOf(command.parent))];
}

function findOption(command: Command, word: string): Option | undefined {
  const name = word.replace(/=.*/s, "");
  return optionsOf(command).find(({ long, short }) => name === long || name === short);
}

const takesValue = (option: Option) => option.required || option.optional;

/** A value of a request's argument. */
function ofArgument({ choices = [], names }: Argument<unknown>): Expected {
  // A kernel may be a file here, which is uploaded.
  return { candidates: candidatesOf(choices), names, files: names === "kernel" };
}

function ofPlaceholder(placeholder: string, choices: readonly string[] = []): Expected {
  return { candidates: candidatesOf(choices), files: choices.length === 0 && FILE.test(placeholder) };
}

function optionValue(command: Command, option: Option): Expected {
  const declared = requestOf(command)?.arguments as Record<string, Argument<unknown>> | undefined;
  const argument = declared?.[option.attributeName()];
  if (argument !== undefined) return ofArgument(argument);
  if (option.long === "--host") return { candidates: [], names: "machine" };
  return ofPlaceholder(option.flags.replace(/^.*[<[]|[>\]].*$/g, ""), option.argChoices);
}

function wordValue(command: Command, number: number): Expected {
  const words = command.registeredArguments as Word[];
  const last = words[words.length - 1];
  const word = words[number] ?? (last?.variadic === true ? last : undefined);
  if (word === undefined) return NOTHING;
  const declared = Object.values((requestOf(command)?.arguments ?? {}) as Record<string, Argument<unknown>>);
  const argument = declared.find(({ place, value }) => place === "word" && value === word.name());
  return argument === undefined ? ofPlaceholder(word.name(), word.argChoices) : ofArgument(argument);
}

function commandsOf(command: Command): Expected {
  const shown = command.createHelp().visibleCommands(command);
  return { candidates: shown.map((each) => ({ value: each.name(), summary: each.description() })) };
}

function optionNames(command: Command): Expected {
  const help = command.createHelp();
  const options = [...help.visibleOptions(command), ...(command.parent === null ? [] : optionsOf(command.parent))];
  return {
    candidates: options.map(({ long, short, description }) => ({ value: long ?? short!, summary: description })),
  };
}

/** @param words behind `chaos`, the last one up to the cursor */
export function chaosExpected(program: Command, words: readonly string[]): Expected {
  let command = program;
  let plain = 0;
  /** Of an option whose value is next. */
  let open: Option | undefined;
  const current = words[words.length - 1] ?? "";
  for (const word of words.slice(0, -1)) {
    if (open !== undefined) {
      open = undefined;
      continue;
    }
    // What is behind it is not for chaos.
    if (word === "--") return { candidates: [], files: true };
    if (word.startsWith("-")) {
      const option = findOption(command, word);
      if (option !== undefined && takesValue(option) && !word.includes("=")) open = option;
      continue;
    }
    const next = plain === 0 ? command.commands.find((each) => each.name() === word) : undefined;
    if (next === undefined) plain++;
    else command = next;
  }
  if (open !== undefined) return optionValue(command, open);
  if (current.startsWith("-")) {
    const [name] = /^--[^=]+=/.exec(current) ?? [];
    if (name === undefined) return optionNames(command);
    const option = findOption(command, name.slice(0, -1));
    return option === undefined || !takesValue(option) ? NOTHING : { ...optionValue(command, option), before: name };
  }
  return command.commands.length > 0 ? (plain === 0 ? commandsOf(command) : NOTHING) : wordValue(command, plain);
}
