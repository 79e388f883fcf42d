/** A command of `chaos` for each request that is no more than that: its words, its help, its answer for people or as JSON. */
import { Command } from "commander";
import { CommandError } from "../../api/command-error.ts";
import { explanationOf, optionName, readWords } from "../../api/command-line.ts";
import type { Argument } from "../../api/argument.ts";
import { GROUPS, type Group } from "../../api/requests/groups.ts";
import type { AnyRequest } from "../../api/request.ts";
import type { ToolSession } from "./session.ts";

/** What a command does once its words are read. */
export type Run = (session: ToolSession, params: Record<string, unknown>, json: boolean) => Promise<void>;

/**
 * Prints the answer to a request.
 * @throws CommandError: the command fails although the request was answered
 */
export function printAnswer(
  request: AnyRequest,
  result: unknown,
  json: boolean,
  out: NodeJS.WritableStream = process.stdout,
): void {
  if (json) out.write(`${JSON.stringify(result ?? null)}\n`);
  else if (request.lines !== null) for (const line of request.lines(result)) out.write(`${line}\n`);
  const failure = request.failure(result);
  if (failure !== null) throw new CommandError(failure);
}

function runRequest(request: AnyRequest): Run {
  const { name, stream: kind } = request;
  return async (session, params, json) => {
    if (kind === "file" && process.stdout.isTTY === true)
      throw new CommandError(`its output is no text: \`chaos ${name} ... > FILE\`, or into a pipe`);
    const { result, stream } = await session.start(request, params as never);
    const takesOutput = kind === "output" || kind === "file";
    if (takesOutput) stream.pipe(process.stdout, { end: false });
    else stream.resume();
    // What is said of a file is not part of it.
    printAnswer(request, await result, json, kind === "file" ? process.stderr : process.stdout);
  };
}

/**
 * Makes commands, "vif list" as `list` of the command `vif`.
 * @param within runs something with a session
 */
export function addRequestCommands(
  program: Command,
  requests: readonly AnyRequest[],
  within: (run: (session: ToolSession) => Promise<void>) => Promise<void>,
): void {
  for (const request of requests) {
    const [first, second] = request.name.split(" ") as [string, string | undefined];
    const parent = second === undefined ? program : groupOf(program, first as Group);
    parent.addCommand(requestCommand(request, second ?? first, within, runRequest(request)));
  }
}

function groupOf(program: Command, name: Group): Command {
  const there = program.commands.find((command) => command.name() === name);
  if (there !== undefined) return there;
  const group = new Command(name).description(GROUPS[name]);
  program.addCommand(group);
  return group;
}

const requestsOf = new WeakMap<Command, AnyRequest>();

/** The request that a command is made of. */
export function requestOf(command: Command): AnyRequest | undefined {
  return requestsOf.get(command);
}

/** Says that words and options of `command` that are called as the request's are the request's. */
export function withRequest(command: Command, request: AnyRequest): Command {
  requestsOf.set(command, request);
  return command;
}

/** A word that a command has instead of its request's. */
export interface OtherWords {
  words: { usage: string; summary: string };
  /** Given the words: nothing of the request must be there. */
  optional(typed: string[]): boolean;
}

/** A command with the words and options of a request. */
export function requestCommand(
  request: AnyRequest,
  name: string,
  within: (run: (session: ToolSession) => Promise<void>) => Promise<void>,
  run: Run,
  other?: OtherWords,
): Command {
  const command = new Command(name).description(request.summary).allowExcessArguments(false);
  requestsOf.set(command, request);
  const words: string[] = [];
  if (other !== undefined) command.argument(other.words.usage, other.words.summary);
  for (const [key, each] of Object.entries(request.arguments as Record<string, Argument<unknown>>)) {
    const dots = each.many ? "..." : "";
    if (each.place === "word") {
      words.push(key);
      command.argument(each.required ? `<${each.value}${dots}>` : `[${each.value}${dots}]`, each.summary);
    } else {
      const value = each.value === null ? "" : ` <${each.value}>`;
      const letter = each.short === undefined ? "" : `-${each.short}, `;
      const flags = `${letter}--${optionName(key)}${value}`;
      const collect = (text: string, before: string[] = []) => [...before, text];
      if (each.many) command.option(flags, each.summary, collect);
      else if (each.required && other === undefined) command.requiredOption(flags, each.summary);
      else command.option(flags, each.summary);
    }
  }
  const json = request.lines !== null;
  if (json) command.option("--json", "one line of JSON");
  const more = explanationOf(request);
  if (more.length > 0) command.addHelpText("after", `\n${more.join("\n")}`);
  command.action(async () => {
    const options = command.opts<Record<string, unknown>>();
    // The same reader as the prompt's: counts, sizes and choices are judged, and worded, in one place.
    const typed = [
      ...Object.keys(request.arguments as object)
        .filter((key) => !words.includes(key) && options[key] !== undefined)
        .flatMap((key) => {
          const value = options[key];
          const option = `--${optionName(key)}`;
          if (value === true) return [option];
          return (Array.isArray(value) ? value : [value]).map((each) => `${option}=${String(each)}`);
        }),
      ...(other === undefined ? command.args : []),
    ];
    if (other?.optional(command.args)) {
      if (typed.length > 0) throw new CommandError(`${typed[0]!.replace(/=.*/s, "")}: the configuration file says it`);
      await within((session) => run(session, {}, options.json === true));
      return;
    }
    const { params } = readWords(request, typed);
    await within((session) => run(session, params, options.json === true));
  });
  return command;
}
