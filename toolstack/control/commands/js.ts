import { print, printed } from "../console/output.ts";
import { describeError } from "../failures.ts";
import { inspect } from "../inspect.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command, CommandContext } from "./command.ts";
import { evaluateScript, withoutOwnFrames } from "./script.ts";

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
}

/** The value of a promise, or the interruption as an error. */
function settled(value: Promise<unknown>, context: CommandContext): Promise<unknown> {
  return new Promise((resolve, reject) => {
    value.then(resolve, reject);
    context.interruption.onRaise(() => reject(new CommandError("no longer waiting for the promise")));
  });
}

export const jsCommand: Command = {
  name: "js",
  usage: "SCRIPT",
  summary: "evaluate JavaScript in the live control plane and print the value",
  details: [
    "An expression or statements; what `let`, `const`, `class` and `function` declare is there for later ones, `_` is the",
    "latest value. A command's name behind a `;` begins the next command. Promises are awaited (Ctrl-C stops waiting).",
    "Globals: domains, modules, hypercall, memory, sysctl, domctl, abi, console, print, sleep, setTimeout, setInterval,",
    "uptimeNs, inspect, commands. `js memory.load32(0xc0001000)`, `js domains.list()`.",
  ],
  async run(_words, context) {
    if (context.rawArguments === "") throw new CommandError("SCRIPT is missing");
    let value: unknown;
    try {
      value = evaluateScript(context.rawArguments);
      if (isPromise(value)) value = await settled(value, context);
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(withoutOwnFrames(describeError(error)));
    }
    if (value !== undefined) (globalThis as { _?: unknown })._ = value;
    const shown = inspect(value);
    print(`${value instanceof Error ? withoutOwnFrames(shown) : shown}\n`);
    await printed(context.interruption);
  },
};
