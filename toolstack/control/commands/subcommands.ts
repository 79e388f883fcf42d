/** Commands whose first word says what to do: `bridge list`. */
import { CommandError } from "./command-error.ts";
import type { Command, CommandContext } from "./command.ts";

export interface Subcommand {
  /** Its arguments, as in help. */
  usage: string;
  summary: string;
  run(words: string[], context: CommandContext): void | Promise<void>;
}

/** A command of subcommands; help lists them. */
export function commandOf(
  name: string,
  summary: string,
  subcommands: Record<string, Subcommand>,
  more: string[] = [],
): Command {
  const lines = Object.entries(subcommands).map(
    ([word, { usage, summary: what }]) => `${word} ${usage}`.trimEnd() + `: ${what}`,
  );
  const names = Object.keys(subcommands).join("|");
  return {
    name,
    usage: `${names} ...`,
    summary,
    details: [...lines, ...more],
    subcommands,
    async run(words, context) {
      const [word, ...rest] = words;
      const known = word !== undefined && Object.prototype.hasOwnProperty.call(subcommands, word);
      if (!known)
        throw new CommandError(`${word === undefined ? "one word is missing" : `"${word}" is unknown`}: ${names}`);
      await subcommands[word]!.run(rest, context);
    },
  };
}
