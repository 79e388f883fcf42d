/** Tab completion: command names, subcommands, options, choices, boot modules, domains. */
import { optionName } from "../../api/command-line.ts";
import type { Argument } from "../../api/argument.ts";
import type { AnyRequest } from "../../api/request.ts";
import { bootModules } from "../boot-info.ts";
import type { Domains } from "../domains/domains.ts";
import { commands, findCommand } from "./table.ts";

/** What a request's argument may be, as far as it is known at once; null: that is not known. */
function valuesOf({ choices, names }: Argument<unknown>, domains: Domains): string[] | null {
  if (choices !== undefined) return [...choices];
  if (names === "domain") return domains.all().flatMap(({ id, name }) => [String(id), name]);
  if (names === "kernel" || names === "module") return bootModules().map(({ name }) => name);
  return null;
}

/** The argument that is next behind these words of a request; undefined: it takes no more, or an option's value is of no kind. */
function nextArgument(request: AnyRequest, before: string[]): Argument<unknown> | undefined {
  const declared = Object.entries(request.arguments as Record<string, Argument<unknown>>);
  const plain = declared.map(([, argument]) => argument).filter(({ place }) => place === "word");
  let number = 0;
  for (let i = 0; i < before.length; i++) {
    const word = before[i]!;
    if (!word.startsWith("-")) {
      number++;
      continue;
    }
    const [, option] =
      declared.find(([key, { short }]) => word === `--${optionName(key)}` || word === `-${short ?? ""}`) ?? [];
    if (option === undefined || option.value === null) continue;
    if (i === before.length - 1) return option;
    i++;
  }
  const last = plain[plain.length - 1];
  return plain[number] ?? (last?.many === true ? last : undefined);
}

/** Words that may stand at the end of `before`, the line up to the cursor. */
export function complete(before: string, domains: Domains): string[] {
  const command = before.slice(before.lastIndexOf(";") + 1).trimStart();
  const words = command.split(/\s+/);
  if (words.length <= 1) return commands.map(({ name }) => name);
  const found = findCommand(words[0]!);
  if (found?.subcommands !== undefined && words.length === 2) return [...Object.keys(found.subcommands), "--help"];
  // What follows a subcommand is completed as what follows a command is.
  const after = found?.subcommands === undefined ? 1 : 2;
  const usage = after === 1 ? (found?.usage ?? "") : (found?.subcommands?.[words[1]!]?.usage ?? "");
  const name = words.slice(0, after).join(" ");
  const request = found?.handlers?.find((handler) => handler.request.name === name)?.request;
  if (request !== undefined && !words[words.length - 1]!.startsWith("-")) {
    const argument = nextArgument(request, words.slice(after, -1));
    const values = argument === undefined ? null : valuesOf(argument, domains);
    if (values !== null) return values;
  }
  if (words[0] === "help") return commands.map((each) => each.name);
  return [...(usage.match(/--[a-z]+(-[a-z]+)*/g) ?? []), "--help"];
}
