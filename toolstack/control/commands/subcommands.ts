/** Commands whose first word says what to do: `bridge list`. */
import { CommandError } from "../../api/command-error.ts";
import { GROUPS, type Group } from "../../api/requests/groups.ts";
import type { Arguments } from "../../api/request.ts";
import type { Command, CommandContext } from "./command.ts";
import type { AnyHandler, Handler } from "./handler.ts";
import { runRequest, typedUsage } from "./request-command.ts";

export interface Subcommand {
  /** Its arguments, as in help. */
  usage: string;
  summary: string;
  run(words: string[], context: CommandContext): void | Promise<void>;
  handler?: AnyHandler;
}

/** A subcommand that is one request. */
export function requestSubcommand<A extends Arguments, R>(handler: Handler<A, R>): Subcommand {
  const { request } = handler;
  return {
    usage: typedUsage(request),
    summary: request.summary,
    handler,
    run: (words, context) => runRequest(handler, words, context),
  };
}

/** A command of subcommands; help lists them. */
export function commandOf(name: Group, subcommands: Record<string, Subcommand>, more: string[] = []): Command {
  const lines = Object.entries(subcommands).map(
    ([word, { usage, summary: what }]) => `${word} ${usage}`.trimEnd() + `: ${what}`,
  );
  const names = Object.keys(subcommands).join("|");
  return {
    name,
    usage: `${names} ...`,
    summary: GROUPS[name],
    details: [...lines, ...more],
    subcommands,
    handlers: Object.values(subcommands).flatMap(({ handler }) => (handler === undefined ? [] : [handler])),
    async run(words, context) {
      const [word, ...rest] = words;
      const known = word !== undefined && Object.prototype.hasOwnProperty.call(subcommands, word);
      if (!known)
        throw new CommandError(`${word === undefined ? "one word is missing" : `"${word}" is unknown`}: ${names}`);
      await subcommands[word]!.run(rest, context);
    },
  };
}
