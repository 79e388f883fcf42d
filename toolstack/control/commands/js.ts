import { print, printed } from "../console/output.ts";
import { describeError } from "../failures.ts";
import { inspect } from "../inspect.ts";
import { CommandError } from "../../api/command-error.ts";
import { jsRequest } from "../../api/requests/machine.ts";
import type { Interruption } from "../interruption.ts";
import type { Command } from "./command.ts";
import { handler } from "./handler.ts";
import { consoleRequest, requestCommand } from "./request-command.ts";
import { evaluateScript, withoutOwnFrames } from "./script.ts";

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
}

/** The value of a promise, or the interruption as an error. */
function settled(value: Promise<unknown>, interruption: Interruption): Promise<unknown> {
  return new Promise((resolve, reject) => {
    value.then(resolve, reject);
    interruption.onRaise(() => reject(new CommandError("no longer waiting for the promise")));
  });
}

const js = handler(jsRequest, async ({ script }, { interruption }) => {
  let value: unknown;
  try {
    value = evaluateScript(script);
    if (isPromise(value)) value = await settled(value, interruption);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(withoutOwnFrames(describeError(error)));
  }
  if (value !== undefined) (globalThis as { _?: unknown })._ = value;
  const shown = inspect(value);
  return { shown: value instanceof Error ? withoutOwnFrames(shown) : shown };
});

export const jsCommand: Command = {
  ...requestCommand(js),
  usage: "SCRIPT",
  details: [...jsRequest.details],
  async run(_words, context) {
    if (context.rawArguments === "") throw new CommandError("SCRIPT is missing");
    const { shown } = await js.handle({ script: context.rawArguments }, consoleRequest(context));
    print(`${shown}\n`);
    await printed(context.interruption);
  },
};
