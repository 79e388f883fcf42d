import { print, printed } from "../console/output.ts";
import { describeError } from "../failures.ts";
import { inspect } from "../inspect.ts";
import { CommandError } from "./command-error.ts";
import type { Command, CommandContext } from "./command.ts";

/** Evaluates in the global scope, sloppy: `x = 1` makes a global that later expressions see. */
const globalEval = eval;

function compiles(code: string): boolean {
  try {
    // Parsed inside a function that is not called: nothing runs yet.
    globalEval(`(function () { ${code}\n})`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Evaluates what the user typed: an expression if it can be read as one (so that `{a: 1}` is an object), else a script,
 * else, for `await` outside functions, the body of an async function.
 */
function evaluate(code: string): unknown {
  if (code.trimStart().startsWith("{") && compiles(`return (${code}\n)`)) return globalEval(`(${code}\n)`);
  if (/\bawait\b/.test(code) && !compiles(code)) {
    const expression = `(async () => (${code}\n))()`;
    return compiles(expression) ? globalEval(expression) : globalEval(`(async () => { ${code}\n})()`);
  }
  return globalEval(code);
}

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
  usage: "EXPRESSION",
  summary: "evaluate JavaScript in the live control plane and print the value",
  details: [
    "Promises are awaited (Ctrl-C stops waiting). Globals: domains, modules, hypercall, memory, sysctl, domctl, abi,",
    "print, sleep, setTimeout, setInterval, uptimeNs, inspect, commands. `js memory.load32(0xc0001000)`, `js domains.list()`.",
  ],
  async run(_words, context) {
    if (context.rawArguments === "") throw new CommandError("EXPRESSION is missing");
    let value: unknown;
    try {
      value = evaluate(context.rawArguments);
      if (isPromise(value)) value = await settled(value, context);
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(describeError(error));
    }
    if (value !== undefined) (globalThis as { _?: unknown })._ = value;
    print(`${inspect(value)}\n`);
    await printed(context.interruption);
  },
};
