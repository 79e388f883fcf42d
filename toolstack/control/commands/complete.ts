/** Tab completion: command names, subcommands, options, boot modules, domains. */
import { bootModules } from "../boot-info.ts";
import type { Domains } from "../domains/domains.ts";
import { commands, findCommand } from "./table.ts";

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
  const previous = words[words.length - 2]!;
  if (["--kernel", "--ramdisk", "--symbols"].includes(previous)) return bootModules().map(({ name }) => name);
  const wanted = /^\[?ID(\.\.\.)?/.exec(usage);
  const offersIds = wanted !== null && (words.length === after + 1 || wanted[1] !== undefined);
  if (offersIds && !words[words.length - 1]!.startsWith("-"))
    return domains.all().flatMap(({ id, name }) => [String(id), name]);
  if (words[0] === "help") return commands.map(({ name }) => name);
  return [...(usage.match(/--[a-z]+(-[a-z]+)*/g) ?? []), "--help"];
}
