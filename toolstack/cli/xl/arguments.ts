/** Arguments as xl takes them: options of one letter, with long forms, before or between words; domains by name or id. */
import { parseArgs } from "node:util";
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";
import { listRequest } from "../../api/requests/domains.ts";
import { isToolError } from "../tool-error.ts";
import type { XlCommandName } from "./help.ts";

/** What commands need of the connection. */
export interface Asker {
  ask<A extends Arguments, R>(request: RequestDefinition<A, R>, params: Params<A>): Promise<R>;
}

/** What xl prints, and where; and how it was called. */
export interface XlOutput {
  out(text: string | Uint8Array): void;
  err(text: string): void;
  /** xl's -N: tell what would be done, and do nothing. */
  dryRun?: boolean;
}

/** xl's exit statuses: of what failed, and of words that are no command. */
export const FAILED = 1;
export const MISUSED = 2;

/** An error as xl reports it: its text on standard error, a command's help on standard output, and an exit status. */
export class XlError extends Error {
  /** @param help the command whose help is shown */
  constructor(
    message: string,
    readonly status = FAILED,
    readonly help: XlCommandName | null = null,
  ) {
    super(message);
  }
}

/** One option: its letter, its long form, whether it takes a value. */
export type Options = Readonly<Record<string, { long?: string; value?: boolean }>>;

/**
 * @param name the command's
 * @param words behind it
 * @param options by letter; -h is every command's
 * @param least words that must be there, and the most that may
 * @throws XlError that names the option, or shows how the command is used
 */
export function readArguments(
  name: XlCommandName,
  words: readonly string[],
  options: Options,
  least: number,
  most = least,
): { rest: string[]; given: Set<string>; values: Map<string, string> } {
  const config: NonNullable<Parameters<typeof parseArgs>[0]>["options"] = { help: { type: "boolean", short: "h" } };
  const letters = new Map<string, string>();
  for (const [letter, { long, value }] of Object.entries(options)) {
    const key = long ?? letter;
    letters.set(key, letter);
    config[key] = { type: value ? "string" : "boolean", short: letter };
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...words], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    throw misread(error as Error & { code?: string });
  }
  if (parsed.values.help === true) throw new XlError("", 0, name);
  const { positionals: rest } = parsed;
  if (rest.length < least) {
    const wanted = `${least} argument${least > 1 ? "s" : ""}`;
    throw new XlError(`'xl ${name}' requires at least ${wanted}.\n`, MISUSED, name);
  }
  if (rest.length > most) throw new XlError(`'xl ${name}': one word too many: ${rest[most]}\n`, MISUSED, name);
  const given = new Set<string>();
  const values = new Map<string, string>();
  for (const [key, value] of Object.entries(parsed.values)) {
    const letter = letters.get(key)!;
    if (typeof value === "string") values.set(letter, value);
    else if (value === true) given.add(letter);
  }
  return { rest, given, values };
}

/** What Node says of words that it cannot read, as xl says it. */
function misread({ message, code }: Error & { code?: string }): XlError {
  const option = /'(-[^' ,]*)/.exec(message)?.[1] ?? "";
  const shown = option.replace(/^-([^-])$/, "$1");
  const why = code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" ? "not supported" : message.split("\n")[0]!;
  return new XlError(why === "not supported" ? `option \`${shown}' not supported.` : why, MISUSED);
}

/** libxl's ERROR_INVAL, which xl says of a domain that is not there. */
const ERROR_INVAL = -6;

export interface XlDomain {
  id: number;
  name: string;
  /** VCPUs that are up. */
  vcpus: number;
}

/** A domain by name or id. Throws XlError as xl does. */
export async function findDomain(asker: Asker, which: string): Promise<XlDomain> {
  const domains = await asker.ask(listRequest, {});
  const found = /^[0-9]+$/.test(which)
    ? domains.find(({ id }) => id === Number(which))
    : domains.find(({ name }) => name === which);
  if (found === undefined) throw new XlError(`${which} is an invalid domain identifier (rc=${ERROR_INVAL})`);
  return { id: found.id, name: found.name, vcpus: found.vcpus };
}

/** Ids from which on domains are the hypervisor's own (xen.h, DOMID_FIRST_RESERVED is 0x7ff0); and domain 0. */
const FIRST_OWN = 32751;

export function isGuest({ id }: { id: number }): boolean {
  return id !== 0 && id < FIRST_OWN;
}

/** All guests. */
export async function guests(asker: Asker): Promise<XlDomain[]> {
  return (await asker.ask(listRequest, {})).filter(isGuest);
}

/** Does something; why it failed is told as libxl would, and what has failed as xl does. Throws XlError. */
export async function telling<T>(failed: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isToolError(error)) throw error;
    throw new XlError(`${error.message}\n${failed}`);
  }
}
