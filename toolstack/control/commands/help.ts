import { print } from "../console/output.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";

/** @param all the table of commands, which `help` itself is part of */
export function helpCommand(all: () => Command[]): Command {
  return {
    name: "help",
    usage: "[COMMAND]",
    summary: "list the commands, or explain one",
    run(words) {
      if (words.length > 1) throw new CommandError(`one word too many: "${words[1]}"`);
      if (words.length === 1) {
        explain(all(), words[0]!);
        return;
      }
      const width = Math.max(...all().map((command) => command.name.length)) + 2;
      for (const command of all()) print(`  ${command.name.padEnd(width)}${command.summary}\n`);
      print(
        "`help COMMAND` or `COMMAND --help` tells more. `;` separates commands; quote words with '...' or \"...\".\n",
      );
    },
  };
}

function explain(all: Command[], name: string): void {
  const command = all.find((candidate) => candidate.name === name);
  if (command === undefined) throw new CommandError(`unknown command "${name}"; \`help\` lists them`);
  explainCommand(command);
}

/** Prints the help of `help NAME` and `NAME --help`. */
export function explainCommand(command: Command): void {
  print(`${command.name} ${command.usage}`.trimEnd() + "\n");
  print(`  ${command.summary}\n`);
  for (const line of command.details ?? []) print(`  ${line}\n`);
}
