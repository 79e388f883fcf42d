/** Requests (toolstack/api) as commands of the console: their words are read, they are handled, their result is shown. */
import { CommandError } from "../../api/command-error.ts";
import { explanationOf, readWords, usageOf } from "../../api/command-line.ts";
import type { OptionSpec } from "../../api/options.ts";
import type { AnyRequest, Arguments } from "../../api/request.ts";
import { flushConsole, outputFull, print, printBytes, printed, whenDrained } from "../console/output.ts";
import { giveWay } from "../tasks.ts";
import type { Command, CommandContext } from "./command.ts";
import { handled, type Handler, type RequestContext } from "./handler.ts";

export const JSON_OPTION: Record<string, OptionSpec> = { json: {} };
const JSON_DETAIL = "--json: one line of JSON";

/** Output that waits for a slow line is not dropped when the user interrupts: what is made of it would have a hole. */
async function outputRoom(): Promise<void> {
  if (outputFull()) await new Promise<void>((resolve) => whenDrained(resolve));
  await giveWay();
}

/** How a handler sees the console. */
export function consoleRequest({ domains, interruption }: CommandContext): RequestContext {
  const progress = (text: string) => {
    print(`${text}\n`);
    flushConsole();
  };
  return { domains, interruption, progress, output: printBytes, outputRoom };
}

/** Runs a request as it was typed. */
export async function runRequest<A extends Arguments, R>(
  requested: Handler<A, R>,
  words: string[],
  context: CommandContext,
): Promise<void> {
  const { request } = requested;
  const { lines } = request;
  const { params, switches } = readWords(request, words, lines === null ? undefined : JSON_OPTION);
  const answer = handled(requested, params, consoleRequest(context));
  const result = answer instanceof Promise ? await answer : answer;
  if (lines === null) return;
  if (switches.has("json")) {
    print(`${JSON.stringify(result)}\n`);
  } else {
    for (const line of lines(result)) {
      if (context.interruption.raised) return;
      print(`${line}\n`);
      await printed(context.interruption);
    }
  }
  const failure = request.failure(result);
  if (failure !== null) throw new CommandError(failure);
}

/** A request's arguments in usage lines, as they are typed here: what has a result can be shown as JSON. */
export function typedUsage(request: AnyRequest): string {
  return `${usageOf(request)}${request.lines === null ? "" : " [--json]"}`.trim();
}

/** A command that is one request. */
export function requestCommand<A extends Arguments, R>(requested: Handler<A, R>): Command {
  const { request } = requested;
  return {
    name: request.name,
    usage: typedUsage(request),
    summary: request.summary,
    details: [...explanationOf(request), ...(request.lines === null ? [] : [JSON_DETAIL])],
    handlers: [requested],
    run: (words, context) => runRequest(requested, words, context),
  };
}
