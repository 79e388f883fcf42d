/** Running command lines, for the prompt and for exec mode. */
import { atLineStart, flushConsole, print } from "../console/output.ts";
import { CommandError } from "../../api/command-error.ts";
import type { CommandContext } from "./command.ts";
import { errorText } from "./error-text.ts";
import { explainCommand } from "./help.ts";
import { findCommand, isCommand } from "./table.ts";
import { splitCommands, splitWords } from "./words.ts";

/** Explains a command instead of running it, at any position; as an option's value it must be given with "=". */
const HELP = "--help";

export type RunContext = Omit<CommandContext, "rawArguments">;

function printError(name: string, error: unknown): void {
  if (!atLineStart()) print("\n");
  print(`${name}: ${errorText(error)}\n`);
}

/** Runs one command; prints its error and returns false if it failed. */
export async function runCommand(text: string, context: RunContext): Promise<boolean> {
  const name = /^[^\s'"]*/.exec(text)![0];
  try {
    const command = findCommand(name);
    if (command === undefined) throw new CommandError("unknown command; `help` lists them");
    const rawArguments = text.slice(name.length).trim();
    const words = name === "js" ? [] : splitWords(rawArguments);
    if (words.includes(HELP) || rawArguments === HELP) {
      explainCommand(command);
      return true;
    }
    // Output of the hypervisor and guests in the meantime follows the command's own line.
    flushConsole();
    await command.run(words, { ...context, rawArguments });
    return true;
  } catch (error) {
    printError(name || text, error);
    return false;
  }
}

/** Runs all commands of a line, each whether or not those before it failed, until the user interrupts. */
export async function runLine(line: string, context: RunContext): Promise<void> {
  let texts: string[];
  try {
    texts = splitCommands(line, isCommand);
  } catch (error) {
    printError("error", error);
    return;
  }
  for (const text of texts) {
    if (context.interruption.raised) return;
    await runCommand(text, context);
  }
}
